"""What comes back: the provider's answer as a value, the receipt of all one call did, and the reply a caller holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Literal, TypeAlias

from .messages import Compaction, Message, Part, Reasoning, Text, ToolCall
from .money import Cost
from .usage import NOTHING_USED, Usage

#: The media type under which a cell keeps its receipt beside its output.
RECEIPT_MIME = "application/vnd.tokmagic.receipt+json"

#: Why an answer ended, in one vocabulary; codecs translate. Ours are ``interrupted``, and of a run of tools that did
#: not come to its end ``iterations`` and ``budget``.
StopReason: TypeAlias = Literal[
    "end",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause",
    "refusal",
    "context_window",
    "compaction",
    "interrupted",
    "iterations",
    "budget",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider replied.

    ``usage`` is None where it reported none. ``compacting``, which it includes, is what a compaction on the way used,
    where that is stated. ``served`` is its own word for how it was served, where that has a price. ``heard_tokens`` of
    its input were sound; 0 where that is not stated.
    """

    parts: tuple[Part, ...] = ()
    usage: Usage | None = None
    stop_reason: StopReason = "unknown"
    model: str = ""
    id: str = ""
    served: str = ""
    compacting: Usage = NOTHING_USED
    heard_tokens: int = 0

    @property
    def text(self) -> str:
        """What it said, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def compaction(self) -> Compaction | None:
        """The last summary in it, which stands for everything said before that; None if there is none."""
        return next((part for part in reversed(self.parts) if isinstance(part, Compaction)), None)


@dataclass(frozen=True, slots=True)
class Cut:
    """Input that was left out: ``kind`` says how, ``tokens`` how much of it, ``what`` in words for people.

    Where far more was left out than kept, ``tokens`` is sampled, and ``exact`` is False.
    """

    kind: Literal["dropped turns", "dropped thinking", "truncated text"]
    what: str
    tokens: int
    exact: bool = True

    @property
    def loss(self) -> str:
        """How much, for people: ``−1,234 tokens``, or ``about −1,600,000 tokens``."""
        return f"{'' if self.exact else 'about '}−{self.tokens:,} tokens"


_ENDED: Mapping[StopReason, str] = {"iterations": "max_iterations", "budget": "a limit"}


FREE = Cost(0)


@dataclass(frozen=True, slots=True)
class CompactionRecord:
    """Earlier turns that were replaced by a summary.

    Attributes:
        how: ``server`` (by the service itself, when asked), ``threshold`` (by the service while it answered),
            ``summary`` (by a call that asked for one) or ``extract`` (sentences, word for word, by no model).
        why: it was done.
        tokens_before, tokens_after: of the conversation.
        replaced, kept: messages that the summary stands for, and that stay.
        images: how many of those that were replaced are lost.
        cost: of all that was asked for it; of a ``threshold`` it is a part of the answer's cost, unknown where the
            service does not state it apart.
        summary: what stands there now, where it can be read.
        focus: what it was to keep above all, where that was said.
    """

    how: str
    why: str
    tokens_before: int
    tokens_after: int
    replaced: int
    kept: int
    images: int = 0
    cost: Cost = FREE
    summary: str = ""
    focus: str = ""

    @property
    def badge(self) -> str:
        """In a few words."""
        price = "" if self.cost.nanousd == 0 or self.how == "threshold" else f" for {self.cost}"
        return f"compacted: {self.tokens_before:,} → {self.tokens_after:,} tokens{price}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything one call did. Every display reads this one value.

    Attributes:
        call: its id in the book.
        model: ``provider/model``.
        usage: tokens used, all attempts together.
        cost: their price.
        cuts: what was left out of the input.
        waited: seconds spent waiting for a rate limit.
        attempts: HTTP requests made.
        calls: in how many calls it was made, if it was split.
        compaction: of its thread: one before it has a receipt of its own, one on the way to its answer has not.
        replay_of: id of the earlier call whose answer this is; such a call used nothing and cost nothing.
        first_token, duration: seconds from the start of the call.
        context_window: of the model, in tokens, or None.
        instead_of: models that were asked before it and failed.
        max_tokens: the bound of the answer; 0 if it is not known.
        lowered_from: the bound first asked for, where a limit left room for less only.
    """

    call: str
    model: str
    usage: Usage
    cost: Cost
    cuts: tuple[Cut, ...] = ()
    waited: float = 0.0
    attempts: int = 1
    first_token: float | None = None
    duration: float = 0.0
    stop_reason: StopReason = "unknown"
    request_id: str = ""
    context_window: int | None = None
    instead_of: tuple[str, ...] = ()
    max_tokens: int = 0
    lowered_from: int | None = None
    calls: int = 1
    replay_of: str = ""
    compaction: CompactionRecord | None = None

    @property
    def replayed(self) -> bool:
        """Whether an earlier call had asked the same, so that nothing was sent."""
        return bool(self.replay_of)

    @property
    def dropped_tokens(self) -> int:
        """Input tokens that were cut."""
        return sum(cut.tokens for cut in self.cuts)

    @property
    def calls_badge(self) -> str:
        """In how many calls it was made, where it was more than one; nothing to be warned of."""
        return f"{self.calls} calls" if self.calls > 1 else ""

    @property
    def badges(self) -> tuple[str, ...]:
        """What a reader must not overlook, in a few words each."""
        found = [self.compaction.badge] if self.compaction is not None else []
        found += [f"{cut.kind}: {cut.loss}" for cut in self.cuts]
        if self.lowered_from is not None:
            found.append(f"max_tokens lowered: {self.lowered_from:,} → {self.max_tokens:,}")
        if self.stop_reason in ("max_tokens", "context_window"):
            found.append("cut off")
        if self.stop_reason == "interrupted":
            found.append("stopped")
        if self.stop_reason in ("iterations", "budget"):
            found.append("ended before the model was done: " + _ENDED[self.stop_reason])
        if self.stop_reason == "refusal":
            found.append("refused by the model")
        if self.instead_of:
            found.append(f"instead of {', '.join(self.instead_of)}")
        if self.calls_badge:
            found.append(self.calls_badge)
        if self.attempts > self.calls:
            found.append(f"{self.attempts} attempts")
        return tuple(found)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values: the record kept beside a cell's output and read by reports."""
        return {
            "version": 1,
            "call": self.call,
            "model": self.model,
            "input_tokens": self.usage.input_tokens,
            "cache_read_tokens": self.usage.cache_read_tokens,
            "output_tokens": self.usage.output_tokens,
            "reasoning_tokens": self.usage.reasoning_tokens,
            "nanousd": self.cost.nanousd,
            "quality": self.cost.quality,
            "play": self.cost.play,
            "dropped_tokens": self.dropped_tokens,
            "waited": round(self.waited, 3),
            "attempts": self.attempts,
            "duration": round(self.duration, 3),
            "stop_reason": self.stop_reason,
            "replay_of": self.replay_of,
            "badges": list(self.badges),
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with its receipt; ``str(reply)`` is the text.

    ``output`` is the answer as a value, where a type was asked for; else None.
    """

    answer: Answer
    receipt: Receipt
    output: Any = None

    @property
    def text(self) -> str:
        """What the model said."""
        return self.answer.text

    @property
    def reasoning(self) -> str:
        """What it thought, where the provider shows it."""
        return "".join(part.text for part in self.answer.parts if isinstance(part, Reasoning))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls it asks for."""
        return tuple(part for part in self.answer.parts if isinstance(part, ToolCall))

    @property
    def message(self) -> Message:
        """The answer as an assistant's turn, for the next request."""
        return Message("assistant", self.answer.parts)

    @property
    def usage(self) -> Usage:
        """Tokens used."""
        return self.receipt.usage

    @property
    def cost(self) -> Cost:
        """What it cost."""
        return self.receipt.cost

    @property
    def stop_reason(self) -> StopReason:
        """Why it ended."""
        return self.receipt.stop_reason

    @property
    def truncated(self) -> tuple[Cut, ...]:
        """What was left out of the input; empty, and so false, if nothing was."""
        return self.receipt.cuts

    @property
    def cut_off(self) -> bool:
        """Whether the answer met its token limit before it was done."""
        return self.stop_reason in ("max_tokens", "context_window")

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted by hand; the text is then what had arrived."""
        return self.stop_reason == "interrupted"

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        usage, text = self.usage, shorten(self.text, 60, placeholder=" ...")
        numbers = f"{usage.input_tokens:,} in, {usage.output_tokens:,} out, {self.cost}"
        return f"<Reply of {self.receipt.model}, {numbers}: {text!r}>"

    def _repr_markdown_(self) -> str:
        return self.text
