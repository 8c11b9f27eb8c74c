"""What a long answer costs on the wire: ipykernel's own publisher and message format, with the bytes counted."""

from __future__ import annotations

from typing import Any

import pytest
from ipykernel.zmqshell import ZMQDisplayPublisher
from jupyter_client.session import Session

from tokmagic.core.events import TextDelta
from tokmagic.notebook.live import LiveMarkdown
from tokmagic.notebook.rendering import NotebookView

UPDATES, PER_SECOND = 5_000, 20
SECTION = (
    "## A heading\n\n"
    + "Plain words that make up most of an answer, as they come from a model token by token. " * 6
    + "\n\n- one item\n- another item with `code`\n- a third\n\n"
    + "```python\n" + "for number in range(10):\n    print(number)\n\n" * 12 + "```\n\n"
    + "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 8 + "\n"
)  # fmt: skip
ANSWER = (SECTION * 80)[:80_000]


class Wire:
    """A socket that counts."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0

    def send_multipart(self, frames: list[Any], **_: Any) -> None:
        self.messages += 1
        self.bytes += sum(len(bytes(frame)) for frame in frames)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sent(answer: str, hz: float) -> Wire:
    """What goes over the wire while the answer comes in ``UPDATES`` pieces, ``PER_SECOND`` of them a second."""
    wire, clock = Wire(), Clock()
    session = Session(key=b"key")
    screen = ZMQDisplayPublisher(session=session, pub_socket=wire)
    screen.set_parent(session.msg("execute_request"))
    view = NotebookView(screen, LiveMarkdown(screen), own_cell=True, hz=hz, clock=clock)
    step = len(answer) // UPDATES
    for at in range(0, len(answer), step):
        view.show(TextDelta(answer[at : at + step]))
        clock.now += 1 / PER_SECOND
    return wire


def whole_each_time(answer: str) -> int:
    """Bytes of the texts alone if each update sent the whole answer so far."""
    step = len(answer) // UPDATES
    return sum(range(step, len(answer) + 1, step))


@pytest.mark.parametrize(
    "answer", [ANSWER, "```python\n" + "value = compute(value)  # line\n" * 2_500, "word " * 16_000]
)
def test_a_long_answer_takes_forty_times_fewer_bytes_than_sending_it_whole_each_time(answer: str) -> None:
    wire = sent(answer, hz=10.0)
    assert wire.bytes * 40 < whole_each_time(answer)
    assert wire.messages < UPDATES * 0.75


def test_also_when_each_of_twenty_updates_a_second_is_drawn_most_of_what_is_sent_is_envelopes() -> None:
    wire = sent(ANSWER, hz=1_000.0)
    assert wire.messages >= UPDATES
    assert wire.bytes * 30 < whole_each_time(ANSWER)
