"""The blocking face: the same calls from any thread, stopped at once by Ctrl-C, with nothing lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.endless import Endless
from tests.patience import PATIENCE
from tokmagic import catalog, tokenizers
from tokmagic.core.errors import BudgetExceeded, ConfigurationError, Interrupted, LedgerError
from tokmagic.core.events import Completed, ReasoningDelta, Started, TextDelta
from tokmagic.ledgers.sqlite import SQLiteLedger
from tokmagic.mailbox import Errand, Mailbox
from tokmagic.server import start_server
from tokmagic.sync import Client

PROMPT = "The sea is deep. The sea is blue. Whales live in the sea."


@pytest.fixture
def engine():
    return Endless()


@pytest.fixture
def slow(make_parts, engine):
    """Parts with a server whose answers never end."""
    unlimited = [replace(model, rates=()) for model in catalog.demo_models().values()]
    with start_server(unlimited, tokenizers.counter, engine=engine) as running:
        yield make_parts(server=running)


def interrupt_self():
    os.kill(os.getpid(), signal.SIGINT)


def test_a_call_from_plain_code(parts):
    reply = Client("demo/claude", parts=parts).send(PROMPT)
    assert "sea" in reply.text
    assert reply.receipt.attempts == 1


def test_events_can_be_watched(parts):
    with Client("demo/claude", parts=parts).stream(PROMPT) as stream:
        events = list(stream)
    assert isinstance(events[-1], Completed)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == stream.reply.text


def test_many_threads_share_one_budget(parts):
    client = Client("demo/claude", parts=parts, limits=["0.02 usd/session"], max_tokens=100)

    def call(_):
        try:
            return client.send(PROMPT).cost.nanousd
        except BudgetExceeded:
            return None

    with ThreadPoolExecutor(8) as pool:
        paid = list(pool.map(call, range(24)))
    assert None in paid
    assert 0 < sum(filter(None, paid)) <= 20_000_000


def test_an_interrupt_keeps_what_arrived_and_settles_it(slow):
    def interrupted():
        with Client("demo/claude", parts=slow).stream(PROMPT) as events:
            for event in events:
                if isinstance(event, TextDelta):
                    interrupt_self()

    with pytest.raises(Interrupted, match="kept") as stopped:
        interrupted()
    reply = stopped.value.reply
    (entry,) = slow.ledger.entries()
    assert reply.stopped
    assert reply.text
    assert (entry.state, entry.quality) == ("settled", "at least")
    assert entry.usage == reply.usage


def interrupt_when(happens):
    """Interrupt the main thread as soon as that is the case."""

    def watch():
        while not happens():
            time.sleep(0.01)
        interrupt_self()

    threading.Thread(target=watch, daemon=True).start()


def test_an_interrupt_while_blocked_reaches_the_caller(slow):
    client = Client("demo/claude", parts=slow)
    interrupt_when(lambda: any(call.output_tokens for call in client.snapshot().running))
    with pytest.raises(Interrupted) as stopped:
        client.send(PROMPT)
    assert stopped.value.reply.stopped
    assert isinstance(stopped.value, KeyboardInterrupt)


def test_an_interrupt_of_a_reply_in_one_piece_keeps_nothing_and_says_what_it_may_cost(slow, engine):
    interrupt_when(engine.begun.is_set)
    with pytest.raises(Interrupted, match=r"nothing of the answer kept, ~?\S*\$0\.\d+") as stopped:
        Client("demo/claude", parts=slow).send(PROMPT, stream=False, max_tokens=300)
    (entry,) = slow.ledger.entries()
    assert (entry.state, stopped.value.reply.cost.nanousd) == ("unsettled", entry.charge.ceiling.nanousd)


def test_an_interrupt_while_waiting_for_a_rate_sends_nothing(make_parts, server):
    parts = make_parts(server=server, clock=lambda: 1_800_000_000.0)
    client = Client("demo/claude", parts=parts, limits=["100 input_tokens/minute"], max_tokens=5)
    client.send("word " * 60)
    interrupt_when(lambda: client.snapshot().pause)
    with pytest.raises(Interrupted, match="before anything was sent") as stopped:
        client.send("word " * 80)
    assert stopped.value.reply is None
    assert len(parts.ledger.entries()) == 1


def test_an_interrupt_while_the_server_starts_waits_for_nothing(make_parts, monkeypatch):
    parts, begun, release, late = make_parts(), threading.Event(), threading.Event(), []

    def never_ready(*args, **options):
        begun.set()
        late.extend([True] * (not release.wait(PATIENCE)))
        raise ConfigurationError("started too late")

    monkeypatch.setattr("tokmagic.server.start_server", never_ready)
    threading.Thread(target=lambda: begun.wait(PATIENCE) and interrupt_self()).start()
    with pytest.raises(Interrupted, match="before anything was sent"):
        Client("demo/claude", parts=parts).send(PROMPT)
    assert not late
    assert parts.ledger.entries() == ()
    release.set()


def test_an_error_of_the_book_is_not_lost_when_a_call_is_left_early(slow):
    def leave():
        with Client("demo/claude", parts=slow).stream(PROMPT) as events:
            for event in events:
                if isinstance(event, TextDelta):
                    slow.ledger.close()
                    break

    with pytest.raises(LedgerError, match="closed"):
        leave()


def test_leaving_early_stops_the_call(slow):
    with Client("demo/claude", parts=slow).stream(PROMPT) as events:
        for event in events:
            if isinstance(event, TextDelta):
                break
    assert events.reply.stopped
    assert slow.ledger.entries()[0].quality == "at least"


def test_a_quote_and_a_snapshot_from_plain_code(parts):
    client = Client("demo/claude", parts=parts, limits=["5 usd/day"])
    assert client.quote(PROMPT, max_tokens=10).max_tokens == 10
    assert client.snapshot().cells == ()
    assert [str(limit) for limit in client.limits] == ["$5.00/day"]
    assert client.history() == ()


def test_a_mailbox_joins_text_nobody_took_yet():
    box = Mailbox()
    for event in (TextDelta("a"), TextDelta("b"), ReasoningDelta("c"), ReasoningDelta("d"), TextDelta("e"), Started()):
        box.put(event)
    box.end(None)
    taken = []
    while (event := box.take()) is not None:
        taken.append(event)
    assert taken == [TextDelta("ab"), ReasoningDelta("cd"), TextDelta("e"), Started()]


def test_a_mailbox_raises_its_error_after_its_last_event():
    box = Mailbox()
    box.put(TextDelta("a"))
    box.end(ValueError("broken"))
    assert box.take() == TextDelta("a")
    with pytest.raises(ValueError, match="broken"):
        box.take()


def test_a_mailbox_nobody_reads_keeps_errands_and_its_end_only():
    box, done = Mailbox(), []
    box.leave_unread()
    for event in (TextDelta("a"), Errand(lambda: done.append(1)), Started()):
        box.put(event)
    assert box.ready(0.0)
    box.take().run()
    assert done == [1]
    assert not box.ready(0.0)
    box.end(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        box.take()


def test_a_stream_can_be_left_to_its_end(parts):
    with Client("demo/claude", parts=parts).stream(PROMPT) as stream:
        stream.until_done()
    assert "sea" in stream.reply.text


def test_a_stream_that_is_stopped_before_it_began_ends(parts):
    client = Client("demo/claude", parts=parts)
    for _ in range(50):
        with client.stream(PROMPT) as stream:
            pass
    assert stream.reply is None or stream.reply.stopped


def test_a_process_that_ends_settles_its_running_call_and_does_not_hang(tmp_path):
    program = (
        "from tokmagic import Client\n"
        "stream = Client('demo/claude').stream('The sea is deep. The sea is blue. ' * 50)\n"
        "events = iter(stream.__enter__())\n"
        "print([type(next(events)).__name__ for _ in range(4)])\n"
    )
    env = {**os.environ, "TOKMAGIC_HOME": str(tmp_path), "TOKMAGIC_DEMO_PACE": "50"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "TextDelta" in done.stdout
    assert done.stderr == ""
    assert [entry.quality for entry in SQLiteLedger(tmp_path / "book.sqlite").entries()] == ["at least"]


def test_a_process_ends_although_something_blocks_the_loop():
    program = (
        "import threading\n"
        "from tokmagic import background\n"
        "background.FAREWELL = 0.05\n"
        "blocks = threading.Event()\n"
        "background.loop().call_soon_threadsafe(lambda: (blocks.set(), threading.Event().wait()))\n"
        "blocks.wait()\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_makes_calls_of_its_own(parts):
    Client("demo/claude", parts=parts).send(PROMPT)
    child = os.fork()
    if child == 0:
        try:
            reply = Client("demo/claude").send(PROMPT)
            os._exit(0 if "sea" in reply.text else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
