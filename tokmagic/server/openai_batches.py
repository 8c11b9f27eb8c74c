"""OpenAI's files and batches over the bench: ``/v1/files``, ``/v1/batches`` and what is below them.

A batch is a file of JSON lines; its results are two more, one of replies and one of failures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from secrets import token_hex
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokmagic.codecs import Json, WireError
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.wire import parse_json
from tokmagic.core.models import Protocol

from .batch import WINDOW, Batch, Bench, Row, make_room
from .refusals import id_headers, refusal

PREFIX = "batch_"
MOST_ROWS = 50_000
ENDPOINTS: Mapping[str, Protocol] = {"/v1/responses": "responses", "/v1/chat/completions": "chat"}
COMPLETION_WINDOW = "24h"


@dataclass(frozen=True, slots=True)
class _File:
    id: str
    name: str
    purpose: str
    data: bytes
    created: float


class OpenAIBatches:
    """The routes. ``read`` takes a request's body as JSON; ``clock`` gives seconds of the epoch."""

    def __init__(self, bench: Bench, read: Any, clock: Callable[[], float]) -> None:
        self._bench = bench
        self._read = read
        self._clock = clock
        self._files: dict[str, _File] = {}

    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files/{id}", self._file, methods=["GET"]),
            Route("/v1/files/{id}", self._delete, methods=["DELETE"]),
            Route("/v1/files/{id}/content", self._content, methods=["GET"]),
            Route("/v1/batches", self._create, methods=["POST"]),
            Route("/v1/batches", self._list, methods=["GET"]),
            Route("/v1/batches/{id}", self._retrieve, methods=["GET"]),
            Route("/v1/batches/{id}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _upload(self, http: HttpRequest) -> Response:
        fields = _parts(http.headers.get("content-type", ""), await http.body())
        name, data = fields.get("file", ("", None))
        purpose = (fields.get("purpose", ("", b""))[1] or b"").decode("utf-8", "replace")
        if data is None:
            return _refused(http, _invalid("A file is required.", "file"))
        if purpose != "batch":
            return _refused(http, _invalid(f"'{purpose}' is not one of ['batch'] - 'purpose'", "purpose"))
        return self._shown(http, _file_described(self._keep(name, purpose, data)))

    async def _file(self, http: HttpRequest) -> Response:
        file = self._files.get(http.path_params["id"])
        return self._shown(http, _file_described(file)) if file is not None else _missing(http, "File")

    async def _content(self, http: HttpRequest) -> Response:
        file = self._files.get(http.path_params["id"])
        return (
            Response(file.data, media_type="application/octet-stream") if file is not None else _missing(http, "File")
        )

    async def _delete(self, http: HttpRequest) -> Response:
        file = self._files.pop(http.path_params["id"], None)
        if file is None:
            return _missing(http, "File")
        return self._shown(http, {"id": file.id, "object": "file", "deleted": True})

    async def _create(self, http: HttpRequest) -> Response:
        try:
            body = await self._read(http)
            endpoint, file = body.get("endpoint"), self._files.get(str(body.get("input_file_id")))
            if endpoint not in ENDPOINTS:
                raise _invalid(f"Invalid value: '{endpoint}'. Supported values are: {list(ENDPOINTS)}.", "endpoint")
            if body.get("completion_window") != COMPLETION_WINDOW:
                raise _invalid(f"The completion_window has to be '{COMPLETION_WINDOW}'.", "completion_window")
            if file is None:
                raise _invalid(f"Invalid input_file_id: {body.get('input_file_id')!r}.", "input_file_id")
            rows = _rows(file.data, endpoint)
        except WireError as error:
            return _refused(http, error)
        facts = {"endpoint": endpoint, "input_file_id": file.id, "metadata": body.get("metadata")}
        return self._shown(http, self._described(self._bench.begin(PREFIX, ENDPOINTS[endpoint], rows, facts)))

    async def _list(self, http: HttpRequest) -> Response:
        found = [self._described(batch) for batch in self._bench.all(PREFIX)]
        return self._shown(http, {"object": "list", "data": found, "has_more": False})

    async def _retrieve(self, http: HttpRequest) -> Response:
        batch = self._bench.find(http.path_params["id"], PREFIX)
        return self._shown(http, self._described(batch)) if batch is not None else _missing(http, "Batch")

    async def _cancel(self, http: HttpRequest) -> Response:
        batch = self._bench.find(http.path_params["id"], PREFIX)
        if batch is None:
            return _missing(http, "Batch")
        if batch.state == "ended":
            return _refused(http, _invalid("Cannot cancel a batch with status 'completed'.", None, status=409))
        self._bench.cancel(batch)
        return self._shown(http, self._described(batch))

    def _keep(self, name: str, purpose: str, data: bytes, id: str = "") -> _File:
        file = _File(id or f"file-{token_hex(12)}", name, purpose, data, self._clock())
        self._files[file.id] = file
        make_room(self._files)
        return file

    def _results(self, batch: Batch, kind: str) -> str | None:
        """The id of the file with the replies, or with the failures; None where there are none."""
        id = f"file-{batch.id.removeprefix(PREFIX)}-{kind}"
        lines = [_line(batch, row, result) for row in batch.rows if (result := batch.results.get(row.custom_id))]
        chosen = [line for line in lines if (line["response"]["status_code"] == 200) == (kind == "output")]
        if not chosen:
            return None
        if id not in self._files:
            data = "".join(f"{json.dumps(line)}\n" for line in chosen).encode()
            self._keep(f"{batch.id}_{kind}.jsonl", "batch_output", data, id)
        return id

    def _described(self, batch: Batch) -> Json:
        over, cancelled = batch.state == "ended", batch.cancelled is not None
        status = {"running": "in_progress", "cancelling": "cancelling"}.get(batch.state)
        ended = {"cancelled_at" if cancelled else "completed_at": int(batch.ended)} if batch.ended is not None else {}
        counts = {"total": len(batch.rows), "completed": batch.succeeded, "failed": batch.errored}
        return {
            "id": batch.id,
            "object": "batch",
            **batch.facts,
            "completion_window": COMPLETION_WINDOW,
            "status": status or ("cancelled" if cancelled else "completed"),
            "output_file_id": self._results(batch, "output") if over else None,
            "error_file_id": self._results(batch, "error") if over else None,
            "created_at": int(batch.created),
            "in_progress_at": int(batch.created),
            "expires_at": int(batch.created + WINDOW),
            "cancelling_at": int(batch.cancelled) if batch.cancelled is not None else None,
            **ended,
            "request_counts": counts,
        }

    def _shown(self, http: HttpRequest, body: Json) -> Response:
        return JSONResponse(body, headers=id_headers("chat", http.headers))


def _parts(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """The fields of a form: by name their file's name and their bytes."""
    whole = BytesParser(policy=HTTP).parsebytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
    found = {}
    for part in whole.iter_parts() if whole.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            found[name] = (part.get_filename() or "", data)
    return found


def _rows(data: bytes, endpoint: str) -> list[Row]:
    lines = [line for line in data.splitlines() if line.strip()]
    if not 0 < len(lines) <= MOST_ROWS:
        raise _invalid(f"The input file has {len(lines):,} requests: 1 to {MOST_ROWS:,} are allowed.", "input_file_id")
    rows = [_row(number, line, endpoint) for number, line in enumerate(lines, 1)]
    if len({row.custom_id for row in rows}) < len(rows):
        raise _invalid("Each custom_id must be unique within the batch.", "custom_id", code="duplicate_custom_id")
    return rows


def _row(number: int, line: bytes, endpoint: str) -> Row:
    try:
        fields = parse_json(line)
    except ValueError:
        fields = None
    if not isinstance(fields, Mapping):
        raise _invalid(f"Line {number} is not a JSON object.", None, code="invalid_json_line")
    custom_id, body = fields.get("custom_id"), fields.get("body")
    if not isinstance(custom_id, str) or not custom_id or not isinstance(body, Mapping):
        raise _invalid(f"Line {number} lacks custom_id or body.", None, code="missing_required_parameter")
    if fields.get("method") != "POST" or fields.get("url") != endpoint:
        raise _invalid(f"Line {number} is no POST to {endpoint}.", None, code="mismatched_endpoint")
    if body.get("stream"):
        raise _invalid(f"Line {number} asks for a stream, which a batch has none of.", "stream")
    return Row(custom_id, body)


def _line(batch: Batch, row: Row, result: Json | WireError) -> Json:
    status, body = 200, result
    if isinstance(result, WireError):
        status, body = result.status, CODECS[batch.protocol].encode_error(result)
    response = {"status_code": status, "request_id": f"req_{token_hex(8)}", "body": body}
    return {"id": f"batch_req_{token_hex(8)}", "custom_id": row.custom_id, "response": response, "error": None}


def _file_described(file: _File) -> Json:
    facts = {"filename": file.name, "purpose": file.purpose, "bytes": len(file.data), "created_at": int(file.created)}
    return {"id": file.id, "object": "file", "status": "processed", **facts}


def _invalid(message: str, param: str | None, *, status: int = 400, code: str | None = None) -> WireError:
    return WireError(status, "invalid_request_error", message, param=param, code=code)


def _missing(http: HttpRequest, what: str) -> Response:
    return _refused(http, _invalid(f"No such {what} object: {http.path_params['id']}", "id", status=404))


def _refused(http: HttpRequest, error: WireError) -> Response:
    return refusal("chat", error, http.headers)
