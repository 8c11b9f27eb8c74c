"""One answer while it is written: bounded, cut at stop sequences, counted, and ended at once when nobody reads it.

Whatever ends an answer (its end, its bound, a stop sequence, a client that hung up), the engine's generator is closed
and what was produced is settled exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from secrets import token_hex
from typing import TypeVar

import anyio
from starlette.requests import Request as HttpRequest

from tokmagic.codecs import Json
from tokmagic.codecs.registry import CODECS
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request, Text
from tokmagic.core.models import Model
from tokmagic.core.replies import Answer, StopReason
from tokmagic.core.usage import Usage

from .engine import Engine, Piece

T = TypeVar("T")


class Generation:
    """One answer to a checked request; ``settle`` is told once how many tokens were produced."""

    def __init__(
        self, request: Request, model: Model, input_tokens: int, counter: Counter, settle: Callable[[int], None]
    ) -> None:
        self._request = request
        self._model = model
        self._input_tokens = input_tokens
        self._counter = counter
        self._settle = settle
        self._produced = 0
        self._reason: StopReason = "end"

    async def stream(self, engine: Engine, created: int) -> AsyncGenerator[bytes]:
        """The answer as server-sent events, each batch of the engine in one piece."""
        encoder = CODECS[self._model.protocol].encoder(self._id(), self._model.id, created)
        async with aclosing(self._texts(engine)) as batches:
            yield encoder.start(Usage(input_tokens=self._input_tokens))
            async for texts in batches:
                yield b"".join(map(encoder.text, texts))
                await asyncio.sleep(0)
        yield encoder.finish(self._answer("", stated=self._states_usage()))

    async def whole(self, engine: Engine, created: int) -> Json:
        """The answer as one JSON body."""
        async with aclosing(self._texts(engine)) as batches:
            text = "".join([text async for texts in batches for text in texts])
        return CODECS[self._model.protocol].encode_answer(self._answer(text, stated=True), created)

    async def _texts(self, engine: Engine) -> AsyncGenerator[Sequence[str]]:
        stops = _Stops(self._request.stop)
        try:
            async with aclosing(engine.generate(self._request, self._counter)) as batches:
                async for batch in batches:
                    texts = [text for piece in self._bounded(batch) if (text := stops.pass_on(piece.text))]
                    yield texts
                    if stops.met:
                        self._reason = "stop_sequence"
                    if self._reason != "end":
                        break
            if rest := stops.rest():
                yield [rest]
        finally:
            self._settle(self._produced)

    def _bounded(self, batch: Sequence[Piece]) -> Iterable[Piece]:
        for piece in batch:
            if self._produced + piece.tokens > self._request.max_tokens:
                self._reason = "max_tokens"
                return
            self._produced += piece.tokens
            yield piece

    def _answer(self, text: str, *, stated: bool) -> Answer:
        usage = Usage(input_tokens=self._input_tokens, output_tokens=self._produced)
        parts = (Text(text),) if text else ()
        return Answer(parts, usage if stated else None, self._reason, self._model.id, self._id())

    def _id(self) -> str:
        return ("msg_" if self._model.protocol == "messages" else "chatcmpl-") + token_hex(12)

    def _states_usage(self) -> bool:
        """Chat Completions states usage in a stream only to those who ask."""
        options = self._request.extras.body.get("stream_options")
        asked = isinstance(options, Mapping) and options.get("include_usage") is True
        return asked or self._model.protocol == "messages"


class _Stops:
    """Holds back what may be the beginning of a stop sequence, and cuts the text where one begins."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._reach = max(map(len, stops), default=1) - 1
        self._held = ""
        self.met = False

    def pass_on(self, text: str) -> str:
        """What may be shown, now that this text is known too; nothing behind a stop sequence."""
        if not self._stops:
            return text
        if self.met:
            return ""
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
