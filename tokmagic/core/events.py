"""What a running call may report, in the order in which it can happen.

Codecs make the first group while they read a provider's stream; the corridor passes it on and adds the second. The
unions are closed: a consumer that handles each kind is complete, and ``assert_never`` proves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .messages import ToolCall, ToolResult
from .rates import RateState
from .replies import Answer, CompactionRecord, Cut, Reply
from .usage import Usage


@dataclass(frozen=True, slots=True)
class Started:
    """The provider began to answer; the usage it states now covers the input only, ``rates`` its limits."""

    id: str = ""
    model: str = ""
    usage: Usage | None = None
    rates: tuple[RateState, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a tool call's arguments; ``index`` tells parallel calls apart."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The provider's answer is complete."""

    answer: Answer


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta
StreamEvent: TypeAlias = Started | Delta | Finished


@dataclass(frozen=True, slots=True)
class Planned:
    """The call was counted and fits: input tokens, the answer's bound, and the most it can cost (None if unpriced)."""

    model: str
    input_tokens: int
    max_tokens: int
    ceiling_nanousd: int | None
    play: bool


@dataclass(frozen=True, slots=True)
class Truncated:
    """Input was cut to make it fit."""

    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rate limit is full; the call goes on in ``seconds``."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Connecting:
    """The first call to a service loads its SDK and connects, which can take seconds."""

    provider: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed in a way that trying again can mend; the next one starts in ``seconds``."""

    attempt: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Compacted:
    """Earlier turns were replaced by a summary."""

    record: CompactionRecord


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to know that is not an error, in one line."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """So many parts of a call are answered; ``total`` may grow."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool is run with exactly these arguments."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """What is told to the model of a call: the tool's result, an error, or that it was not run."""

    call: ToolCall
    result: ToolResult


@dataclass(frozen=True, slots=True)
class Completed:
    """The call is settled; the last event of every call that did not fail."""

    reply: Reply


ToolEvent: TypeAlias = ToolStarted | ToolFinished | Notice
Event: TypeAlias = (
    Planned
    | Truncated
    | Waiting
    | Connecting
    | Retrying
    | Compacted
    | Notice
    | Progress
    | Started
    | Delta
    | ToolStarted
    | ToolFinished
    | Completed
)
