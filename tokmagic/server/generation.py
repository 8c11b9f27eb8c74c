"""One answer while it is written: bounded, cut at stop sequences, counted, and ended at once when nobody reads it.

Whatever ends an answer (its end, its bound, a stop sequence, a client that hung up), the engine's generator is closed
and each token that was produced is charged exactly once, when it is produced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TypeVar

import anyio
from starlette.requests import Request as HttpRequest

from tokmagic.codecs import Json, StreamEncoder, WireError
from tokmagic.codecs.responses_requests import ENCRYPTED
from tokmagic.core.messages import Compaction, Part, Reasoning, Text, ToolCall
from tokmagic.core.models import Protocol
from tokmagic.core.replies import Answer, StopReason
from tokmagic.core.usage import NOTHING_USED, Usage

from .asks import asks_of
from .calls import Call
from .engine import Called, Engine, Output, Piece
from .seals import seal
from .thresholds import Compacted, compacted, is_due, summary_call
from .waiting import with_signs

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_PREFIXES: Mapping[Protocol, str] = {"messages": "msg_", "responses": "resp_", "chat": "chatcmpl-"}


@dataclass(slots=True)
class _Written:
    """What there is of an answer."""

    thought: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    thinking: bool = False


class Generation:
    """One answer to a checked request.

    ``charge`` is told of tokens as they are produced, beyond the one that a call takes before it runs; where there are
    none, that one is given back.
    """

    def __init__(self, call: Call, charge: Callable[[int], None]) -> None:
        self._call = call
        self._charge = charge
        self._charged = 1
        self._id = _PREFIXES[call.model.protocol] + token_hex(12)
        self._shown = asks_of(call.request).shown
        self._written = _Written()
        self._produced = 0
        self._thought = 0
        self._reason: StopReason = "end"
        self._compacted: Compacted | None = None

    async def stream(self, engine: Engine, created: int, keep_alive: float) -> AsyncGenerator[bytes]:
        """The answer as server-sent events, each batch of the engine in one piece.

        An engine that is silent for ``keep_alive`` seconds is covered by a sign of life.
        """
        encoder = self._call.codec.encoder(self._id, self._call.model.id, created)
        yield encoder.start(Usage(input_tokens=self._call.input_tokens))
        try:
            async with aclosing(self._summary(engine)) as steps, aclosing(with_signs(steps, keep_alive)) as heard:
                async for step in heard:
                    yield encoder.ping() if step is None else b"".join(map(encoder.compacted, step))
            async with aclosing(self._outputs(engine)) as batches, aclosing(with_signs(batches, keep_alive)) as heard:
                async for outputs in heard:
                    yield encoder.ping() if outputs is None else b"".join(self._encoded(encoder, outputs))
                    await asyncio.sleep(0)
        except Exception:  # noqa: BLE001 - whatever fails in an engine ends the answer with an error event
            _LOG.exception("The engine failed in mid-answer")
            yield encoder.fail(WireError(500, self._failed, "The engine failed in the middle of its answer."))
            return
        yield self._end_of_thought(encoder) + encoder.finish(self._answer(stated=self._states_usage()))

    async def whole(self, engine: Engine, created: int) -> Json:
        """The answer as one JSON body."""
        return self._call.codec.encode_answer(await self.answer(engine), created)

    async def answer(self, engine: Engine) -> Answer:
        """The answer as a value."""
        async with aclosing(self._summary(engine)) as steps:
            async for _ in steps:
                pass
        async with aclosing(self._outputs(engine)) as batches:
            async for outputs in batches:
                for output in outputs:
                    self._keep(output)
        return self._answer(stated=True)

    async def _summary(self, engine: Engine) -> AsyncGenerator[Sequence[Compaction]]:
        """Where the call has reached its threshold, its summary, when it is whole; until then nothing, step by step."""
        if not is_due(self._call):
            return
        self._charge(1)
        summary = Generation(summary_call(self._call), self._charge)
        async with aclosing(summary._outputs(engine)) as batches:
            async for outputs in batches:
                for output in outputs:
                    summary._keep(output)
                yield ()
        self._compacted = await asyncio.to_thread(compacted, self._call, summary._answer(stated=True))
        self._call = self._compacted.call
        yield () if self._compacted.part is None else (self._compacted.part,)

    async def _outputs(self, engine: Engine) -> AsyncGenerator[Sequence[Output]]:
        if self._pauses:
            self._reason = "compaction"
            return
        stops = _Stops(self._call.request.stop)
        try:
            async with aclosing(engine.generate(self._call.request, self._call.counter)) as batches:
                async for batch in batches:
                    shown = [text for output in self._bounded(batch) if (text := stops.pass_on(output)) is not None]
                    self._settle()
                    yield shown
                    if stops.met:
                        self._reason = "stop_sequence"
                    if self._reason != "end":
                        break
            if rest := stops.rest():
                yield [Piece(rest, 0)]
        finally:
            self._settle()

    def _settle(self) -> None:
        self._charge(self._produced - self._charged)
        self._charged = self._produced

    def _bounded(self, batch: Sequence[Output]) -> Iterable[Output]:
        for output in batch:
            if self._produced + output.tokens > self._call.request.max_tokens:
                self._reason = "max_tokens"
                return
            self._produced += output.tokens
            yield output

    def _encoded(self, encoder: StreamEncoder, outputs: Sequence[Output]) -> Iterable[bytes]:
        for output in outputs:
            ended = self._written.thinking and not (isinstance(output, Piece) and output.thought)
            if ended:
                yield self._end_of_thought(encoder)
            self._keep(output)
            if isinstance(output, Called):
                continue
            if output.text and not output.thought:
                yield encoder.text(output.text)
            elif output.text and self._shown:
                yield encoder.reasoning(output.text)

    def _keep(self, output: Output) -> None:
        if isinstance(output, Called):
            self._written.calls.append(output.call)
        elif output.thought:
            self._thought += output.tokens
            if output.text:
                self._written.thinking = True
                self._written.thought.append(output.text)
        else:
            self._written.said.append(output.text)

    def _end_of_thought(self, encoder: StreamEncoder) -> bytes:
        """The end of a thought that is still open."""
        if not self._written.thinking:
            return b""
        self._written.thinking = False
        return encoder.reasoned(self._reasoning())

    def _reasoning(self) -> Reasoning:
        text = "".join(self._written.thought)
        included = self._call.request.extras.body.get("include") or ()
        sealed = self._call.model.protocol == "messages" or ENCRYPTED in included
        return Reasoning(text if self._shown else "", signature=seal(text) if sealed else "")

    @property
    def _pauses(self) -> bool:
        """Whether the summary that was made is all that is asked for."""
        asked = self._call.request.compact_at
        return self._compacted is not None and asked is not None and asked.pause

    def _answer(self, *, stated: bool) -> Answer:
        read = 0 if self._pauses else self._call.input_tokens
        usage = Usage(read, output_tokens=self._produced, reasoning_tokens=self._thought)
        summary, compacting = (self._compacted.part, self._compacted.usage) if self._compacted else (None, NOTHING_USED)
        text = "".join(self._written.said)
        thoughts: tuple[Part, ...] = (self._reasoning(),) if self._written.thought else ()
        parts = (
            *(part for part in (summary,) if part),
            *thoughts,
            *((Text(text),) if text else ()),
            *self._written.calls,
        )
        reason = "tool_use" if self._reason == "end" and self._written.calls else self._reason
        stating = usage + compacting if stated else None
        return Answer(parts, stating, reason, self._call.model.id, self._id, compacting=compacting)

    @property
    def _failed(self) -> str:
        return "api_error" if self._call.model.protocol == "messages" else "server_error"

    def _states_usage(self) -> bool:
        """Chat Completions states usage in a stream only to those who ask."""
        options = self._call.request.extras.body.get("stream_options")
        asked = isinstance(options, Mapping) and options.get("include_usage") is True
        return asked or self._call.model.protocol != "chat"


class _Stops:
    """Holds back what may be the beginning of a stop sequence, and cuts the text where one begins."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._reach = max(map(len, stops), default=1) - 1
        self._held = ""
        self.met = False

    def pass_on(self, output: Output) -> Output | None:
        """What may be shown, now that this is known too; nothing behind a stop sequence. Thoughts are not cut."""
        if not self._stops:
            return output
        if self.met:
            return None
        if isinstance(output, Called) or output.thought:
            return output
        shown = self._shown(output.text)
        return output._replace(text=shown) if shown else None

    def _shown(self, text: str) -> str:
        held = self._held + text
        places = [place for stop in self._stops if (place := held.find(stop)) >= 0]
        self.met = bool(places)
        shown = min(places) if places else max(0, len(held) - self._reach)
        self._held = "" if self.met else held[shown:]
        return held[:shown]

    def rest(self) -> str:
        """What was held back and turned out to be no stop sequence."""
        held, self._held = self._held, ""
        return held


async def unless_gone(http: HttpRequest, work: Callable[[], Awaitable[T]]) -> T | None:
    """The result of the work, or None if the client hung up: the work is then cancelled at once."""
    result: T | None = None
    async with anyio.create_task_group() as group:

        async def finish() -> None:
            nonlocal result
            result = await work()
            group.cancel_scope.cancel()

        group.start_soon(finish)
        while (await http.receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()
    return result
