"""What a call is booked at when it ends: the report, what was counted, nothing, or its ceiling."""

from dataclasses import astuple, replace

import pytest

from tokmagic.catalog import demo_models
from tokmagic.core.book import Entry
from tokmagic.core.errors import AuthenticationFailed, RateLimited, ServerFailed, StreamBroken
from tokmagic.core.events import Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta
from tokmagic.core.messages import Extras, Reasoning, Text, user
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.prices import Rates
from tokmagic.core.replies import Answer
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.usage import Usage
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
PLAN = plan_call(demo_models()["claude"], (user("How deep is the sea?"),), Wishes(max_tokens=100), COUNTER)
ENTRY = Entry(id="e", call="c", at=100.0, model="demo/claude", charge=PLAN.charge, play=True)


def settle(*events, sent=True, error=None, plan=PLAN):
    outcome = Outcome(sent=sent, error=error)
    for event in events:
        outcome.take(event)
    return settle_entry(ENTRY, plan, outcome, COUNTER, 103.0)


def test_a_complete_reply_is_booked_at_its_report():
    usage = Usage(input_tokens=50, cache_read_tokens=20, output_tokens=10)
    entry = settle(Started("m1"), TextDelta("deep"), Finished(Answer((Text("deep"),), usage, "end", id="m1")))
    assert (entry.state, entry.quality, entry.usage, entry.request_id) == ("settled", "exact", usage, "m1")
    assert entry.nanousd == 30 * 3_000 + 20 * 300 + 10 * 15_000
    assert entry.used.ceiling.nanousd == entry.nanousd
    assert entry.used.ceiling.input_tokens == 50
    assert entry.used.expected.input_tokens == 30
    assert entry.duration == pytest.approx(3.0)


def test_a_stopped_reply_is_booked_at_what_was_stated_and_counted():
    entry = settle(Started(usage=Usage(input_tokens=60, output_tokens=1)), TextDelta("deep and "), TextDelta("blue"))
    assert entry.state == "settled"
    assert entry.quality == "at least"
    assert entry.usage == Usage(input_tokens=60, output_tokens=COUNTER.count("deep and blue"))
    assert entry.stop_reason == "interrupted"


def test_a_reply_stopped_before_its_first_word_still_pays_for_its_input():
    entry = settle()
    assert entry.usage == Usage(input_tokens=int(PLAN.input_tokens))
    assert entry.quality == "at least"


def test_thoughts_and_half_tool_calls_are_paid_too():
    entry = settle(ReasoningDelta("hm, well"), ToolCallDelta(0, "t", "add", '{"a":'))
    assert entry.usage.output_tokens == COUNTER.count("hm, well") + COUNTER.count('add{"a":')


def test_a_complete_reply_without_usage_is_at_least_what_was_counted():
    entry = settle(TextDelta("deep"), Finished(Answer((Text("deep"),), None, "end")))
    assert (entry.quality, entry.usage.output_tokens, entry.stop_reason) == ("at least", COUNTER.count("deep"), "end")


@pytest.mark.parametrize("error", [RateLimited("full"), AuthenticationFailed("no")])
def test_an_attempt_that_surely_did_not_run_is_given_back(error):
    entry = settle(error=error)
    assert (entry.state, entry.nanousd) == ("released", None)
    assert str(error) in entry.error


def test_a_call_that_was_stopped_before_it_was_sent_is_given_back():
    assert settle(sent=False).state == "released"


@pytest.mark.parametrize("error", [ServerFailed("500"), StreamBroken("cut")])
def test_an_attempt_that_may_have_run_stays_at_its_ceiling(error):
    entry = settle(TextDelta("de"), error=error)
    assert entry.state == "unsettled"
    assert entry.used == PLAN.charge
    assert entry.nanousd == PLAN.charge.ceiling.nanousd
    assert entry.usage.output_tokens == 100


UNSEEN = replace(PLAN, model=replace(PLAN.model, thinks_unseen=True))


@pytest.mark.parametrize(
    "events", [(), (TextDelta("deep"),), (TextDelta("deep"), Finished(Answer((Text("deep"),), None, "end", id="m1")))]
)
def test_what_a_model_that_thinks_unseen_did_not_report_stays_at_its_ceiling(events):
    entry = settle(Started("m1"), *events, plan=UNSEEN)
    assert (entry.state, entry.used) == ("unsettled", PLAN.charge)
    assert entry.error == "no usage stated by a model that thinks unseen"
    assert entry.request_id == "m1"
    assert entry.stop_reason == ("end" if len(events) == 2 else "interrupted")


def test_what_a_model_that_thinks_unseen_reported_is_booked():
    usage = Usage(50, output_tokens=90, reasoning_tokens=80)
    entry = settle(Finished(Answer((Text("deep"),), usage, "end")), plan=UNSEEN)
    assert (entry.state, entry.usage, entry.quality) == ("settled", usage, "exact")


@pytest.mark.parametrize(
    ("model", "body", "state"),
    [
        (PLAN.model, {"thinking": {"type": "enabled", "budget_tokens": 50}}, "unsettled"),
        (PLAN.model, {"reasoning_effort": "high"}, "unsettled"),
        (PLAN.model, {"metadata": {}}, "settled"),
        (UNSEEN.model, {"thinking": {"type": "disabled"}}, "settled"),
    ],
)
def test_a_request_may_ask_for_thinking_or_for_none(model, body, state):
    plan = replace(PLAN, model=model, request=replace(PLAN.request, extras=Extras(body=body)))
    assert settle(Started("m1"), TextDelta("deep"), plan=plan).state == state


def test_a_reply_costs_what_its_way_of_being_served_costs():
    half = tuple((start, Rates(*(rate // 2 for rate in astuple(rates)))) for start, rates in PLAN.model.price.tiers)
    plan = replace(PLAN, model=replace(PLAN.model, price=replace(PLAN.model.price, served={"flex": half})))
    usage = Usage(50, output_tokens=10)
    plain, flex, other = (
        settle(Finished(Answer((), usage, "end", served=served)), plan=plan) for served in ("", "flex", "scale")
    )
    assert flex.nanousd * 2 == plain.nanousd == other.nanousd
    assert [entry.quality for entry in (plain, flex, other)] == ["exact", "exact", "estimated"]


def test_a_reply_that_used_more_than_was_held_is_booked_as_it_is():
    usage = Usage(10_000, output_tokens=5_000)
    entry = settle(Finished(Answer((), usage, "end")))
    assert entry.used.ceiling.nanousd == entry.nanousd > PLAN.charge.ceiling.nanousd


def test_an_unpriced_model_costs_unknown_and_never_nothing():
    plan = replace(PLAN, model=replace(PLAN.model, price=None))
    entry = settle(Finished(Answer((), Usage(1, output_tokens=1), "end")), plan=plan)
    assert (entry.nanousd, entry.quality) == (None, "unknown")


def test_a_partial_answer_holds_text_and_thoughts_but_no_half_call():
    outcome = Outcome(sent=True)
    for event in (ReasoningDelta("hm"), TextDelta("de"), TextDelta("ep"), ToolCallDelta(0, "t", "add", "{")):
        outcome.take(event)
    assert outcome.partial().parts == (Reasoning("hm"), Text("deep"))
    assert outcome.partial().stop_reason == "interrupted"
    outcome.error = StreamBroken("cut")
    assert outcome.partial().stop_reason == "unknown"


def test_what_a_services_own_tools_cost_is_not_in_its_usage():
    plan = replace(PLAN, request=replace(PLAN.request, server_tools=({"type": "web_search"},)))
    usage = Usage(input_tokens=50, output_tokens=10)
    entry = settle(Finished(Answer((Text("deep"),), usage, "end")), plan=plan)
    assert (entry.usage, entry.quality) == (usage, "at least")


@pytest.mark.parametrize(("asked", "state"), [(None, "settled"), ("low", "unsettled"), (2_048, "unsettled")])
def test_where_thinking_was_asked_for_a_stopped_reply_keeps_its_ceiling(asked, state):
    plan = replace(PLAN, request=replace(PLAN.request, reasoning=asked))
    assert settle(TextDelta("deep"), plan=plan).state == state
