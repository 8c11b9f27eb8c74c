from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from tokmagic.core.events import (
    Event,
    Notice,
    Planned,
    ReasoningDelta,
    Retrying,
    Started,
    TextDelta,
    ToolFinished,
    Truncated,
    Waiting,
)
from tokmagic.core.messages import Text, ToolCall, ToolResult
from tokmagic.core.money import Cost
from tokmagic.core.replies import RECEIPT_MIME, Answer, Cut, Receipt, Reply
from tokmagic.core.usage import Usage
from tokmagic.notebook import markup
from tokmagic.notebook.live import LiveMarkdown, LiveText
from tokmagic.notebook.rendering import NotebookView
from tokmagic.notebook.terminal import TerminalView

BLOCK = "A sentence that is neither short nor long. " * 12 + "\n\n"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Recorder:
    """A screen that keeps what a front end would: its outputs in order, and every message."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self._places: dict[str, int] = {}
        self._clear_next = False

    def publish(self, data: dict[str, Any], *, transient: dict[str, str] | None = None, update: bool = False) -> None:
        self.messages.append(data)
        display_id = (transient or {}).get("display_id", "")
        if update:
            self.outputs[self._places[display_id]] = data
            return
        if self._clear_next:
            self.outputs, self._places, self._clear_next = [], {}, False
        if display_id:
            self._places[display_id] = len(self.outputs)
        self.outputs.append(data)

    def clear_output(self, wait: bool = False) -> None:
        assert wait
        self._clear_next = True


def reply(text: str, **said: Any) -> Reply:
    usage = Usage(1_234, cache_read_tokens=1_000, output_tokens=56)
    receipt = Receipt("call-1", "demo/claude", usage, Cost(1_230_000, "exact", play=True), duration=3.21, **said)
    return Reply(Answer((Text(text),)), receipt)


def shown(events: list[Event], text: str, *, own_cell: bool = True, live: bool = True, step: float = 1.0) -> Recorder:
    screen, clock = Recorder(), Clock()
    view = NotebookView(screen, LiveMarkdown(screen) if live else None, own_cell=own_cell, clock=clock)
    for event in events:
        view.show(event)
        clock.now += step
    view.finish(reply(text), markup.markdown(text))
    return screen


def deltas(text: str, step: int = 40) -> list[Event]:
    return [TextDelta(text[at : at + step]) for at in range(0, len(text), step)]


def test_a_short_answer_is_one_output_and_its_receipt() -> None:
    screen = shown([Planned("demo/claude", 3, 100, 1, True), Started(), *deltas("Hello **you**.")], "Hello **you**.")
    assert len(screen.outputs) == 2
    assert screen.outputs[0] == {"text/markdown": "Hello **you**.", "text/plain": "Hello **you**."}
    assert screen.outputs[1][RECEIPT_MIME]["nanousd"] == 1_230_000


def test_a_long_answer_is_replaced_by_one_output_when_the_cell_is_its_own() -> None:
    text = BLOCK * 20
    screen = shown(deltas(text), text)
    assert [set(output) for output in screen.outputs] == [
        {"text/markdown", "text/plain"},
        {"text/html", "text/plain", RECEIPT_MIME},
    ]
    assert screen.outputs[0]["text/markdown"] == text


def test_a_long_answer_of_a_call_in_other_code_stays_in_frozen_pieces() -> None:
    text = BLOCK * 20
    screen = shown(deltas(text), text, own_cell=False)
    assert "".join(output["text/markdown"] for output in screen.outputs[:-1]) == text
    assert len(screen.outputs) > 10


def test_what_is_finished_is_not_sent_again() -> None:
    text = BLOCK * 60
    screen = shown(deltas(text), text)
    sent = sum(len(message.get("text/markdown", "")) for message in screen.messages)
    whole_each_time = sum(range(40, len(text), 40))
    assert sent * 20 < whole_each_time


def test_an_answer_is_drawn_at_most_so_often_and_its_last_state_is_drawn_when_time_passes() -> None:
    screen, clock = Recorder(), Clock()
    view = NotebookView(screen, LiveMarkdown(screen), own_cell=True, hz=8.0, clock=clock)
    for _ in range(1_024):
        view.show(TextDelta("x"))
        clock.now += 1 / 1_024
    assert len(screen.messages) == 8
    view.tick()
    assert screen.messages[-1]["text/markdown"] == "x" * 1_024
    view.tick()
    assert len(screen.messages) == 9


def test_without_stream_the_answer_comes_once() -> None:
    screen = shown(deltas(BLOCK * 5), BLOCK * 5, live=False)
    assert [message.get("text/markdown") for message in screen.messages] == [BLOCK * 5, None]


def test_plain_text_is_appended_to_standard_output_and_not_shown_again() -> None:
    out, screen = StringIO(), Recorder()
    view = NotebookView(screen, LiveText(out), own_cell=True, clock=Clock())
    for event in deltas("# As it *stands*\n", 3):
        view.show(event)
    view.finish(reply("# As it *stands*\n"), markup.plain("# As it *stands*\n"))
    assert out.getvalue() == "# As it *stands*\n"
    assert [set(output) for output in screen.outputs] == [{"text/html", "text/plain", RECEIPT_MIME}]


def test_a_wait_counts_down_at_most_once_a_second_and_is_gone_at_the_end() -> None:
    screen, clock = Recorder(), Clock()
    view = NotebookView(screen, LiveMarkdown(screen), own_cell=True, clock=clock)
    view.show(Waiting(12.0, "28k of 30k input tokens/min used"))
    for _ in range(32):
        clock.now += 0.125
        view.tick()
    lines = [message["text/plain"] for message in screen.messages]
    assert lines[0] == "Waiting 12 s: 28k of 30k input tokens/min used"
    assert [line[:12] for line in lines[1:]] == ["Waiting 11 s", "Waiting 10 s", "Waiting 9 s:", "Waiting 8 s:"]
    view.show(TextDelta("Done."))
    assert screen.outputs[0]["text/plain"] == ""
    view.finish(reply("Done."), markup.markdown("Done."))
    assert [output["text/plain"][:5] for output in screen.outputs] == ["Done.", "demo/"]


def test_a_retry_is_told_with_its_reason_and_its_key_masked() -> None:
    screen = Recorder()
    view = NotebookView(screen, LiveMarkdown(screen), own_cell=True, clock=Clock())
    view.show(Retrying(1, 2.0, "overloaded,\nkey sk-abcdefghijklmnop"))
    line = screen.outputs[0]["text/plain"]
    assert line == "Attempt 1 failed: overloaded, key [key hidden]. Trying again in 2 s."


def test_a_cut_stands_above_the_answer_with_its_numbers_and_stays() -> None:
    cut = Truncated((Cut("dropped turns", "4 earlier turns", 5_000),))
    screen = shown([cut, *deltas(BLOCK * 20)], BLOCK * 20)
    assert screen.outputs[0]["text/plain"] == "! Context truncated to fit: 4 earlier turns (−5,000 tokens)"
    assert len(screen.outputs) == 3


def told(event: ToolFinished) -> tuple[str, str, str]:
    """What a notebook says of it as text and as HTML, and what a terminal says."""
    err = StringIO()
    TerminalView(StringIO(), err, clock=Clock()).show(event)
    bundle = shown([event], "").outputs[0]
    return bundle["text/plain"], bundle["text/html"], err.getvalue()


def test_a_tool_that_did_its_work_is_no_warning_and_one_that_failed_is() -> None:
    call = ToolCall("t1", "add", '{"a": 2}')
    text, html, terminal = told(ToolFinished(call, ToolResult("t1", (Text("4"),))))
    assert text == 'add {"a": 2}: 4'
    assert terminal == 'add {"a": 2}: 4\n'
    assert "warn" not in html
    text, html, terminal = told(ToolFinished(call, ToolResult("t1", (Text("no"),), is_error=True)))
    assert text == '! add {"a": 2}: failed, no'
    assert terminal == '! add {"a": 2}: failed, no\n'
    assert "warn" in html


def test_the_number_of_calls_is_no_warning_and_a_cut_is() -> None:
    several = replace(reply("x").receipt, calls=2, attempts=2)
    assert ">2 calls</span>" in markup.receipt(several)["text/html"]
    assert "warn" not in markup.receipt(several)["text/html"]
    assert "warn" in markup.receipt(replace(several, stop_reason="max_tokens"))["text/html"]


def test_lines_of_ours_break_between_words() -> None:
    bundle = markup.prose("a <b> line")
    assert bundle["text/plain"] == "a <b> line"
    assert "word-break:normal" in bundle["text/html"]
    assert "a &lt;b&gt; line" in bundle["text/html"]


def test_text_of_others_cannot_become_html() -> None:
    screen = shown([Notice("<script>alert(1)</script>"), *deltas("<img src=x onerror=alert(1)>")], "<b>x</b>")
    html = "".join(output.get("text/html", "") for output in screen.outputs)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "onerror" not in html


def test_a_failed_call_leaves_no_receipt_and_no_status() -> None:
    screen = Recorder()
    view = NotebookView(screen, LiveMarkdown(screen), own_cell=True, clock=Clock())
    view.show(Waiting(3.0, "full"))
    view.finish(None, markup.plain(""))
    assert [output["text/plain"] for output in screen.outputs] == [""]


def test_the_receipt_tells_model_tokens_cost_waiting_and_badges() -> None:
    bundle = markup.receipt(reply("x", waited=12.0, stop_reason="max_tokens").receipt)
    line = "demo/claude · 1,234 in (1,000 cached) · 56 out · $0.00123 play · waited 12 s · 3.2 s · cut off"
    assert bundle["text/plain"] == line
    together = reply("x", waited=455.0, calls=17).receipt
    assert " · waited 7 min 35 s in sum · 3.2 s · 17 calls" in markup.receipt(together)["text/plain"]
    assert ">cut off</span></div>" in bundle["text/html"]
    assert "cost exact" in bundle["text/html"]
    assert bundle[RECEIPT_MIME]["badges"] == ["cut off"]


def test_an_unknown_cost_is_not_shown_as_nothing() -> None:
    receipt = Receipt("c", "openai/x", Usage(1), Cost(None, "unknown"))
    assert "cost unknown" in markup.receipt(receipt)["text/plain"]


def test_a_terminal_streams_the_answer_and_ends_with_one_line_of_receipt() -> None:
    out, err = StringIO(), StringIO()
    view = TerminalView(out, err, clock=Clock())
    for event in [Truncated((Cut("truncated text", "the end of the prompt", 70),)), *deltas("Hello you.", 3)]:
        view.show(event)
    view.finish(reply("Hello you."), markup.markdown("Hello you."))
    receipt = "demo/claude · 1,234 in (1,000 cached) · 56 out · $0.00123 play · 3.2 s"
    assert out.getvalue() == f"Hello you.\n[{receipt}]\n"
    assert err.getvalue() == "! Context truncated to fit: the end of the prompt (−70 tokens)\n"


def test_a_terminal_obeys_nothing_that_a_model_writes() -> None:
    out = StringIO()
    view = TerminalView(out, StringIO(), clock=Clock())
    view.show(TextDelta("a\x1b]0;title\x07b\x1b[2J\tc\n"))
    assert out.getvalue() == "a]0;titleb[2J\tc\n"


class Tty(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_writes_over_its_status_line_and_takes_it_away() -> None:
    err, clock = Tty(), Clock()
    view = TerminalView(StringIO(), err, clock=clock)
    view.show(Waiting(2.0, "full"))
    clock.now += 1.0
    view.tick()
    view.show(Started())
    assert err.getvalue() == "\r\x1b[KWaiting 2 s: full\r\x1b[KWaiting 1 s: full\r\x1b[K"


def test_a_status_longer_than_the_terminal_stays_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    err = Tty()
    TerminalView(StringIO(), err, clock=Clock()).show(Waiting(2.0, "every request of this minute is used"))
    assert err.getvalue() == "\r\x1b[KWaiting 2 s: every…"


def test_a_log_file_gets_each_status_once() -> None:
    err, clock = StringIO(), Clock()
    view = TerminalView(StringIO(), err, clock=clock)
    view.show(Waiting(2.0, "full"))
    clock.now += 1.0
    view.tick()
    view.show(ReasoningDelta("hm"))
    view.show(ReasoningDelta("hm"))
    assert err.getvalue() == "Waiting 2 s: full\nThinking\n"
