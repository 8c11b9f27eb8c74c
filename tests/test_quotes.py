"""What a quote says of a compaction that is coming, and that it holds: nothing is sent for it, and no more is paid."""

import pytest

from tests.test_compacting import QUESTION, found, thread_of, watch
from tokmagic.client import AsyncClient
from tokmagic.core.compaction import Compacting
from tokmagic.core.events import Compacted
from tokmagic.core.money import Cost
from tokmagic.core.quotes import most_of_both
from tokmagic.notebook.cell import estimate

OWN = Compacting(threshold=6_000)
SERVER = Compacting("server", threshold=1_000)


@pytest.fixture
def run(runner):
    return runner.run


def quoted_and_sent(parts, run, model, thread, **options):
    client = AsyncClient(model, parts=parts, max_tokens=100, **options)
    quote = run(client.quote(QUESTION, thread=thread))
    assert parts.ledger.entries() == ()
    return quote, *run(watch(client.stream(QUESTION, thread=thread)))


@pytest.mark.parametrize(
    ("model", "how", "calls"), [("demo/small", "server", 2), ("demo/gpt", "server", 2), ("demo/chat", "summary", 1)]
)
def test_a_compaction_before_the_call_is_quoted_with_its_calls_and_its_most(parts, run, model, how, calls):
    quote, events, reply = quoted_and_sent(parts, run, model, thread_of(8), compact=OWN)
    record = found(events, Compacted)[0].record
    coming = quote.compaction
    assert (coming.how, coming.tokens_before, coming.calls) == (how, record.tokens_before, calls)
    assert record.tokens_after * 0.7 < coming.tokens_after < record.tokens_after * 1.5
    assert record.cost.nanousd <= coming.ceiling.nanousd < quote.ceiling.nanousd
    assert quote.calls == 1 + calls
    assert quote.cuts == ()
    assert abs(quote.input_tokens - reply.usage.input_tokens) < reply.usage.input_tokens
    assert quote.input_tokens < record.tokens_before
    total = sum(entry.nanousd for entry in parts.ledger.entries())
    assert total <= quote.ceiling.nanousd


def test_the_call_is_held_at_what_it_costs_without_its_compaction_for_that_may_come_to_nothing(parts, run):
    client, thread = AsyncClient("demo/gpt", parts=parts, max_tokens=100), thread_of(8)
    plain = run(client.quote(QUESTION, thread=thread, compact="off"))
    quote = run(client.quote(QUESTION, thread=thread, compact=OWN))
    assert quote.ceiling.nanousd == plain.ceiling.nanousd + quote.compaction.ceiling.nanousd


def test_a_compaction_that_needs_no_call_costs_nothing(parts, run):
    thread = thread_of(8)
    quote, events, _ = quoted_and_sent(
        parts, run, "demo/chat", thread, compact=Compacting(threshold=6_000, how="extract")
    )
    assert (quote.compaction.how, quote.compaction.calls, quote.calls) == ("extract", 0, 1)
    assert quote.compaction.ceiling == Cost(0, "exact", play=True)
    assert quote.compaction.tokens_after == found(events, Compacted)[0].record.tokens_after


def test_one_on_the_way_to_the_answer_is_quoted_as_a_part_of_the_call(parts, run):
    quote, events, reply = quoted_and_sent(parts, run, "demo/gpt", thread_of(8), compact=SERVER)
    assert found(events, Compacted)
    coming = quote.compaction
    assert (coming.how, coming.tokens_before, coming.tokens_after) == ("threshold", quote.input_tokens, None)
    assert (coming.calls, quote.calls) == (0, 1)
    assert 0 < coming.ceiling.nanousd < quote.ceiling.nanousd
    assert reply.cost.nanousd <= quote.ceiling.nanousd


@pytest.mark.parametrize("compact", ["auto", "server", "off"])
def test_where_none_is_coming_none_is_quoted(parts, run, compact):
    quote, events, _ = quoted_and_sent(parts, run, "demo/gpt", thread_of(2), compact=compact)
    assert quote.compaction is None
    assert not found(events, Compacted)


def test_with_compaction_off_a_long_thread_is_quoted_with_its_cuts(parts, run):
    quote, _, reply = quoted_and_sent(parts, run, "demo/small", thread_of(12), compact="off")
    assert quote.compaction is None
    assert quote.cuts == reply.truncated != ()


@pytest.mark.parametrize("compact", [OWN, SERVER])
def test_what_is_kept_is_quoted_as_free(parts, run, compact):
    client = AsyncClient("demo/gpt", parts=parts, replay=True, max_tokens=100, compact=compact)
    run(client.send(QUESTION, thread=thread_of(8)))
    quote = run(client.quote(QUESTION, thread=thread_of(8)))
    assert quote.replayed
    assert quote.ceiling.nanousd in (0, quote.compaction and quote.compaction.ceiling.nanousd)


def test_a_limit_on_a_summary_leaves_an_extract(parts, run):
    quote, events, _ = quoted_and_sent(
        parts, run, "demo/chat", thread_of(8), compact=OWN, limits=["3k input_tokens/call"], max_input_tokens=2_900
    )
    assert found(events, Compacted)[0].record.how == "extract"
    assert quote.compaction is not None


def test_an_estimate_says_what_is_coming(parts, run):
    quote, *_ = quoted_and_sent(parts, run, "demo/small", thread_of(8), compact=OWN)
    said = estimate(quote)["text/plain"]
    coming = quote.compaction
    assert f"by the service: {coming.tokens_before:,} to about {coming.tokens_after:,} tokens" in said
    assert "its part of the cost at most $" in said
    assert "at most 3" in said


def test_beside_real_money_play_money_counts_for_nothing():
    play, real = Cost(5, "estimated", play=True), Cost(7, "estimated")
    assert most_of_both(play, real) == most_of_both(real, play) == real
    assert most_of_both(real, real) == Cost(14, "estimated")
    assert most_of_both(play, play).nanousd == 10
