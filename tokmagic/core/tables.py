"""Columns of text, once as aligned lines and once as HTML. Every cell is escaped: it may hold what a model said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

Line = Sequence[str]


def text_table(head: Line, lines: Iterable[Line], *, numbers: Collection[int] = ()) -> str:
    """Aligned lines, the columns of ``numbers`` set to the right; an empty table says so by its head alone."""
    found = [tuple(head), *(tuple(line) for line in lines)]
    widths = [max(len(line[column]) for line in found) for column in range(len(head))]
    return "\n".join("  ".join(_justified(line, widths, numbers)).rstrip() for line in found)


def html_table(head: Line, lines: Iterable[Line], *, numbers: Collection[int] = ()) -> str:
    """The same as an HTML table."""
    top = _html_cells(head, "th", numbers)
    rest = "".join(f"<tr>{_html_cells(line, 'td', numbers)}</tr>" for line in lines)
    return f"<table><tr>{top}</tr>{rest}</table>"


def _justified(line: Line, widths: Sequence[int], numbers: Collection[int]) -> Iterable[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.rjust(width) if column in numbers else cell.ljust(width)


def _html_cells(line: Line, tag: str, numbers: Collection[int]) -> str:
    sides = ("right" if column in numbers else "left" for column in range(len(line)))
    return "".join(
        f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for cell, side in zip(line, sides, strict=True)
    )
