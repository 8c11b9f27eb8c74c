"""One HTTP attempt of somebody else's client in the book: held before it is sent, followed while its reply comes.

It passes the gate and waits its turn among the corridor's own, and is settled once: from the usage its reply states, by
what was counted if it is abandoned half-way, at its ceiling if it may have run unseen.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

from tokmagic.codecs import Codec
from tokmagic.codecs.overheard import Overheard
from tokmagic.core.alarms import unsettled
from tokmagic.core.book import Entry
from tokmagic.core.errors import ConnectionFailed, LedgerError, RateLimited, StreamBroken
from tokmagic.core.events import Completed, Event, Notice, Planned, Started, Waiting
from tokmagic.core.limits import Refused, Wait
from tokmagic.core.planning import CallPlan
from tokmagic.core.receipts import receipt_of, refusal, why_it_queues
from tokmagic.core.replies import Reply
from tokmagic.core.retries import RetryPolicy
from tokmagic.core.settling import Outcome
from tokmagic.corridor.booking import Booking
from tokmagic.providers.failing import never_connected
from tokmagic.queues.bells import Bell
from tokmagic.queues.lanes import Lane

log = logging.getLogger("tokmagic")


class Attempt:
    """One attempt, from the gate to its end.

    What asks the book or lets a display do so blocks meanwhile: ``begin``, ``queues``, ``ask``, ``leave``, ``tell`` and
    ``close``.

    Args:
        booking: of its call.
        plan: what is sent.
        number: of the attempt, from 1.
        codec: reads its reply; None reads only whether it failed.
        lane: where calls of the model wait.
        since: when the call began, in seconds of the epoch.
        pulse: is called whenever there is something new to show.
    """

    def __init__(
        self,
        booking: Booking,
        plan: CallPlan,
        number: int,
        codec: Codec | None,
        lane: Lane,
        since: float,
        pulse: Callable[[], object],
    ) -> None:
        self._booking = booking
        self._plan = plan
        self._number = number
        self._codec = codec
        self._lane = lane
        self._since = since
        self._pulse = pulse
        self._bell: Bell | None = None
        self._entry: Entry = booking.entry(plan, number)
        self._outcome = Outcome()
        self._reply: Overheard | None = None
        self._told: Started | None = None
        self._first_token: float | None = None
        self._open = False

    def begin(self) -> None:
        """Show it; where the limits are known nobody needs to wait for a reply."""
        plan = self._plan
        if self._booking.limits_known(plan):
            self._lane.gate.open()
        tokens, most = int(plan.input_tokens), plan.request.max_tokens
        self._show(Planned(plan.model.name, tokens, most, plan.charge.ceiling.nanousd, plan.model.play))

    def pause(self) -> AbstractContextManager[None]:
        """Count the time that passes inside as waited."""
        return self._booking.pause()

    def at_the_gate(self, bell: Bell) -> float:
        """Pass the gate, or learn how long to wait there for the bell; 0.0 once it has passed."""
        self._bell = bell
        return self._lane.gate.ask(bell)

    def queues(self, seconds: float) -> None:
        """Say why it waits at the gate."""
        pause = seconds if seconds < math.inf else 0.0
        self._show(Waiting(pause, why_it_queues(pause)))

    def in_line(self, bell: Bell) -> None:
        """Take a place among those who wait for the book."""
        self._lane.turns.join(bell)

    def out_of_line(self, bell: Bell) -> None:
        """Leave that place to the next."""
        self._lane.turns.leave(bell)

    def ask(self, bell: Bell) -> float:
        """Ask to be sent: 0.0 once its worst case is held, else the seconds after which to ask again.

        Raises:
            BudgetExceeded: a limit refuses it; nothing is held.
            RequestTooLarge: it can never pass a limit per minute; nothing is held.
        """
        plan = self._plan
        self._entry, decision = self._booking.ask(plan, self._number, self._entry)
        if isinstance(decision, Wait):
            reason = self._booking.why_it_waits(decision)
            log.info("a guarded call of %s waits %.1f s: %s", plan.model.name, decision.seconds, reason)
            self._show(Waiting(decision.seconds, reason))
            return self._lane.turns.patience(bell, decision.seconds)
        if isinstance(decision, Refused):
            raise refusal(decision, plan, self._booking.parts.clock())
        self._open = self._outcome.sent = True
        return 0.0

    def leave(self) -> None:
        """It will not be sent: give up its places, and what was just held for it."""
        try:
            if self._open:
                self._open = self._outcome.sent = False
                self._booking.settle(self._plan, self._entry, self._outcome)
            else:
                self._booking.withdraw()
        finally:
            self._gone()

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """A reply began."""
        self._reply = Overheard(self._codec, self._outcome, status, headers)

    def heard(self, chunk: bytes) -> None:
        """More of the reply came, as it is on the wire."""
        if self._reply is not None:
            self._reply.feed(chunk)
            if self._first_token is None and self._outcome.began:
                self._first_token = self._booking.parts.clock() - self._since

    def has_news(self) -> bool:
        """Whether the reply says by now what the book does not know: see ``tell``. Asked once of each news."""
        began, self._told = self._outcome.started is not self._told, self._outcome.started
        longer = self._outcome.produced > self._entry.charge.expected.output_tokens
        return (began or longer) and self._booking.has_news(self._plan, self._entry, self._outcome)

    def tell(self) -> None:
        """Pace the others by what is known by now: the limits that are stated, and what the attempt stands for.

        A book that fails here fails the attempt when it settles.
        """
        with suppress(LedgerError):
            if self._told is not None and self._told.rates:
                self._booking.started(self._plan, self._entry, self._told)
            self._entry = self._booking.revise(self._plan, self._entry, self._outcome)
        self._lane.turns.wake()

    def followed(self) -> None:
        """What the start of its reply states is known: if it is no failure, the others need not wait for it."""
        if self._reply is not None and not self._reply.refused:
            self._lane.gate.open()

    def complete(self, content: bytes | None = None) -> None:
        """The reply came to its end; ``content`` is all of it, decoded, where it was read at once."""
        if self._reply is not None:
            self._reply.end(content)

    def lost(self, error: BaseException) -> None:
        """It broke before the end of its reply."""
        if not isinstance(error, Exception):
            return
        chain = (error, error.__cause__ or error)
        unsent = self._reply is None and any(map(never_connected, chain))
        kind, cause = ConnectionFailed if unsent else StreamBroken, chain[1]
        self._outcome.error = kind(f"{type(cause).__name__}: {cause}", provider=self._plan.model.provider)

    def close(self) -> None:
        """Settle it by what arrived. Closing twice is a no-op."""
        if not self._open:
            return
        self._open = False
        if self._reply is not None and self._outcome.error is None:
            self._outcome.error = self._reply.failure()
        try:
            self._booking.settle(self._plan, self._entry, self._outcome, self._first_token)
        finally:
            self._close_gate()
            self._gone()
        self._conclude()

    def _close_gate(self) -> None:
        """Let nobody run into the same refusal."""
        error, chance = self._outcome.error, random.random()  # noqa: S311
        if isinstance(error, RateLimited) and (pause := RetryPolicy().pause(error, self._number, chance)):
            self._lane.gate.close_for(pause)

    def _gone(self) -> None:
        if self._bell is not None:
            self._lane.gate.leave(self._bell)
        self._lane.turns.wake()
        self._booking.parts.gauge.forget(self._booking.id)

    def _conclude(self) -> None:
        """Show what came of it, and what its reader must look at."""
        booking = self._booking
        if self._outcome.error is None:
            answer, duration = self._outcome.partial(), booking.parts.clock() - self._since
            receipt = receipt_of(booking.id, self._plan, answer, booking.entries, booking.waited, duration)
            self._show(Completed(Reply(answer, receipt)))
        for said in (unsettled(booking.entries[-1]), *booking.remarks(), *booking.warnings(self._plan)):
            if said:
                log.warning("a guarded call of %s: %s", self._plan.model.name, said)
                self._show(Notice(said))

    def _show(self, event: Event) -> None:
        gauge = self._booking.parts.gauge
        gauge.observe(self._booking.id, self._booking.cell, event, self._plan.model.context_window)
        self._pulse()
