"""Making a summary, one way after the other until one is good enough.

The summary is an ordinary call through the corridor, with its own reservation, entry and receipt. Where the service can
summarise, it is asked first; then any model can be; and where no call can be paid for or none is any good, sentences
are extracted at no cost. Whatever comes is judged before it is taken.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from anyio import to_thread

from tokmagic.conversation import Conversation
from tokmagic.core.compaction import CompactionPlan, How, objection, splice, tokens_after
from tokmagic.core.errors import BudgetExceeded, MissingKey, ProviderError, RequestTooLarge, StreamBroken
from tokmagic.core.events import Compacted, Connecting, Event, Notice, Retrying, Waiting
from tokmagic.core.extracting import extract
from tokmagic.core.messages import Compaction, Message
from tokmagic.core.models import Model
from tokmagic.core.money import Cost
from tokmagic.core.quotes import CompactionQuote, most_of_both
from tokmagic.core.replies import FREE, CompactionRecord, Reply
from tokmagic.core.sizes import with_beta
from tokmagic.core.summarising import SUMMARY_PROMPT, WORDS_PER_TOKEN, headed, headless, instructions, summary_request
from tokmagic.core.thresholds import ON_DEMAND
from tokmagic.corridor.passage import Passage
from tokmagic.options import CallOptions, chain_of, compacting_of
from tokmagic.parts import Parts

#: Makes the passage of a call for a summary.
AskSummary: TypeAlias = Callable[[tuple[Message, ...], CallOptions], Passage]

#: The least bound of a summary's call, in tokens: a model may think before it writes.
ROOM_TO_THINK = 4_096
#: Failures of a call for a summary after which the next way is taken.
FAILURES = (ProviderError, MissingKey, BudgetExceeded, RequestTooLarge)
#: What such a call tells to whoever watches the whole.
_TOLD = (Waiting, Retrying, Connecting, Notice)
_BY: Mapping[How, str] = {"server": "the service", "summary": "a model", "extract": "an extract"}


@dataclass(frozen=True, slots=True)
class Due:
    """A compaction that is to be made now, and why."""

    plan: CompactionPlan
    why: str


class Compactor:
    """Compacts a thread: makes the summary of one plan, one way after the other until one is good enough.

    Args:
        parts: the models and counters to work with.
        ask: makes the passage of a call for a summary.
        options: of the call it is made for: how it is compacted, the model, and what goes with every request.
        thread: what is compacted.
        head: the system's text, which precedes the thread in the plan.

    Attributes:
        record: what was done; None if nothing was.
        turns: of the thread then.
    """

    def __init__(
        self, parts: Parts, ask: AskSummary, options: CallOptions, thread: Conversation, head: tuple[Message, ...]
    ) -> None:
        self.record: CompactionRecord | None = None
        self.turns: tuple[Message, ...] = ()
        self._parts = parts
        self._ask = ask
        self._options = options
        self._thread = thread
        self._head = len(head)
        self._settings = compacting_of(options)
        self._model = model_of(parts, options)
        self._paid: list[Cost] = []
        self._reply: Reply | None = None

    async def run(self, due: Due) -> AsyncGenerator[Event]:
        """Try each way; the last event is ``Compacted``, or a ``Notice`` of why nothing was replaced."""
        why = ""
        for how in self._ways(due.plan):
            try:
                async with aclosing(self._summaries(how, due.plan)) as events:
                    async for event in events:
                        yield event
            except FAILURES as error:
                why = str(error)
            else:
                summary = await to_thread.run_sync(self._summary, how, due.plan)
                why = await to_thread.run_sync(self._judge, due.plan, summary)
                if not why:
                    yield self._replace(due.plan, summary, await to_thread.run_sync(self._record, how, due, summary))
                    return
            if how != "extract":
                yield Notice(f"No summary by {_BY[how]}, the next way is taken: {why}")
        self._thread.stuck = why
        yield Notice(f"The thread is not compacted: {why}.")

    def quote(self, due: Due) -> tuple[CompactionQuote, tuple[Message, ...]]:
        """What it would take, and the thread then: with the summary that is kept, else with an extract in its place.

        A Responses service leaves what the user said beside its summary, so that stays in either case.
        """
        ways = list(self._ways(due.plan))
        price, calls = replace(FREE, play=self._model.play), 0
        for how in ways[:-1]:
            passage = self._ask(*self._call(how, due.plan))
            with suppress(*FAILURES):
                asked, calls = passage.quote(), calls + 1
                price = most_of_both(price, asked.ceiling)
                self._reply = passage.kept() if how == ways[0] else self._reply
        summary = self._summary(ways[0], due.plan)
        if ways[0] == "server" and self._model.protocol == "responses":
            summary = replace(summary, provider="openai")
        after = tokens_after(due.plan, summary, self._parts.counter(self._model))
        return (
            CompactionQuote(ways[0], due.plan.tokens, after, price, calls),
            splice(due.plan, summary)[self._head :],
        )

    def _replace(self, plan: CompactionPlan, summary: Compaction, record: CompactionRecord) -> Event:
        turns = splice(plan, summary)[self._head :]
        if not self._thread.replace(plan.messages[self._head :], turns, record):
            return Notice("The thread is not compacted: it was changed meanwhile.")
        self.record, self.turns = record, turns
        return Compacted(record)

    def _ways(self, plan: CompactionPlan) -> Iterable[How]:
        how = self._settings.how
        if how in (None, "server") and self._model.compacts and plan.leading is not None and self._heeded:
            yield "server"
        if how in (None, "summary"):
            yield "summary"
        yield "extract"

    @property
    def _heeded(self) -> bool:
        """Whether the service heeds what is wished of the summary; a Responses service takes no wishes."""
        wishes = bool(self._settings.focus) or self._settings.prompt != SUMMARY_PROMPT
        return self._model.protocol == "messages" or (self._model.protocol == "responses" and not wishes)

    async def _summaries(self, how: How, plan: CompactionPlan) -> AsyncGenerator[Event]:
        """The call that is made for a summary, if this way takes one."""
        self._reply = None
        if how == "extract":
            return
        passage = self._ask(*self._call(how, plan))
        try:
            async with aclosing(passage.run()) as events:
                async for event in events:
                    if isinstance(event, _TOLD):
                        yield event
        finally:
            self._reply = passage.reply
            if passage.reply is not None:
                self._paid.append(passage.reply.cost)
        if passage.reply is None:
            raise StreamBroken("The call for a summary ended without a reply.")

    def _call(self, how: How, plan: CompactionPlan) -> tuple[tuple[Message, ...], CallOptions]:
        return self._server_call(plan) if how == "server" else self._summary_call(plan)

    def _summary_call(self, plan: CompactionPlan) -> tuple[tuple[Message, ...], CallOptions]:
        settings = self._settings
        name = settings.model or self._model.name
        asked = summary_request(plan.replaced, self._words(plan), settings.focus, settings.prompt)
        options: CallOptions = {
            **self._shared(),
            "model": name,
            "max_tokens": self._bound(self._parts.model(name), plan),
            "truncate": "smart",
        }
        return (asked,), options

    def _server_call(self, plan: CompactionPlan) -> tuple[tuple[Message, ...], CallOptions]:
        settings, model = self._settings, self._model
        wish = instructions(self._words(plan), settings.focus, settings.prompt)
        options: CallOptions = {
            **self._shared(),
            "model": model.name,
            "truncate": "off",
            "extra_body": {"compaction": {"type": "summarize", "instructions": wish}},
        }
        if model.protocol == "messages":
            options["tools"] = self._options.get("tools")
            options["max_tokens"] = self._bound(model, plan)
            options["extra_headers"] = with_beta(self._options.get("extra_headers") or {}, ON_DEMAND)
        else:
            options["max_tokens"] = model.max_output_tokens
            options["stream"] = False
        return plan.leading or (), options

    def _shared(self) -> CallOptions:
        """What of the call's own options goes for the call for a summary, too."""
        shared: CallOptions = {}
        for name in ("extra_headers", "extra_query", "timeout", "replay", "fresh", "cell", "notebook"):
            if name in self._options:
                shared[name] = self._options[name]
        return shared

    def _words(self, plan: CompactionPlan) -> int:
        return max(1, int(plan.summary_tokens * WORDS_PER_TOKEN))

    def _bound(self, model: Model, plan: CompactionPlan) -> int:
        bounds = (model.max_output_tokens, model.context_window and model.context_window // 4)
        return min([max(ROOM_TO_THINK, 2 * plan.summary_tokens), *(bound for bound in bounds if bound)])

    def _summary(self, how: How, plan: CompactionPlan) -> Compaction:
        if how == "extract" or self._reply is None:
            return Compaction(self._extracted(plan))
        found = next((part for part in self._reply.answer.parts if isinstance(part, Compaction)), None)
        if found is not None and not found.text:
            return replace(found, text=self._extracted(plan))
        text = self._reply.text.strip()
        return found or Compaction(headed(text) if text else "")

    def _extracted(self, plan: CompactionPlan) -> str:
        """What can be read where a service's own summary cannot: by people, by other models, by the next compaction."""
        count = self._parts.counter(self._model).count
        return headed(extract(plan.replaced, plan.summary_tokens, count, self._settings.focus))

    def _judge(self, plan: CompactionPlan, summary: Compaction) -> str:
        ended = self._reply.stop_reason if self._reply is not None else "end"
        return objection(plan, summary, ended, self._parts.counter(self._model))

    def _record(self, how: How, due: Due, summary: Compaction) -> CompactionRecord:
        plan = due.plan
        play = self._paid[-1].play if self._paid else False
        return CompactionRecord(
            how=how,
            why=due.why,
            tokens_before=plan.tokens,
            tokens_after=tokens_after(plan, summary, self._parts.counter(self._model)),
            replaced=len(plan.gone),
            kept=len(plan.kept),
            images=plan.images,
            cost=sum((cost for cost in self._paid if cost.play == play), replace(FREE, play=play)),
            summary=headless(summary.text),
            focus=self._settings.focus,
        )


def model_of(parts: Parts, options: CallOptions) -> Model:
    """The model that a call asks first."""
    return parts.model(chain_of(options)[0] or parts.default_model()[0])
