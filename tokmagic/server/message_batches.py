"""Anthropic's Message Batches over the bench: ``/v1/messages/batches`` and what is below it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokmagic.codecs import Json, WireError
from tokmagic.codecs.registry import CODECS

from .batch import WINDOW, Batch, Bench, Row
from .refusals import id_headers, refusal

PREFIX = "msgbatch_"
MOST_ROWS = 100_000
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_PATH = "/v1/messages/batches"


class MessageBatches:
    """The routes. ``read`` takes a request's body as JSON."""

    def __init__(self, bench: Bench, read: Any) -> None:
        self._bench = bench
        self._read = read

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route(_PATH, self._create, methods=["POST"]),
            Route(_PATH, self._list, methods=["GET"]),
            Route(f"{_PATH}/{{id}}", self._retrieve, methods=["GET"]),
            Route(f"{_PATH}/{{id}}", self._delete, methods=["DELETE"]),
            Route(f"{_PATH}/{{id}}/cancel", self._cancel, methods=["POST"]),
            Route(f"{_PATH}/{{id}}/results", self._results, methods=["GET"]),
        ]

    async def _create(self, http: HttpRequest) -> Response:
        try:
            rows = _rows(await self._read(http))
        except WireError as error:
            return refusal("messages", error, http.headers)
        return _shown(http, self._bench.begin(PREFIX, "messages", rows, {}))

    async def _list(self, http: HttpRequest) -> Response:
        found = [_described(http, batch) for batch in self._bench.all(PREFIX)]
        ends = (
            {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {"first_id": None, "last_id": None}
        )
        return JSONResponse({"data": found, "has_more": False, **ends}, headers=id_headers("messages", http.headers))

    async def _retrieve(self, http: HttpRequest) -> Response:
        batch = self._found(http)
        return _shown(http, batch) if isinstance(batch, Batch) else batch

    async def _cancel(self, http: HttpRequest) -> Response:
        batch = self._found(http)
        if not isinstance(batch, Batch):
            return batch
        self._bench.cancel(batch)
        return _shown(http, batch)

    async def _delete(self, http: HttpRequest) -> Response:
        batch = self._found(http)
        if not isinstance(batch, Batch):
            return batch
        if batch.state != "ended":
            return _refused(http, 400, f"Batch {batch.id} is still being processed; cancel it first.")
        self._bench.forget(batch)
        return JSONResponse({"id": batch.id, "type": "message_batch_deleted"})

    async def _results(self, http: HttpRequest) -> Response:
        batch = self._found(http)
        if not isinstance(batch, Batch):
            return batch
        if batch.state != "ended":
            return _refused(http, 400, f"Batch {batch.id} has no results yet: it is still being processed.")
        lines = [json.dumps({"custom_id": row.custom_id, "result": _result(batch, row)}) for row in batch.rows]
        return Response("\n".join([*lines, ""]), media_type="application/x-jsonl")

    def _found(self, http: HttpRequest) -> Batch | Response:
        batch = self._bench.find(http.path_params["id"], PREFIX)
        return batch or _refused(http, 404, f"There is no batch {http.path_params['id']}.")


def _rows(body: Mapping[str, Any]) -> list[Row]:
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise _invalid("requests: a list of at least one request is required")
    if len(requests) > MOST_ROWS:
        raise _invalid(f"requests: at most {MOST_ROWS:,} are allowed")
    rows = [_row(number, request) for number, request in enumerate(requests)]
    if len({row.custom_id for row in rows}) < len(rows):
        raise _invalid("requests: each custom_id must be unique within the batch")
    return rows


def _row(number: int, request: Any) -> Row:
    fields = request if isinstance(request, Mapping) else {}
    custom_id, params = fields.get("custom_id"), fields.get("params")
    if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
        raise _invalid(f"requests.{number}.custom_id: must match ^[a-zA-Z0-9_-]{{1,64}}$")
    if not isinstance(params, Mapping):
        raise _invalid(f"requests.{number}.params: Field required")
    if params.get("stream"):
        raise _invalid(f"requests.{number}.params.stream: batches are not streamed")
    return Row(custom_id, params)


def _result(batch: Batch, row: Row) -> Json:
    result = batch.results.get(row.custom_id)
    if result is None:
        return {"type": "canceled"}
    if isinstance(result, WireError):
        return {"type": "errored", "error": CODECS["messages"].encode_error(result)}
    usage = {**result["usage"], "service_tier": "batch"}
    return {"type": "succeeded", "message": {**result, "usage": usage}}


def _described(http: HttpRequest, batch: Batch) -> Json:
    over = batch.state == "ended"
    counts = {
        "processing": 0 if over else len(batch.rows),
        "succeeded": batch.succeeded if over else 0,
        "errored": batch.errored if over else 0,
        "canceled": len(batch.rows) - len(batch.results) if over else 0,
        "expired": 0,
    }
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": {"running": "in_progress", "cancelling": "canceling", "ended": "ended"}[batch.state],
        "request_counts": counts,
        "created_at": _moment(batch.created),
        "expires_at": _moment(batch.created + WINDOW),
        "ended_at": _moment(batch.ended),
        "cancel_initiated_at": _moment(batch.cancelled),
        "archived_at": None,
        "results_url": str(http.url.replace(path=f"{_PATH}/{batch.id}/results", query="")) if over else None,
    }


def _shown(http: HttpRequest, batch: Batch) -> Response:
    return JSONResponse(_described(http, batch), headers=id_headers("messages", http.headers))


def _moment(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z") if at is not None else None


def _invalid(message: str) -> WireError:
    return WireError(400, "invalid_request_error", message)


def _refused(http: HttpRequest, status: int, message: str) -> Response:
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    return refusal("messages", WireError(status, kind, message), http.headers)
