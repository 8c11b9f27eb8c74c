"""The gauge folds events into the state that displays draw."""

from tokmagic.core.book import Total
from tokmagic.core.events import Completed, Notice, Planned, TextDelta, Waiting
from tokmagic.core.money import Cost
from tokmagic.core.replies import Answer, Receipt, Reply
from tokmagic.core.snapshot import Note
from tokmagic.core.usage import Usage
from tokmagic.gauge import MINUTES, Gauge, sums


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


def completed(tokens):
    receipt = Receipt("c", "demo/claude", Usage(input_tokens=tokens), Cost(1, "exact", True))
    return Completed(Reply(Answer(), receipt))


def test_a_call_shows_its_model_its_window_and_why_it_waits():
    clock, gauge = Clock(), None
    gauge = Gauge("epoch", clock)
    gauge.observe("c", "1", Planned("demo/claude", 500, 100, 7, True), 200_000)
    gauge.observe("c", "1", Waiting(12.0, "full"), 200_000)
    shown = gauge.snapshot((), (), ())
    assert (shown.model, shown.context_used, shown.context_window) == ("demo/claude", 500, 200_000)
    assert (shown.pause.reason, shown.pause.until) == ("full", 1_012.0)
    gauge.observe("c", "1", TextDelta("so"), 200_000)
    assert gauge.snapshot((), (), ()).pause is None


def test_a_running_call_tells_how_much_it_wrote_until_it_ends():
    gauge = Gauge("epoch", Clock())
    gauge.observe("c", "cell 1", Planned("demo/claude", 500, 100, 7, True), 200_000)
    gauge.observe("c", "cell 1", TextDelta("123456"), 200_000)
    gauge.observe("c", "cell 1", TextDelta("789"), 200_000)
    (running,) = gauge.snapshot((), (), ()).running
    assert (running.label, running.input_tokens, running.output_tokens) == ("cell 1", 500, 3)
    assert running.ceiling == Cost(7, play=True)
    gauge.forget("c")
    assert gauge.snapshot((), (), ()).running == ()


def test_a_call_that_ends_without_a_reply_waits_no_more():
    gauge = Gauge("epoch", Clock())
    gauge.observe("c", "1", Waiting(12.0, "full"), None)
    gauge.forget("c")
    assert gauge.snapshot((), (), ()).pause is None


def test_the_longest_of_several_waits_is_shown():
    gauge = Gauge("epoch", Clock())
    gauge.observe("a", "1", Waiting(2.0, "short"), None)
    gauge.observe("b", "2", Waiting(9.0, "long"), None)
    assert gauge.snapshot((), (), ()).pause.reason == "long"


def test_tokens_stand_in_the_minute_they_were_used_in_and_leave_the_chart():
    clock = Clock()
    gauge = Gauge("epoch", clock)
    gauge.observe("a", "1", completed(10), None)
    clock.now += 60
    gauge.observe("b", "2", completed(5), None)
    assert gauge.snapshot((), (), ()).minute_tokens[-2:] == (10, 5)
    clock.now += 60 * MINUTES + 1
    assert sum(gauge.snapshot((), (), ()).minute_tokens) == 0


def test_sequence_rises_and_cells_and_notices_are_kept_in_order():
    gauge = Gauge("epoch", Clock())
    gauge.observe("a", "1", Notice("hello"), None)
    gauge.observe("a", "1", completed(10), None)
    gauge.observe("b", "2", completed(20), None)
    first, second = gauge.snapshot((), (), ()), gauge.snapshot((), (), ())
    assert second.sequence == first.sequence + 1
    assert [cell.label for cell in second.cells] == ["1", "2"]
    assert second.notices == (Note("1", "hello"),)


def test_sums_keep_play_and_real_money_apart_and_an_unknown_price_unknown():
    def total(nanousd, play=False):
        quality = "exact" if nanousd is not None else "unknown"
        return Total("g", 1, Usage(input_tokens=3), Cost(nanousd, quality, play), 0.0, 0)

    both = sums([total(5), total(7, play=True), total(2)])
    assert (both.calls, both.usage.input_tokens, both.nanousd, both.play_nanousd) == (3, 9, 7, 7)
    assert sums([total(5), total(None)]).nanousd is None
    assert sums([]).nanousd == 0
