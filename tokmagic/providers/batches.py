"""Batches at their providers, each through its SDK: submitted whole, looked at, and matched by the rows' own ids."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tokmagic.codecs import Json
from tokmagic.codecs.wire import parse_json
from tokmagic.core.batches import SERVED, BatchStatus, Phase
from tokmagic.core.errors import ProviderError
from tokmagic.core.messages import Request

from . import Result
from .transport import Transport

if TYPE_CHECKING:
    import anthropic
    import openai

_PHASES: Mapping[str, Phase] = {
    "canceling": "cancelling",
    "cancelling": "cancelling",
    "ended": "ended",
    "completed": "ended",
    "cancelled": "ended",
    "expired": "ended",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class MessageBatches:
    """Anthropic's Message Batches; see ``Batches``."""

    transport: Transport
    client: anthropic.AsyncAnthropic

    async def submit(self, requests: Mapping[str, Request]) -> str:
        """See ``Batches``."""
        rows: Any = [{"custom_id": id, "params": _body(self.transport, request)} for id, request in requests.items()]
        with self.transport.typed():
            batch = await self.client.messages.batches.create(requests=rows, extra_headers=_headers(requests))
        return batch.id

    async def status(self, id: str) -> BatchStatus:
        """See ``Batches``."""
        with self.transport.typed():
            batch = await self.client.messages.batches.retrieve(id)
        counts = batch.request_counts
        failed = counts.errored + counts.canceled + counts.expired
        phase = _PHASES.get(batch.processing_status, "running")
        return BatchStatus(phase, counts.processing + counts.succeeded + failed, counts.succeeded, failed)

    async def results(self, id: str) -> AsyncGenerator[tuple[str, Result]]:
        """See ``Batches``."""
        with self.transport.typed():
            async for line in await self.client.messages.batches.results(id):
                yield line.custom_id, self._result(line.result.to_dict())

    async def cancel(self, id: str) -> None:
        """See ``Batches``."""
        with self.transport.typed():
            await self.client.messages.batches.cancel(id)

    def _result(self, result: Json) -> Result:
        if result["type"] == "succeeded":
            return self.transport.answered(result["message"])
        if result["type"] == "errored":
            return self.transport.refused(400, result.get("error"))
        return _unasked(self.transport, result["type"])


@dataclass(frozen=True, slots=True)
class OpenAIBatches:
    """OpenAI's Batch API; see ``Batches``. ``endpoint`` is where its rows go."""

    transport: Transport
    client: openai.AsyncOpenAI
    endpoint: Any

    async def submit(self, requests: Mapping[str, Request]) -> str:
        """See ``Batches``."""
        lines = (
            {"custom_id": id, "method": "POST", "url": self.endpoint, "body": _body(self.transport, request)}
            for id, request in requests.items()
        )
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        with self.transport.typed():
            file = await self.client.files.create(file=("rows.jsonl", data), purpose="batch")
            batch = await self.client.batches.create(
                input_file_id=file.id,
                endpoint=self.endpoint,
                completion_window="24h",
                extra_headers=_headers(requests),
            )
        return batch.id

    async def status(self, id: str) -> BatchStatus:
        """See ``Batches``."""
        with self.transport.typed():
            batch = await self.client.batches.retrieve(id)
        counts, errors = batch.request_counts, batch.errors.data if batch.errors else None
        why = (errors[0].message if errors else "") or ""
        phase = _PHASES.get(batch.status, "running")
        if counts is None:
            return BatchStatus(phase, 0, why=why)
        return BatchStatus(phase, counts.total, counts.completed, counts.failed, why)

    async def results(self, id: str) -> AsyncGenerator[tuple[str, Result]]:
        """See ``Batches``. Rows that were not begun are in neither file."""
        with self.transport.typed():
            batch = await self.client.batches.retrieve(id)
            for file in filter(None, (batch.output_file_id, batch.error_file_id)):
                text = (await self.client.files.content(file)).text
                for line in filter(None, map(str.strip, text.splitlines())):
                    row: Any = parse_json(line.encode())
                    yield row["custom_id"], self._result(row)

    async def cancel(self, id: str) -> None:
        """See ``Batches``."""
        with self.transport.typed():
            await self.client.batches.cancel(id)

    def _result(self, row: Json) -> Result:
        response = row.get("response")
        if not response:
            return _unasked(self.transport, str((row.get("error") or {}).get("message") or "not answered"))
        if response["status_code"] != 200:
            return self.transport.refused(response["status_code"], response["body"])
        answer = self.transport.answered(response["body"])
        return answer if isinstance(answer, ProviderError) else replace(answer, served=SERVED)


def _body(transport: Transport, request: Request) -> Json:
    whole = replace(request, stream=False)
    body = {**transport.codec.encode_request(whole), **request.extras.body}
    return {name: value for name, value in body.items() if name != "stream"}


def _headers(requests: Mapping[str, Request]) -> dict[str, str] | None:
    """Those a caller adds; they are the same for every row."""
    return dict(next(iter(requests.values())).extras.headers) or None


def _unasked(transport: Transport, why: str) -> ProviderError:
    name = transport.service.name
    return ProviderError(f"{name} did not answer this row of the batch ({why}); it cost nothing.", provider=name)
