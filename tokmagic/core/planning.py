"""Planning a call: count, make it fit, bound it. Pure: the same inputs give the same plan, and nothing is sent.

The plan carries both vectors of its charge. The **ceiling** is a hard bound, so it rests on the tokenizer only where
that is the model's own, else on bytes and on the window, which the provider enforces. The **expected** use follows the
provider's own rule: the Messages services count what is produced, the Chat services count ``max_tokens``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .asking import PROVIDER, answered, margin_matters, most_of
from .bounds import run_by_client
from .calibration import calibrated, countable_room, lesson
from .compaction import Compacting
from .counters import Counter
from .errors import ConfigurationError, RequestTooLarge
from .expecting import expected_use
from .fitting import BOUNDLESS, Fitted, fit
from .known import known
from .limits import Amounts, Charge
from .messages import Extras, Message, Reasoned, Request, Tool
from .models import Model
from .prices import Price, ceiling, for_sound
from .reasoning import reasoning_of
from .replies import Cut
from .sizes import default_max_tokens, extended_output, with_beta
from .sound import holds_sound
from .thresholds import compact_at, read_with_summary, summary_bound, with_betas
from .tokens import TokenCount, bound_request, count_request
from .typical import Typical
from .usage import Usage


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a caller asks of one call, apart from what it says.

    Attributes:
        max_tokens: bound of the answer; None takes ``default_max_tokens``, or less where the model writes less.
        default_max_tokens: None takes the size that is safe for the model (see ``sizes``).
        extended_output: switch on the model's extended output; without ``max_tokens`` the answer may be as long.
        max_input_tokens: a cap on the input below the window, or None.
        keep_recent: messages that are kept word for word as long as possible.
        truncate: a strategy's name, or ``off`` to refuse instead of cutting.
        reasoning: how much to think; as far as the model can be told so.
        cache: calls that begin alike will follow soon.
        server_tools: tools that the service runs, in its own words.
        compacting: how the service is to compact the conversation on its way to the answer; None leaves it alone.
    """

    max_tokens: int | None = None
    default_max_tokens: int | None = None
    extended_output: bool = False
    max_input_tokens: int | None = None
    keep_recent: int = 10
    truncate: str = "smart"
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    stream: bool = True
    extras: Extras = field(default_factory=Extras)
    reasoning: Reasoned | None = None
    cache: bool = False
    server_tools: tuple[Mapping[str, Any], ...] = ()
    compacting: Compacting | None = None


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A call that fits: what will be sent, what it reads, what is reserved for it, what was cut.

    ``lowered_from`` is the ``max_tokens`` first asked for, where a limit left room for less only. ``summary_tokens``
    are what a compaction on the way can write, which the charge covers; 0 where there can be none.
    """

    model: Model
    request: Request
    input_tokens: TokenCount
    charge: Charge
    cuts: tuple[Cut, ...] = ()
    lowered_from: int | None = None
    summary_tokens: int = 0


def plan_call(
    model: Model,
    messages: tuple[Message, ...],
    wishes: Wishes,
    counter: Counter,
    note: str = "",
    told: int | None = None,
) -> CallPlan:
    """The plan of one call; the work is bound by what is sent, not by what is said.

    Args:
        model: that is called.
        messages: all that is said, the oldest first.
        wishes: what is asked of the call.
        counter: of the model's tokenizer.
        note: what replies taught about the model's tokens, as the book keeps it.
        told: the provider's own count of all that is said, where it was asked (see ``doubtful``).

    Raises:
        ConfigurationError: ``max_tokens`` is above what the model writes, or it has no extended output.
        RequestTooLarge: it cannot be made to fit, or would have to be cut and may not.
    """
    counter = known(counter)
    if wishes.extended_output:
        model, wishes = _extended(model, wishes)
    max_tokens = answer_bound(model, wishes)
    room = input_room(model, wishes, max_tokens)
    try:
        fitted, count = _fitted(messages, wishes, room, counter, note, told)
    except RequestTooLarge as error:
        way_out = _way_out(model, wishes, max_tokens, room)
        raise RequestTooLarge(f"{error} {way_out}", tokens=error.tokens, allowed=error.allowed) from None
    request = _request(model, fitted.messages, wishes, max_tokens)
    if wishes.cache and model.cache_minimum is not None and count >= model.cache_minimum:
        request = replace(request, cache=True)
    most_input = _most_input(model, request, count, counter)
    summary = summary_bound(model, request, most_input)
    charge = _charge(model, request, count, read_with_summary(model, most_input, summary), summary)
    return CallPlan(model, request, count, charge, fitted.cuts, summary_tokens=summary)


def doubtful(
    model: Model, messages: tuple[Message, ...], wishes: Wishes, counter: Counter, note: str = ""
) -> Request | None:
    """All that is said as a request, where only its provider can tell whether it has to be cut; else None."""
    if counter.exact or wishes.extended_output:
        return None
    max_tokens = answer_bound(model, wishes)
    count = calibrated(count_request(messages, wishes.tools, counter), note)
    if not margin_matters(count, input_room(model, wishes, max_tokens)):
        return None
    return _request(model, messages, wishes, max_tokens)


def _request(model: Model, messages: tuple[Message, ...], wishes: Wishes, max_tokens: int) -> Request:
    room, asked = input_room(model, wishes, max_tokens), wishes.compacting
    _require_known(model, wishes)
    request = Request(
        model=model.id,
        messages=messages,
        max_tokens=max_tokens,
        temperature=wishes.temperature,
        stop=wishes.stop,
        tools=wishes.tools,
        stream=wishes.stream,
        extras=wishes.extras,
        reasoning=reasoning_of(model, wishes.reasoning),
        server_tools=wishes.server_tools,
        compact_at=compact_at(model, asked, room) if asked is not None else None,
    )
    headers = with_betas(request.extras.headers, request, model)
    if headers == request.extras.headers:
        return request
    return replace(request, extras=replace(request.extras, headers=headers))


def _require_known(model: Model, wishes: Wishes) -> None:
    for tool in wishes.tools:
        if tool.native and model.protocol != "messages":
            raise ConfigurationError(
                f"{model.name} does not know the tool {tool.name}, as only Messages services do: ask a model of one, "
                "or give a function instead."
            )
        if tool.native and not run_by_client(str(tool.native.get("type"))):
            raise ConfigurationError(f"The tool {tool.name} is run by the service itself: give it as server_tools.")


def _extended(model: Model, wishes: Wishes) -> tuple[Model, Wishes]:
    switched = extended_output(model)
    headers = with_beta(wishes.extras.headers, switched.beta)
    extras = replace(wishes.extras, headers=headers)
    return switched.model, replace(wishes, default_max_tokens=switched.max_tokens, extras=extras)


def _fitted(
    messages: tuple[Message, ...],
    wishes: Wishes,
    room: int | None,
    counter: Counter,
    note: str,
    told: int | None,
) -> tuple[Fitted, TokenCount]:
    """What fits into the room with the margin of its count, and that count."""
    if told is not None:
        whole = count_request(messages, wishes.tools, counter)
        if room is None or told <= room:
            return Fitted(tuple(messages), whole), answered(whole, told)
        note = lesson(calibrated(whole, note), told)(note)

    def fitted_to(target: int) -> tuple[Fitted, TokenCount]:
        found = fit(
            messages, target, counter, tools=wishes.tools, keep_recent=wishes.keep_recent, strategy=wishes.truncate
        )
        return found, calibrated(found.tokens, note)

    if room is None:
        return fitted_to(BOUNDLESS)
    fitted, count = fitted_to(room)
    aim = countable_room(room, count)
    if aim != room and (fitted.cuts or count + count.margin > room):
        fitted, count = fitted_to(aim)
    while (excess := count + count.margin - room) > 0:
        fitted, count = fitted_to(max(0, count.counted - excess))
    return fitted, count


def _way_out(model: Model, wishes: Wishes, max_tokens: int, room: int | None) -> str:
    if wishes.max_input_tokens is not None and room == wishes.max_input_tokens:
        return f"Here max_input_tokens ({room:,}) is what allows no more."
    return (
        f"The window of {model.name} is {model.context_window or 0:,} tokens and max_tokens keeps {max_tokens:,} of "
        "them free for the answer: lower it."
    )


def answer_bound(model: Model, wishes: Wishes) -> int:
    """The bound of the answer, in tokens."""
    most = model.max_output_tokens
    if wishes.max_tokens is None:
        bounds = (
            wishes.default_max_tokens or default_max_tokens(model),
            most,
            model.context_window // 2 if model.context_window else None,
        )
        return min(bound for bound in bounds if bound is not None)
    if most is not None and wishes.max_tokens > most:
        raise ConfigurationError(
            f"max_tokens {wishes.max_tokens:,} is more than {model.name} writes: ask for {most:,} at most."
        )
    return wishes.max_tokens


def input_room(model: Model, wishes: Wishes, max_tokens: int) -> int | None:
    """Tokens the input may take; None where nothing bounds it."""
    window = model.context_window - max_tokens if model.context_window is not None else None
    bounds = [bound for bound in (window, wishes.max_input_tokens) if bound is not None]
    return max(0, min(bounds)) if bounds else None


def _most_input(model: Model, request: Request, count: TokenCount, counter: Counter) -> int:
    """The most that the request has, in tokens."""
    bounds = (
        bound_request(request.messages, request.tools, counter),
        model.context_window,
        most_of(count) if count.tokenizer == PROVIDER else None,
    )
    return min(bound for bound in bounds if bound is not None)


def _charge(model: Model, request: Request, count: TokenCount, reads: int, summary_tokens: int) -> Charge:
    writes = request.max_tokens + summary_tokens
    return Charge(
        ceiling=Amounts(
            requests=1,
            input_tokens=reads,
            output_tokens=writes,
            tokens=reads + writes,
            nanousd=ceiling(worst_price(model, request), reads, writes),
        ),
        expected=expected_use(model.protocol, int(count), 0, request.max_tokens, Typical()),
    )


def worst_price(model: Model, request: Request) -> Price | None:
    """The price that a request is bounded at: as if all that is read were sound, where any of it is."""
    return for_sound(model.price) if holds_sound(request.messages) else model.price


def used_charge(plan: CallPlan, usage: Usage, nanousd: int | None) -> Charge:
    """What a settled call is booked at: its use for budgets, and its use under the provider's rule for rates."""
    spent = Amounts(1, usage.input_tokens, usage.output_tokens, usage.total_tokens, nanousd)
    if plan.model.protocol != "messages":
        return Charge(spent, plan.charge.expected)
    fresh = usage.input_tokens - usage.cache_read_tokens
    return Charge(spent, Amounts(1, fresh, usage.output_tokens, fresh + usage.output_tokens, nanousd))
