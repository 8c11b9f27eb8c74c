"""Markdown that grows, cut into finished pieces and one live tail, so that what is finished is never sent again.

A piece ends at a blank line outside a fence. Where no blank line comes, a long fence is closed and opened again, a long
table repeats its head, a long list breaks between items, and a long paragraph between words: the pieces are for the
live view alone. Each piece renders by itself, and the tail stays within some thousand characters.
"""

from __future__ import annotations

import re

#: A piece shorter than this waits for the next block, so that an answer does not become hundreds of outputs.
SHORT = 300
#: A tail longer than this is broken inside its block.
LONG = 1_000

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,}|\$\$)(.*)")
_ITEM = re.compile(r"([-*+]|\d{1,9}[.)])\s")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*")


class Pieces:
    """Takes an answer as it comes; ``tail`` is what has to be sent again when it grows."""

    def __init__(self) -> None:
        self._tail = ""

    @property
    def tail(self) -> str:
        """The live rest, as Markdown that renders by itself."""
        return _standalone(self._tail)

    def feed(self, text: str) -> tuple[str, ...]:
        """Add to the answer.

        Returns:
            The pieces that are finished by it, each as Markdown that renders by itself.
        """
        self._tail += text
        finished = []
        while (cut := _cut(self._tail)) is not None:
            piece, self._tail = cut
            finished.append(_standalone(piece))
        return tuple(finished)


def _cut(text: str) -> tuple[str, str] | None:
    """A finished piece and the rest, or None while nothing is finished."""
    if len(text) < SHORT:
        return None
    fence, fence_at, blank = _scan(text)
    if blank >= SHORT:
        return text[:blank], text[blank:]
    if len(text) < LONG:
        return None
    if fence:
        return _cut_fence(text, fence, fence_at)
    if blank:
        return text[:blank], text[blank:]
    return _cut_table(text) or _cut_lines(text)


def _scan(text: str) -> tuple[str, int, int]:
    """The opening line of the fence that is open at the end (or ""), where it stands, and the last block's start."""
    fence, fence_at, blank, at = "", 0, 0, 0
    after_blank = False
    for line in text.splitlines(keepends=True):
        if not fence and after_blank and line.strip() and not line[0].isspace():
            blank = at
        after_blank = not line.strip()
        mark = _FENCE.match(line)
        if mark and not fence:
            fence, fence_at = ("", 0) if _closed_on_its_line(mark) else (line, at)
        elif mark and line.endswith("\n") and _closes(mark, fence):
            fence = ""
        at += len(line)
    return fence, fence_at, blank


def _closed_on_its_line(mark: re.Match[str]) -> bool:
    if mark[2] == "$$":
        return bool(mark[3].strip())
    return "`" in mark[3] and mark[2][0] == "`"


def _closes(mark: re.Match[str], fence: str) -> bool:
    return not mark[3].strip() and mark[2].startswith(_fence_sign(fence))


def _fence_sign(opening: str) -> str:
    sign = opening.strip()
    return sign[: len(sign) - len(sign.lstrip(sign[0]))]


def _cut_fence(text: str, opening: str, at: int) -> tuple[str, str] | None:
    body = at + len(opening)
    end = text.rfind("\n") + 1
    if end - body < LONG // 2:
        if text[:at].strip():
            return text[:at], text[at:]
        if len(text) - body < LONG + SHORT:
            return None
        end = body + LONG
    close = opening[: len(opening) - len(opening.lstrip())] + _fence_sign(opening)
    line_end = "" if text[end - 1] == "\n" else "\n"
    return f"{text[:end]}{line_end}{close}\n", opening + text[end:]


def _cut_table(text: str) -> tuple[str, str] | None:
    lines = text.splitlines(keepends=True)
    if len(lines) < 4 or "|" not in lines[0] or not _TABLE_RULE.fullmatch(lines[1].rstrip("\n")):
        return None
    rows, last = "".join(lines[:-1]), lines[-1]
    return rows, lines[0] + lines[1] + last


def _cut_lines(text: str) -> tuple[str, str] | None:
    items = [match.start() + 1 for match in re.finditer(r"\n", text) if _ITEM.match(text, match.end())]
    if items:
        return text[: items[-1]], text[items[-1] :]
    if len(text) < LONG + SHORT:
        return None
    end = max(text.rfind("\n", 0, LONG), text.rfind(" ", 0, LONG)) + 1
    return (text[:end], text[end:]) if end else (text[:LONG], text[LONG:])


def _standalone(piece: str) -> str:
    """The piece without the indentation of the list its first fence stood in, which would make it plain code."""
    mark = _FENCE.match(piece)
    if mark is None or len(mark[1]) < 2:
        return piece
    return re.sub(rf"^[ \t]{{1,{len(mark[1])}}}", "", piece, flags=re.MULTILINE)
