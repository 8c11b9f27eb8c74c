"""What a service is asked for that compacts by itself, and what a call that it may compact is held at."""

from dataclasses import replace

import pytest

from tokmagic.catalog import demo_models
from tokmagic.core.affording import lowered
from tokmagic.core.book import Entry
from tokmagic.core.compaction import Compacting
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.exchanges import exchanges
from tokmagic.core.limits import Account, Level, Limit, Refused
from tokmagic.core.messages import CompactAt, Compaction, Message, Text, assistant, user
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.prices import Price, Rates, ceiling
from tokmagic.core.replies import Answer
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.thresholds import BY_ITSELF, ON_DEMAND, compact_at
from tokmagic.core.usage import Usage
from tokmagic.tokenizers import counter

CLAUDE, GPT, CHAT, SMALL = (demo_models()[name] for name in ("claude", "gpt", "chat", "small"))
COUNTED = counter("o200k_base")
LONG = (user("The ships sail over the sea and the wind blows. " * 400), assistant("Noted."), user("So?"))
SERVER = Compacting("server")


def plan(model, messages=LONG, threshold=1_000, **fields):
    compacting = replace(SERVER, threshold=threshold)
    return plan_call(model, messages, Wishes(max_tokens=100, compacting=compacting, **fields), COUNTED)


@pytest.mark.parametrize(
    ("model", "room", "tokens"),
    [(CLAUDE, 180_000, 100_000), (CLAUDE, 60_000, 50_000), (GPT, 8_000, 6_000), (GPT, None, 100_000)],
)
def test_the_threshold_is_that_of_tokmagic_and_is_reached_before_the_input_is_cut(model, room, tokens):
    assert compact_at(model, SERVER, room) == CompactAt(tokens)


def test_wishes_of_the_summary_stand_in_for_the_services_own():
    wish = compact_at(CLAUDE, replace(SERVER, focus="the codes", prompt="Be brief."), 180_000).instructions
    assert wish.startswith("Be brief. Above all keep what bears on this: the codes")


@pytest.mark.parametrize(
    ("model", "settings", "room"),
    [
        (CHAT, SERVER, None),
        (SMALL, SERVER, 8_000),
        (replace(CLAUDE, compacts_by_itself=False), SERVER, None),
        (replace(CLAUDE, max_output_tokens=None), SERVER, None),
        (CLAUDE, replace(SERVER, threshold=49_999), None),
        (GPT, replace(SERVER, threshold=999), None),
        (GPT, replace(SERVER, prompt="Be brief."), None),
    ],
)
def test_a_service_that_cannot_is_not_asked(model, settings, room):
    with pytest.raises(ConfigurationError):
        compact_at(model, settings, room)


def test_a_call_that_may_be_compacted_is_held_at_two_readings_and_the_longest_summary():
    found, plain = plan(GPT), plan_call(GPT, LONG, Wishes(max_tokens=100), COUNTED)
    once, most = plain.charge.ceiling.input_tokens, found.charge.ceiling
    assert found.summary_tokens == GPT.max_output_tokens
    assert most.input_tokens == once + once + GPT.max_output_tokens
    assert most.output_tokens == 100 + GPT.max_output_tokens
    assert most.tokens == most.input_tokens + most.output_tokens
    assert most.nanousd == ceiling(GPT.price, most.input_tokens, most.output_tokens)
    assert most.requests == 1


def test_what_is_read_again_fits_into_the_window():
    narrow = replace(GPT, context_window=20_000)
    most = plan(narrow).charge.ceiling.input_tokens
    assert most == plan_call(narrow, LONG, Wishes(max_tokens=100), COUNTED).charge.ceiling.input_tokens + 20_000


def test_a_call_that_cannot_reach_the_threshold_is_held_as_ever():
    assert plan(CLAUDE, threshold=50_000).summary_tokens == 0
    exactly = plan(GPT, threshold=1_000).charge.ceiling
    bound = plan_call(GPT, LONG, Wishes(max_tokens=100), COUNTED).charge.ceiling.input_tokens
    assert plan(GPT, threshold=bound + 101).summary_tokens == 0
    assert plan(GPT, threshold=bound + 100).charge.ceiling == exactly


@pytest.mark.parametrize("unit", ["output_tokens", "tokens", "nanousd"])
def test_a_shorter_answer_is_asked_for_only_where_the_summary_has_room_too(unit):
    found = plan(GPT)
    limit = Limit(found.charge.ceiling.of(unit) - 40, unit, "call", "session", "refuse")
    refused = Refused(Level(Account(limit, "all", "me")), found.charge.ceiling.of(unit))
    shorter = lowered(found, refused)
    assert shorter is not None
    assert shorter.request.max_tokens < 100
    assert shorter.charge.ceiling.of(unit) <= limit.amount
    assert shorter.charge.ceiling.output_tokens == shorter.request.max_tokens + GPT.max_output_tokens


def test_the_beta_features_are_named_where_they_are_needed():
    block = Message("assistant", (Compaction("They talked.", "anthropic", '{"type":"compaction"}'),))
    asked = plan(CLAUDE, threshold=50_000).request.extras.headers
    sent_back = plan_call(CLAUDE, (block, user("So?")), Wishes(max_tokens=100), COUNTED).request.extras.headers
    assert asked == {"anthropic-beta": BY_ITSELF}
    assert sent_back == {"anthropic-beta": f"{BY_ITSELF},{ON_DEMAND}"}
    on_demand = replace(CLAUDE, compacts_by_itself=False)
    sent_there = plan_call(on_demand, (block, user("So?")), Wishes(max_tokens=100), COUNTED).request.extras.headers
    assert sent_there == {"anthropic-beta": ON_DEMAND}
    assert plan(GPT).request.extras.headers == {}
    assert plan_call(CLAUDE, LONG, Wishes(max_tokens=100), COUNTED).request.extras.headers == {}


def test_a_summary_does_not_lift_the_answer_into_a_dearer_tier():
    cheap, dear = Rates(10**9, 10**9, 10**9, 10**9, 10**9), Rates(10**12, 10**12, 10**12, 10**12, 10**12)
    model = replace(GPT, price=Price(((0, cheap), (5_000, dear))))
    summary, usage = Usage(4_000, output_tokens=500), Usage(1_500, output_tokens=20)
    outcome = Outcome(sent=True, answer=Answer((Text("So."),), usage + summary, "end", compacting=summary))
    found = plan(model)
    ended = settle_entry(Entry("e", "c", 0.0, model.name, charge=found.charge), found, outcome, COUNTED, 1.0)
    assert (ended.state, ended.quality, ended.usage) == ("settled", "exact", usage + summary)
    assert ended.nanousd == 1_000 * (1_500 + 20 + 4_000 + 500)


def test_a_call_of_which_no_usage_is_stated_stays_at_its_ceiling_where_it_may_have_been_compacted():
    said = Outcome(sent=True, said=["So"])
    for threshold, state in ((1_000, "unsettled"), (20_000, "settled")):
        found = plan(GPT, threshold=threshold)
        entry = Entry("e", "c", 0.0, GPT.name, charge=found.charge)
        assert settle_entry(entry, found, said, COUNTED, 1.0).state == state


def test_the_answer_behind_a_summary_may_leave_without_it():
    block = Message("assistant", (Compaction("They talked.", "anthropic", "{}"),))
    assert exchanges([block, assistant("Soon."), *LONG], range(5)) == [[0], [1], [2, 3], [4]]
