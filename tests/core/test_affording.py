"""An answer that is not affordable is asked for shorter, never held at less than its ceiling, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.catalog import demo_models
from tokmagic.core.affording import LEAST_ANSWER, affordable, lowered, lowering
from tokmagic.core.limits import Account, Admitted, Level, Limit, Refused, decide
from tokmagic.core.messages import Extras, user
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan, Wishes, plan_call
from tokmagic.core.prices import Price, Rates, affordable_output, ceiling
from tokmagic.core.words import parse_limit
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
CLAUDE, CHAT = demo_models()["claude"], demo_models()["chat"]
UNPRICED = replace(CLAUDE, price=None)
FREE = replace(CLAUDE, price=Price(((0, Rates(10**9, 0, 0, 0, 0)),)))


def plan_of(model: Model = CLAUDE, max_tokens: int = 4_096, **wishes: object) -> CallPlan:
    return plan_call(model, (user("How deep is the sea?"),), Wishes(max_tokens=max_tokens, **wishes), COUNTER)  # type: ignore[arg-type]


def level_of(limit: Limit, spent: int = 0, held: int = 0) -> Level:
    return Level(Account(limit, str(limit), "someone", play=True), spent=spent, held=held, room=float(limit.amount))


def asked(plan: CallPlan, *levels: Level) -> CallPlan | Refused:
    """The plan that is admitted in the end, or what refuses it."""
    while isinstance(decision := decide(levels, plan.charge), Refused):
        shorter = lowered(plan, decision)
        if shorter is None:
            return decision
        assert shorter.request.max_tokens < plan.request.max_tokens
        plan = shorter
    assert isinstance(decision, Admitted)
    return plan


def test_an_answer_that_is_affordable_stays_as_it_was_asked_for() -> None:
    plan = plan_of()
    assert asked(plan, level_of(parse_limit("5 usd/day"))) is plan
    assert lowering(plan) == ""


@pytest.mark.parametrize("words", ["0.02 usd/call", "0.02 usd/day", "2000 tokens/session", "1500 output_tokens/day"])
def test_an_unaffordable_answer_is_lowered_to_the_last_token_that_is_left(words: str) -> None:
    level = level_of(parse_limit(words))
    plan = asked(plan_of(), level)
    assert isinstance(plan, CallPlan)
    assert LEAST_ANSWER <= plan.request.max_tokens < 4_096
    assert plan.lowered_from == 4_096
    assert plan.charge.ceiling.output_tokens == plan.request.max_tokens
    longer = plan_of(max_tokens=plan.request.max_tokens + 1)
    assert isinstance(decide([level], longer.charge), Refused)
    assert lowering(plan) == f"max_tokens lowered from 4,096 to {plan.request.max_tokens:,}: more is not left."


def test_a_lowered_plan_is_the_plan_of_the_shorter_call_and_holds_all_of_its_ceiling() -> None:
    for model in (CLAUDE, CHAT):
        plan = asked(plan_of(model), level_of(parse_limit("0.02 usd/call")))
        assert isinstance(plan, CallPlan)
        assert replace(plan, lowered_from=None) == plan_of(model, plan.request.max_tokens)


def test_several_limits_are_met_together_and_the_first_wish_is_remembered() -> None:
    levels = [level_of(parse_limit(words)) for words in ("0.05 usd/day", "2k tokens/day", "700 output_tokens/hour")]
    plan = asked(plan_of(), *levels)
    assert isinstance(plan, CallPlan)
    assert (plan.request.max_tokens, plan.lowered_from) == (700, 4_096)


def test_what_is_spent_and_held_is_not_left() -> None:
    limit = parse_limit("10k output_tokens/day")
    plan = asked(plan_of(), level_of(limit, spent=6_000, held=3_000))
    assert isinstance(plan, CallPlan)
    assert plan.request.max_tokens == 1_000


@pytest.mark.parametrize(
    ("left", "wish", "given"), [(256, 4_096, 256), (255, 4_096, None), (60, 100, 60), (49, 100, None)]
)
def test_below_its_floor_a_call_is_refused(left: int, wish: int, given: int | None) -> None:
    limit = Limit(left, "output_tokens", "day", "user", "refuse")
    found = asked(plan_of(max_tokens=wish), level_of(limit))
    assert (found.request.max_tokens if isinstance(found, CallPlan) else None) == given


def test_an_answer_is_not_lowered_into_the_thinking_that_was_asked_for() -> None:
    thinking = Extras(body={"thinking": {"type": "enabled", "budget_tokens": 2_000}})
    plan = plan_of(extras=thinking)
    assert isinstance(asked(plan, level_of(Limit(2_255, "output_tokens", "day", "user", "refuse"))), Refused)
    shorter = asked(plan, level_of(Limit(2_256, "output_tokens", "day", "user", "refuse")))
    assert isinstance(shorter, CallPlan)


@pytest.mark.parametrize("words", ["5 input_tokens/day", "0 requests/day", "5 tokens/day", "0 usd/day", "0 usd/call"])
def test_where_the_answer_is_not_what_the_limit_minds_nothing_is_lowered(words: str) -> None:
    assert isinstance(asked(plan_of(), level_of(parse_limit(words))), Refused)


def test_without_a_price_nothing_can_be_lowered() -> None:
    refused = asked(plan_of(UNPRICED), level_of(parse_limit("5 usd/day")))
    assert isinstance(refused, Refused)
    assert refused.needed is None


def test_free_output_is_never_what_costs_too_much() -> None:
    assert isinstance(asked(plan_of(FREE), level_of(parse_limit("0 usd/day"))), Refused)


def test_a_bucket_too_small_for_the_answer_lowers_it_too() -> None:
    chat = asked(plan_of(CHAT), level_of(parse_limit("1000 tokens/minute")))
    assert isinstance(chat, CallPlan)
    assert chat.request.max_tokens == 1_000
    messages = asked(plan_of(CLAUDE, 4_096), level_of(parse_limit("900 tokens/minute")))
    assert isinstance(messages, CallPlan)
    assert messages.charge.expected.tokens <= 900


RATES = st.builds(Rates, *(st.integers(0, 10**11) for _ in range(5)))


@given(RATES, st.lists(st.tuples(st.integers(1, 500), RATES), max_size=2), st.integers(0, 600), st.integers(0, 10**9))
def test_affordable_output_is_the_most_whose_ceiling_fits(
    first: Rates, later: list[tuple[int, Rates]], input_tokens: int, nanousd: int
) -> None:
    price = Price(((0, first), *sorted(later, key=lambda tier: tier[0])))
    most = affordable_output(price, input_tokens, nanousd)
    if most is None:
        assert ceiling(price, input_tokens, 10**12) == ceiling(price, input_tokens, 0)
        return
    assert (ceiling(price, input_tokens, most + 1) or 0) > nanousd
    if most >= 0:
        assert (ceiling(price, input_tokens, most) or 0) <= nanousd


UNITS = st.sampled_from(["usd", "tokens", "output_tokens", "input_tokens", "requests"])


@settings(max_examples=share(20_000, 150))
@given(
    st.lists(st.tuples(UNITS, st.integers(0, 6_000), st.integers(0, 3_000)), min_size=1, max_size=4),
    st.integers(1, 60_000),
    st.sampled_from([CLAUDE, CHAT, UNPRICED, FREE]),
)
def test_whatever_the_limits_a_call_is_admitted_within_them_or_refused(
    limits: list[tuple[str, int, int]], wish: int, model: Model
) -> None:
    levels = []
    for unit, amount, spent in limits:
        size = 10_000 if unit == "usd" else 1
        limit = replace(parse_limit(f"1 {unit}/day"), amount=amount * size)
        levels.append(level_of(limit, spent=spent * size))
    found = asked(plan_of(model, wish), *levels)
    if isinstance(found, Refused):
        most = affordable(plan_of(model, wish), found)
        assert most is None or most < wish
    else:
        for level in levels:
            needed = found.charge.ceiling.of(level.account.limit.unit)
            assert needed is not None
            assert needed <= level.left
