"""The kernel's end of the panel: first over a channel that records, then on the wire of a real kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokmagic.core.errors import LedgerError
from tokmagic.core.shown import as_json
from tokmagic.core.snapshot import SNAPSHOT_VERSION, Snapshot
from tokmagic.notebook import widget
from tokmagic.notebook.panel import PUSHES_PER_SECOND, READY, REOPEN, TARGET, Panel, state_of

STEP = 1 / PUSHES_PER_SECOND


class Channel:
    def __init__(self, first: dict[str, Any]) -> None:
        self.sent = [first]
        self.open = True
        self.message: Callable[[Any], None] = print
        self.closed: Callable[[Any], None] = print

    def send(self, data: dict[str, Any]) -> None:
        self.sent.append(data)

    def on_msg(self, callback: Callable[[Any], None]) -> None:
        self.message = callback

    def on_close(self, callback: Callable[[Any], None]) -> None:
        self.closed = callback

    def close(self) -> None:
        self.open = False


class Kernel:
    """A kernel's state, its clock, and the channels it opened."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks = 0
        self.cost = 0
        self.channels: list[Channel] = []
        self.panel = Panel(self.state, self.connect, lambda: self.now)

    def state(self) -> dict[str, Any]:
        self.looks += 1
        return {**READY, "sequence": self.looks, "cost": self.cost}

    def connect(self, first: dict[str, Any]) -> Channel:
        self.channels.append(Channel(first))
        return self.channels[-1]

    @property
    def costs(self) -> list[Any]:
        return [state.get("cost") for channel in self.channels for state in channel.sent]


@pytest.fixture
def opened() -> Kernel:
    kernel = Kernel()
    kernel.panel.open(READY)
    return kernel


def test_a_running_call_is_looked_at_no_more_often_than_promised(opened: Kernel) -> None:
    for _ in range(100):
        opened.cost += 1
        opened.now += STEP / 10
        opened.panel.pulse()
    assert 9 <= opened.looks <= 11


def test_the_same_state_is_not_sent_twice(opened: Kernel) -> None:
    opened.panel.push()
    opened.panel.push()
    opened.cost = 7
    opened.panel.push()
    assert opened.costs == [None, 0, 7]


def test_a_display_that_says_hello_is_answered_and_nothing_else_it_says_matters(opened: Kernel) -> None:
    opened.panel.push()
    (channel,) = opened.channels
    channel.message({"content": {"data": {"type": "raise the limit", "limit": 5}}})
    assert opened.costs == [None, 0]
    channel.message({"content": {"data": {"type": "hello"}}})
    assert opened.costs == [None, 0, 0]


def test_a_comm_closed_by_a_front_end_is_opened_again_but_not_at_once(opened: Kernel) -> None:
    opened.channels[0].closed({})
    opened.panel.push()
    assert len(opened.channels) == 1
    opened.now += REOPEN
    opened.panel.push()
    assert len(opened.channels) == 2
    opened.channels[0].closed({})
    opened.cost = 1
    opened.panel.push()
    assert [state["cost"] for state in opened.channels[1].sent] == [0, 1]


def test_a_display_inside_the_notebook_gets_every_push_and_whatever_any_display_asks_for(opened: Kernel) -> None:
    seen: list[dict[str, Any]] = []
    opened.panel.watch(seen.append)
    opened.panel.push()
    opened.panel.tell()
    assert [state["sequence"] for state in seen] == [1, 2]
    assert opened.channels[0].sent[1:] == seen


def test_closing_ends_every_display(opened: Kernel) -> None:
    seen: list[dict[str, Any]] = []
    opened.panel.watch(seen.append)
    opened.panel.close()
    opened.panel.push()
    assert not opened.channels[0].open
    assert seen == []


def test_the_state_before_the_first_call_is_an_empty_snapshot() -> None:
    empty = as_json(Snapshot(0, "", 0.0))
    assert set(READY) == set(empty)
    assert READY["tokmagic"] == SNAPSHOT_VERSION


def test_a_book_that_cannot_be_read_is_said_in_a_row_with_keys_masked() -> None:
    key = "sk-ant-" + "a1B2" * 10

    def broken() -> Any:
        raise LedgerError(f"the book is locked; {key}")

    (row,) = state_of(broken)["rows"]
    assert row["tone"] == "bad"
    assert "the book is locked" in row["text"]
    assert key not in row["text"]


def test_the_gauge_in_a_cell_syncs_no_state_that_a_saved_notebook_would_keep(
    opened: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("widget.js", "widget.css"):
        (tmp_path / name).write_text("built")
    monkeypatch.setattr(widget, "STATIC", tmp_path)
    gauge = widget.GaugeWidget(opened.panel)
    before = gauge.get_state()
    opened.panel.push()
    assert gauge.get_state() == before
    assert "0x" not in gauge.bundle()["text/plain"]
    gauge.close()


def pushed(cell: Any) -> list[dict[str, Any]]:
    """The snapshots in what a cell sent."""
    kinds = ("comm_open", "comm_msg")
    found = [message["content"]["data"] for message in cell.messages if message["msg_type"] in kinds]
    return [data for data in found if "tokmagic" in data]


def test_loading_opens_the_comm_and_unloading_closes_it(kernel: Any) -> None:
    cell = kernel.run("%reload_ext tokmagic")
    comms = [message for message in cell.messages if message["msg_type"].startswith("comm_")]
    assert [message["msg_type"] for message in comms[:2]] == ["comm_close", "comm_open"]
    assert comms[1]["content"]["target_name"] == TARGET


def test_a_call_pushes_its_state_while_it_runs_and_when_it_ended(kernel: Any) -> None:
    states = pushed(kernel.run("%%llm --max-tokens 900\nWrite 900 words about the sea."))
    assert any(row["key"] == "running 0" for state in states[:-1] for row in state["rows"])
    assert not any(row["key"].startswith("running") for row in states[-1]["rows"])
    assert states[-1]["cells"][-1]["receipt"]["model"] == "demo/claude"
    sequences = [state["sequence"] for state in states]
    assert sequences == sorted(sequences)


def test_a_call_of_plain_python_is_shown_when_its_cell_ends(kernel: Any) -> None:
    kernel.run("import tokmagic as tm")
    states = pushed(kernel.run("_ = tm.Client('demo/chat').send('hello')"))
    assert states[-1]["cells"][-1]["receipt"]["model"] == "demo/chat"


def test_unloaded_nothing_is_pushed(kernel: Any) -> None:
    kernel.run("%unload_ext tokmagic")
    assert pushed(kernel.run("_ = tm.Client('demo/chat').send('hello')")) == []
    assert pushed(kernel.run("%load_ext tokmagic")) != []
