"""A text that is too long goes in parts, each a call of its own in the book; one reply has the answer and the sum."""

import asyncio

import pytest

from tokmagic.client import AsyncClient
from tokmagic.conversation import Conversation
from tokmagic.core.errors import BudgetExceeded, RequestTooLarge
from tokmagic.core.events import Completed, Planned, Progress, TextDelta
from tokmagic.core.messages import Message, Text, assistant, system, user
from tokmagic.core.words import parse_limit
from tokmagic.corridor.passage import Passage
from tokmagic.corridor.splitting import AT_ONCE, SplitPassage

ASKED = "Which animals live in the sea? Name them."
SENTENCES = "The sea is deep and blue. Whales number {n} live in the sea. Ships cross the sea in storms. "
LONG = "".join(SENTENCES.format(n=n) for n in range(1_200))


def split(parts, *messages, limits=(), turns=None, **options):
    options.setdefault("model", "demo/small")
    made = [parse_limit(limit) for limit in limits]

    def make(messages, options):
        return Passage(parts, options, messages, turns or messages[-1:], made)

    return SplitPassage(parts, make, options, messages)


@pytest.fixture
def run(runner):
    return runner.run


async def watch(passage):
    return [event async for event in passage.run()]


def test_a_long_text_is_answered_part_by_part_and_once_more_together(parts, run):
    passage = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300)
    events = run(watch(passage))
    entries, total = parts.ledger.entries(), next(event.total for event in events if isinstance(event, Progress))
    receipt = passage.reply.receipt
    assert total >= 4
    assert [e.done for e in events if isinstance(e, Progress)] == list(range(total + 1))
    assert len(entries) == receipt.calls == receipt.attempts == total + 1
    assert {entry.state for entry in entries} == {"settled"}
    assert receipt.cost.nanousd == sum(entry.nanousd for entry in entries)
    assert receipt.usage.input_tokens == sum(entry.usage.input_tokens for entry in entries)
    assert receipt.cuts == ()
    assert receipt.badges[-1] == f"{total + 1} calls"
    assert "sea" in passage.reply.text


def test_only_the_last_call_is_shown_and_ends_in_one_reply(parts, run):
    passage = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300)
    events = run(watch(passage))
    assert sum(isinstance(event, Planned) for event in events) == 1
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == passage.reply.text
    assert events[-1] == Completed(passage.reply)
    assert sum(isinstance(event, Completed) for event in events) == 1
    (cell,) = parts.gauge.snapshot((), (), ()).cells
    assert cell.receipt == passage.reply.receipt


def test_what_fits_is_one_ordinary_call(parts, run):
    passage = split(parts, user(ASKED))
    events = run(watch(passage))
    assert not any(isinstance(event, Progress) for event in events)
    assert passage.reply.receipt.calls == 1
    assert len(parts.ledger.entries()) == 1


def test_a_long_conversation_around_a_short_question_is_made_to_fit_instead(parts, run):
    passage = split(parts, *[user(LONG[:9_000]), assistant(LONG[:9_000])] * 4, user(ASKED))
    run(watch(passage))
    assert passage.reply.receipt.calls == 1
    assert passage.reply.truncated


def test_answers_too_long_to_combine_are_split_again(parts, run):
    passage = split(parts, user(f"{ASKED}\n\n{LONG[:30_000]}"), max_input_tokens=900, max_tokens=300)
    events = run(watch(passage))
    totals = [event.total for event in events if isinstance(event, Progress) and event.done == 0]
    assert len(totals) > 1
    assert totals == sorted(totals, reverse=True)
    assert passage.reply.receipt.calls == sum(totals) + 1 == len(parts.ledger.entries())
    assert all(entry.usage.input_tokens <= 900 for entry in parts.ledger.entries())


def test_a_thread_grows_by_the_question_and_the_combined_answer(parts, run):
    thread = Conversation("sea", (user("Hello"), assistant("Hi")))
    question = user(f"{ASKED}\n\n{LONG}")
    passage = split(parts, *thread.messages, question, turns=(question,), thread=thread, max_tokens=300)
    run(watch(passage))
    assert thread.messages[2:] == [question, assistant(passage.reply.text)]


def test_the_quote_says_into_how_many_and_bounds_the_cost(parts, run):
    passage = split(parts, system("Be brief."), user(f"{ASKED}\n\n{LONG}"), max_tokens=300)
    quote = passage.quote()
    assert parts.ledger.entries() == ()
    run(watch(passage))
    receipt = passage.reply.receipt
    assert quote.calls == receipt.calls
    assert receipt.cost.nanousd <= quote.ceiling.nanousd
    assert abs(quote.input_tokens - receipt.usage.input_tokens) <= quote.input_tokens.margin
    assert (quote.max_tokens, quote.cuts) == (300, ())


def test_parts_whose_answers_are_kept_are_quoted_as_free(parts, run):
    question = user(f"{ASKED}\n\n{LONG}")
    run(watch(split(parts, question, max_tokens=300, replay=True)))
    kept = split(parts, question, max_tokens=300, replay=True).quote()
    assert (kept.replayed, kept.ceiling.nanousd, kept.calls) == (True, 0, 1)
    for fresh in ({"max_tokens": 200, "replay": True}, {"max_tokens": 300}):
        assert split(parts, question, **fresh).quote().calls > 1


def test_a_quote_of_what_fits_is_the_ordinary_one(parts):
    assert split(parts, user(ASKED)).quote().calls == 1


def test_a_refused_part_stops_all_and_what_was_spent_is_in_the_book(parts, run):
    question = user(f"{ASKED}\n\n{LONG * 2}")
    ceiling = split(parts, question, max_tokens=300).quote().ceiling.nanousd
    passage = split(parts, question, limits=[f"{ceiling / 2e9} usd/session"], max_tokens=300)
    with pytest.raises(BudgetExceeded):
        run(watch(passage))
    entries = [entry for entry in parts.ledger.entries() if entry.state == "settled"]
    assert {entry.state for entry in parts.ledger.entries()} <= {"settled", "released"}
    assert passage.reply.cost.nanousd == sum(entry.nanousd for entry in entries) <= ceiling / 2


def test_stopped_it_keeps_the_answers_that_came_and_settles_the_rest(make_parts, run):
    parts = make_parts(pace=2_000.0)
    passage = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300)

    async def stop_after_two_parts():
        stream = passage.run()
        async for event in stream:
            if isinstance(event, Progress) and event.done == 2:
                break
        await stream.aclose()

    run(stop_after_two_parts())
    entries = parts.ledger.entries()
    assert 2 <= len(entries) <= 2 + AT_ONCE
    assert not [entry for entry in entries if entry.state == "held"]
    assert passage.reply.stopped
    assert passage.reply.text
    assert passage.reply.cost.nanousd == sum(entry.nanousd for entry in entries if entry.state == "settled")


def test_never_more_than_a_few_parts_are_under_way_together(parts, run):
    running, most = 0, 0

    class Watched(Passage):
        async def run(self):
            nonlocal running, most
            running += 1
            most = max(most, running)
            async for event in super().run():
                yield event
            running -= 1

    options = {"model": "demo/small", "max_tokens": 300}
    messages = (user(f"{ASKED}\n\n{LONG}"),)
    passage = SplitPassage(parts, lambda said, given: Watched(parts, given, said, said, []), options, messages)
    run(watch(passage))
    assert most == AT_ONCE


def test_what_stands_beside_the_text_must_fit_into_every_part(parts, run):
    message = Message("user", (Text(LONG), Text(LONG[:-10])))
    with pytest.raises(RequestTooLarge, match="shorten the system text and what stands beside the text"):
        run(watch(split(parts, message)))
    assert parts.ledger.entries() == ()


def test_cancelling_the_task_settles_every_part(make_parts, run):
    parts = make_parts(pace=50.0)
    passage = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300)

    async def cancel_midway():
        begun = asyncio.Event()

        async def consume():
            async for _ in passage.run():
                begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        while not parts.ledger.entries():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(cancel_midway())
    assert not [entry for entry in parts.ledger.entries() if entry.state == "held"]


def test_the_client_splits_where_it_is_asked_to(parts, run):
    client = AsyncClient("demo/small", parts=parts, truncate="split", max_tokens=300)
    quote = run(client.quote(f"{ASKED}\n\n{LONG}"))
    reply = run(client.send(f"{ASKED}\n\n{LONG}"))
    assert 1 < reply.receipt.calls <= quote.calls
    assert not reply.truncated


def test_a_limit_per_call_bounds_the_parts_together(parts, run):
    whole = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300)
    run(watch(whole))
    enough = whole.reply.cost.nanousd
    tight = split(parts, user(f"{ASKED}\n\n{LONG}"), max_tokens=300, limits=[f"{enough / 2e9} usd/call"])
    with pytest.raises(BudgetExceeded, match="/call"):
        run(watch(tight))
    spent = sum(entry.nanousd for entry in parts.ledger.entries()) - enough
    assert 0 < spent <= enough / 2
    assert [entry for entry in parts.ledger.open_entries() if entry.state == "held"] == []


def test_no_part_is_answered_shorter_because_of_what_the_others_hold(parts, run):
    question = user(f"{ASKED}\n\n{LONG[: len(LONG) * 2 // 3]}")
    free = split(parts, question, max_tokens=1_000)
    run(watch(free))
    before = parts.ledger.entries()
    most = max(entry.charge.ceiling.nanousd - entry.nanousd for entry in before)
    budget = 2 * free.reply.cost.nanousd + most * 3 // 2
    tight = split(parts, question, max_tokens=1_000, limits=[f"{budget / 1e9:.9f} usd/session"])
    run(watch(tight))
    after = [entry for entry in parts.ledger.entries() if entry not in before and entry.state == "settled"]
    assert len(after) == len(before) >= 4
    assert sorted(entry.charge.ceiling.output_tokens for entry in after) == sorted(
        entry.charge.ceiling.output_tokens for entry in before
    )
    assert tight.reply.text == free.reply.text


def test_a_part_is_refused_rather_than_shortened_also_for_what_calls_beside_the_whole_hold(parts, run):
    may_wait = []

    class Crowded(Passage):
        async def run(self):
            may_wait.append(self._booking.beside())
            raise BudgetExceeded("No room.", limit="9 tokens/day", needed=8, left=7)
            yield

    def make(messages, options):
        return Crowded(parts, options, messages, messages[-1:], [])

    for text in (LONG, "Whales."):
        whole = SplitPassage(parts, make, {"model": "demo/small"}, (user(f"{ASKED}\n\n{text}"),))
        whole.go_beside(lambda: True)
        with pytest.raises(BudgetExceeded):
            run(watch(whole))
    assert len(may_wait) > AT_ONCE
    assert all(may_wait)
