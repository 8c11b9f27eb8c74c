"""One attempt at a call: pass the gate, reserve, send, settle.

Whatever was sent is settled, also when the call is stopped or the stream breaks; what was only reserved is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TypeAlias

from anyio import to_thread

from tokmagic.core.affording import lowered, lowering
from tokmagic.core.alarms import unsettled
from tokmagic.core.book import Entry
from tokmagic.core.errors import LedgerError, ProviderError, StreamBroken
from tokmagic.core.events import Connecting, Event, Finished, Notice, Started, StreamEvent, Waiting
from tokmagic.core.lifecycle import explain_retired
from tokmagic.core.limits import Admitted, Decision, Refused
from tokmagic.core.planning import CallPlan
from tokmagic.core.receipts import refusal, why_it_queues
from tokmagic.core.settling import Outcome
from tokmagic.corridor.booking import Booking
from tokmagic.corridor.shield import to_the_end
from tokmagic.providers import Provider
from tokmagic.queues.lanes import Lane

Tighten: TypeAlias = Callable[[CallPlan], Awaitable[CallPlan | None]]


class Attempt:
    """One attempt at a plan.

    Args:
        booking: of the call.
        plan: what is sent, unless a limit leaves room for a shorter answer only.
        number: of the attempt, from 1.
        lane: where calls of the model wait.
        since: when the call began, in seconds of the epoch.
        tighten: makes of a plan one whose input is bounded more tightly, or None.
    """

    def __init__(
        self, booking: Booking, plan: CallPlan, number: int, lane: Lane, since: float, tighten: Tighten
    ) -> None:
        self.plan = plan
        self._tighten = tighten
        self.outcome = Outcome()
        self._booking = booking
        self._number = number
        self._lane = lane
        self._since = since
        self._first_token: float | None = None
        self._tightened = False
        self._asked: Entry | None = None
        self._entry: Entry | None = None

    async def run(self) -> AsyncGenerator[Event]:
        """Its events: waits, then what the service sends, then what to look at.

        Raises:
            ProviderError: it failed.
            BudgetExceeded, RequestTooLarge: a limit refuses it.
        """
        parts, loop = self._booking.parts, asyncio.get_running_loop()
        provider = parts.connected(self.plan.model, loop)
        if provider is None:
            yield Connecting(self.plan.model.provider)
            provider = await to_thread.run_sync(parts.provider, self.plan.model, loop, abandon_on_cancel=True)
        gate = self._lane.gate
        if gate.seconds or gate.narrow:
            yield Waiting(gate.seconds, why_it_queues(gate.seconds))
        async with gate.passage(self._booking.pause):
            try:
                async with aclosing(self._settled(provider)) as events:
                    async for event in events:
                        yield event
            except ProviderError:
                if self._entry is not None and (said := unsettled(self._booking.entries[-1])):
                    yield Notice(said)
                raise
        for remark in self._booking.remarks():
            yield Notice(remark)
        if self._booking.may_warn:
            for warning in await to_the_end(self._booking.warnings, self.plan):
                yield Notice(warning)

    async def _settled(self, provider: Provider) -> AsyncGenerator[Event]:
        """Reserve and send; however that ends, the book is told."""
        try:
            for step in (self._reserve(), self._send(provider)):
                async with aclosing(step) as events:
                    async for event in events:
                        yield event
        except ProviderError as error:
            explain_retired(error, self.plan.model)
            self.outcome.error = error
            raise
        finally:
            await to_the_end(self._settle)
            self._lane.turns.wake()

    async def _reserve(self) -> AsyncGenerator[Event]:
        """Hold what the attempt needs; where a limit has less left than the longest answer, ask for a shorter one."""
        decision: Decision = Admitted()
        queued = False
        with self._lane.turns.place() as place:
            try:
                while not isinstance(decision := await self._ask(), Admitted):
                    if isinstance(decision, Refused):
                        await self._fit(decision)
                        continue
                    queued = True
                    yield Waiting(decision.seconds, await to_the_end(self._booking.why_it_waits, decision))
                    with self._booking.pause():
                        await place.sleep(decision.seconds)
            finally:
                if queued and not isinstance(decision, Admitted):
                    await to_the_end(self._booking.withdraw)
        if (said := lowering(self.plan)) and said != self._booking.said:
            self._booking.said = said
            yield Notice(said)

    async def _ask(self) -> Decision:
        entry, decision = await to_the_end(self._booking.ask, self.plan, self._number, self._asked)
        self._asked = entry
        if isinstance(decision, Admitted):
            self._entry = entry
        return decision

    async def _fit(self, refused: Refused) -> None:
        """Plan what may pass the limit: bounded more tightly, which is tried once, else with a shorter answer."""
        tight = None if self._tightened else await self._tighten(self.plan)
        self._tightened = True
        if tight is not None:
            self.plan, self._asked = tight, None
            return
        asked = self._asked
        plan = self.plan if asked is None else replace(self.plan, charge=asked.charge)
        shorter = None if asked is None or self._booking.may_come_back(refused) else lowered(plan, refused)
        if asked is None or shorter is None:
            raise refusal(refused, plan, self._booking.parts.clock())
        self.plan, self._asked = shorter, replace(asked, charge=shorter.charge)

    async def _send(self, provider: Provider) -> AsyncGenerator[Event]:
        await asyncio.sleep(0)  # a cancellation that came while the book was asked is delivered before anything is sent
        self.outcome.sent = True
        end = asyncio.get_running_loop().time() + self._booking.timeout
        async with aclosing(provider.stream(self.plan.request)) as events:
            while (event := await self._next(events, end)) is not None:
                self.outcome.take(event)
                if isinstance(event, Finished):
                    break
                await self._follow(event)
                yield event

    async def _next(self, events: AsyncGenerator[StreamEvent], end: float) -> StreamEvent | None:
        try:
            async with asyncio.timeout_at(end):
                return await anext(events)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise StreamBroken(
                f"No complete reply within {self._booking.timeout:g} s: raise the timeout, or lower max_tokens."
            ) from None

    async def _follow(self, event: StreamEvent) -> None:
        """Pace the others by what is known by now. A book that fails here fails the call when it settles."""
        with suppress(LedgerError):
            await self._tell(event)

    async def _tell(self, event: StreamEvent) -> None:
        """Let the book know what the service states, and of an answer that is longer than expected."""
        if isinstance(event, Started):
            try:
                if self._entry is not None and self._booking.has_news(self.plan, self._entry, self.outcome):
                    await to_the_end(self._started, self._entry, event)
                    self._lane.turns.wake()
            finally:
                self._lane.gate.open()
        elif self._first_token is None and self.outcome.began:
            self._first_token = self._booking.parts.clock() - self._since
        elif self._entry is not None and self.outcome.produced > self._entry.charge.expected.output_tokens:
            await to_the_end(self._revise)

    def _started(self, entry: Entry, event: Started) -> None:
        if event.rates:
            self._booking.started(self.plan, entry, event)
        self._revise()

    def _revise(self) -> None:
        """Let the attempt stand for what is known of it by now."""
        self._entry = self._entry and self._booking.revise(self.plan, self._entry, self.outcome)

    def _settle(self) -> None:
        if self._entry is not None:
            self._booking.settle(self.plan, self._entry, self.outcome, self._first_token)
