"""A limit of the configuration can be lowered from a notebook and not be got round, whatever a cell adds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import share
from tokmagic.core.accounts import accounts_for
from tokmagic.core.limits import Account, Admitted, Amounts, Charge, Level, Limit, Refused, decide
from tokmagic.core.models import Model
from tokmagic.core.units import Scope
from tokmagic.core.words import SCOPES, UNITS, WINDOWS, parse_limit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES: dict[Scope, str] = {"session": "s", "notebook": "n", "key": "k", "user": "u", "team": "t"}
OPUS = Model("anthropic", "claude-opus-5-5", "messages")
CONFIGURED = parse_limit("5 usd/day", source="config")
SPENT = 4_900_000_000
CALL = Charge(Amounts(1, 1_000, 1_000, 2_000, 200_000_000))


def levels(limits: list[Limit], spent: int = SPENT, model: Model = OPUS) -> list[Level]:
    configured = {account.key for account in accounts_for([CONFIGURED], model, NAMES, NOW)}
    return [_level(account, spent if account.key in configured else 0) for account in accounts(limits, model)]


def accounts(limits: list[Limit], model: Model = OPUS) -> tuple[Account, ...]:
    return accounts_for(limits, model, NAMES, NOW)


def _level(account: Account, spent: int) -> Level:
    return Level(account, spent, room=float(account.limit.amount))


@pytest.mark.parametrize(
    "words",
    [
        *("500 usd/day", "500 usd/day for *", "500 usd/day for anthropic/*", "500 usd/day for ANTHROPIC/*"),
        *("500 usd/day by user", "500 usd/day by session", "500 usd/day by team", "500 usd/month", "500 usd/total"),
        *("500 usd/call", "500 usd/minute", "500 usd/day, warn at 100 %", "500000 tokens/day", "$500 per day"),
    ],
)
def test_a_higher_limit_of_a_cell_changes_nothing(words: str) -> None:
    for added in ([CONFIGURED, parse_limit(words)], [parse_limit(words, source="cell"), CONFIGURED]):
        decision = decide(levels(added), CALL)
        assert isinstance(decision, Refused)
        assert decision.level.account.limit is CONFIGURED


@pytest.mark.parametrize("words", ["4.95 usd/day", "0 usd/day", "4.95 usd/day for anthropic/* by user", "0.1 usd/call"])
def test_a_lower_limit_of_a_cell_holds_from_then_on(words: str) -> None:
    cheap = Charge(replace(CALL.ceiling, nanousd=100_000_000 + 1))
    assert isinstance(decide(levels([CONFIGURED], spent=0), cheap), Admitted)
    lower = [CONFIGURED, parse_limit(words)]
    assert isinstance(decide([replace(level, spent=4_900_000_000) for level in levels(lower)], cheap), Refused)


def test_another_name_of_a_model_does_not_escape_its_limit() -> None:
    alias = replace(OPUS, id="claude-opus-latest", listed=OPUS.name)
    limit = parse_limit("5 usd/day for anthropic/claude-opus-5-5", source="config")
    (typed,), (listed,) = accounts([limit], alias), accounts([limit], OPUS)
    assert typed.key == listed.key
    assert accounts([limit], replace(OPUS, id="Claude-Opus-5-5"))[0].key == listed.key


def test_a_name_made_to_look_like_another_account_stands_apart() -> None:
    limit = parse_limit("5 usd/day by notebook")
    keys = {
        accounts_for([limit], OPUS, {**NAMES, "notebook": name}, NOW)[0].key
        for name in ("n", "n|*", "n|*|0", "n%7C*", "n%257C*", "*", "")
    }
    assert len(keys) == 7


LIMITS = st.builds(
    lambda amount, unit, window, models, scope: parse_limit(f"{amount} {unit}/{window} for {models} by {scope}"),
    st.integers(0, 10**6),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(WINDOWS),
    st.sampled_from(["*", "anthropic/*", "ANTHROPIC/*", "anthropic/claude-opus-5-5", "openai/*", "[!a]*", "?*"]),
    st.sampled_from(SCOPES),
)


@settings(max_examples=share(20_000, 200))
@given(st.lists(LIMITS, max_size=6), st.integers(0, 6_000_000_000), st.integers(0, 6_000_000_000), st.randoms())
def test_what_the_configuration_refuses_no_cell_admits(
    added: list[Limit], spent: int, needed: int, random: object
) -> None:
    mixed = [CONFIGURED, *added]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    charge = Charge(replace(CALL.ceiling, nanousd=needed))
    if isinstance(decide(levels([CONFIGURED], spent), charge), Refused):
        assert isinstance(decide(levels(mixed, spent), charge), Refused)
