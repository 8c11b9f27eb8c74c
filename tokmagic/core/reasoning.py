"""How much a model is asked to think, in the terms it knows: a budget in tokens, or an effort. Pure.

Older models of Anthropic take a budget, everybody else an effort. What a caller says in the other terms is translated,
so that one word holds for every model of a chain.
"""

from __future__ import annotations

from collections.abc import Mapping

from .messages import Effort, Reasoned
from .models import Model

#: The least budget that there is, in tokens.
LEAST_BUDGET = 1_024
#: What an effort comes to, in tokens.
BUDGETS: Mapping[Effort, int] = {"low": 2_048, "medium": 8_192, "high": 24_576}
#: The part of an answer's bound that no budget takes: a fourth is left for what is said.
SAID_SHARE = 4


def reasoning_of(model: Model, asked: Reasoned | None) -> Reasoned | None:
    """What the model is asked, of what was asked; a model that takes budgets gets one, any other an effort."""
    if asked is None or asked == "off":
        return asked
    if model.thinking_budget:
        return asked if isinstance(asked, int) else BUDGETS[asked]
    return effort_of(asked)


def budget_within(budget: int, max_tokens: int) -> int | None:
    """The budget, or less where the answer's bound leaves less; None where it leaves too little to think at all."""
    within = min(budget, max_tokens - max_tokens // SAID_SHARE)
    return max(LEAST_BUDGET, within) if max_tokens > LEAST_BUDGET else None


def effort_of(asked: Reasoned) -> Effort:
    """What is asked, as an effort."""
    if not isinstance(asked, int):
        return asked
    reached = [effort for effort, least in BUDGETS.items() if asked >= least]
    return reached[-1] if reached else "low"
