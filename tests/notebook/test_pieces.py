from __future__ import annotations

import re

import pytest

from tokmagic.notebook.pieces import LONG, Pieces

PARAGRAPH = "The quick brown fox jumps over the lazy dog. " * 5


def pieces_of(text: str, step: int = 7) -> tuple[list[str], str, int]:
    """Pieces, tail and the longest tail of a text that comes a few characters at a time."""
    grown, finished, longest = Pieces(), list[str](), 0
    for at in range(0, len(text), step):
        finished += grown.feed(text[at : at + step])
        longest = max(longest, len(grown.tail))
    return finished, grown.tail, longest


def test_paragraphs_are_frozen_and_joined_are_the_answer() -> None:
    text = "\n\n".join(f"{number}. {PARAGRAPH}" for number in range(40))
    finished, tail, longest = pieces_of(text)
    assert "".join(finished) + tail == text
    assert len(finished) > 10
    assert all(piece.endswith("\n\n") for piece in finished)
    assert longest < LONG


def test_a_blank_line_inside_a_fence_ends_nothing() -> None:
    code = "```python\n" + "x = 1\n\n" * 100 + "```\n\n"
    finished, tail, _ = pieces_of(code + "After.\n\n" + PARAGRAPH * 3)
    assert finished[0] == code
    assert "".join(finished) + tail == code + "After.\n\n" + PARAGRAPH * 3


@pytest.mark.parametrize("fence", ["```", "~~~~", "$$"])
def test_a_long_fence_is_closed_and_opened_again_without_losing_a_line(fence: str) -> None:
    lines = [f"line {number} of the code" for number in range(400)]
    opening = f"{fence}python" if fence != "$$" else fence
    text = f"Intro.\n\n{opening}\n" + "\n".join(lines) + f"\n{fence}\n\nAfter.\n"
    finished, tail, longest = pieces_of(text)
    shown = "".join(finished) + tail
    assert [line for line in shown.splitlines() if line.startswith("line")] == lines
    assert all(piece.count(fence) % 2 == 0 for piece in finished)
    assert longest < 2 * LONG


def test_a_fence_inside_a_fence_of_more_signs_does_not_close_it() -> None:
    text = "````markdown\n" + "```\ncode\n```\n\n" * 60 + "````\n\n" + PARAGRAPH * 3
    finished, _, _ = pieces_of(text)
    assert finished[0].startswith("````markdown\n")
    assert finished[0].endswith("````\n\n")


def test_a_fence_in_a_list_stays_code_when_it_is_broken() -> None:
    text = "- item\n\n      ```python\n" + "      x = 1\n" * 500 + "      ```\n"
    finished, _, _ = pieces_of(text)
    assert len(finished) > 2
    assert finished[1].startswith("```python\nx = 1\n")
    assert finished[1].endswith("x = 1\n```\n")


def test_a_long_table_repeats_its_head() -> None:
    head = "| a | b |\n|---|---|\n"
    rows = [f"| {number} | value {number} |" for number in range(300)]
    finished, tail, longest = pieces_of(head + "\n".join(rows) + "\n")
    assert all(piece.startswith(head) for piece in [*finished, tail])
    assert [line for line in "\n".join([*finished, tail]).splitlines() if "value" in line] == rows
    assert longest < 2 * LONG


def test_a_long_list_breaks_between_its_items() -> None:
    items = "".join(f"{number}. item\n   continued\n" for number in range(300))
    finished, tail, longest = pieces_of(items)
    assert "".join(finished) + tail == items
    assert all(re.match(r"\d+\. item", piece) for piece in finished)
    assert longest < 2 * LONG


@pytest.mark.parametrize("text", ["word " * 5_000, "x" * 20_000, "```\n" + "y" * 20_000])
def test_a_block_that_never_ends_is_broken_so_that_the_tail_stays_short(text: str) -> None:
    finished, tail, longest = pieces_of(text)
    letter = text[-1] if text[-1] != " " else "w"
    assert ("".join(finished) + tail).count(letter) == text.count(letter)
    assert longest < 3 * LONG


@pytest.mark.parametrize("step", [1, 2, 3, 13, 99, 400, 5_000])
def test_nothing_is_lost_however_the_answer_is_chopped(step: int) -> None:
    text = "\n\n".join(f"## Part {number}\n\n{PARAGRAPH}\n\n- a\n- b\n\n```\ncode\n\nmore\n```" for number in range(30))
    finished, tail, _ = pieces_of(text, step)
    assert "".join(finished) + tail == text


def test_a_whole_answer_at_once_leaves_a_short_tail() -> None:
    grown = Pieces()
    assert "".join(grown.feed(f"{PARAGRAPH}\n\n" * 50)) + grown.tail == f"{PARAGRAPH}\n\n" * 50
    assert len(grown.tail) < LONG
