"""When a conversation is compacted, what leaves it, and which summary may take its place."""

from dataclasses import replace

import pytest

from tokmagic.catalog import demo_models
from tokmagic.core.compaction import (
    Compacting,
    objection,
    plan_compaction,
    splice,
    threshold_of,
    tokens_after,
    too_little,
)
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import (
    Compaction,
    Image,
    Message,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    assistant,
    system,
    user,
)
from tokmagic.core.summarising import headed
from tokmagic.core.tokens import count_request
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
CLAUDE, SMALL = demo_models()["claude"], demo_models()["small"]
LONG = "word " * 200


def talk(exchanges, said=LONG):
    return [
        message for n in range(exchanges) for message in (user(f"question {n} {said}"), assistant(f"answer {n} {said}"))
    ]


def plan_of(messages, **wishes):
    plan = plan_compaction(messages, COUNTER, **{"threshold": 100_000, "keep_recent": 4, **wishes})
    return None if plan.shortfall else plan


def test_the_threshold_is_the_least_of_its_bounds():
    assert threshold_of(CLAUDE, Compacting(), None) == 100_000
    assert threshold_of(SMALL, Compacting(), None) == 6_144
    assert threshold_of(SMALL, Compacting(), 4_000) == 4_000
    assert threshold_of(SMALL, Compacting(threshold=500), 4_000) == 500
    assert threshold_of(replace(CLAUDE, context_window=None), Compacting(), None) == 100_000


@pytest.mark.parametrize(
    "wrong", [{"mode": "soon"}, {"threshold": 0}, {"keep_recent": -1}, {"every": 0}, {"coming": 0}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        Compacting(**wrong)


def test_old_turns_leave_and_recent_ones_stay_word_for_word():
    messages = [system("Be brief."), *talk(8)]
    plan = plan_of(messages)
    assert plan.replaced == tuple(messages[1:13])
    assert plan.kept == (messages[0], *messages[13:])
    assert plan.tokens == count_request(messages, (), COUNTER)
    assert plan.kept_tokens == count_request(plan.kept, (), COUNTER)


def test_pinned_turns_stay_with_their_exchange():
    messages = talk(8)
    messages[3] = replace(messages[3], pinned=True)
    assert plan_of(messages).kept[:2] == tuple(messages[2:4])


def test_recent_turns_keep_half_of_the_threshold_at_most():
    messages = talk(8)
    plan = plan_of(messages, keep_recent=16, threshold=2_000)
    assert plan.kept_tokens <= 1_000
    assert plan.kept == tuple(messages[-len(plan.kept) :])


def test_nothing_is_planned_where_little_would_be_saved():
    assert plan_of(talk(2)) is None
    assert plan_of([*talk(1, said="short"), *talk(3)], keep_recent=6) is None


def test_an_earlier_summary_goes_into_the_new_one():
    earlier = Message("user", (Compaction("The user wants ships."),))
    plan = plan_of([earlier, *talk(8)])
    assert plan.replaced[0] == earlier
    assert earlier not in plan.kept


def rounds(number):
    call = Message("assistant", (Reasoning("hm", "c2ln"), ToolCall(f"c{number}", "look")))
    return [call, Message("user", (ToolResult(f"c{number}", (Text(LONG),)),))]


def test_in_a_running_loop_of_tools_old_rounds_leave_whole_and_the_question_stays():
    messages = [user("Look everywhere."), *(message for number in range(8) for message in rounds(number))]
    plan = plan_of(messages)
    assert plan.kept[0] == messages[0]
    assert plan.kept[1:] == tuple(messages[13:])
    assert plan.leading is None


def test_a_call_without_an_answer_is_never_summarised():
    waiting = Message("assistant", (ToolCall("c9", "look"),))
    assert plan_of([*talk(8), user("Look."), waiting], keep_recent=0).kept[-1] == waiting
    midway = [*talk(1), user("Look."), waiting, *talk(8)]
    assert waiting in plan_of(midway, keep_recent=0).kept


def test_thinking_leaves_with_the_history_it_was_bound_to():
    thinking = Message("assistant", (Reasoning("hm", "c2ln"), Text("So.")))
    only = Message("assistant", (Reasoning("hm", "c2ln"),))
    messages = [*talk(8), user("Why?"), thinking, user("And?"), only]
    assert thinking in plan_of(messages).kept
    assert plan_of(messages, thinking=False).kept[-3:] == (user("Why?"), assistant("So."), user("And?"))


def test_the_summary_comes_behind_the_system_text_and_before_all_that_stays():
    plan = plan_of([system("Be brief."), *talk(8)])
    summary = Compaction("They talked.")
    after = splice(plan, summary)
    assert after == (system("Be brief."), Message("user", (summary,)), *plan.kept[1:])
    assert tokens_after(plan, summary, COUNTER) == count_request(after, (), COUNTER)


def test_a_block_of_the_service_goes_back_as_it_came():
    block = Compaction("They talked.", "anthropic", '{"type":"compaction","content":"They talked.","signature":"c2ln"}')
    assert splice(plan_of(talk(8)), block)[0] == Message("assistant", (block,))


@pytest.mark.parametrize(
    ("summary", "ended", "said"),
    [
        (Compaction("They talked."), "end", ""),
        (Compaction("", "openai", '{"type":"compaction"}'), "compaction", ""),
        (Compaction(" \n"), "end", "empty"),
        (Compaction(headed("")), "end", "empty"),
        (Compaction("They talked of"), "max_tokens", "not whole (max tokens)"),
        (Compaction("I cannot."), "refusal", "not whole (refusal)"),
        (Compaction("They ta"), "interrupted", "not whole (interrupted)"),
        (Compaction(LONG * 12), "end", "tokens would stay, and 20 % have to go"),
    ],
)
def test_a_summary_takes_its_place_only_if_it_is_whole_and_saves_enough(summary, ended, said):
    found = objection(plan_of(talk(8)), summary, ended, COUNTER)
    assert said in found
    assert bool(found) == bool(said)


def test_images_that_a_summary_cannot_carry_are_counted():
    messages = [user("Look.", Image("image/png", b"x"), Image("image/png", b"y")), assistant(LONG), *talk(7)]
    assert plan_of(messages).images == 2


def test_what_leaves_can_be_sent_alone_where_it_is_a_beginning():
    plan = plan_of([system("Be brief."), *talk(8)])
    assert plan.leading == (system("Be brief."), *plan.replaced)
    pinned = [replace(message, pinned=place == 3) for place, message in enumerate(talk(8))]
    assert plan_of(pinned).leading is None


def test_where_too_little_would_leave_the_numbers_say_so():
    short = plan_compaction([user("Hi."), assistant("Hello.")], COUNTER, threshold=100, keep_recent=0)
    assert short.shortfall == f"its {short.tokens} tokens are of turns that stay word for word"
    small = plan_compaction([user("Hi."), assistant("Hello."), *talk(1)], COUNTER, threshold=10_000, keep_recent=2)
    assert small.shortfall == f"{small.kept_tokens + 64} of {small.tokens} tokens would stay, and 20 % have to go"
    assert too_little(100, 81).startswith("81 of 100 tokens")
    assert too_little(100, 80) == ""
