"""Asking for a shorter answer where a limit has no room for the longest one.

A reservation is never clipped: what is held is always the call's whole ceiling. So a call that a limit refuses is
planned anew with the largest ``max_tokens`` whose ceiling fits into what that limit has left. An answer too short to be
of use is not asked for: below ``floor`` the call stays refused.
"""

from __future__ import annotations

from dataclasses import replace

from .limits import Amounts, Charge, Refused
from .planning import CallPlan, worst_price
from .prices import affordable_output, ceiling

#: Tokens an answer is not lowered below, unless not even twice as many were asked for.
LEAST_ANSWER = 256


def lowered(plan: CallPlan, refused: Refused) -> CallPlan | None:
    """The plan with an answer short enough for the limit that refused it, or None where that cannot help.

    ``lowered_from`` of the new plan is the ``max_tokens`` first asked for. Another limit may refuse the new plan: ask
    again with what it says. Every step lowers ``max_tokens``, so that comes to an end.
    """
    asked = plan.lowered_from or plan.request.max_tokens
    most = affordable(plan, refused)
    if most is None or not floor(plan, asked) <= most < plan.request.max_tokens:
        return None
    request = replace(plan.request, max_tokens=most)
    return replace(plan, request=request, charge=_charge(plan, most), lowered_from=asked)


def affordable(plan: CallPlan, refused: Refused) -> int | None:
    """The largest ``max_tokens`` the limit has room for; None where the length of the answer is not what it minds.

    It may be negative: then not even the input has room. A limit that waits is asked for what it has when it is full.
    """
    limit, price = refused.level.account.limit, worst_price(plan.model, plan.request)
    if limit.full == "wait":
        return _within_bucket(plan, refused)
    free, input_tokens, beside = refused.level.left, plan.charge.ceiling.input_tokens, plan.summary_tokens
    match limit.unit:
        case "nanousd":
            most = affordable_output(price, input_tokens, free) if price is not None else None
            return most - beside if most is not None else None
        case "output_tokens":
            return free - beside
        case "tokens":
            return free - input_tokens - beside
        case "input_tokens" | "requests":
            return None


def helps(plan: CallPlan, refused: Refused) -> bool:
    """Whether the limit has room for some shorter answer, be it too short for ``lowered``."""
    most = affordable(plan, refused)
    return most is not None and floor(plan, 1) <= most < plan.request.max_tokens


def floor(plan: CallPlan, asked: int) -> int:
    """The fewest tokens an answer may be lowered to: ``LEAST_ANSWER``, or half of what was asked where that is less.

    Thinking comes on top where the caller set a budget for it: the provider takes no ``max_tokens`` that is not above
    it. A compaction by a Responses service obeys no bound at all.
    """
    if plan.model.protocol == "responses" and "compaction" in plan.request.extras.body:
        return asked
    thinking = plan.request.extras.body.get("thinking")
    budget = thinking.get("budget_tokens", 0) if isinstance(thinking, dict) else 0
    return min(LEAST_ANSWER, -(-asked // 2)) + (budget if isinstance(budget, int) else 0)


def lowering(plan: CallPlan) -> str:
    """What to say of a plan that was lowered, in one line; empty where it was not."""
    if plan.lowered_from is None:
        return ""
    return f"max_tokens lowered from {plan.lowered_from:,} to {plan.request.max_tokens:,}: more is not left."


def _within_bucket(plan: CallPlan, refused: Refused) -> int | None:
    limit, expected = refused.level.account.limit, plan.charge.expected
    if limit.unit == "output_tokens":
        return limit.amount
    if limit.unit != "tokens" or expected.input_tokens > limit.amount:
        return None
    return limit.amount - expected.input_tokens if plan.model.protocol == "messages" else limit.amount


def _charge(plan: CallPlan, max_tokens: int) -> Charge:
    most, expected = plan.charge.ceiling, plan.charge.expected
    output = min(expected.output_tokens, max_tokens)
    added, writes = expected.input_tokens + output, max_tokens + plan.summary_tokens
    return Charge(
        ceiling=replace(
            most,
            output_tokens=writes,
            tokens=most.input_tokens + writes,
            nanousd=ceiling(worst_price(plan.model, plan.request), most.input_tokens, writes),
        ),
        expected=Amounts(
            requests=expected.requests,
            input_tokens=expected.input_tokens,
            output_tokens=output,
            tokens=added if plan.model.protocol == "messages" else max(expected.input_tokens, max_tokens),
            nanousd=expected.nanousd,
        ),
    )
