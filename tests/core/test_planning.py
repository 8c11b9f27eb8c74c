"""A plan counts, fits and bounds a call; its ceiling is a hard bound, its expected use follows the provider's rule."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.catalog import demo_models
from tokmagic.core.calibration import lesson
from tokmagic.core.errors import ConfigurationError, RequestTooLarge
from tokmagic.core.messages import Extras, assistant, system, user
from tokmagic.core.planning import Wishes, plan_call, used_charge
from tokmagic.core.typical import FIRST_GUESS
from tokmagic.core.usage import Usage
from tokmagic.tokenizers import counter

EXACT, ESTIMATE = counter("o200k_base"), counter("estimate")
CLAUDE, CHAT, SMALL = (demo_models()[id] for id in ("claude", "chat", "small"))


def test_what_fits_is_left_as_it_is():
    messages = (system("Be brief."), user("How deep is the sea?"))
    plan = plan_call(CLAUDE, messages, Wishes(temperature=0.5, stop=("END",)), EXACT)
    assert plan.request.messages == messages
    assert plan.cuts == ()
    assert (plan.request.model, plan.request.temperature, plan.request.stop) == ("claude", 0.5, ("END",))
    assert plan.input_tokens.exact


def test_what_is_too_long_is_cut_to_the_window_less_the_answer():
    plan = plan_call(SMALL, (user("word " * 20_000),), Wishes(max_tokens=1_000), EXACT)
    assert 7_000 < plan.input_tokens <= 8_192 - 1_000
    assert plan.cuts[0].tokens > 12_000


def test_an_estimated_count_leaves_room_for_its_margin():
    model = replace(SMALL, tokenizer="estimate")
    plan = plan_call(model, (user("word " * 20_000),), Wishes(max_tokens=1_000), ESTIMATE)
    assert plan.input_tokens + plan.input_tokens.margin <= 8_192 - 1_000


def test_a_cap_below_the_window_is_kept():
    plan = plan_call(CLAUDE, (user("word " * 2_000),), Wishes(max_input_tokens=500), EXACT)
    assert plan.input_tokens <= 500


def test_cutting_may_be_refused():
    with pytest.raises(RequestTooLarge) as refused:
        plan_call(SMALL, (user("word " * 20_000),), Wishes(truncate="off"), EXACT)
    assert refused.value.tokens > refused.value.allowed


def test_a_refusal_names_what_allows_no_more():
    with pytest.raises(RequestTooLarge, match=r"takes 8 tokens and 1 are allowed: 7 must go.* max_input_tokens \(1\)"):
        plan_call(CLAUDE, (user("hi"),), Wishes(max_input_tokens=1), EXACT)
    text = system("word " * 8_000)
    with pytest.raises(RequestTooLarge, match=r"window of demo/small is 8,192 tokens and max_tokens keeps 1,000"):
        plan_call(SMALL, (text, user("hi")), Wishes(max_tokens=1_000), EXACT)


def test_what_replies_taught_narrows_the_margin_and_corrects_the_count():
    model, note = replace(SMALL, tokenizer="estimate"), ""
    messages = (user("word " * 20_000),)
    first = plan_call(model, messages, Wishes(max_tokens=1_000), ESTIMATE)
    for _ in range(30):
        note = lesson(first.input_tokens, int(first.input_tokens) * 9 // 10)(note)
    taught = plan_call(model, messages, Wishes(max_tokens=1_000), ESTIMATE, note)
    assert taught.input_tokens.margin < first.input_tokens.margin
    assert taught.input_tokens > first.input_tokens
    assert 6_900 < taught.input_tokens + taught.input_tokens.margin <= 8_192 - 1_000


def test_the_answer_is_bounded_by_the_model_and_half_its_window():
    assert plan_call(SMALL, (user("hi"),), Wishes(default_max_tokens=5_000), EXACT).request.max_tokens == 4_096
    assert plan_call(CLAUDE, (user("hi"),), Wishes(default_max_tokens=5_000), EXACT).request.max_tokens == 5_000
    assert plan_call(CLAUDE, (user("hi"),), Wishes(), EXACT).request.max_tokens == 16_000
    assert plan_call(SMALL, (user("hi"),), Wishes(), EXACT).request.max_tokens == 1_024
    with pytest.raises(ConfigurationError, match=r"5,000 .* 4,096"):
        plan_call(SMALL, (user("hi"),), Wishes(max_tokens=5_000), EXACT)


def test_a_messages_service_expects_what_is_produced_and_a_chat_service_max_tokens():
    produced = plan_call(CLAUDE, (user("hi"),), Wishes(max_tokens=4_000), EXACT).charge.expected
    assert produced.output_tokens == FIRST_GUESS
    asked = plan_call(CHAT, (user("hi"),), Wishes(max_tokens=4_000), EXACT).charge.expected
    assert (asked.output_tokens, asked.tokens) == (4_000, 4_000)


def test_an_unpriced_model_has_an_unknown_ceiling():
    model = replace(CLAUDE, price=None)
    assert plan_call(model, (user("hi"),), Wishes(), EXACT).charge.ceiling.nanousd is None


def test_the_hard_bound_of_an_estimate_is_bytes_and_never_more_than_the_window():
    text = "tiefblaues Meer " * 50
    model = replace(CLAUDE, tokenizer="estimate")
    ceiling = plan_call(model, (user(text),), Wishes(max_tokens=10), ESTIMATE).charge.ceiling
    assert len(text.encode()) <= ceiling.input_tokens <= len(text.encode()) + 100
    small = replace(SMALL, tokenizer="estimate")
    assert plan_call(small, (user(text * 30),), Wishes(max_tokens=10), ESTIMATE).charge.ceiling.input_tokens <= 8_192


@given(
    texts=st.lists(st.text(min_size=1, max_size=400).filter(str.strip), min_size=1, max_size=5),
    cached=st.floats(0, 1),
    output=st.integers(0, 300),
)
def test_no_use_within_the_bounds_costs_more_than_the_ceiling(texts, cached, output):
    messages = tuple(user(text) if i % 2 == 0 else assistant(text) for i, text in enumerate(texts))
    plan = plan_call(CLAUDE, messages, Wishes(max_tokens=300), EXACT)
    written = int(plan.input_tokens * cached)
    usage = Usage(input_tokens=int(plan.input_tokens), cache_write_tokens=written, output_tokens=output)
    from tokmagic.core.prices import cost

    price = cost(CLAUDE.price, usage).nanousd
    used = used_charge(plan, usage, price).ceiling
    most = plan.charge.ceiling
    assert (used.nanousd, used.tokens) <= (most.nanousd, most.tokens)
    assert used.nanousd <= most.nanousd
    assert used.tokens <= most.tokens


SWITCH = replace(CLAUDE, extended_output_tokens=90_000, extended_output_beta="long-1")


def test_the_extended_output_lets_an_answer_be_as_long_as_the_model_writes():
    plan = plan_call(CLAUDE, (user("hi"),), Wishes(extended_output=True, default_max_tokens=500), EXACT)
    assert (plan.request.max_tokens, plan.request.extras.headers) == (64_000, {})
    named = Extras(headers={"anthropic-beta": "other"})
    plan = plan_call(SWITCH, (user("hi"),), Wishes(extended_output=True, extras=named), EXACT)
    assert (plan.request.max_tokens, plan.charge.ceiling.output_tokens) == (90_000, 90_000)
    assert plan.request.extras.headers == {"anthropic-beta": "other,long-1"}
    assert plan.model.name == SWITCH.name


def test_the_extended_output_raises_what_may_be_asked_for_and_no_more():
    asked = Wishes(extended_output=True, max_tokens=70_000)
    assert plan_call(SWITCH, (user("hi"),), asked, EXACT).request.max_tokens == 70_000
    with pytest.raises(ConfigurationError, match=r"70,000 is more than demo/claude writes: ask for 64,000"):
        plan_call(SWITCH, (user("hi"),), Wishes(max_tokens=70_000), EXACT)
    with pytest.raises(ConfigurationError, match="demo/small has no extended output"):
        plan_call(SMALL, (user("hi"),), Wishes(extended_output=True), EXACT)
