"""What writes the answers of the embedded server: the seam where an engine is plugged in.

An engine knows nothing of wire protocols, limits or clients. It is given a request that was checked and counted, and it
may run on for as long as it likes: the server stops reading at ``max_tokens`` or when the client has gone, and
closes the generator, which ends the work at once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request, ToolCall
from tokmagic.core.tokens import count_request


class Piece(NamedTuple):
    """A piece of an answer, or of what is thought before it, and how many tokens it is."""

    text: str
    tokens: int
    thought: bool = False


class Called(NamedTuple):
    """A tool call, which comes whole, and how many tokens it is."""

    call: ToolCall
    tokens: int


#: What an engine writes: thoughts first, then text, then calls.
Output: TypeAlias = Piece | Called


class Engine(Protocol):
    """Writes answers."""

    def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Output]]:
        """The answer in batches: each holds what is ready at the same moment.

        ``counter`` counts as the asked model does.
        """


def counted(request: Request, counter: Counter) -> int:
    """Tokens of a request's input, by the counter of the asked model."""
    return int(count_request(request.messages, request.tools, counter))


@dataclass(frozen=True, slots=True)
class Terms:
    """What an engine asks of the server.

    Attributes:
        fields: of a request's body, which it reads beyond what the protocols have; it is given them in the extras.
        count: the tokens of a request's input; it may refuse the request with a ``WireError``.
        ended: called when the server has stopped.
    """

    fields: frozenset[str] = frozenset()
    count: Callable[[Request, Counter], int] = counted
    ended: Callable[[], None] = lambda: None


USUAL_TERMS = Terms()


def pieces(text: str, counter: Counter) -> Iterable[Piece]:
    """A text as pieces of one token each, where a token is no part of a character; joined they are the text.

    The text is taken apart at blanks behind a word, where token counts add up. A part of several tokens is cut evenly.
    """
    known: dict[str, int] = {}
    for part in _parts(text):
        tokens = known.get(part) or known.setdefault(part, max(1, counter.count(part)))
        yield from (Piece(part, 1),) if tokens == 1 else _cut(part, tokens)


def _parts(text: str) -> Iterable[str]:
    start = 0
    for place in range(1, len(text)):
        if text[place] == " " and not text[place - 1].isspace():
            yield text[start:place]
            start = place
    if text:
        yield text[start:]


def _cut(part: str, tokens: int) -> Iterable[Piece]:
    """A part of several tokens as that many pieces, or as its characters where there are fewer of them."""
    number = min(tokens, len(part))
    ends = [len(part) * place // number for place in range(number + 1)]
    shares = [tokens * place // number for place in range(number + 1)]
    for place in range(number):
        yield Piece(part[ends[place] : ends[place + 1]], shares[place + 1] - shares[place])
