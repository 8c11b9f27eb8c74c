"""Where the counts of both sides always add up, found without encoding anything.

A **seam** is a place between two characters that no piece of the pattern reaches over, and over which none looks back
or ahead: a blank after anything but white space, a number's start or end, the end of a word that no mark follows, the
start of a line. It is told by at most eight characters around it, so it stays one in any part of the text that splits
no grapheme, whatever stands beyond.

Two patterns are known: that of ``cl100k_base``, in which a mark is no part of a word, and that of ``o200k_base`` and
its kin, in which it is, and in which a capital after a small letter begins a new one.
"""

from __future__ import annotations

from functools import cache

import regex

_COMMON = (
    r"(?<=\S)(?=[ \t])",
    r"(?<=\p{N})(?=[^\p{N}\p{Cs}])",
    r"(?<=[^\s\p{N}\p{Cs}])(?=\p{N})",
    r"(?<=[\r\n])(?=[^\s/])",
)
_OLDER = (*_COMMON, r"(?<=\p{L})(?=[^\p{L}\p{Cs}])")
_NEWER = (
    *_COMMON,
    r"(?<=\p{L})(?=[^\p{L}\p{M}\p{Cs}'])",
    r"(?<=\p{L})(?='[^sSſtTrRvVmMlLdD\p{Cs}])",
    r"(?<=(?<!')\p{Ll})(?=[\p{Lu}\p{Lt}])",
    r"(?<=\p{L}\p{Mn}{1,4})(?<!'\p{L}{1,2}\p{Mn}{1,4})(?=[^\p{L}\p{M}\p{Cs}'])",
)
#: Seams lie only where such a run ends, so that a search leaps over runs.
_OLDER_RUN = r"(?:\p{L}++|\p{N}++|\s++|[^\s\p{L}\p{N}]++)"
_NEWER_RUN = r"(?:[\p{Ll}\p{Lm}\p{Lo}\p{M}]++|[\p{Lu}\p{Lt}]++|\p{N}++|\s++|'|[^\s\p{L}\p{N}\p{M}']++)"


class Seams:
    """Finds the seams of one pattern."""

    def __init__(self, seams: tuple[str, ...], run: str) -> None:
        seam = f"(?:{'|'.join(seams)})"
        self._here = regex.compile(seam)
        self._next = regex.compile(f"(?:{run}(?!{seam}))*+(?:{run})?")
        self._last = regex.compile(f"(?r)(?:{run})?(?:(?!{seam}){run})*+")

    def after(self, text: str, position: int, end: int | None = None) -> int:
        """The first seam at or after ``position``; ``end``, or else the end of the text, if there is none before."""
        end = len(text) if end is None else min(end, len(text))
        if not 0 < position < end or self._here.match(text, position):
            return min(position, end)
        found = self._next.match(text, position, end)
        return found.end() if found else end

    def before(self, text: str, position: int) -> int:
        """The last seam at or before ``position``; 0 if there is none."""
        if not 0 < position < len(text) or self._here.match(text, position):
            return position
        found = self._last.match(text, 0, position)
        return found.start() if found else 0


@cache
def seams(name: str) -> Seams:
    """Those of an encoding."""
    return Seams(_OLDER, _OLDER_RUN) if name == "cl100k_base" else Seams(_NEWER, _NEWER_RUN)
