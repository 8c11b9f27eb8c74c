"""Compacting a conversation: when it is worth it, what leaves, and whether a summary may take its place.

What leaves is what ``exchanges.py`` lets leave, so what is left is valid for every provider: the system's text, pinned
turns, the last question and turn and the newest turns stay word for word, tool pairs stay whole, and a call that has no
answer yet is never summarised. An earlier summary goes into the new one. Nothing here calls a model: a plan says what
is to be summarised, somebody makes the summary, ``objection`` judges it and ``splice`` puts it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from .checks import whole
from .counters import Counter
from .errors import ConfigurationError
from .exchanges import Ranks, ranked
from .messages import Compaction, Image, Message, Reasoning, Tool, ToolCall, ToolResult
from .models import Model
from .replies import StopReason
from .summarising import SUMMARY_PROMPT, headless
from .tokens import count_message, count_request

#: When: by size, by what it saves, by size and by the service while it answers, in any case, or never.
Mode: TypeAlias = Literal["auto", "economic", "server", "now", "off"]
MODES: tuple[Mode, ...] = ("auto", "economic", "server", "now", "off")
#: How: by the service itself, by a call that asks for a summary, or by extracting sentences.
How: TypeAlias = Literal["server", "summary", "extract"]

#: From which size on a conversation is compacted: tokens, and per cent of the window; the lesser of both.
MOST_TOKENS, WINDOW_PERCENT = 100_000, 75
#: Of that size, the most that recent turns may keep.
RECENT_PERCENT = 50
#: What a compaction has to save at least, in per cent of the conversation.
LEAST_SAVED_PERCENT = 20
#: A summary's length: per cent of what it stands for, and its bounds in tokens.
SUMMARY_PERCENT, SHORTEST, LONGEST = 10, 64, 8_000
#: How an answer ends that is whole.
_WHOLE: frozenset[StopReason] = frozenset({"end", "stop_sequence", "compaction"})


@dataclass(frozen=True, slots=True)
class Compacting:
    """How a conversation is compacted.

    Attributes:
        mode: ``auto`` at ``threshold``; ``economic`` there too, and before that when it pays within ``coming`` turns;
            ``server`` at ``threshold``, by the service while it answers; ``now`` before this call; ``off`` never.
        threshold: tokens; None takes 100,000 or 75 % of the window, whichever is less.
        keep_recent: messages that stay word for word.
        every: answers that lie between two compactions at least.
        coming: turns that are still expected.
        focus: what the summary should keep above all.
        prompt: what is asked of the model that summarises.
        model: which does; None takes the conversation's own.
        how: ``server``, ``summary`` or ``extract``; None takes the first that works.
    """

    mode: Mode = "auto"
    threshold: int | None = None
    keep_recent: int = 10
    every: int = 4
    coming: int = 10
    focus: str = ""
    prompt: str = SUMMARY_PROMPT
    model: str | None = None
    how: How | None = None

    def __post_init__(self) -> None:
        mode_named(self.mode)
        for name, least in (("threshold", 1), ("keep_recent", 0), ("every", 1), ("coming", 1)):
            value = getattr(self, name)
            if value is not None:
                whole(name, value, least)


def mode_named(name: str) -> Mode:
    """The mode of that name.

    Raises:
        ConfigurationError: there is none.
    """
    for mode in MODES:
        if mode == name:
            return mode
    raise ConfigurationError(f"Unknown compaction {name!r}: use one of {', '.join(MODES)}.")


@dataclass(frozen=True)
class CompactionPlan:
    """What leaves a conversation and what stays.

    Attributes:
        messages: the conversation.
        gone: the places of what a summary is to stand for.
        kept: what stays, in order.
        tokens: of the whole before.
        kept_tokens: of what stays, as a request.
        summary_tokens: what the summary may take.
    """

    messages: tuple[Message, ...]
    gone: tuple[int, ...]
    kept: tuple[Message, ...]
    tokens: int
    kept_tokens: int
    summary_tokens: int

    @cached_property
    def replaced(self) -> tuple[Message, ...]:
        """What the summary is to stand for, the oldest first."""
        return tuple(self.messages[place] for place in self.gone)

    @property
    def leading(self) -> tuple[Message, ...] | None:
        """What is replaced with the system's text, as a request of its own; None where it is no valid beginning.

        It is one if it is all that precedes what stays, and leaves no call without its answer.
        """
        systems = tuple(message for message in self.messages if message.role == "system")
        turns = tuple(message for message in self.messages if message.role != "system")
        head = turns[: len(self.gone)]
        begins = bool(head) and (head[0].role == "user" or _is_summary(head[0]))
        return (*systems, *head) if begins and head == self.replaced and not unanswered(head) else None

    @property
    def shortfall(self) -> str:
        """Why it is not worth it, as the end of a sentence; "" if it is."""
        if not self.gone:
            return f"its {self.tokens:,} tokens are of turns that stay word for word"
        return too_little(self.tokens, self.kept_tokens + self.summary_tokens)

    @property
    def images(self) -> int:
        """Images that the summary cannot carry."""
        return sum(isinstance(part, Image) for message in self.replaced for part in message.parts)


def threshold_of(model: Model, settings: Compacting, room: int | None) -> int:
    """From how many tokens on a conversation with the model is compacted; ``room`` is what its input may take."""
    window = model.context_window
    bounds = (settings.threshold or MOST_TOKENS, window and window * WINDOW_PERCENT // 100, room)
    return max(1, min(bound for bound in bounds if bound is not None))


def too_soon(settings: Compacting, answers: int | None) -> bool:
    """Whether the last compaction is too near: so many answers ago, or None if there was none."""
    return answers is not None and answers < settings.every


def plan_compaction(
    messages: Sequence[Message],
    counter: Counter,
    *,
    threshold: int,
    keep_recent: int = 10,
    tokens: int | None = None,
    tools: Sequence[Tool] = (),
    thinking: bool = True,
) -> CompactionPlan:
    """What to summarise of a conversation; its ``shortfall`` says where that is not worth it.

    Args:
        messages: the conversation, the oldest first.
        counter: of the model's tokenizer.
        threshold: the size that is too large, in tokens; recent turns keep half of it at most.
        keep_recent: messages that stay word for word.
        tokens: of the conversation as a request, where they are known; what leaves is then never counted.
        tools: offered with it.
        thinking: whether what stays keeps its thinking. A model whose thinking is bound to what precedes it refuses
            such a history.
    """
    before = tuple(messages)
    ranks = ranked(before, keep_recent)
    gone = sorted(_gone(before, ranks, threshold * RECENT_PERCENT // 100, counter))
    leaving = set(gone)
    kept = tuple(message for place, message in enumerate(before) if place not in leaving)
    kept = kept if thinking else tuple(filter(None, map(without_thinking, kept)))
    kept_tokens = int(count_request(kept, tools, counter))
    total = int(count_request(before, tools, counter)) if tokens is None else tokens
    freed = total - kept_tokens
    summary_tokens = min(LONGEST, max(SHORTEST, freed * SUMMARY_PERCENT // 100))
    return CompactionPlan(before, tuple(gone), kept, total, kept_tokens, summary_tokens)


def splice(plan: CompactionPlan, summary: Compaction) -> tuple[Message, ...]:
    """The conversation with the summary in the place of what it stands for: behind the system's text, before all else.

    A Messages service's own block is said by the assistant, as it came. That of a Responses service stands behind what
    the user said, word for word, for it leaves that out. Any other summary is told by the user.
    """
    systems = tuple(message for message in plan.kept if message.role == "system")
    return (*systems, *_standing(plan, summary), *(message for message in plan.kept if message.role != "system"))


def _standing(plan: CompactionPlan, summary: Compaction) -> tuple[Message, ...]:
    """The messages that come in the place of what leaves."""
    if summary.provider != "openai":
        return (Message("assistant" if summary.raw else "user", (summary,)),)
    said = (message for message in plan.replaced if message.role == "user" and not _is_summary(message))
    spoken = (tuple(part for part in message.parts if not isinstance(part, ToolResult)) for message in said)
    return (*(Message("user", parts) for parts in spoken if parts), Message("user", (summary,)))


def tokens_after(plan: CompactionPlan, summary: Compaction, counter: Counter) -> int:
    """Tokens of the conversation with the summary in it."""
    return plan.kept_tokens + sum(count_message(message, counter) for message in _standing(plan, summary))


def objection(plan: CompactionPlan, summary: Compaction, ended: StopReason, counter: Counter) -> str:
    """Why a summary may not take the place of what it stands for, as the end of a sentence; "" if it may.

    Args:
        plan: what it stands for.
        summary: as it came.
        ended: why the answer ended that it came in.
        counter: of the model's tokenizer.
    """
    if not headless(summary.text) and not summary.raw:
        return "the summary is empty"
    if ended not in _WHOLE:
        return f"the summary is not whole ({ended.replace('_', ' ')})"
    return too_little(plan.tokens, tokens_after(plan, summary, counter))


def too_little(before: int, after: int) -> str:
    """Why a conversation of so many tokens may not become one of so many, as the end of a sentence; "" if it may."""
    if after * 100 <= before * (100 - LEAST_SAVED_PERCENT):
        return ""
    return f"{after:,} of {before:,} tokens would stay, and {LEAST_SAVED_PERCENT} % have to go"


def unanswered(messages: Sequence[Message]) -> frozenset[str]:
    """The tool calls that have no result yet."""
    parts = [part for message in messages for part in message.parts]
    answered = {part.call_id for part in parts if isinstance(part, ToolResult)}
    return frozenset(part.id for part in parts if isinstance(part, ToolCall) and part.id not in answered)


def summary_of(messages: Sequence[Message]) -> Compaction | None:
    """The summary a conversation begins with, if it has one."""
    parts = (part for message in messages for part in message.parts)
    return next((part for part in parts if isinstance(part, Compaction)), None)


def without_thinking(message: Message) -> Message | None:
    """The message without what the model thought; None if that was all."""
    said = tuple(part for part in message.parts if not isinstance(part, Reasoning))
    return (replace(message, parts=said) if len(said) < len(message.parts) else message) if said else None


def _gone(messages: tuple[Message, ...], ranks: Ranks, room: int, counter: Counter) -> set[int]:
    """What is old, earlier summaries, and of what is recent the oldest that finds no room."""
    waiting = unanswered(messages)
    gone = {place for part in ranks.old for place in part}
    gone |= {place for place in ranks.base if _is_summary(messages[place]) and not messages[place].pinned}
    left = room - sum(count_message(messages[place], counter) for place in ranks.base if place not in gone)
    for part in ranks.recent:
        left -= sum(count_message(messages[place], counter) for place in part)
        if left < 0:
            gone.update(part)
    return {place for place in gone if not (waiting and unanswered([messages[place]]) & waiting)}


def _is_summary(message: Message) -> bool:
    return bool(message.parts) and all(isinstance(part, Compaction) for part in message.parts)
