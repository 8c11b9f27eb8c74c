"""The corridor: the one way from a prompt to a settled receipt, written once, in async.

Every call takes the same steps in the same order: plan, reserve, send, settle. Nothing is sent that is not reserved,
and whatever was sent is settled, also when the call is stopped or the stream breaks.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import count, zip_longest

import anyio

from tokmagic.allowance import Tab
from tokmagic.core.book import Kind
from tokmagic.core.bounds import open_ends, require_bounds
from tokmagic.core.errors import (
    BudgetExceeded,
    MissingKey,
    ProviderError,
    RateLimited,
    RequestTooLarge,
    TokmagicError,
)
from tokmagic.core.events import Completed, Event, Notice, Planned, Retrying, TextDelta, Truncated
from tokmagic.core.limits import Limit
from tokmagic.core.messages import Message
from tokmagic.core.money import Cost
from tokmagic.core.planning import CallPlan
from tokmagic.core.quotes import CompactionQuote, Quote
from tokmagic.core.receipts import receipt_of
from tokmagic.core.replays import replayed
from tokmagic.core.replies import Reply
from tokmagic.core.retries import RetryPolicy
from tokmagic.core.settling import Outcome
from tokmagic.corridor.booking import Booking
from tokmagic.corridor.drafting import Draft
from tokmagic.corridor.recall import Recall
from tokmagic.corridor.sending import Attempt
from tokmagic.corridor.shield import to_the_end
from tokmagic.options import CallOptions, chain_of
from tokmagic.parts import Parts

log = logging.getLogger("tokmagic")
log.addHandler(logging.NullHandler())

#: Failures of one model after which the next one of a chain is asked.
FINAL = (ProviderError, MissingKey, BudgetExceeded, RequestTooLarge)


class Passage:
    """One call on its way through the corridor."""

    def __init__(
        self,
        parts: Parts,
        options: CallOptions,
        messages: tuple[Message, ...],
        turns: tuple[Message, ...],
        limits: list[Limit],
        kind: Kind = "call",
        thread_name: str = "",
    ) -> None:
        self.reply: Reply | None = None
        self._parts = parts
        self._options = options
        self._turns = turns
        self._names = chain_of(options)
        self._draft = Draft(parts, options, messages)
        self._recall = Recall(parts, options, messages, self._names)
        self._recalled: Reply | None = None
        self._instead_of: list[str] = []
        self._plan: CallPlan | None = None
        self._outcome = Outcome()
        self._since = parts.clock()
        self._failed = False
        thread = options.get("thread")
        self._booking = Booking(
            parts,
            limits,
            options.get("timeout") or parts.settings.timeout,
            cell=options.get("cell", ""),
            notebook=options.get("notebook", ""),
            thread=thread.name if thread is not None else thread_name,
            kind=kind,
        )

    @property
    def id(self) -> str:
        """Of the call, in the book and in every display."""
        return self._booking.id

    def share(self, tab: Tab) -> None:
        """Let limits per call bound this one and others that are made for the same call together."""
        self._booking.tab = tab

    def go_beside(self, others: Callable[[], bool]) -> None:
        """See ``Sociable``."""
        self._booking.beside = others

    async def run(self) -> AsyncGenerator[Event]:
        """Plan, reserve, send, settle; again where that helps. The last event is ``Completed``."""
        try:
            async with aclosing(self._steps()) as events:
                async for event in events:
                    yield self._seen(event)
        except TokmagicError:
            self._failed = True
            raise
        finally:
            self._close()
        if self.reply is not None:
            if self._recall.keeps(self.reply) and (said := await to_the_end(self._recall.keep, self.reply)):
                yield self._seen(Notice(said))
            yield Completed(self.reply)

    def quote(self) -> Quote:
        """The plan for the first model and what the limits would say to it now; a kept answer is free."""
        plan, kept = self._draft.now(self._names[0]), self._recall.find()
        most = plan.charge.ceiling.nanousd
        return Quote(
            model=plan.model.name,
            input_tokens=plan.input_tokens,
            max_tokens=plan.request.max_tokens,
            ceiling=Cost(most, "estimated", plan.model.play) if kept is None else Cost(0, "exact", plan.model.play),
            cuts=plan.cuts,
            wait_seconds=self._booking.outlook(plan) if kept is None else 0.0,
            replayed=kept is not None,
            compaction=self._compaction(plan) if kept is None else None,
        )

    def kept(self) -> Reply | None:
        """The answer that would be shown again for nothing; None if there is none."""
        return self._recall.find()

    def _compaction(self, plan: CallPlan) -> CompactionQuote | None:
        """What the service would do on its way, where the call is about as long as the threshold."""
        asked, count = plan.request.compact_at, plan.input_tokens
        if asked is None or not plan.summary_tokens or count + count.margin < asked.tokens:
            return None
        most, play = plan.charge.ceiling.nanousd, plan.model.play
        alone = self._draft.now(self._names[0], compacting=False).charge.ceiling.nanousd
        price = most - alone if most is not None and alone is not None else None
        return CompactionQuote("threshold", int(count), None, Cost(price, "estimated", play), 0)

    async def _steps(self) -> AsyncGenerator[Event]:
        """The answer that is kept to the same call, or the call."""
        if self._recall.wanted:
            self._recalled = await to_the_end(self._recall.find)
        if self._recalled is not None:
            if cuts := self._recalled.receipt.cuts:
                yield Truncated(cuts)
            yield TextDelta(self._recalled.text)
            return
        async with aclosing(self._chain()) as events:
            async for event in events:
                yield event

    async def _chain(self) -> AsyncGenerator[Event]:
        """Each model in turn, until one answers or fails in a way that another would not mend."""
        for name, following in zip_longest(self._names, self._names[1:]):
            try:
                async with aclosing(self._call(name)) as events:
                    async for event in events:
                        yield event
            except FINAL as error:
                if following is None or self._outcome.began:
                    raise
                self._outcome = Outcome()
                self._booking.refusals = 0
                self._instead_of.append(name or "the default model")
                yield Notice(f"{self._instead_of[-1]} failed, {following} is asked instead. {error}")
            else:
                return

    async def _call(self, name: str | None) -> AsyncGenerator[Event]:
        self._plan = plan = await self._draft.plan(name)
        self._parts.require_key(plan.model)
        require_bounds(open_ends(plan.request), self._booking.limits, plan.model.name)
        for opening in self._opening(plan, named=name is not None):
            yield opening
        async with aclosing(self._attempts(plan)) as events:
            async for event in events:
                yield event

    def _opening(self, plan: CallPlan, *, named: bool) -> list[Event]:
        ceiling = plan.charge.ceiling.nanousd
        tokens = int(plan.input_tokens)
        events: list[Event] = [Planned(plan.model.name, tokens, plan.request.max_tokens, ceiling, plan.model.play)]
        if not named and (notice := self._parts.default_notice()):
            events.insert(0, Notice(notice))
        if plan.cuts:
            dropped = sum(cut.tokens for cut in plan.cuts)
            log.warning(
                "Context truncated to fit model token limit",
                extra={"model": plan.model.name, "input_tokens": tokens, "dropped_tokens": dropped},
            )
            events.append(Truncated(plan.cuts))
        return events

    async def _attempts(self, plan: CallPlan) -> AsyncGenerator[Event]:
        policy = RetryPolicy()
        lane = self._parts.lane(plan.model)
        if self._booking.limits_known(plan):
            lane.gate.open()
        for number in count(1):
            attempt = Attempt(self._booking, plan, number, lane, self._since, self._draft.tightened)
            self._outcome = attempt.outcome
            try:
                async with aclosing(attempt.run()) as events:
                    async for event in events:
                        self._plan = attempt.plan
                        yield event
            except ProviderError as error:
                pause = None if attempt.outcome.began else policy.pause(error, number, random.random())  # noqa: S311
                if pause is None:
                    raise
                if isinstance(error, RateLimited):
                    lane.gate.close_for(pause)
                self._outcome = Outcome()
                yield Retrying(number, pause, str(error))
                with self._booking.pause():
                    await anyio.sleep(pause)
            else:
                return

    def _close(self) -> None:
        self._parts.gauge.forget(self.id)
        self.reply = self._ended()
        if self.reply is None:
            return
        thread = self._options.get("thread")
        if thread is not None and not self._failed:
            thread.add(self._turns, self.reply)
        self._seen(Completed(self.reply))

    def _ended(self) -> Reply | None:
        """What came of it; None if nothing was sent, or it failed before a word of the answer had come."""
        plan, duration = self._plan, max(0.0, self._parts.clock() - self._since)
        if self._recalled is not None:
            return replayed(self._recalled, self.id, duration)
        booked = [entry for entry in self._booking.entries if entry.state != "released"]
        if plan is None or not booked or (self._failed and not self._outcome.began):
            return None
        answer = self._outcome.partial()
        receipt = receipt_of(self.id, plan, answer, self._booking.entries, self._booking.waited, duration)
        return Reply(answer, replace(receipt, instead_of=tuple(self._instead_of)) if self._instead_of else receipt)

    def _seen(self, event: Event) -> Event:
        window = self._plan.model.context_window if self._plan is not None else None
        self._parts.gauge.observe(self.id, self._options.get("cell", ""), event, window)
        return event
