"""MIME bundles: the same values as compact HTML and as plain text. Every text that goes into HTML is escaped.

What a model said is never HTML: it is published as ``text/markdown``, which front ends sanitise, and ``text/plain``.
Colours are the theme's own variables, so that light and dark both work.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any, TypeAlias

from tokmagic.core.replies import RECEIPT_MIME, Receipt
from tokmagic.core.snapshot import Row, Tone
from tokmagic.core.tables import Line, html_table, text_table
from tokmagic.notebook.wording import receipt_line, receipt_parts

Bundle = dict[str, Any]
#: A line above an answer, and whether it warns of nothing.
Note: TypeAlias = tuple[str, bool]

_SMALL = "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color2,#757575)"
_COLOURS: dict[Tone, str] = {
    "ok": "var(--jp-success-color1,#388e3c)",
    "warn": "var(--jp-warn-color1,#f57c00)",
    "bad": "var(--jp-error-color1,#d32f2f)",
    "idle": "var(--jp-layout-color3,#bdbdbd)",
}
#: A warning keeps the colour of text, for its legibility in both themes; its frame carries the signal.
_BADGE = (
    "border:1px solid {colour};border-radius:3px;padding:0 4px;margin-left:4px;color:var(--jp-ui-font-color1,#212121)"
)
_SIGNS: dict[Tone, str] = {"ok": " ", "warn": "!", "bad": "✗", "idle": " "}
_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR = 10
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def markdown(text: str) -> Bundle:
    """A model's Markdown."""
    return {"text/markdown": text, "text/plain": printable(text)}


def plain(text: str) -> Bundle:
    """Text as it stands."""
    return {"text/plain": printable(text)}


def prose(text: str) -> Bundle:
    """Lines of ours, broken between words where they are too long."""
    style = "white-space:pre-wrap;overflow-wrap:break-word;word-break:normal"
    return {"text/html": f'<div style="{style}">{escape(printable(text))}</div>', **plain(text)}


def printable(text: str) -> str:
    """The text without the control characters that a terminal would obey."""
    return _CONTROL.sub("", text)


def fenced(text: str, language: str) -> Bundle:
    """Text as a block of code, whatever fences it contains."""
    fence = "```"
    while fence in text:
        fence += "`"
    return {"text/markdown": f"{fence}{language}\n{text}\n{fence}\n", "text/plain": printable(text)}


def status(text: str) -> Bundle:
    """One line about a call that is running; empty text leaves nothing to see."""
    return {"text/html": f'<div style="{_SMALL}">{escape(text)}</div>' if text else "", "text/plain": text}


def notes(lines: Iterable[Note]) -> Bundle:
    """Warnings and quiet lines above an answer, each once with how often it came."""
    times = Counter(lines)
    found = tuple((line if often == 1 else f"{line} ({often} times)", quiet) for (line, quiet), often in times.items())
    return {
        "text/html": "".join(_html_note(*note) for note in found),
        "text/plain": "\n".join(line if quiet else f"! {line}" for line, quiet in found),
    }


def _html_note(line: str, quiet: bool) -> str:
    style = f"border-left:3px solid {_signal(quiet)};padding-left:8px;margin:2px 0 6px"
    return f'<div style="{style}">{escape(line)}</div>'


def _signal(quiet: bool) -> str:
    return _COLOURS["idle" if quiet else "warn"]


def receipt(value: Receipt) -> Bundle:
    """The footer of a cell, with the record that reports read."""
    parts = [escape(part) for part in receipt_parts(value)]
    facts = " · ".join(parts[: len(parts) - len(value.badges)])
    badges = "".join(_html_badge(badge, quiet=badge == value.calls_badge) for badge in value.badges)
    title = escape(f"cost {value.cost.quality}, call {value.call}", quote=True)
    return {
        "text/html": f'<div class="tokmagic-receipt" title="{title}" style="{_SMALL}">{facts}{badges}</div>',
        "text/plain": receipt_line(value),
        RECEIPT_MIME: value.as_dict(),
    }


def _html_badge(badge: str, *, quiet: bool) -> str:
    return f' <span style="{_BADGE.format(colour=_signal(quiet))}">{escape(badge)}</span>'


def gauge(rows: Iterable[Row]) -> Bundle:
    """The rows of a snapshot as a table with bars."""
    found = tuple(rows)
    body = "".join(_html_row(row) for row in found)
    width = max((len(row.label) for row in found), default=0)
    return {
        "text/html": f'<table class="tokmagic-gauge">{body}</table>',
        "text/plain": "\n".join(_text_row(row, width) for row in found),
    }


def table(head: Line, lines: Iterable[Line], *, numbers: Collection[int] = ()) -> Bundle:
    """Columns of text, those of ``numbers`` set to the right; an empty table says so by its head alone."""
    found = tuple(lines)
    return {
        "text/html": html_table(head, found, numbers=numbers),
        "text/plain": text_table(head, found, numbers=numbers),
    }


def _html_row(row: Row) -> str:
    colour = _COLOURS[row.tone]
    mark = f"border-left:3px solid {colour}"
    text = escape(row.text) + (f" {_chart(row.series)}" if any(row.series) else "")
    return (
        f'<tr><td style="text-align:left;white-space:nowrap;{mark}">{escape(row.label)}</td>'
        f"<td>{_html_bar(row.fraction, colour)}</td>"
        f'<td style="text-align:left">{text}</td></tr>'
    )


def _html_bar(fraction: float | None, colour: str) -> str:
    if fraction is None:
        return ""
    outer = "width:100px;height:8px;border:1px solid var(--jp-border-color1,#bdbdbd);border-radius:2px;overflow:hidden"
    return f'<div style="{outer}"><div style="width:{fraction * 100:.0f}%;height:8px;background:{colour}"></div></div>'


def _text_row(row: Row, width: int) -> str:
    bar = "" if row.fraction is None else "█" * round(row.fraction * _BAR)
    frame = " " * _BAR if row.fraction is None else bar.ljust(_BAR, "░")
    chart = f" {_chart(row.series)}" if any(row.series) else ""
    return f"{_SIGNS[row.tone]} {row.label.ljust(width)}  {frame}  {row.text}{chart}".rstrip()


def _chart(series: Sequence[int]) -> str:
    top = max(series)
    return "".join(_BLOCKS[value * (len(_BLOCKS) - 1) // top] for value in series)
