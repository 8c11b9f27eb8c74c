"""What was asked before is answered from the replay store: at no cost, with nothing sent and nothing reserved."""

import sqlite3
from dataclasses import replace

import pytest

from tokmagic.client import AsyncClient
from tokmagic.config import load_settings
from tokmagic.conversation import Conversation
from tokmagic.core.events import Completed, Notice, TextDelta, Truncated
from tokmagic.core.messages import Image, user
from tokmagic.parts import Parts

MODEL = "demo/claude"


@pytest.fixture
def run(runner):
    return runner.run


@pytest.fixture
def client(parts):
    return AsyncClient(MODEL, parts=parts, replay=True)


async def watch(stream):
    async with stream as events:
        return [event async for event in events]


def test_the_same_question_is_answered_at_no_cost_and_says_so(client, run):
    first = run(client.send("Why is the sky blue?"))
    again = run(client.send("Why is the sky blue?"))
    assert again.answer == first.answer
    assert first.cost.nanousd > 0
    assert (again.cost.nanousd, again.cost.quality, again.cost.play) == (0, "exact", True)
    assert again.usage.total_tokens == again.receipt.attempts == 0
    assert again.receipt.replayed
    assert not first.receipt.replayed
    assert again.receipt.replay_of == first.receipt.call
    assert [entry.call for entry in client.history()] == [first.receipt.call]


def test_a_used_up_budget_does_not_stop_a_replay(parts, run):
    first = run(AsyncClient(MODEL, parts=parts, replay=True).send("Why?"))
    poor = AsyncClient(MODEL, parts=parts, replay=True, limits=["0 usd/session"])
    assert run(poor.send("Why?")).text == first.text


def test_a_replay_shows_the_answer_and_ends_as_a_call_does(client, run):
    first = run(client.send("Why?"))
    events = run(watch(client.stream("Why?")))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == first.text
    assert isinstance(events[-1], Completed)
    assert [cell.receipt.replayed for cell in client.snapshot().cells] == [False, True]


def test_a_replay_of_a_call_that_was_cut_says_so_before_the_answer(client, run):
    asked = {"prompt": "A sentence about rivers. " * 400, "max_input_tokens": 300, "truncate": "end"}
    first = run(client.send(**asked))
    said, *later = run(watch(client.stream(**asked)))
    assert said == Truncated(first.receipt.cuts)
    assert said.cuts
    assert later[-1].reply.receipt.replayed


def test_a_quote_says_whether_the_answer_is_kept(client, run):
    assert not run(client.quote("Why?")).replayed
    run(client.send("Why?"))
    assert run(client.quote("Why?")).replayed
    assert not run(client.quote("Why?", fresh=True)).replayed


def test_it_outlives_the_process(make_parts, server, run):
    first = run(AsyncClient(MODEL, parts=make_parts(server=server), replay=True).send("Why?"))
    later = run(AsyncClient(MODEL, parts=make_parts(server=server), replay=True).send("Why?"))
    assert later.receipt.replay_of == first.receipt.call


def test_fresh_asks_again_and_keeps_the_new_answer(client, run):
    run(client.send("Why?"))
    fresh = run(client.send("Why?", fresh=True))
    assert not fresh.receipt.replayed
    assert run(client.send("Why?")).receipt.replay_of == fresh.receipt.call


def test_a_call_that_does_not_ask_for_it_neither_takes_nor_leaves_an_answer(parts, client, run):
    plain = AsyncClient(MODEL, parts=parts)
    run(plain.send("Why?"))
    assert not run(client.send("Why?")).receipt.replayed
    assert not run(plain.send("Why?")).receipt.replayed


@pytest.mark.parametrize(
    "other",
    [
        {"system": "Be brief."},
        {"temperature": 1.0},
        {"max_tokens": 50},
        {"truncate": "end"},
        {"keep_recent": 2},
        {"max_input_tokens": 5_000},
        {"model": "demo/gpt"},
        {"extra_body": {"top_k": 3}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_question_is_another_call(client, run, other):
    run(client.send("Why?"))
    assert not run(client.send("Why?", **other)).receipt.replayed


def test_streamed_or_not_is_the_same_question(client, run):
    run(client.send("Why?"))
    assert run(client.send("Why?", stream=False)).receipt.replayed


def test_images_are_told_apart_by_their_bytes(client, run):
    red, blue = (Image("image/png", bytes([n] * 64)) for n in (1, 2))
    run(client.send([user("What is this?", Image(url="https://example.org/a.png"))]))
    assert not run(client.send([user("What is this?", red)])).receipt.replayed
    assert not run(client.send([user("What is this?", blue)])).receipt.replayed
    assert run(client.send([user("What is this?", red)])).receipt.replayed


def test_a_thread_is_replayed_turn_by_turn(client, run):
    def talk():
        thread = Conversation("talk")
        replies = [run(client.send(text, thread=thread)) for text in ("One?", "Two?", "Three?")]
        return thread, replies

    first, _ = talk()
    again, replies = talk()
    assert again.messages == first.messages
    assert all(reply.receipt.replayed for reply in replies)


def test_an_answer_that_a_limit_of_the_moment_made_shorter_is_not_kept(parts, run):
    tight = AsyncClient(MODEL, parts=parts, replay=True, limits=["31 output tokens/call"])
    said = run(tight.send("Tell me a very long story. " * 20, max_tokens=60))
    assert said.receipt.lowered_from == 60
    assert said.cut_off
    free = AsyncClient(MODEL, parts=parts, replay=True)
    assert not run(free.send("Tell me a very long story. " * 20, max_tokens=60)).receipt.replayed


def test_a_stopped_answer_is_not_kept(make_parts, run):
    parts = make_parts(pace=40.0)
    client = AsyncClient(MODEL, parts=parts, replay=True)

    async def leave():
        async with client.stream("Tell me a story.") as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    return

    run(leave())
    assert parts.replays.clear() == 0


def test_what_was_cut_then_is_still_said(client, run):
    long = "Whales live in the sea. " * 3_000
    first = run(client.send(long, model="demo/small", max_tokens=100))
    again = run(client.send(long, model="demo/small", max_tokens=100))
    assert again.truncated == first.truncated != ()
    assert again.receipt.replayed


def test_a_key_is_not_needed_for_what_is_kept(parts, run, monkeypatch):
    client = AsyncClient("anthropic/claude-sonnet-5-5", parts=parts, replay=True)
    kept = run(AsyncClient(MODEL, parts=parts).send("Why?"))
    passage = client._passage("Why?", {})
    assert passage._recall.keep(kept) == ""
    assert run(client.send("Why?")).text == kept.text


def test_a_damaged_store_costs_the_same_call_again_and_says_so(parts, client, run):
    parts.replays.path.parent.mkdir(parents=True, exist_ok=True)
    parts.replays.path.write_bytes(b"no database" * 100)
    events = run(watch(client.stream("Why?")))
    assert isinstance(events[-1], Completed)
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert str(parts.replays.path) in notice
    assert "move it away" in notice


def test_what_another_version_wrote_is_not_read(parts, client, run):
    run(client.send("Why?"))
    with sqlite3.connect(parts.replays.path) as db:
        db.execute("UPDATE answers SET text = replace(text, '\"Text\"', '\"Spell\"')")
    db.close()
    assert not run(client.send("Why?")).receipt.replayed


def test_a_setting_of_no_room_keeps_nothing(make_parts, server, run):
    parts = make_parts(server=server, kind=lambda settings, **k: Parts(replace(settings, replay_megabytes=0), **k))
    run(AsyncClient(MODEL, parts=parts, replay=True).send("Why?"))
    assert not parts.replays.path.exists()


def test_the_room_is_a_setting(private_home, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("replay_megabytes = 1.5\n")
    assert load_settings().replay_megabytes == 1.5


def test_a_quote_says_that_it_is_free(client, run):
    run(client.send("Why?"))
    quote, other = run(client.quote("Why?")), run(client.quote("Why not?"))
    assert (quote.ceiling.nanousd, quote.ceiling.quality, quote.wait_seconds) == (0, "exact", 0.0)
    assert other.ceiling.nanousd > 0


def test_a_call_in_parts_is_replayed_only_if_all_its_parts_are(parts, client, run):
    long = "Which animals live in the sea?\n\n" + "Whales live in the sea. Ships cross it in storms. " * 2_000
    split = {"model": "demo/small", "truncate": "split", "max_tokens": 300}
    first = run(client.send(long, **split))
    again = run(client.send(long, **split))
    assert (again.receipt.replayed, again.cost.nanousd, again.text) == (True, 0, first.text)
    with sqlite3.connect(parts.replays.path) as db:
        db.execute("DELETE FROM answers WHERE key = (SELECT min(key) FROM answers)")
    db.close()
    partly = run(client.send(long, **split))
    assert not partly.receipt.replayed
    assert 0 < partly.cost.nanousd < first.cost.nanousd
