"""When a provider is asked how many tokens a request has, and how its answer is used.

Asking takes a round trip, so it is done only where it decides something: what was counted may fit or may not, by its
own margin. The same content is never asked for twice.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from .messages import Request
from .tokens import TokenCount

#: What an answer was counted with.
PROVIDER = "provider"
#: How far a report may lie above the provider's own count: a twentieth of it, and so many tokens more.
SLACK_SHARE, SLACK = 20, 64


def margin_matters(count: TokenCount, room: int | None) -> bool:
    """Whether the margin decides if the count is within ``room``: of a window, a cap, or what a limit has left."""
    return room is not None and not count.exact and count - count.margin <= room < count + count.margin


def answered(count: TokenCount, tokens: int) -> TokenCount:
    """The count as the provider has it; it keeps what was counted, to learn from."""
    return TokenCount(tokens, tokenizer=PROVIDER, loose=count.loose, counted=count.counted)


def most_of(count: TokenCount) -> int:
    """The most a provider reports for what it counted itself: its count is close, and it does not say how close."""
    return int(count) + int(count) // SLACK_SHARE + SLACK


class Answers:
    """Providers' counts by content, in bounded memory: each is known by a 128-bit digest."""

    def __init__(self, most: int = 1_024) -> None:
        self._most = most
        self._tokens: OrderedDict[bytes, int] = OrderedDict()

    def recall(self, request: Request) -> int | None:
        """What the provider said to the same content, or None."""
        return self._tokens.get(_digest(request))

    def keep(self, request: Request, tokens: int) -> None:
        """Remember what the provider said."""
        self._tokens[_digest(request)] = tokens
        while len(self._tokens) > self._most:
            self._tokens.popitem(last=False)

    def __len__(self) -> int:
        return len(self._tokens)

    def clear(self) -> None:
        """Forget all."""
        self._tokens.clear()


def _digest(request: Request) -> bytes:
    said = repr((request.model, request.messages, request.tools, request.extras.body))
    return blake2b(said.encode("utf-8", "backslashreplace"), digest_size=16).digest()
