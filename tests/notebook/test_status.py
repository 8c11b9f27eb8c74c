"""The one line that says what a running call is doing."""

from tokmagic.core.events import Progress, TextDelta, Waiting
from tokmagic.notebook.status import Status


def test_a_call_in_parts_says_how_many_are_answered_until_the_answer_begins():
    drawn = []
    status = Status(drawn.append, lambda: 0.0)
    for event in (Progress(0, 7), Progress(1, 7), TextDelta("The sea")):
        status.show(event)
    assert drawn == ["0 of 7 parts answered", "1 of 7 parts answered", ""]


def test_a_wait_stands_behind_the_parts_that_are_answered():
    drawn, now = [], 0.0
    status = Status(drawn.append, lambda: now)
    status.show(Progress(5, 8))
    now = 1.0
    status.show(Waiting(3.0, "a limit is used up"))
    status.show(Progress(6, 8))
    waiting = "5 of 8 parts answered · Waiting 3 s: a limit is used up"
    assert drawn == ["5 of 8 parts answered", waiting, "6 of 8 parts answered"]


def test_a_countdown_never_says_nought_seconds():
    drawn, now = [], 0.0
    status = Status(drawn.append, lambda: now)
    status.show(Waiting(1.2, "a limit is used up"))
    now = 1.1
    status.tick()
    assert drawn == ["Waiting 1 s: a limit is used up", "Waiting: a limit is used up"]
