"""What a call says of itself: its receipt, why it waits, and why it was refused, each with the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .affording import helps
from .book import Entry
from .errors import BudgetExceeded, RequestTooLarge, TokmagicError
from .limits import Account, Limit, Refused, Wait, show_amount
from .money import show_nanousd, summed
from .planning import CallPlan
from .replies import Answer, Receipt, StopReason
from .sound import holds_sound
from .spans import show_seconds
from .usage import Usage


def receipt_of(
    call: str, plan: CallPlan, answer: Answer, entries: Sequence[Entry], waited: float, duration: float
) -> Receipt:
    """The receipt of a call from its entries in the book. Beside real money, play money counts for nothing."""
    booked = [entry for entry in entries if entry.state != "released"]
    return Receipt(
        call=call,
        model=plan.model.name,
        usage=sum((entry.usage for entry in booked), Usage()),
        cost=summed(entry.cost for entry in booked),
        cuts=plan.cuts,
        waited=waited,
        attempts=len(entries),
        first_token=entries[-1].first_token,
        duration=duration,
        stop_reason=answer.stop_reason,
        request_id=entries[-1].request_id,
        context_window=plan.model.context_window,
        max_tokens=plan.request.max_tokens,
        lowered_from=plan.lowered_from,
    )


def together(
    call: str, receipts: Sequence[Receipt], stop_reason: StopReason, first_token: float | None, duration: float
) -> Receipt:
    """One receipt for the calls that were made for one; the last is that which answers."""
    return replace(
        receipts[-1],
        call=call,
        usage=sum((receipt.usage for receipt in receipts), Usage()),
        cost=summed(receipt.cost for receipt in receipts),
        cuts=tuple(cut for receipt in receipts for cut in receipt.cuts),
        waited=sum(receipt.waited for receipt in receipts),
        attempts=sum(receipt.attempts for receipt in receipts),
        first_token=first_token,
        duration=duration,
        stop_reason=stop_reason,
        calls=len(receipts),
        replay_of=receipts[-1].replay_of if all(receipt.replayed for receipt in receipts) else "",
        compaction=next((receipt.compaction for receipt in reversed(receipts) if receipt.compaction), None),
    )


def why_it_waits(wait: Wait, kernels: int = 1) -> str:
    """The reason of a wait: ``28k of 30k input tokens/minute used, 2 kernels``; ``kernels`` share the limit."""
    level = wait.level
    limit = level.account.limit
    shared = f", {kernels} kernels" if kernels > 1 else ""
    queue = ", others are ahead" if level.ahead else ""
    return f"{limit.amount - int(level.room):,} of {limit} used{shared}, {wait.needed:,} needed{queue}"


def kernels_on(account: Account, entries: Iterable[Entry]) -> int:
    """How many kernels made those of the entries that count on the account."""
    scope = account.limit.scope
    return len(
        {
            entry.owner
            for entry in entries
            if getattr(entry, scope) == account.scope_id
            and entry.play == account.play
            and account.limit.covers(entry.model)
        }
    )


def why_it_queues(pause: float) -> str:
    """The reason of a wait before the book was asked: the service wants a pause, or few calls go before its reply."""
    if pause:
        return "the service asked all calls to wait"
    return "the first calls are on their way, and their reply tells this model's rate limits"


def refusal(refused: Refused, plan: CallPlan, now: float) -> TokmagicError:
    """The error of a call refused at ``now`` (seconds of the epoch): what refused it, the numbers, the way out."""
    limit, needed = refused.level.account.limit, refused.needed
    if needed is None:
        text = _without_price(plan, limit)
        return BudgetExceeded(text, limit=str(limit), needed=None, left=refused.level.left)
    if limit.full == "wait":
        text = f"The call takes {show_amount(needed, limit.unit)}; {limit} never lets it pass. Send less at once."
        return RequestTooLarge(text, tokens=needed, allowed=limit.amount)
    play = refused.level.account.play
    text = (
        f"{limit} has {_show(refused.level.left, limit, play)} left and this call can take "
        f"{_show(needed, limit, play)}: nothing was sent. {_way_out(refused, plan, now)}"
    )
    return BudgetExceeded(text, limit=str(limit), needed=needed, left=refused.level.left)


def _without_price(plan: CallPlan, limit: Limit) -> str:
    model, dollars = plan.model, 'input = "3.00", output = "15.00"'
    what = "price"
    if model.price is not None and holds_sound(plan.request.messages):
        what, dollars = "price for sound", f'{dollars}, audio = "30.00"'
    return (
        f"{model.name} has no known {what}, so {limit} cannot be kept: choose a priced model, or state its dollars per "
        f'million tokens in config.toml: prices."{model.name}" = {{{dollars}}}.'
    )


def _show(amount: int, limit: Limit, play: bool) -> str:
    if limit.unit == "nanousd":
        return show_nanousd(amount, play=play)
    unit = limit.unit.replace("_", " ")
    return f"{amount:,} {unit.removesuffix('s') if amount == 1 else unit}"


def _way_out(refused: Refused, plan: CallPlan, now: float) -> str:
    """What lets it pass: a shorter answer, less input, the next window, and where none of them does, another limit."""
    level = refused.level
    limit, empty = level.account.limit, replace(refused, level=replace(level, spent=0, held=0))
    if level.left > 0 and helps(plan, refused):
        return "Lower max_tokens or send less."
    until = level.account.until
    if until is not None and ((refused.needed or 0) <= limit.amount or helps(plan, empty)):
        return f"It opens again in {show_seconds(until - now)}."
    if limit.unit == "requests" or empty.level.left == 0:
        return "Raise the limit."
    return "Send less, or raise the limit."
