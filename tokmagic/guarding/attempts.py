"""One HTTP attempt of somebody else's client in the book: read before it is sent, followed while its reply comes.

What bounds the attempt is read from its own body, which is sent as it is: nothing is cut, lowered or added. Whatever a
limit could not bound is refused under that limit. An attempt is settled once: from the usage its reply states, by what
was counted if it is abandoned half-way, at its ceiling if it may have run unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokmagic.codecs import Codec
from tokmagic.codecs.overheard import Overheard
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sent import Sent, read_sent
from tokmagic.core.bounds import require_bounds
from tokmagic.core.counters import Counter
from tokmagic.core.errors import (
    ConnectionFailed,
    StreamBroken,
    UnknownModel,
)
from tokmagic.core.events import Completed, Event, Notice, Planned, Waiting
from tokmagic.core.limits import Amounts, Charge, Limit, Refused, Wait
from tokmagic.core.messages import Request
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan, Wishes, plan_call
from tokmagic.core.prices import ceiling
from tokmagic.core.receipts import receipt_of, refusal, why_it_waits
from tokmagic.core.replies import Reply
from tokmagic.core.settling import Outcome
from tokmagic.core.tokens import TokenCount
from tokmagic.corridor.booking import Booking
from tokmagic.parts import Parts
from tokmagic.providers.failing import never_connected

log = logging.getLogger("tokmagic")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request about to be sent: ``body`` is its parsed JSON, ``retries`` how often it was sent before."""

    method: str
    path: str
    body: Any
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where the calls of one guarded client are booked.

    Attributes:
        parts: whose book it is.
        service: the name of the service it talks to.
        key: fingerprint of its key; empty takes this process's own.
        limits: those of every call, besides the configuration's.
        label: names the cell that calls, for the book.
        pulse: is called whenever there is something new to show.
    """

    parts: Parts
    service: str
    key: str = ""
    limits: Callable[[], Sequence[Limit]] = tuple
    label: Callable[[], str] = str
    pulse: Callable[[], object] = bool

    def attempt(self, asked: Asked, call: str) -> Attempt | None:
        """The attempt that this request is, in the call of that id; None where it costs nothing.

        Raises:
            BudgetExceeded: a limit refuses, and nothing in the request bounds what it may cost.
        """
        sent = read_sent(asked.method, asked.path, asked.body)
        if sent.kind == "free":
            return None
        limits = [*self.parts.settings.limits, *self.limits()]
        model = self._model(sent)
        plan = _plan(sent, model, self.parts.counter(model))
        _require_bounds(sent, plan, limits)
        booking = Booking(self.parts, limits, self.parts.settings.timeout, cell=self.label(), key=self.key, id=call)
        codec = CODECS[sent.protocol] if sent.kind == "call" else None
        return Attempt(booking, plan, codec, asked.retries + 1, self.pulse)

    def _model(self, sent: Sent) -> Model:
        try:
            return replace(self.parts.model(f"{self.service}/{sent.model}"), protocol=sent.protocol)
        except UnknownModel:
            return Model(self.service, sent.model, sent.protocol)


class Attempt:
    """One attempt, from its reservation to its end. Every method that touches the book blocks."""

    def __init__(
        self, booking: Booking, plan: CallPlan, codec: Codec | None, number: int, pulse: Callable[[], object]
    ) -> None:
        self._pulse = pulse
        self._booking = booking
        self._plan = plan
        self._codec = codec
        self._entry = booking.entry(plan, number)
        self._outcome = Outcome()
        self._reply: Overheard | None = None
        self._began = booking.parts.clock()
        self._first_token: float | None = None
        self._open = False

    def ask(self) -> float:
        """Ask to be sent: 0.0 once its worst case is held, else the seconds after which to ask again.

        Raises:
            BudgetExceeded: a limit refuses it; nothing is held.
            RequestTooLarge: it can never pass a limit per minute; nothing is held.
        """
        plan = self._plan
        if not self._booking.waited:
            tokens, most = int(plan.input_tokens), plan.request.max_tokens
            self._show(Planned(plan.model.name, tokens, most, plan.charge.ceiling.nanousd, plan.model.play))
        decision = self._booking.reserve(plan, self._entry)
        if isinstance(decision, Wait):
            reason = why_it_waits(decision)
            log.info("a guarded call of %s waits %.1f s: %s", plan.model.name, decision.seconds, reason)
            self._show(Waiting(decision.seconds, reason))
            return decision.seconds
        if isinstance(decision, Refused):
            raise refusal(decision, plan.model)
        self._open = self._outcome.sent = True
        return 0.0

    def waited(self, seconds: float) -> None:
        """It has waited for its turn."""
        self._booking.waited += seconds

    def leave(self) -> None:
        """It will not be sent: give up its place."""
        self._booking.withdraw()
        self._booking.parts.gauge.forget(self._booking.id)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """A reply began."""
        self._reply = Overheard(self._codec, self._outcome, status, headers)

    def announce(self) -> None:
        """Let others know what the reply states of the provider's limits."""
        started = self._outcome.started
        if started is not None and started.rates:
            self._booking.started(self._plan, self._entry, started)

    def heard(self, chunk: bytes) -> None:
        """More of the reply came, as it is on the wire."""
        if self._reply is not None:
            self._reply.feed(chunk)
            if self._first_token is None and self._outcome.began:
                self._first_token = self._booking.parts.clock() - self._began

    def complete(self, content: bytes | None = None) -> None:
        """The reply came to its end; ``content`` is all of it, decoded, where it was read at once."""
        if self._reply is not None:
            self._reply.end(content)

    def lost(self, error: BaseException) -> None:
        """It broke before the end of its reply."""
        if not isinstance(error, Exception):
            return
        cause = error.__cause__ or error
        kind = ConnectionFailed if self._reply is None and never_connected(cause) else StreamBroken
        self._outcome.error = kind(f"{type(cause).__name__}: {cause}", provider=self._plan.model.provider)

    def close(self) -> None:
        """Settle it by what arrived. Closing twice is a no-op."""
        if not self._open:
            return
        self._open = False
        if self._reply is not None and self._outcome.error is None:
            self._outcome.error = self._reply.failure()
        booking, gauge = self._booking, self._booking.parts.gauge
        try:
            booking.settle(self._plan, self._entry, self._outcome, self._first_token)
        finally:
            gauge.forget(booking.id)
        if self._outcome.error is None:
            answer, duration = self._outcome.partial(), booking.parts.clock() - self._began
            receipt = receipt_of(booking.id, self._plan, answer, booking.entries, booking.waited, duration)
            self._show(Completed(Reply(answer, receipt)))
        for alarm in booking.alarms(self._plan):
            log.warning("a guarded call of %s: %s", self._plan.model.name, alarm)
            self._show(Notice(alarm))

    def _show(self, event: Event) -> None:
        gauge = self._booking.parts.gauge
        gauge.observe(self._booking.id, self._booking.cell, event, self._plan.model.context_window)
        self._pulse()


def _plan(sent: Sent, model: Model, counter: Counter) -> CallPlan:
    """The plan of a request that is sent as it stands; the provider's window bounds what we cannot read."""
    if sent.kind == "other":
        request = Request(sent.model, (), 0)
        charge = Charge(Amounts(1, nanousd=None), Amounts(1))
        return CallPlan(model, request, TokenCount(0, exact=False, margin=0, tokenizer=counter.name), charge)
    most = sent.max_tokens or model.max_output_tokens or model.context_window or 0
    request = sent.request or Request(sent.model, (), 0)
    free = replace(model, context_window=None, max_output_tokens=None)
    plan = plan_call(free, request.messages, Wishes(max_tokens=most, truncate="off", tools=request.tools), counter)
    bound = plan.charge.ceiling.input_tokens if sent.request is not None else model.context_window or 0
    tokens = min(bound, model.context_window or bound)
    worst = Amounts(1, tokens, most, tokens + most, ceiling(model.price, tokens, most))
    return replace(
        plan, model=model, request=replace(request, max_tokens=most), charge=Charge(worst, plan.charge.expected)
    )


def _require_bounds(sent: Sent, plan: CallPlan, limits: Sequence[Limit]) -> None:
    """Refuse what nothing bounds, where a limit on money or tokens could be passed by it."""
    open_ends = list(sent.unbounded)
    if sent.kind == "call" and sent.request is None and plan.model.context_window is None:
        open_ends.append("an input that is not read here")
    if sent.kind == "call" and not plan.request.max_tokens:
        open_ends.append("an answer without a bound")
    require_bounds(open_ends, limits, plan.model.name)
