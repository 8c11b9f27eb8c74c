"""Where the calls of a guarded client are booked: from a request's body to the attempt that it is.

What bounds an attempt is read from its own body, which is sent as it is: nothing is cut, lowered or added. Whatever a
limit could not bound is refused under that limit. The attempts of one call share its line in every report, its limits
per call and what it has waited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tokmagic.allowance import limits_around
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sent import Sent, read_sent
from tokmagic.core.bounds import require_bounds
from tokmagic.core.counters import Counter
from tokmagic.core.errors import UnknownModel
from tokmagic.core.limits import Amounts, Charge, Limit
from tokmagic.core.messages import Request
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan, Wishes, plan_call, worst_price
from tokmagic.core.prices import ceiling, for_sound
from tokmagic.core.tokens import TokenCount
from tokmagic.corridor.booking import Booking
from tokmagic.guarding.attempts import Attempt
from tokmagic.parts import Parts
from tokmagic.surroundings import notebook


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
        limits: those of every call, besides the configuration's and the notebook's.
    """

    parts: Parts
    service: str
    key: str = ""
    limits: Sequence[Limit] = ()

    def booking(self) -> Booking:
        """A new call in the book, made where this is asked: in that cell, and for that run where a tool calls."""
        here, settings = notebook(), self.parts.settings
        limits = [*here.over([*settings.limits, *self.limits]), *limits_around()]
        return Booking(self.parts, limits, settings.timeout, cell=here.cell(), notebook=here.name(), key=self.key)

    def model(self, sent: Sent) -> Model:
        """The model that is asked; one the catalogue does not know has no price and no window."""
        try:
            return replace(self.parts.model(f"{self.service}/{sent.model}"), protocol=sent.protocol)
        except UnknownModel:
            return Model(self.service, sent.model, sent.protocol)


@dataclass(slots=True)
class Call:
    """One call of a guarded client, in however many attempts its SDK makes it."""

    desk: Desk
    since: float = field(init=False)
    _booking: Booking = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.desk.parts.clock()
        self._booking = self.desk.booking()

    def attempt(self, asked: Asked) -> Attempt | None:
        """The attempt that this request is; None where it costs nothing.

        Raises:
            BudgetExceeded: nothing in the request bounds what it may cost, and a limit is on that.
        """
        sent = read_sent(asked.method, asked.path, asked.body)
        if sent.kind == "free":
            return None
        model = self.desk.model(sent)
        plan = _plan(sent, model, self.desk.parts.counter(model))
        _require_bounds(sent, plan, self._booking.limits)
        lane = self.desk.parts.lane(model, self.desk.key)
        codec = CODECS[sent.protocol] if sent.kind == "call" else None
        return Attempt(self._booking, plan, asked.retries + 1, codec, lane, self.since, notebook().pulse)


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
    price = worst_price(model, request) if sent.request is not None else for_sound(model.price) or model.price
    worst = Amounts(1, tokens, most, tokens + most, ceiling(price, tokens, most))
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
