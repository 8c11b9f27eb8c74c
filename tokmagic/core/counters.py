"""The seam to the tokenizers: what ``core`` needs of one, whoever built it.

A counter counts plain text. What a provider puts around texts, and what it asks for an image, is a ``Chat``: data that
belongs to the family of models and comes with the counter, so that everyone who counts a request counts the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .images import COMMON, ImageRule
from .messages import Message

#: Tokens, and how many of them are not known exactly.
Tally: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Chat:
    """What stands around what is said.

    Attributes:
        system, user, assistant: tokens around a message of that role.
        opening: tokens at the start of the request and of the reply, together.
        published: whether the provider says so; else it is read off a template, which it may change.
        images: what an image takes.
    """

    system: int = 4
    user: int = 4
    assistant: int = 4
    opening: int = 3
    published: bool = True
    images: ImageRule = COMMON

    def around(self, message: Message) -> int:
        """Tokens around a message."""
        return {"system": self.system, "user": self.user, "assistant": self.assistant}[message.role]


PLAIN_CHAT = Chat()


class Threads:
    """Tallies of the conversations counted last, so that one that grew is counted only where it is new.

    A conversation is known by its messages, compared as values; those it holds are kept alive until it is forgotten.
    Short ones are not worth it.
    """

    #: Conversations kept, and the messages from which on one is.
    MOST, LEAST = 8, 8

    def __init__(self) -> None:
        self._known: tuple[tuple[tuple[Message, ...], Tally], ...] = ()

    def tally(self, messages: tuple[Message, ...], one: Callable[[Message], Tally]) -> Tally:
        """The tallies of all messages, added up; ``one`` gives that of a single message."""
        known = next((known for known in self._known if messages[: len(known[0])] == known[0]), None)
        start, (tokens, loose) = (len(known[0]), known[1]) if known is not None else (0, (0, 0))
        for message in messages[start:]:
            more = one(message)
            tokens, loose = tokens + more[0], loose + more[1]
        if len(messages) >= self.LEAST and start < len(messages):
            others = (other for other in self._known if other is not known)
            self._known = ((messages, (tokens, loose)), *others)[: self.MOST]
        return tokens, loose

    def clear(self) -> None:
        """Forget all."""
        self._known = ()


class Counter(Protocol):
    """Counts the tokens of plain text for one tokenizer.

    Any text is plain: a literal ``<|endoftext|>`` is counted as the characters it is.
    """

    @property
    def name(self) -> str:
        """The tokenizer's name, such as ``o200k_base`` or ``estimate``."""

    @property
    def exact(self) -> bool:
        """Whether the tokenizer is the model's own, so that its counts are the provider's."""

    @property
    def chat(self) -> Chat:
        """What stands around what is said."""

    @property
    def threads(self) -> Threads:
        """The conversations it counted last."""

    def count(self, text: str) -> int:
        """Tokens of the text: exact, or the best estimate."""

    def bound(self, text: str) -> int:
        """A number the true count never passes; equal to ``count`` where that is exact."""

    def seam_after(self, text: str, position: int) -> int:
        """The first seam at or after ``position``: a place where the counts of both sides add up to that of the whole.

        It stays one in any shorter part of the text that reaches over it. The end of the text is one.
        """

    def seam_before(self, text: str, position: int) -> int:
        """The last seam at or before ``position``; the start of the text is one."""

    def widths(self, text: str) -> bytes | None:
        """How many characters begin in each token, in order; None where that cannot be told.

        Between two seams the widths are as many as the tokens there, and add up to the characters.
        """


class ModelCounter:
    """A tokenizer's counter with the chat of one model; they share what texts were counted."""

    def __init__(self, counter: Counter, chat: Chat) -> None:
        self.name, self.exact, self.chat, self.threads = counter.name, counter.exact, chat, Threads()
        self.count, self.bound = counter.count, counter.bound
        self.seam_after, self.seam_before = counter.seam_after, counter.seam_before
        self.widths = counter.widths
