"""What a call is booked at when it ends. Pure: from the plan and from what arrived to the entry's last line.

A complete reply is booked at its reported usage, at the price of how it was served. An attempt that surely did not run
is given back. One that may have run, unseen, stays at its ceiling, ``unsettled``, because a hard budget believes the
worst.

What the service's own tools cost is not in the usage that it states: the cost of a call with them is ``at least``.
A compaction on the way to an answer is priced by itself, for a card of prices begins at the tokens of one request.
A reply that states no usage, or was stopped by hand, is booked at what was counted of it: ``at least``. Where the model
thinks unseen, or was to answer in one piece, or its service may have compacted first, what can be counted says next to
nothing of what was produced, so then too the ceiling is kept, until somebody who has seen the bill releases it. So
it is where sound was read, whose tokens are only estimated. A reply that does not say how many of its tokens were sound
is priced as if all of its input were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .book import Entry
from .counters import Counter
from .errors import ProviderError
from .events import Finished, ReasoningDelta, Started, StreamEvent, TextDelta, ToolCallDelta
from .messages import Part, Reasoning, Text
from .money import Cost, Quality, worst
from .planning import CallPlan, used_charge, worst_price
from .prices import cost
from .replies import Answer, StopReason
from .sound import holds_sound
from .usage import NOTHING_USED, Usage

#: Fields of a request with which a caller asks for thinking.
THINKING = frozenset({"thinking", "reasoning", "reasoning_effort"})
#: What an answer is taken to have while it comes.
CHARACTERS_PER_TOKEN = 3


@dataclass(slots=True)
class Outcome:
    """What has arrived of one attempt. It only grows."""

    sent: bool = False
    answer: Answer | None = None
    started: Started | None = None
    error: ProviderError | None = None
    said: list[str] = field(default_factory=list)
    thought: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    characters: int = 0

    @property
    def produced(self) -> int:
        """Tokens that have arrived, about; for pacing, never for a bill."""
        return self.characters // CHARACTERS_PER_TOKEN

    @property
    def began(self) -> bool:
        """Whether any of the answer has arrived."""
        return bool(self.said or self.thought or self.called)

    def take(self, event: StreamEvent) -> None:
        """Fold in one event."""
        match event:
            case TextDelta():
                self.said.append(event.text)
                self.characters += len(event.text)
            case ReasoningDelta():
                self.thought.append(event.text)
                self.characters += len(event.text)
            case ToolCallDelta():
                self.called.append(event.name + event.arguments)
                self.characters += len(event.arguments)
            case Started():
                self.started = event
            case Finished():
                self.answer = event.answer

    def partial(self) -> Answer:
        """The answer, or as much of it as arrived: text and thoughts, no half tool calls."""
        if self.answer is not None:
            return self.answer
        parts: list[Part] = [Reasoning("".join(self.thought))] if self.thought else []
        if self.said:
            parts.append(Text("".join(self.said)))
        reason: StopReason = "interrupted" if self.error is None else "unknown"
        return Answer(tuple(parts), None, reason, self.started.model if self.started else "")


def settle_entry(entry: Entry, plan: CallPlan, outcome: Outcome, counter: Counter, at: float) -> Entry:
    """The entry as it ends, at ``at`` seconds of the epoch."""
    error = outcome.error
    if not outcome.sent or (error is not None and not error.may_have_run):
        return replace(entry, state="released", settled_at=at, error=str(error or "not sent"))
    unseen = _thinks_unseen(plan) or plan.summary_tokens > 0 or _unseen(plan, outcome) or _heard(plan)
    if error is not None or (_usage_stated(outcome) is None and unseen):
        return _at_ceiling(entry, plan, outcome, at)
    usage, quality = _usage(plan, outcome, counter)
    answer = outcome.partial()
    if plan.request.server_tools:
        quality = worst(quality, "at least")
    price = _price(plan, answer, usage, quality)
    return replace(
        entry,
        state="settled",
        settled_at=at,
        used=used_charge(plan, usage, price.nanousd),
        usage=usage,
        nanousd=price.nanousd,
        quality=price.quality,
        stop_reason=answer.stop_reason,
        request_id=answer.id or (outcome.started.id if outcome.started else ""),
        duration=at - entry.at,
    )


def _price(plan: CallPlan, answer: Answer, usage: Usage, quality: Quality) -> Cost:
    known, heard = plan.model.price, answer.heard_tokens
    if not heard:
        known = worst_price(plan.model, plan.request)
        quality = worst(quality, "exact" if known == plan.model.price else "estimated")
    price = cost(known, usage - answer.compacting, quality, answer.served, heard)
    if answer.compacting != NOTHING_USED:
        price += cost(known, answer.compacting, quality, answer.served)
    return price


def _at_ceiling(entry: Entry, plan: CallPlan, outcome: Outcome, at: float) -> Entry:
    most, error = entry.charge.ceiling, outcome.error
    request_id = (error.request_id if error is not None else "") or outcome.partial().id
    return replace(
        entry,
        state="unsettled",
        settled_at=at,
        used=entry.charge,
        usage=Usage(input_tokens=most.input_tokens, output_tokens=most.output_tokens),
        nanousd=most.nanousd,
        quality="estimated" if most.nanousd is not None else "unknown",
        play=plan.model.play,
        stop_reason=outcome.partial().stop_reason,
        request_id=request_id or (outcome.started.id if outcome.started else ""),
        error=str(error or _why_unseen(plan)),
        duration=at - entry.at,
    )


def _usage_stated(outcome: Outcome) -> Usage | None:
    return outcome.answer.usage if outcome.answer is not None else None


def _why_unseen(plan: CallPlan) -> str:
    if not plan.request.stream:
        return "no usage stated before it ended, of a reply in one piece"
    if _heard(plan):
        return "no usage stated of a call with sound"
    who = "service that may have compacted" if plan.summary_tokens else "model that thinks unseen"
    return f"no usage stated by a {who}"


def _unseen(plan: CallPlan, outcome: Outcome) -> bool:
    """Whether the answer, asked for in one piece, may be on its way: the service writes it whole, whoever listens."""
    return not plan.request.stream and outcome.started is None


def _heard(plan: CallPlan) -> bool:
    return holds_sound(plan.request.messages)


def _thinks_unseen(plan: CallPlan) -> bool:
    """Whether the model may think, at a price, without showing all of it; the request may ask for that, or for none."""
    body = plan.request.extras.body
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") == "disabled":
        return False
    asked = plan.request.reasoning
    if asked == "off":
        return False
    return plan.model.thinks_unseen or asked is not None or not THINKING.isdisjoint(body)


def _usage(plan: CallPlan, outcome: Outcome, counter: Counter) -> tuple[Usage, Quality]:
    reported = _usage_stated(outcome)
    if reported is not None:
        return reported, "exact"
    answer = outcome.partial()
    texts = [part.text for part in answer.parts if isinstance(part, Text | Reasoning)]
    counted = sum(counter.count(text) for text in (*texts, *outcome.called))
    stated = outcome.started.usage if outcome.started is not None else None
    read = stated if stated is not None and stated.input_tokens else Usage(input_tokens=int(plan.input_tokens))
    return replace(read, output_tokens=counted, reasoning_tokens=0), "at least"
