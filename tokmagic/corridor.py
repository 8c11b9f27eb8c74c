"""The corridor: the one way from a prompt to a settled receipt, written once, in async.

Every call takes the same steps in the same order: plan, reserve, send, settle. Nothing is sent that is not reserved,
and whatever was sent is settled, also when the call is stopped or the stream breaks.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count

import anyio
from anyio import to_thread

from tokmagic.core.accounts import accounts_for
from tokmagic.core.book import Entry
from tokmagic.core.errors import ProviderError, StreamBroken, TokmagicError
from tokmagic.core.events import (
    Completed,
    Event,
    Finished,
    Notice,
    Planned,
    Retrying,
    StreamEvent,
    Truncated,
    Waiting,
)
from tokmagic.core.limits import Account, Admitted, Decision, Limit, Refused, Wait, decide
from tokmagic.core.messages import Message
from tokmagic.core.models import Model
from tokmagic.core.money import Cost
from tokmagic.core.planning import CallPlan, plan_call
from tokmagic.core.receipts import receipt_of, refusal, why_it_waits
from tokmagic.core.replies import Cut, Reply
from tokmagic.core.retries import RetryPolicy
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.tokens import TokenCount
from tokmagic.options import CallOptions, wishes_of
from tokmagic.parts import Parts
from tokmagic.providers import Provider
from tokmagic.shield import to_the_end

log = logging.getLogger("tokmagic")
log.addHandler(logging.NullHandler())

#: Seconds a hold outlives its call's deadline before it counts as a dead owner's.
GRACE = 60.0


@dataclass(frozen=True, slots=True)
class Quote:
    """What a call would be, without sending it.

    Attributes:
        model: ``provider/model``.
        input_tokens: what it would read, after fitting.
        max_tokens: bound of the answer.
        ceiling: the most it can cost.
        cuts: what would be left out.
        wait_seconds: how long it would wait for a rate limit now; None if a limit would refuse it.
    """

    model: str
    input_tokens: TokenCount
    max_tokens: int
    ceiling: Cost
    cuts: tuple[Cut, ...]
    wait_seconds: float | None


def seconds_until(decision: Decision) -> float | None:
    """How long a call would wait; None if it would be refused."""
    if isinstance(decision, Refused):
        return None
    return decision.seconds if isinstance(decision, Wait) else 0.0


class Passage:
    """One call on its way through the corridor."""

    def __init__(
        self,
        parts: Parts,
        find: Callable[[CallOptions], Model],
        options: CallOptions,
        messages: tuple[Message, ...],
        turns: tuple[Message, ...],
        limits: list[Limit],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.reply: Reply | None = None
        self._parts = parts
        self._find = find
        self._options = options
        self._messages = messages
        self._turns = turns
        self._limits = limits
        self._entries: list[Entry] = []
        self._outcome = Outcome()
        self._began = parts.clock()
        self._first_token: float | None = None
        self._waited = 0.0
        self._failed = False
        self._timeout = options.get("timeout") or parts.settings.timeout

    async def run(self) -> AsyncGenerator[Event]:
        """Plan, reserve, send, settle; again where that helps. The last event is ``Completed``."""
        plan: CallPlan | None = None
        try:
            plan = await to_thread.run_sync(self._plan, abandon_on_cancel=True)
            self._parts.require_key(plan.model)
            for opening in self._opening(plan):
                yield self._seen(opening, plan)
            async with aclosing(self._attempts(plan)) as events:
                async for event in events:
                    yield self._seen(event, plan)
        except TokmagicError:
            self._failed = True
            raise
        finally:
            self._close(plan)
        if self.reply is not None:
            yield Completed(self.reply)

    def quote(self) -> Quote:
        """The plan and what the limits would say to it now."""
        plan = self._plan()
        decision = decide(self._parts.ledger.levels(self._accounts(plan)), plan.charge)
        return Quote(
            model=plan.model.name,
            input_tokens=plan.input_tokens,
            max_tokens=plan.request.max_tokens,
            ceiling=Cost(plan.charge.ceiling.nanousd, "estimated", plan.model.play),
            cuts=plan.cuts,
            wait_seconds=seconds_until(decision),
        )

    def _plan(self) -> CallPlan:
        model = self._find(self._options)
        wishes = wishes_of(self._options, self._parts.settings.max_tokens)
        return plan_call(model, self._messages, wishes, self._parts.counter(model))

    def _opening(self, plan: CallPlan) -> list[Event]:
        ceiling = plan.charge.ceiling.nanousd
        tokens = int(plan.input_tokens)
        events: list[Event] = [Planned(plan.model.name, tokens, plan.request.max_tokens, ceiling, plan.model.play)]
        if not self._options.get("model") and (notice := self._parts.default_notice()):
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
        for attempt in count(1):
            entry = self._entry(plan, attempt)
            async with aclosing(self._reserve(plan, entry)) as waits:
                async for wait in waits:
                    yield wait
            try:
                async with aclosing(self._send(plan, replace(entry, waited=self._waited))) as events:
                    async for event in events:
                        yield event
            except ProviderError as error:
                pause = None if self._outcome.began else policy.pause(error, attempt, random.random())  # noqa: S311
                if pause is None:
                    raise
                self._outcome = Outcome()
                yield Retrying(attempt, pause, str(error))
                await self._sleep(pause)
            else:
                return

    async def _reserve(self, plan: CallPlan, entry: Entry) -> AsyncGenerator[Event]:
        ledger = self._parts.ledger
        decision: Decision = Admitted()
        try:
            while True:
                entry = replace(entry, lease_until=self._parts.clock() + self._timeout + GRACE)
                decision = await to_the_end(ledger.reserve, entry, self._accounts(plan), self.id)
                if not isinstance(decision, Wait):
                    break
                yield Waiting(decision.seconds, why_it_waits(decision))
                await self._sleep(decision.seconds)
        finally:
            if isinstance(decision, Wait):
                await to_the_end(ledger.withdraw, self.id)
        if isinstance(decision, Refused):
            raise refusal(decision, plan.model)

    async def _send(self, plan: CallPlan, entry: Entry) -> AsyncGenerator[Event]:
        outcome = self._outcome = Outcome()
        try:
            provider = await self._provider(plan.model)
            outcome.sent = True
            async with aclosing(provider.stream(plan.request)) as events:
                end = asyncio.get_running_loop().time() + self._timeout
                while (event := await self._next(events, end)) is not None:
                    outcome.take(event)
                    if isinstance(event, Finished):
                        break
                    if self._first_token is None and outcome.began:
                        self._first_token = self._parts.clock() - self._began
                    yield event
        except ProviderError as error:
            outcome.error = error
            raise
        finally:
            await to_the_end(self._settle, plan, entry, outcome)

    async def _provider(self, model: Model) -> Provider:
        loop = asyncio.get_running_loop()
        connected = self._parts.connected(model, loop)
        if connected is not None:
            return connected
        return await to_thread.run_sync(self._parts.provider, model, loop, abandon_on_cancel=True)

    async def _next(self, events: AsyncGenerator[StreamEvent], end: float) -> StreamEvent | None:
        try:
            async with asyncio.timeout_at(end):
                return await anext(events)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise StreamBroken(
                f"No complete reply within {self._timeout:g} s: raise the timeout, or lower max_tokens."
            ) from None

    def _settle(self, plan: CallPlan, entry: Entry, outcome: Outcome) -> None:
        ledger = self._parts.ledger
        settled = settle_entry(entry, plan, outcome, self._parts.counter(plan.model), self._parts.clock())
        settled = replace(settled, first_token=self._first_token)
        self._entries.append(settled)
        (ledger.release if settled.state == "released" else ledger.settle)(settled)

    def _close(self, plan: CallPlan | None) -> None:
        self._parts.gauge.forget(self.id)
        booked = [entry for entry in self._entries if entry.state != "released"]
        if plan is None or not booked or (self._failed and not self._outcome.began):
            return
        answer = self._outcome.partial()
        duration = self._parts.clock() - self._began
        self.reply = Reply(answer, receipt_of(self.id, plan, answer, self._entries, self._waited, duration))
        thread = self._options.get("thread")
        if thread is not None and not self._failed:
            thread.add(self._turns, self.reply)
        self._seen(Completed(self.reply), plan)

    def _entry(self, plan: CallPlan, attempt: int) -> Entry:
        parts, now = self._parts, self._parts.clock()
        thread = self._options.get("thread")
        scopes = parts.scopes(plan.model, self._options.get("notebook", ""))
        return Entry(
            id=uuid.uuid4().hex,
            call=self.id,
            at=now,
            model=plan.model.name,
            attempt=attempt,
            owner=parts.epoch,
            session=parts.epoch,
            notebook=scopes["notebook"],
            cell=self._options.get("cell", ""),
            thread=thread.name if thread is not None else "",
            user=scopes["user"],
            team=scopes["team"],
            key=scopes["key"],
            charge=plan.charge,
            play=plan.model.play,
            dropped_tokens=sum(cut.tokens for cut in plan.cuts),
        )

    def _accounts(self, plan: CallPlan) -> tuple[Account, ...]:
        scopes = self._parts.scopes(plan.model, self._options.get("notebook", ""))
        return accounts_for([*self._limits, *plan.model.rates], plan.model, scopes, self._parts.now())

    def _seen(self, event: Event, plan: CallPlan | None) -> Event:
        window = plan.model.context_window if plan is not None else None
        self._parts.gauge.observe(self.id, self._options.get("cell", ""), event, window)
        return event

    async def _sleep(self, seconds: float) -> None:
        began = self._parts.clock()
        try:
            await anyio.sleep(seconds)
        finally:
            self._waited += max(0.0, self._parts.clock() - began)
