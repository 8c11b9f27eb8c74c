"""Rows in a notebook: a bar that is drawn over in one output, and a word about what there is to know."""

from __future__ import annotations

import re
from typing import Any

from tokmagic.notebook.bar import BarDisplay


class Screen:
    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, Any]] = {}

    def publish(self, data: dict[str, Any], *, transient: dict[str, str] | None = None, update: bool = False) -> None:
        id = (transient or {})["display_id"]
        assert update == (id in self.outputs)
        self.outputs[id] = data

    def clear_output(self, wait: bool = False) -> None:
        raise AssertionError("nothing of a cell's own output is to be cleared")


def test_the_bar_is_one_output_and_moves_what_is_outside_the_cell() -> None:
    screen, pulses = Screen(), []
    bar = BarDisplay(screen, lambda: pulses.append(1))
    for done in (0, 3, 10):
        bar.show(done, 10, f"{done} of 10 rows <b>")
    (shown,) = screen.outputs.values()
    assert '<progress value="10" max="10"' in shown["text/html"]
    assert "<b>" not in shown["text/html"]
    assert shown["text/plain"] == "100 % 10 of 10 rows <b>"
    assert len(pulses) == 3


def test_no_rows_are_all_rows() -> None:
    screen = Screen()
    BarDisplay(screen).show(0, 0, "0 of 0 rows")
    (shown,) = screen.outputs.values()
    assert shown["text/plain"].startswith("100 %")


def test_notes_stand_together() -> None:
    screen = Screen()
    bar = BarDisplay(screen)
    for text in ("mind this", "and that"):
        bar.note(text)
    (shown,) = screen.outputs.values()
    assert shown["text/plain"] == "! mind this\n! and that"


def test_a_note_that_comes_again_is_counted_instead_of_repeated() -> None:
    screen = Screen()
    bar = BarDisplay(screen)
    for text in ("a part is cut off", "and that", "a part is cut off"):
        bar.note(text)
    (shown,) = screen.outputs.values()
    assert shown["text/plain"] == "! a part is cut off (2 times)\n! and that"


def test_a_cell_that_asks_many_rows_shows_the_bar(kernel: Any) -> None:
    code = (
        "import tokmagic as tm\n"
        "replies = tm.Client('demo/claude', max_tokens=50).map('Classify: {{it}}', ['cat', 'dog', 'fox'])\nreplies"
    )
    cell = kernel.run(code)
    shown = [data for data in cell.data if "<progress" in data.get("text/html", "")]
    assert len(shown) == 1
    assert "3 of 3 rows" in shown[0]["text/plain"]
    assert kernel.value("replies").startswith("<3 of 3 rows answered, $")


def test_a_run_that_a_budget_stops_says_how_far_it_came_and_why(kernel: Any) -> None:
    code = (
        "import tokmagic as tm\n"
        "client = tm.Client('demo/gpt', max_tokens=50)\n"
        "made = sum(entry.model == 'demo/gpt' for entry in client.history(1_000))\n"
        "limits = [f'{made + 2} requests/total for demo/gpt']\n"
        "replies = client.map('Stop: {{it}}', range(6), limits=limits)"
    )
    said = "\n".join(data["text/plain"] for data in kernel.run(code).data)
    assert "2 of 6 rows" in said
    assert re.search(r"Stopped: \d+ requests/total for demo/gpt has 0 requests left", said)
    assert kernel.value("replies.answered") == "2"
