"""The corridor over the real SDKs, the embedded server and a real book: plan, reserve, send, settle."""

import asyncio
import logging
from dataclasses import replace

import pytest

from tokmagic import tokenizers
from tokmagic.catalog import demo_models
from tokmagic.client import AsyncClient
from tokmagic.core.errors import (
    BudgetExceeded,
    ConfigurationError,
    InvalidPrompt,
    LedgerError,
    MissingKey,
    RequestTooLarge,
    StreamBroken,
    UnknownModel,
)
from tokmagic.core.events import Completed, Connecting, Notice, Planned, Started, TextDelta, Truncated, Waiting
from tokmagic.core.messages import assistant, user
from tokmagic.core.words import parse_limit
from tokmagic.parts import Parts
from tokmagic.server import start_server

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."


@pytest.fixture
def run(runner):
    return runner.run


async def watch(client, prompt, **options):
    async with client.stream(prompt, **options) as stream:
        return [event async for event in stream], stream.reply


@pytest.mark.parametrize("model", ["demo/claude", "demo/gpt", "demo/chat", "demo/small"])
def test_a_call_is_answered_settled_and_priced_exactly(parts, model, run):
    reply = run(AsyncClient(model, parts=parts).send(PROMPT))
    (entry,) = parts.ledger.entries()
    assert "sea" in reply.text
    assert str(reply) == reply._repr_markdown_() == reply.text
    numbers = f"{reply.usage.input_tokens} in, {reply.usage.output_tokens} out, {reply.cost}"
    assert repr(reply).startswith(f"<Reply of {model}, {numbers}: '*Demo engine: no model")
    assert len(repr(reply)) < 160
    assert reply.cost.quality == "exact"
    assert reply.cost.play
    assert (entry.state, entry.model, entry.nanousd) == ("settled", model, reply.cost.nanousd)
    assert entry.usage == reply.usage
    (total,) = parts.ledger.totals()
    assert (total.cost.nanousd, total.waited, total.delays) == (reply.cost.nanousd, 0.0, 0)


@pytest.mark.parametrize("model", ["demo/claude", "demo/gpt", "demo/chat"])
def test_what_was_counted_is_what_the_service_reports(parts, model, run):
    events, reply = run(watch(AsyncClient(model, parts=parts), PROMPT, system="Be brief.", max_tokens=60))
    planned = next(event for event in events if isinstance(event, Planned))
    assert planned.input_tokens == reply.usage.input_tokens


def test_events_come_in_the_order_of_the_corridor(parts, run):
    events, reply = run(watch(AsyncClient("demo/claude", parts=parts), PROMPT))
    kinds = [type(event) for event in events]
    assert [kind for kind in kinds if kind is not Connecting][:2] == [Planned, Started]
    assert kinds[-1] is Completed
    assert set(kinds[1:-1]) <= {Connecting, Started, TextDelta}
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == reply.text


def test_an_unstreamed_call_is_the_same_answer(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    assert run(client.send(PROMPT, stream=False)).text == run(client.send(PROMPT)).text


def test_a_long_prompt_is_cut_and_says_so_everywhere(parts, caplog, run):
    client = AsyncClient("demo/small", parts=parts)
    with caplog.at_level(logging.WARNING, "tokmagic"):
        events, reply = run(watch(client, "Summarise. " + "The sea is deep and blue. " * 4_000, max_tokens=100))
    (cut,) = next(event for event in events if isinstance(event, Truncated)).cuts
    assert reply.truncated == (cut,)
    assert cut.tokens > 10_000
    assert reply.usage.input_tokens <= 8_192 - 100
    (record,) = [record for record in caplog.records if record.name == "tokmagic"]
    assert record.getMessage() == "Context truncated to fit model token limit"
    assert record.dropped_tokens == cut.tokens == parts.ledger.entries()[0].dropped_tokens


def test_an_answer_that_meets_its_limit_says_so(parts, run):
    reply = run(AsyncClient("demo/claude", parts=parts).send(PROMPT, max_tokens=5))
    assert reply.cut_off
    assert reply.usage.output_tokens == 5
    assert "cut off" in reply.receipt.badges


def test_a_budget_refuses_before_anything_is_sent(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["0.001 usd/session"])
    with pytest.raises(BudgetExceeded, match="nothing was sent") as refused:
        run(client.send(PROMPT))
    assert refused.value.left == 1_000_000
    assert refused.value.needed > 1_000_000
    assert parts.ledger.entries() == ()


def test_a_budget_is_spent_to_its_end_and_never_past_it(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["0.02 usd/session"], max_tokens=100)
    spent, refused = 0, 0

    async def many():
        return await asyncio.gather(*(client.send(PROMPT) for _ in range(30)), return_exceptions=True)

    for result in run(many()):
        if isinstance(result, BudgetExceeded):
            refused += 1
        else:
            spent += result.cost.nanousd
    assert refused > 0
    assert 0 < spent <= 20_000_000


def test_a_cell_can_add_a_limit_but_not_lift_one(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["0.001 usd/session"])
    with pytest.raises(BudgetExceeded, match=r"\$0\.001/session"):
        run(client.send(PROMPT, limits=["100 usd/session"]))


def test_a_full_rate_waits_and_says_why(parts, run):
    client = AsyncClient("demo/chat", parts=parts, limits=["1200 requests/minute", "600k tokens/minute"], max_tokens=10)
    limit = "200 input_tokens/minute"

    async def two():
        await client.send("word " * 150, limits=[limit])
        async with client.stream("word " * 40, limits=[limit]) as stream:
            async for event in stream:
                if isinstance(event, Waiting):
                    return event
        return None

    waiting = run(two())
    assert 0 < waiting.seconds < 60
    assert "200 input tokens/minute" in waiting.reason
    assert parts.gauge.snapshot((), (), ()).pause is None
    assert [entry.state for entry in parts.ledger.entries()] == ["settled"]


def test_a_request_that_never_passes_a_rate_is_refused_at_once(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["10 input_tokens/minute"])
    with pytest.raises(RequestTooLarge, match="never"):
        run(client.send(PROMPT))


def test_a_notebook_without_a_name_has_its_calls_counted_when_a_limit_comes_later(parts, run):
    spent = run(AsyncClient("demo/claude", parts=parts).send(PROMPT)).cost.nanousd
    late = AsyncClient("demo/claude", parts=parts, limits=["1 usd/day by notebook"])
    assert next(level for level in late.snapshot().levels if level.account.limit.scope == "notebook").spent == spent


def test_the_level_of_a_notebooks_limit_is_that_of_the_clients_own_notebook(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["1 usd/day by notebook"], notebook="rivers.ipynb")
    spent = run(client.send(PROMPT)).cost.nanousd
    run(AsyncClient("demo/claude", parts=parts).send(PROMPT))
    assert next(level for level in client.snapshot().levels if level.account.limit.scope == "notebook").spent == spent


def test_a_thread_grows_by_each_call_and_not_by_a_refused_one(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    thread = client.conversation("sea")
    first = run(client.send(PROMPT, thread=thread))
    assert thread.messages == [user(PROMPT), first.message]
    run(client.send("And the whales?", thread=thread, system="Be brief."))
    assert [message.role for message in thread.messages] == ["user", "assistant"] * 2
    with pytest.raises(BudgetExceeded):
        run(client.send("More?", thread=thread, limits=["0 usd/call"]))
    assert len(thread) == 4


def test_messages_can_be_given_as_a_list(parts, run):
    client = AsyncClient("demo/chat", parts=parts)
    said = [user(PROMPT), assistant("Yes."), user("How deep is the sea?")]
    assert "sea" in run(client.send(said)).text
    assert "sea" in run(client.send([{"role": "user", "content": PROMPT}])).text


@pytest.mark.parametrize("prompt", [42, None, 1.5])
def test_what_is_no_prompt_is_refused_in_one_line(parts, prompt):
    said = f"A prompt is text or messages, not {type(prompt).__name__}: nothing was sent."
    with pytest.raises(InvalidPrompt, match=f"^{said}$"):
        AsyncClient("demo/claude", parts=parts).stream(prompt)


@pytest.mark.parametrize(
    "prompt", ["", "  \n", [], [{"role": "user", "content": " "}], [{"role": "ghost", "content": "x"}]]
)
def test_an_unusable_prompt_is_refused(parts, prompt, run):
    with pytest.raises(InvalidPrompt):
        run(AsyncClient("demo/claude", parts=parts).send(prompt))


@pytest.mark.parametrize("text", ["<|endoftext|>", '{"a": 1}', "\x00 and \ud800", "👨‍👩‍👧‍👦 🇩🇪", "a" * 50_000])
def test_any_text_is_just_text(parts, text, run):
    assert run(AsyncClient("demo/claude", parts=parts).send(text)).usage.input_tokens > 0


def test_a_quote_sends_nothing_and_says_what_would_be(parts, run):
    client = AsyncClient("demo/small", parts=parts, limits=["0.0001 usd/session"])
    quote = run(client.quote("The sea. " * 10_000, max_tokens=100))
    assert quote.wait_seconds is None
    assert quote.cuts
    assert quote.input_tokens <= 8_092
    assert quote.ceiling.nanousd > 100_000
    assert parts.ledger.entries() == ()


def test_the_default_model_is_named_once_when_nobody_named_one(parts, run):
    client = AsyncClient(parts=parts)
    first, _ = run(watch(client, PROMPT))
    second, _ = run(watch(client, PROMPT))
    assert [event.text for event in first if isinstance(event, Notice)] == [
        "No model named and no key set: demo/claude is used (an embedded demo, play money)."
    ]
    assert not [event for event in second if isinstance(event, Notice)]


def test_a_missing_key_is_refused_before_anything_is_reserved(parts, run):
    with pytest.raises(MissingKey, match=r"ANTHROPIC_API_KEY.*demo/claude"):
        run(AsyncClient("anthropic/claude-sonnet-5-5", parts=parts).send(PROMPT))
    assert parts.ledger.entries() == ()


def test_an_unknown_model_is_refused_with_the_nearest(parts, run):
    with pytest.raises(UnknownModel, match="demo/claude"):
        run(AsyncClient("demo/cloud", parts=parts).send(PROMPT))


def test_a_team_limit_without_a_team_is_refused(parts):
    with pytest.raises(ConfigurationError, match="TOKMAGIC_TEAM"):
        AsyncClient("demo/claude", parts=parts, limits=["5 usd/day by team"])


def test_an_unpriced_model_is_refused_under_a_money_limit(parts, run):
    client = AsyncClient("ollama/llama", parts=parts, limits=["5 usd/day"])
    with pytest.raises(BudgetExceeded, match="no known price"):
        run(client.send(PROMPT))


def test_a_call_that_is_left_is_settled_at_what_arrived(make_parts, run):
    parts = make_parts(pace=50.0)

    async def leave():
        async with AsyncClient("demo/claude", parts=parts).stream(PROMPT * 20) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        return stream.reply

    reply = run(leave())
    (entry,) = parts.ledger.entries()
    assert reply.stopped
    assert reply.text
    assert (entry.state, entry.quality) == ("settled", "at least")


@pytest.mark.parametrize("after", [0, 1, 2, 5, 20])
def test_a_cancelled_call_leaves_no_hold_behind(make_parts, after, run):
    parts = make_parts(pace=50.0)

    async def cancel():
        task = asyncio.ensure_future(AsyncClient("demo/claude", parts=parts).send(PROMPT * 20))
        for _ in range(after):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(cancel())
    assert {entry.state for entry in parts.ledger.entries()} <= {"settled", "released"}


def test_a_timeout_around_a_call_is_a_timeout(make_parts, run):
    parts = make_parts(pace=20.0)

    async def brief():
        async with asyncio.timeout(0.3):
            await AsyncClient("demo/claude", parts=parts).send(PROMPT * 20)

    with pytest.raises(TimeoutError):
        run(brief())


def test_a_reply_that_is_not_complete_in_time_is_broken_and_stays_at_its_ceiling(make_parts, run):
    parts = make_parts(pace=20.0)
    with pytest.raises(StreamBroken, match=r"within 0\.3 s"):
        run(AsyncClient("demo/claude", parts=parts).send(PROMPT * 20, timeout=0.3))
    (entry,) = parts.ledger.entries()
    assert (entry.state, entry.nanousd) == ("unsettled", entry.charge.ceiling.nanousd)


def test_an_unstreamed_reply_has_to_be_complete_in_time_too(make_parts, run):
    parts = make_parts(pace=20.0)
    with pytest.raises(StreamBroken, match=r"within 0\.3 s"):
        run(AsyncClient("demo/claude", parts=parts).send(PROMPT * 20, timeout=0.3, stream=False))


def test_a_stopped_call_is_on_the_displays_too(make_parts, run):
    parts = make_parts(pace=50.0)

    async def leave():
        async with AsyncClient("demo/claude", parts=parts).stream(PROMPT * 20, cell="3") as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
        return stream.reply

    reply = run(leave())
    (cell,) = parts.gauge.snapshot((), (), ()).cells
    assert (cell.label, cell.receipt) == ("3", reply.receipt)


def test_a_lease_begins_when_the_call_is_admitted(make_parts, server, run):
    now = [1_800_000_000.0]
    parts = make_parts(server=server, clock=lambda: now[0])
    client = AsyncClient("demo/claude", parts=parts, limits=["600 requests/minute", "60k tokens/minute"])

    async def two():
        await client.send("word " * 50_000, max_tokens=10)
        async with client.stream("word " * 10_100, max_tokens=10) as stream:
            async for event in stream:
                if isinstance(event, Waiting):
                    now[0] += 10_000.0
                    break
            return [event async for event in stream]

    assert isinstance(run(two())[-1], Completed)
    assert parts.ledger.entries()[0].lease_until > now[0]


def test_a_call_whose_settling_failed_leaves_its_thread_alone(make_parts, run):
    parts = make_parts(pace=200.0)
    client = AsyncClient("demo/claude", parts=parts)
    thread = client.conversation()

    async def close_the_book():
        async with client.stream(PROMPT, thread=thread) as stream:
            async for event in stream:
                if isinstance(event, TextDelta):
                    parts.ledger.close()

    with pytest.raises(LedgerError):
        run(close_the_book())
    assert len(thread) == 0


def test_two_calls_at_once_add_their_exchanges_whole(parts, run):
    client = AsyncClient("demo/claude", parts=parts)
    thread = client.conversation()

    async def many():
        await asyncio.gather(*(client.send(f"{PROMPT} {number}", thread=thread) for number in range(8)))

    run(many())
    assert [message.role for message in thread.messages] == ["user", "assistant"] * 8


def test_parts_that_were_closed_work_again(make_parts, run):
    parts = make_parts()
    client = AsyncClient("demo/claude", parts=parts)
    first = run(client.send(PROMPT))
    parts.close()
    assert run(client.send(PROMPT)).text == first.text


def test_another_key_takes_another_connection(parts, monkeypatch, run):
    model = parts.model("anthropic/claude-sonnet-5-5")

    async def three():
        loop, found = asyncio.get_running_loop(), []
        for key in ("sk-one", "sk-one", "sk-two"):
            monkeypatch.setenv("ANTHROPIC_API_KEY", key)
            found.append(parts.provider(model, loop))
            assert parts.connected(model, loop) is found[-1]
        return found

    first, again, other = run(three())
    assert first is again
    assert first is not other


def test_the_snapshot_shows_limits_sums_and_cells(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["5 usd/day"])
    reply = run(client.send(PROMPT, cell="7"))
    shown = client.snapshot()
    day = next(level for level in shown.levels if level.account.limit.window == "day")
    assert day.spent == reply.cost.nanousd == shown.session.play_nanousd
    assert shown.session.nanousd == 0
    assert shown.cells[-1].label == "7"
    assert {level.account.limit.source for level in shown.levels} == {"notebook", "provider"}


def test_of_several_models_the_next_is_asked_where_one_fails_and_the_receipt_says_so(parts, run):
    client = AsyncClient(["anthropic/claude-sonnet-5-5", "demo/claude"], parts=parts)
    events, reply = run(watch(client, PROMPT))
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert notice.startswith("anthropic/claude-sonnet-5-5 failed, demo/claude is asked instead. No key for anthropic")
    assert reply.receipt.model == "demo/claude"
    assert "instead of anthropic/claude-sonnet-5-5" in reply.receipt.badges


def test_a_chain_ends_with_the_failure_of_its_last_model(parts, run):
    with pytest.raises(MissingKey, match="openai"):
        run(AsyncClient("anthropic/claude-sonnet-5-5, openai/gpt-5-mini", parts=parts).send(PROMPT))


def test_a_chain_goes_on_within_the_same_limits(parts, run):
    client = AsyncClient("demo/claude,demo/small", parts=parts, limits=["0.002 usd/day"], max_tokens=1_000)
    reply = run(client.send(PROMPT))
    assert reply.receipt.model == "demo/small"
    assert reply.receipt.attempts == 1


@pytest.mark.parametrize("model", [[], [7], 7])
def test_a_model_that_is_no_name_is_refused(parts, model):
    with pytest.raises(ConfigurationError, match="model is a name or a list of names"):
        AsyncClient(model, parts=parts)


def test_an_answer_that_cannot_be_paid_for_is_lowered_and_said_so(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["0.01 usd/day"], max_tokens=4_000)
    events, reply = run(watch(client, PROMPT))
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert notice.startswith("max_tokens lowered from 4,000 to ")
    assert reply.receipt.lowered_from == 4_000
    (entry,) = parts.ledger.entries()
    assert entry.charge.ceiling.nanousd <= 10_000_000


def test_a_budget_that_passes_its_warning_share_says_so_once(parts, run):
    client = AsyncClient("demo/claude", parts=parts, limits=["1k tokens/session, warn at 5%"], max_tokens=1)
    said = []
    for _ in range(4):
        events, _ = run(watch(client, PROMPT))
        said += [event.text for event in events if isinstance(event, Notice)]
    assert said == ["50 of 1k tokens/session used (5 %)."]


def test_what_a_service_states_of_its_limits_is_obeyed_by_the_next_call(parts, run):
    run(AsyncClient("demo/claude", parts=parts).send(PROMPT))
    assert parts.ledger.recall("") != {}
    assert parts.learning.typical(parts.model("demo/claude")).answers == 1


class Estimated(Parts):
    """Parts whose demo models have no public tokenizer, and which note what their service is asked to count."""

    def model(self, name):
        return replace(super().model(name), tokenizer="estimate")


@pytest.fixture
def estimated(make_parts):
    return make_parts(kind=Estimated)


def test_where_the_margin_of_an_estimate_decides_the_service_is_asked_and_nothing_is_cut_needlessly(estimated, run):
    text = "word " * 3_800
    client = AsyncClient("demo/small", parts=estimated, max_tokens=4_000)
    events, reply = run(watch(client, text))
    planned = next(event for event in events if isinstance(event, Planned))
    assert not reply.truncated
    assert planned.input_tokens == reply.usage.input_tokens


def test_a_budget_without_room_for_an_estimates_bound_is_asked_again_with_the_services_own_count(estimated, run):
    text = "word " * 2_000
    client = AsyncClient("demo/claude", parts=estimated, limits=["0.01 usd/session"], max_tokens=50)
    reply = run(client.send(text))
    assert reply.receipt.lowered_from is None
    (entry,) = estimated.ledger.entries()
    assert entry.usage.input_tokens <= entry.charge.ceiling.input_tokens < 2_000 * 2


def test_the_same_content_is_counted_by_its_service_once(estimated, run):
    client = AsyncClient("demo/small", parts=estimated, max_tokens=4_000)
    for _ in range(2):
        run(client.send("word " * 3_800))
    assert len(estimated.answers) == 1


def test_replies_tighten_the_estimate(estimated, run):
    client = AsyncClient("demo/claude", parts=estimated)
    before = run(client.quote(PROMPT * 40)).input_tokens
    for number in range(20):
        run(client.send(f"{number} {PROMPT} " * 40))
    after = run(client.quote(PROMPT * 40)).input_tokens
    assert after.margin / after < before.margin / before / 2


class Watched(Parts):
    """Parts which note what was held when a service was first connected to."""

    def provider(self, model, loop):
        self.held = self.ledger.entries()
        return super().provider(model, loop)


def test_a_service_is_connected_to_before_anything_is_reserved_so_that_no_bucket_refills_meanwhile(make_parts, run):
    parts = make_parts(kind=Watched)
    run(AsyncClient("demo/claude", parts=parts).send(PROMPT))
    assert parts.held == ()


def test_displays_show_the_limits_that_a_service_stated(make_parts, server, run):
    limited = [replace(model, rates=(parse_limit("7k input_tokens/minute"),)) for model in demo_models().values()]
    with start_server(limited, tokenizers.counter) as other:
        parts = make_parts(server=other)
        client = AsyncClient("demo/claude", parts=parts)
        run(client.send(PROMPT))
        levels = client.snapshot().levels
    assert "7k input tokens/minute for demo/claude" in [str(level.account.limit) for level in levels]
