"""The one line that says what a running call is doing."""

from tokmagic.core.events import Progress, TextDelta
from tokmagic.notebook.status import Status


def test_a_call_in_parts_says_how_many_are_answered_until_the_answer_begins():
    drawn = []
    status = Status(drawn.append, lambda: 0.0)
    for event in (Progress(0, 7), Progress(1, 7), TextDelta("The sea")):
        status.show(event)
    assert drawn == ["0 of 7 parts answered", "1 of 7 parts answered", ""]
