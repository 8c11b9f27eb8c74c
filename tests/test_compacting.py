"""A thread that grew too long is compacted before its next call: over the real SDKs, the server and a real book."""

import asyncio
from dataclasses import replace

import pytest

from tokmagic.client import AsyncClient
from tokmagic.conversation import Conversation
from tokmagic.core.compaction import Compacting
from tokmagic.core.errors import ConfigurationError, ContextLengthExceeded
from tokmagic.core.events import Compacted, Completed, Notice, Truncated
from tokmagic.core.messages import Image, Message, Reasoning, Text, assistant, system, user
from tokmagic.parts import Parts
from tokmagic.sync import Client

CHATTER = "The ships sail over the sea and the wind blows. " * 40
PICTURE = Image("image/png", bytes.fromhex("89504e470d0a1a0a0000000d49484452000004000000040008060000007f1d2b83"))
QUESTION = "And which ship is the next?"


class Roomy(Parts):
    """Parts that believe a model's window to be larger than the service's."""

    def model(self, name):
        return replace(super().model(name), context_window=40_000)


def exchange(number):
    return [
        user(f"The code of harbour {number} is QX{number * 37}. {CHATTER}"),
        assistant(f"Noted {number}. {CHATTER}"),
    ]


def thread_of(exchanges, name="sea"):
    return Conversation(name, tuple(message for number in range(exchanges) for message in exchange(number)))


@pytest.fixture
def run(runner):
    return runner.run


async def watch(stream):
    async with stream as events:
        return [event async for event in events], stream.reply


def ask(client, thread, **options):
    return watch(client.stream(QUESTION, thread=thread, max_tokens=100, **options))


def found(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(("model", "how"), [("demo/small", "server"), ("demo/gpt", "server"), ("demo/chat", "summary")])
def test_a_long_thread_is_compacted_with_its_own_entry_and_everything_says_so(parts, run, model, how):
    thread, compact = thread_of(8), Compacting(threshold=6_000)
    before = tuple(thread.messages)
    events, reply = run(ask(AsyncClient(model, parts=parts), thread, compact=compact))
    (compacted,) = found(events, Compacted)
    record = compacted.record
    assert (record.how, record.replaced, record.kept) == (how, 10, 6)
    assert record.tokens_after < 0.8 * record.tokens_before
    call, summary = parts.ledger.entries()
    assert (call.kind, summary.kind) == ("call", "compaction")
    assert (call.thread, summary.thread) == ("sea", "sea")
    assert record.cost == summary.cost
    assert reply.receipt.cost == call.cost
    assert reply.receipt.compaction == record
    assert reply.receipt.badges[0].startswith(
        f"compacted: {record.tokens_before:,} → {record.tokens_after:,} tokens for $"
    )
    assert reply.usage.input_tokens < record.tokens_before
    assert not found(events, Truncated)
    assert isinstance(events[-1], Completed)
    assert thread.history[:16] == before
    assert thread.messages[-8:-2] == list(before[10:])
    assert thread.compactions == (record,)
    assert parts.gauge.snapshot((), (), ()).cells[-1].receipt.compaction == record


def test_a_thread_that_is_short_enough_is_left_alone(parts, run):
    thread = thread_of(3)
    events, reply = run(ask(AsyncClient("demo/claude", parts=parts), thread))
    assert not found(events, Compacted)
    assert reply.receipt.compaction is None
    assert len(parts.ledger.entries()) == 1


def test_what_the_last_reply_stated_decides_and_not_what_is_counted_here(parts, run):
    client, thread = AsyncClient("demo/claude", parts=parts), thread_of(3)
    run(ask(client, thread))
    thread._known = replace(thread.known("demo/claude"), tokens=120_000)
    events, _ = run(ask(client, thread, keep_recent=2))
    (compacted,) = found(events, Compacted)
    assert compacted.record.tokens_before == 120_000


def test_with_compaction_off_the_thread_is_cut_as_before(parts, run):
    thread = thread_of(12)
    events, reply = run(ask(AsyncClient("demo/small", parts=parts), thread, compact="off"))
    assert found(events, Truncated)
    assert not found(events, Compacted)
    assert reply.truncated


def test_what_the_user_said_stays_before_a_sealed_summary_which_other_models_read_as_an_extract(parts, run):
    thread, before = thread_of(8), thread_of(8).messages
    run(ask(AsyncClient("demo/gpt", parts=parts), thread, compact=Compacting(threshold=6_000)))
    said = before[0:10:2]
    assert thread.messages[:5] == said
    (sealed,) = thread.messages[5].parts
    assert (sealed.provider, '"encrypted_content"' in sealed.raw) == ("openai", True)
    assert "Noted 2." in thread.summary
    reply = run(AsyncClient("demo/claude", parts=parts).send(QUESTION, thread=thread, max_tokens=100))
    assert reply.text
    assert run(AsyncClient("demo/gpt", parts=parts).compact(thread))
    assert "Noted 2." in thread.summary


def test_a_compaction_that_obeys_no_bound_is_not_made_where_a_limit_has_no_room_for_the_longest(parts, run):
    client = AsyncClient("demo/gpt", parts=parts, limits=["20k output_tokens/call"])
    events, _ = run(ask(client, thread_of(8), compact=Compacting(threshold=6_000)))
    assert found(events, Compacted)[0].record.how == "summary"


@pytest.mark.parametrize("name", ["demo/small", "demo/claude"])
def test_a_summary_that_cannot_be_asked_for_is_extracted_at_no_cost(parts, run, name):
    thread = thread_of(8)
    compact = Compacting(threshold=6_000, model="anthropic/claude-sonnet-5-5", how="summary")
    events, reply = run(ask(AsyncClient(name, parts=parts), thread, compact=compact))
    (compacted,) = found(events, Compacted)
    assert compacted.record.how == "extract"
    assert compacted.record.cost.nanousd == 0
    assert "ANTHROPIC_API_KEY" in found(events, Notice)[0].text
    assert "The code of harbour 2 is QX74." in thread.summary
    assert [entry.kind for entry in parts.ledger.entries()] == ["call"]
    assert reply.receipt.badges == (compacted.record.badge,)


def test_a_summary_that_no_limit_has_room_for_is_extracted(parts, run):
    thread, compact = thread_of(8), Compacting(threshold=6_000)
    client = AsyncClient("demo/small", parts=parts, limits=["3k input_tokens/call"])
    events, reply = run(ask(client, thread, compact=replace(compact, keep_recent=2)))
    assert found(events, Compacted)[0].record.how == "extract"
    assert reply.text


def test_a_summary_that_was_cut_off_is_not_taken_but_paid_for_and_told(parts, run):
    thread, compact = thread_of(30), Compacting(threshold=6_000, how="summary")
    client = AsyncClient("demo/claude", parts=parts, limits=["300 output_tokens/call"])
    events, _ = run(ask(client, thread, compact=compact))
    record = found(events, Compacted)[0].record
    (summary,) = [entry for entry in parts.ledger.entries() if entry.kind == "compaction"]
    assert summary.stop_reason == "max_tokens"
    assert (record.how, record.cost) == ("extract", summary.cost)
    assert any("not whole (max tokens)" in notice.text for notice in found(events, Notice))


def test_another_model_may_summarise(parts, run):
    thread, compact = thread_of(8), Compacting(threshold=6_000, model="demo/small", how="summary")
    run(ask(AsyncClient("demo/claude", parts=parts), thread, compact=compact))
    assert {(entry.kind, entry.model) for entry in parts.ledger.entries()} == {
        ("call", "demo/claude"),
        ("compaction", "demo/small"),
    }


def test_the_limits_of_a_call_cover_its_compaction_too(parts, run):
    thread, compact = thread_of(8), Compacting(threshold=6_000)
    client = AsyncClient("demo/small", parts=parts, limits=["1 usd/day"])
    run(ask(client, thread, compact=compact))
    (level,) = [level for level in client.snapshot().levels if level.account.limit.unit == "nanousd"]
    assert level.spent == sum(entry.nanousd for entry in parts.ledger.entries())


def test_between_two_compactions_lie_so_many_answers(parts, run):
    client, thread = AsyncClient("demo/small", parts=parts), thread_of(8)
    compact = Compacting(threshold=2_000, keep_recent=2, every=3)
    compacted = [bool(found(run(ask(client, thread, compact=compact))[0], Compacted)) for _ in range(2)]
    thread.messages += [*exchange(1), *exchange(2)]
    thread._known = None
    compacted += [bool(found(run(ask(client, thread, compact=compact))[0], Compacted)) for _ in range(2)]
    assert compacted == [True, False, True, False]


def test_what_cannot_be_summarised_is_told_once_and_not_tried_again(parts, run):
    client, thread = AsyncClient("demo/claude", parts=parts), Conversation("pictures")
    thread.messages = [message for _ in range(6) for message in (Message("user", (PICTURE,)), assistant(""))]
    compact = Compacting(threshold=1_000, keep_recent=2, how="extract", every=1)
    events, reply = run(ask(client, thread, compact=compact))
    assert [notice.text for notice in found(events, Notice)] == ["The thread is not compacted: the summary is empty."]
    assert reply.text
    events, _ = run(ask(client, thread, compact=compact))
    assert not found(events, Notice)
    thread.clear()
    assert thread.stuck == ""


def test_undo_brings_every_turn_back_and_is_not_undone_at_once(parts, run):
    client, thread = AsyncClient("demo/small", parts=parts), thread_of(5)
    before, compact = tuple(thread.messages), Compacting(threshold=4_000, keep_recent=2)
    run(ask(client, thread, compact=compact))
    said = thread.messages[-2:]
    record = thread.undo()
    assert record.replaced == 8
    assert tuple(thread.messages) == (*before, *said)
    assert thread.compactions == ()
    events, _ = run(ask(client, thread, compact=compact))
    assert not found(events, Compacted)
    thread.clear()
    with pytest.raises(ConfigurationError, match="nothing to bring back"):
        thread.undo()


def test_two_compactions_are_undone_one_by_one(parts, run):
    client, thread = AsyncClient("demo/small", parts=parts), thread_of(8)
    first = tuple(thread.messages)
    assert run(client.compact(thread))
    thread.messages += exchange(9)
    second = tuple(thread.messages)
    assert run(client.compact(thread, "the harbours"))
    assert thread.history == (*first, *exchange(9))
    thread.undo()
    assert tuple(thread.messages) == second
    thread.undo()
    assert tuple(thread.messages) == (*first, *exchange(9))


def test_a_summary_can_be_read_and_changed(parts, run):
    client, thread = AsyncClient("demo/small", parts=parts), thread_of(8)
    with pytest.raises(ConfigurationError, match="no summary"):
        thread.summary = "They talked."
    run(client.compact(thread))
    assert "QX37" in thread.summary
    thread.summary = "They talked of harbours."
    assert thread.summary == "They talked of harbours."
    reply = run(client.send(QUESTION, thread=thread, max_tokens=100))
    assert reply.text
    with pytest.raises(ConfigurationError, match="empty"):
        thread.summary = " "


def test_a_thread_can_be_compacted_when_asked_and_says_when_that_gains_nothing(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    events, reply = run(watch(client.compacting(thread_of(4))))
    assert reply is None
    assert found(events, Compacted)[0].record.why == "asked for"
    assert [entry.thread for entry in parts.ledger.entries()] == ["sea"]
    short = Conversation("short", (user("Hi."), assistant("Hello.")))
    events, _ = run(watch(client.compacting(short)))
    assert "tokens are of turns that stay word for word" in found(events, Notice)[0].text
    assert not run(client.compact(short))


def test_a_call_that_asks_for_a_compaction_is_told_where_none_is_made(parts, run):
    short = Conversation("short", (user("Hi."), assistant("Hello.")))
    events, _ = run(ask(AsyncClient("demo/claude", parts=parts), short, compact="now"))
    assert [notice.text for notice in found(events, Notice)] == [
        "Thread 'short' is not compacted: its 15 tokens are of turns that stay word for word."
    ]


def test_the_blocking_face_compacts_too(parts):
    thread = thread_of(6)
    assert Client("demo/small", parts=parts).compact(thread, "the harbours")
    assert len(thread.compactions) == 1


def test_the_economic_mode_says_when_it_pays(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    events, _ = run(ask(client, thread_of(8), compact="economic", keep_recent=2))
    why = found(events, Compacted)[0].record.why
    assert "play now saves" in why
    assert "pays after 2 turns" in why
    events, _ = run(ask(client, thread_of(3), compact=Compacting("economic", keep_recent=2, coming=1)))
    assert not found(events, Compacted)


def test_where_the_service_finds_a_call_too_long_its_thread_is_compacted_once_and_it_is_made_again(
    make_parts, server, run
):
    parts = make_parts(server=server, kind=Roomy)
    thread, client = thread_of(12), AsyncClient("demo/small", parts=parts)
    events, reply = run(ask(client, thread))
    (compacted,) = found(events, Compacted)
    assert "prompt is too long" in compacted.record.why
    assert reply.text
    assert next(entry.state for entry in parts.ledger.entries()) == "settled"
    with pytest.raises(ContextLengthExceeded):
        run(ask(client, thread_of(12), compact="off"))
    with pytest.raises(ContextLengthExceeded):
        run(watch(client.stream(CHATTER * 20, thread=thread_of(1), max_tokens=100)))


def test_a_thread_that_changed_meanwhile_is_left_as_it_is(parts, run):
    thread, told = thread_of(8), []
    keyless = Compacting(how="summary", model="anthropic/claude-sonnet-5-5")

    async def midway():
        async with AsyncClient("demo/small", parts=parts).compacting(thread, compact=keyless) as events:
            async for event in events:
                thread.messages[0] = user("Changed.")
                told.append(event.text)

    run(midway())
    assert "the next way is taken" in told[0]
    assert told[1:] == ["The thread is not compacted: it was changed meanwhile."]
    assert thread.messages[0] == user("Changed.")
    assert (thread.compactions, thread.stuck) == ((), "")


def test_a_compaction_that_is_stopped_changes_nothing_and_is_in_the_book(make_parts, run):
    parts = make_parts(pace=50)
    thread = thread_of(8)
    before = tuple(thread.messages)
    client = AsyncClient("demo/chat", parts=parts)

    async def stopped():
        task = asyncio.create_task(ask(client, thread, compact=Compacting(threshold=6_000)))
        while not parts.gauge.snapshot((), (), ()).running:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stopped())
    assert tuple(thread.messages) == before
    assert {entry.kind for entry in parts.ledger.entries()} <= {"compaction"}


def test_old_thinking_leaves_with_what_it_was_bound_to(parts, run):
    thread = thread_of(8)
    thread.messages[-1] = Message("assistant", (Reasoning("hm", "c2ln"), Text("Noted.")))
    run(AsyncClient("demo/small", parts=parts).compact(thread))
    assert not any(isinstance(part, Reasoning) for message in thread.messages for part in message.parts)
    assert any(isinstance(part, Reasoning) for message in thread.history for part in message.parts)


def test_the_system_text_is_never_part_of_the_thread(parts, run):
    thread = thread_of(8)
    client = AsyncClient("demo/small", parts=parts, system="Be brief.")
    run(ask(client, thread, compact=Compacting(threshold=6_000)))
    assert system("Be brief.") not in thread.messages
    assert len(thread.compactions) == 1


def look(at: int) -> str:
    """Look at a harbour."""
    return f"Harbour {at}: {CHATTER * 5}"


LOOK = "use the look tool with at=7"


def looked_in_a_loop(parts, run, **options):
    run_of_tools = AsyncClient("demo/small", parts=parts).run_tools(LOOK, tools=[look], **options)
    return run(watch(run_of_tools.stream()))


def looked_blocking(parts, _, **options):
    with Client("demo/small", parts=parts).run_tools(LOOK, tools=[look], **options).stream() as stream:
        return list(stream), stream.reply


@pytest.mark.parametrize("looked", [looked_in_a_loop, looked_blocking])
def test_a_loop_of_tools_is_compacted_between_its_turns_and_the_open_call_is_answered(parts, run, looked):
    thread, compact = thread_of(5), Compacting(threshold=4_800, keep_recent=2)
    events, reply = looked(parts, run, thread=thread, compact=compact, max_tokens=200)
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("Compacted") == 1
    assert kinds.index("ToolFinished") < kinds.index("Compacted")
    assert "The look tool returned: Harbour 7" in reply.text
    assert reply.receipt.compaction == thread.compactions[0]
    assert [message.role for message in thread.messages[-4:]] == ["user", "assistant", "user", "assistant"]
    assert len(thread.history) == 14


@pytest.mark.parametrize("model", ["demo/small", "demo/gpt", "demo/chat"])
def test_a_thread_that_is_gone_through_again_is_replayed_with_its_compaction(parts, run, model):
    client, compact = AsyncClient(model, parts=parts, replay=True), Compacting(threshold=6_000)
    first, again = thread_of(8), thread_of(8)
    run(ask(client, first, compact=compact))
    events, reply = run(ask(client, again, compact=compact))
    assert len(parts.ledger.entries()) == 2
    assert reply.receipt.replayed
    assert found(events, Compacted)[0].record.cost.nanousd == 0
    assert again.messages == first.messages


def test_no_such_mode_is_refused(parts):
    with pytest.raises(ConfigurationError, match="auto, economic, server, now, off"):
        AsyncClient("demo/small", parts=parts, compact="soon")
