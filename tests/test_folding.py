"""A service that compacts a thread on the way to its answer: over the real SDKs, the server and a real book."""

from dataclasses import replace

import pytest

from tests.test_compacting import CHATTER, QUESTION, ask, found, look, thread_of, watch
from tokmagic.client import AsyncClient
from tokmagic.conversation import Conversation
from tokmagic.core.compaction import Compacting
from tokmagic.core.errors import BudgetExceeded, ConfigurationError, MissingKey
from tokmagic.core.events import Compacted, Completed, Notice, Planned, TextDelta
from tokmagic.core.messages import Compaction, Message, assistant, user
from tokmagic.core.prices import Rates, cost
from tokmagic.folding import fold
from tokmagic.sync import Client

LEAST = {"demo/claude": 50_000, "demo/gpt": 1_000}
SIZES = {"demo/claude": 64, "demo/gpt": 8}
MODELS = sorted(LEAST)


@pytest.fixture
def run(runner):
    return runner.run


def by_itself(model, **fields):
    return Compacting(mode="server", threshold=LEAST[model], **fields)


def long_thread(model):
    return thread_of(SIZES[model])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_the_service_compacts_the_thread_while_it_answers_and_everything_says_so(parts, run, model, stream):
    thread = long_thread(model)
    before = tuple(thread.messages)
    events, reply = run(ask(AsyncClient(model, parts=parts), thread, compact=by_itself(model), stream=stream))
    record = found(events, Compacted)[0].record
    assert (record.how, record.replaced, record.kept) == ("threshold", len(before) + 1, 1)
    assert record.tokens_after < record.tokens_before // 4
    assert [event for event in events if isinstance(event, (TextDelta, Compacted, Completed))][-2:] == events[-2:]
    assert (type(events[-2]), type(events[-1])) == (Compacted, Completed)
    (entry,) = parts.ledger.entries()
    assert (entry.kind, entry.state, entry.usage) == ("call", "settled", reply.usage)
    assert reply.receipt.compaction == record
    assert reply.receipt.badges == (f"compacted: {record.tokens_before:,} → {record.tokens_after:,} tokens",)
    assert parts.gauge.snapshot((), (), ()).cells[-1].receipt.compaction == record
    (block,), (answer,) = thread.messages[0].parts, thread.messages[1].parts
    assert block.raw == reply.answer.compaction.raw
    assert answer.text == reply.text
    assert thread.history == (*before, user(QUESTION), assistant(reply.text))
    assert thread.compactions == (record,)
    assert "QX37" in thread.summary


@pytest.mark.parametrize("model", MODELS)
def test_the_next_call_sends_the_summary_back_in_the_place_of_what_it_stands_for(parts, run, model):
    client, thread = AsyncClient(model, parts=parts), long_thread(model)
    _, first = run(ask(client, thread, compact=by_itself(model)))
    summary = thread.messages[0]
    events, reply = run(ask(client, thread, compact=by_itself(model)))
    assert not found(events, Compacted)
    assert reply.usage.input_tokens < LEAST[model]
    assert thread.messages[0] == summary
    assert thread.messages[1:3] == [assistant(first.text), user(QUESTION)]
    assert len(thread) == 4


def test_the_summary_and_the_answer_are_priced_each_by_itself(parts, run):
    _, reply = run(
        ask(AsyncClient("demo/claude", parts=parts), long_thread("demo/claude"), compact=by_itself("demo/claude"))
    )
    summary, price = reply.answer.compacting, parts.model("demo/claude").price
    assert summary.input_tokens > 50_000
    assert reply.usage.input_tokens > summary.input_tokens
    apart = cost(price, summary).nanousd + cost(price, reply.usage - summary).nanousd
    assert (reply.cost.nanousd, reply.receipt.compaction.cost) == (apart, cost(price, summary))


def test_the_summary_is_priced_in_the_way_in_which_the_call_was_served(parts, run):
    thread = long_thread("demo/claude")
    _, reply = run(ask(AsyncClient("demo/claude", parts=parts), thread, compact=by_itself("demo/claude")))
    thread.undo()
    model = parts.model("demo/claude")
    dear = replace(model.price, served={"priority": ((0, Rates(*(10**10,) * 5)),)})
    hurried = replace(reply, answer=replace(reply.answer, served="priority"))
    asked = tuple(thread.messages[:-1])
    found = fold(thread, (), asked, hurried, replace(model, price=dear), parts.counter(model))
    assert found.record.cost == cost(dear, reply.answer.compacting, served="priority")
    assert found.record.cost.nanousd > reply.receipt.compaction.cost.nanousd


@pytest.mark.parametrize("model", MODELS)
def test_the_ceiling_covers_the_summary_too(parts, run, model):
    client, thread = AsyncClient(model, parts=parts), long_thread(model)
    plain = run(client.quote(QUESTION, thread=thread, max_tokens=100, compact="off"))
    events, reply = run(ask(client, thread, compact=by_itself(model)))
    (entry,), (planned,) = parts.ledger.entries(), found(events, Planned)
    most = parts.model(model).max_output_tokens
    assert entry.charge.ceiling.output_tokens == 100 + most
    assert entry.charge.ceiling.input_tokens > 2 * plain.input_tokens
    assert planned.ceiling_nanousd > plain.ceiling.nanousd
    used = reply.usage
    assert (used.input_tokens, used.output_tokens) < (entry.charge.ceiling.input_tokens, 100 + most)


def test_a_limit_that_has_no_room_for_both_lowers_or_refuses_the_call(parts, run):
    thread, model = long_thread("demo/gpt"), parts.model("demo/gpt")
    bound = f"{model.max_output_tokens + 600} output_tokens/call"
    client = AsyncClient("demo/gpt", parts=parts, limits=[bound])
    _, reply = run(watch(client.stream(QUESTION, thread=thread, max_tokens=2_000, compact=by_itself("demo/gpt"))))
    assert reply.receipt.lowered_from == 2_000
    assert reply.receipt.max_tokens == 600
    client = AsyncClient("demo/gpt", parts=parts, limits=["20k output_tokens/call"])
    with pytest.raises(BudgetExceeded):
        run(ask(client, long_thread("demo/gpt"), compact=by_itself("demo/gpt")))


def test_a_thread_that_cannot_reach_the_threshold_is_held_as_ever(parts, run):
    client, thread = AsyncClient("demo/claude", parts=parts), thread_of(3)
    events, _ = run(ask(client, thread, compact=by_itself("demo/claude")))
    assert not found(events, (Compacted, Notice))
    assert parts.ledger.entries()[0].charge.ceiling.output_tokens == 100


@pytest.mark.parametrize("model", MODELS)
def test_undo_brings_every_turn_back_and_is_not_undone_at_once(parts, run, model):
    client, thread = AsyncClient(model, parts=parts), long_thread(model)
    before = tuple(thread.messages)
    _, reply = run(ask(client, thread, compact=by_itself(model)))
    thread.undo()
    assert tuple(thread.messages) == (*before, user(QUESTION), assistant(reply.text))
    events, _ = run(ask(client, thread, compact=by_itself(model)))
    assert not found(events, Compacted)


def test_between_two_summaries_lie_so_many_answers(parts, run):
    client, thread = AsyncClient("demo/gpt", parts=parts), long_thread("demo/gpt")
    done = []
    for _ in range(4):
        events, _ = run(ask(client, thread, compact=by_itself("demo/gpt", every=2)))
        done.append(bool(found(events, Compacted)))
        thread.messages += [user(CHATTER * 3), assistant("Noted.")]
    assert done == [True, False, True, False]
    assert sum(isinstance(part, Compaction) for message in thread.messages for part in message.parts) == 1


@pytest.mark.parametrize("model", MODELS)
def test_another_model_or_way_goes_on_with_such_a_thread(parts, run, model):
    thread = long_thread(model)
    run(ask(AsyncClient(model, parts=parts), thread, compact=by_itself(model)))
    for other in ("demo/claude", "demo/gpt", "demo/chat", "demo/small"):
        assert run(AsyncClient(other, parts=parts).send(QUESTION, thread=thread, max_tokens=100)).text
    thread.messages += thread_of(8).messages
    assert run(AsyncClient(model, parts=parts).compact(thread))
    assert sum(isinstance(part, Compaction) for message in thread.messages for part in message.parts) == 1
    assert run(AsyncClient(model, parts=parts).send(QUESTION, thread=thread, max_tokens=100)).text


@pytest.mark.parametrize(
    ("model", "compact", "why"),
    [
        ("demo/chat", "server", "compacts no conversation by itself over Chat Completions: "),
        ("demo/small", "server", "from 50,000 tokens on at the earliest, and its input may take 8,092"),
        ("demo/claude", Compacting("server", threshold=6_000), "from 50,000 tokens on at the earliest, not from 6,000"),
        ("demo/gpt", Compacting("server", focus="the codes"), "takes no wishes"),
    ],
)
def test_a_service_that_cannot_is_not_asked(parts, run, model, compact, why):
    with pytest.raises(ConfigurationError, match=why):
        run(ask(AsyncClient(model, parts=parts), thread_of(1), compact=compact))
    assert parts.ledger.entries() == ()


def test_a_thread_with_pinned_messages_is_not_given_to_a_service_that_would_summarise_them(parts, run):
    thread = Conversation("sea", (Message("user", user("Never forget this.").parts, pinned=True), assistant("Noted.")))
    with pytest.raises(ConfigurationError, match="pinned: 1 of its messages"):
        run(ask(AsyncClient("demo/gpt", parts=parts), thread, compact="server"))
    assert run(ask(AsyncClient("demo/gpt", parts=parts), thread, compact="auto"))[1].text


def test_without_a_thread_nothing_is_asked(parts, run):
    reply = run(AsyncClient("demo/chat", parts=parts).send("Hello.", compact="server", max_tokens=100))
    assert reply.text


def test_a_summary_that_helps_nothing_changes_nothing_and_is_not_asked_for_again(parts, run):
    client, thread = AsyncClient("demo/claude", parts=parts), thread_of(0)
    long = f"{CHATTER * 130}\n{QUESTION}"
    stream = client.stream(long, thread=thread, max_tokens=100, compact=by_itself("demo/claude"))
    events, reply = run(watch(stream))
    (notice,) = found(events, Notice)
    assert "its service is not asked to compact it again" in notice.text
    assert not any(isinstance(part, Compaction) for message in thread.messages for part in message.parts)
    assert (thread.stuck != "", reply.receipt.compaction, thread.compactions) == (True, None, ())
    run(ask(client, thread, compact=by_itself("demo/claude")))
    assert parts.ledger.entries()[0].charge.ceiling.output_tokens == 100


def test_a_thread_that_changed_meanwhile_keeps_every_turn(parts, run):
    thread = long_thread("demo/gpt")

    async def midway():
        stream = AsyncClient("demo/gpt", parts=parts).stream(QUESTION, thread=thread, compact=by_itself("demo/gpt"))
        told = []
        async with stream as events:
            async for event in events:
                told.append(event)
                thread.messages[0] = user("Changed.")
        return told

    events = run(midway())
    assert "changed meanwhile" in found(events, Notice)[-1].text
    assert (len(thread.messages), thread.compactions) == (18, ())
    assert thread.known("demo/gpt") is None
    assert not any(isinstance(part, Compaction) for message in thread.messages for part in message.parts)


def test_a_call_that_is_stopped_stays_at_its_ceiling_for_nobody_saw_the_summarys_price(make_parts, run):
    parts = make_parts(pace=200)
    thread = long_thread("demo/gpt")

    async def stopped():
        stream = AsyncClient("demo/gpt", parts=parts).stream(QUESTION, thread=thread, compact=by_itself("demo/gpt"))
        async with stream as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break

    run(stopped())
    (entry,) = parts.ledger.entries()
    assert (entry.state, entry.nanousd) == ("unsettled", entry.charge.ceiling.nanousd)
    assert "may have compacted" in entry.error


def test_what_a_summary_used_teaches_nothing_of_tokens_and_answers(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    run(ask(client, long_thread("demo/claude"), compact=by_itself("demo/claude")))
    assert parts.learning.typical(parts.model("demo/claude")).answers == 0


def looped(parts, run, **options):
    stream = (
        AsyncClient("demo/gpt", parts=parts).run_tools("use the look tool with at=7", tools=[look], **options).stream()
    )
    return run(watch(stream))


def looped_blocking(parts, _, **options):
    with (
        Client("demo/gpt", parts=parts)
        .run_tools("use the look tool with at=7", tools=[look], **options)
        .stream() as stream
    ):
        return list(stream), stream.reply


@pytest.mark.parametrize("loop", [looped, looped_blocking])
def test_in_a_loop_of_tools_an_open_call_still_gets_its_result(parts, run, loop):
    thread = thread_of(8)
    events, reply = loop(parts, run, thread=thread, compact=by_itself("demo/gpt"), max_tokens=200)
    assert len(found(events, Compacted)) == 1
    assert "The look tool returned: Harbour 7" in reply.text
    assert isinstance(thread.messages[0].parts[0], Compaction)
    assert [message.role for message in thread.messages] == ["user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("model", MODELS)
def test_a_thread_that_is_gone_through_again_is_replayed_with_its_summary(parts, run, model):
    client = AsyncClient(model, parts=parts, replay=True)
    first, again = long_thread(model), long_thread(model)
    for thread in (first, again):
        events, _ = run(ask(client, thread, compact=by_itself(model)))
        _, reply = run(ask(client, thread, compact=by_itself(model)))
    assert found(events, Compacted)[0].record.cost.nanousd == 0
    assert reply.receipt.replayed
    assert again.messages == first.messages
    assert len(parts.ledger.entries()) == 2


def test_a_call_in_parts_is_never_summarised_for_its_thread(parts, run):
    client, thread = AsyncClient("demo/gpt", parts=parts), thread_of(1)
    stream = client.stream(
        f"{CHATTER * 30}\n{QUESTION}",
        thread=thread,
        truncate="split",
        max_input_tokens=3_000,
        compact=by_itself("demo/gpt"),
    )
    events, reply = run(watch(stream))
    assert reply.receipt.calls > 1
    assert not found(events, Compacted)
    assert len(thread.messages) == 4


def test_a_model_of_the_chain_whose_service_cannot_has_its_thread_compacted_the_ordinary_way(parts, run):
    thread = long_thread("demo/gpt")
    client = AsyncClient(["openai/gpt-6-sol", "demo/chat"], parts=parts)
    events, reply = run(watch(client.stream(QUESTION, thread=thread, compact=by_itself("demo/gpt"), max_tokens=100)))
    said = found(events, Notice)[0].text
    assert said.startswith("openai/gpt-6-sol failed, demo/chat is asked instead. Its service does not compact this")
    assert (reply.receipt.model, reply.receipt.instead_of) == ("demo/chat", ("openai/gpt-6-sol",))
    assert reply.receipt.compaction.how == "summary"
    assert found(events, Completed)[-1].reply == reply


def test_a_chain_of_services_that_all_can_is_one_chain(parts, run):
    thread = long_thread("demo/gpt")
    client = AsyncClient(["openai/gpt-6-sol", "demo/gpt", "demo/chat"], parts=parts)
    reply = run(ask(client, thread, compact=by_itself("demo/gpt")))[1]
    assert (reply.receipt.model, reply.receipt.compaction.how) == ("demo/gpt", "threshold")


def test_the_first_model_of_a_chain_must_be_able_to(parts, run):
    client = AsyncClient(["demo/chat", "demo/gpt"], parts=parts)
    with pytest.raises(ConfigurationError, match="demo/chat compacts no conversation by itself"):
        run(ask(client, thread_of(1), compact="server"))


def test_a_chain_that_fails_ends_with_the_failure_of_its_last_model(parts, run):
    client = AsyncClient(["openai/gpt-6-sol", "deepseek/deepseek-v4-pro"], parts=parts)
    with pytest.raises(MissingKey, match="deepseek"):
        run(ask(client, thread_of(1), compact="server"))


def test_a_chain_is_quoted_by_its_first_model(parts, run):
    client = AsyncClient(["demo/gpt", "demo/chat"], parts=parts)
    quote = run(client.quote(QUESTION, thread=long_thread("demo/gpt"), compact=by_itself("demo/gpt")))
    assert (quote.model, quote.compaction.how) == ("demo/gpt", "threshold")
