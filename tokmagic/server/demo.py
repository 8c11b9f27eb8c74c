"""The demo engine: no model, an extract of the prompt, written token by token at a settable pace.

It is deterministic: the same request gets the same answer. It says of itself what it is, names the size of the prompt
and lists what it found in it; a prompt that asks for a number of words gets about as many.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from tokmagic.core.counters import Counter
from tokmagic.core.messages import Message, Request, Text, ToolResult

from .digest import digest, words_asked_for
from .engine import Piece, pieces

OPENING = "*Demo engine: no model is at work; this is an extract of your prompt.*"
BATCH = 64


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """Writes extracts; see ``Engine``.

    Attributes:
        pace: tokens a second, or None for as fast as they are read.
        clock, sleep: seconds of a clock that never steps back, and a pause of so many seconds.
    """

    pace: float | None = None
    clock: Callable[[], float] = monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Piece]]:
        """See ``Engine``; at a pace, a late batch holds what is due by then, so that delays do not add up."""
        text = await asyncio.to_thread(answer_text, request)
        stream = iter(pieces(text, counter))
        begun, written = self.clock(), 0
        while batch := tuple(islice(stream, self._due(begun, written))):
            yield batch
            written += len(batch)
            await self._pause(begun, written)

    def _due(self, begun: float, written: int) -> int:
        if self.pace is None:
            return BATCH
        return max(1, int((self.clock() - begun) * self.pace) + 1 - written)

    async def _pause(self, begun: float, written: int) -> None:
        wait = 0.0 if self.pace is None else begun + written / self.pace - self.clock()
        await self.sleep(max(0.0, wait))


def answer_text(request: Request) -> str:
    """What the demo engine answers to a request, in full."""
    asked = _last_words(request)
    size = f"Your prompt has {_many(len(asked.split()), 'word')} in {_many(asked.count(chr(10)) + 1, 'line')}."
    return "\n\n".join([OPENING, " ".join([size, *_around(request)]), digest(asked, words_asked_for(asked))])


def _last_words(request: Request) -> str:
    """What the user said or the tools returned last."""
    texts = (_said(message) for message in reversed(request.turns) if message.role == "user")
    return next((text for text in texts if text.strip()), "")


def _said(message: Message) -> str:
    found: list[str] = []
    for part in message.parts:
        inside: Iterable[object] = part.parts if isinstance(part, ToolResult) else (part,)
        found += (piece.text for piece in inside if isinstance(piece, Text))
    return "\n".join(found)


def _around(request: Request) -> Iterable[str]:
    if request.system:
        yield f"The system text has {_many(len(request.system.split()), 'word')}: “{_start(request.system)}”."
    if len(request.turns) > 1:
        yield f"{_many(len(request.turns) - 1, 'turn')} came before it."


def _start(text: str) -> str:
    words = text.split()
    return " ".join(words[:8])[:80].replace("`", "") + (" …" if len(words) > 8 else "")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
