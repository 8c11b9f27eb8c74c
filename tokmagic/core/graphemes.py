"""Where a text may be cut: between grapheme clusters (Unicode's extended ones), never inside one."""

from __future__ import annotations

from bisect import bisect_right

import regex

#: One cluster. Flags go pair by pair here: the general rule looks back over the whole run of them each time.
_CLUSTER = regex.compile(r"\p{RI}{2}(?![\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}])|\X")
#: A plain character: it begins a cluster after anything but a character that joins what follows to itself.
_PLAIN = r"[ -~[\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}\p{Han}\p{Hiragana}\p{Katakana}&&\p{GCB=Other}]]"
#: Places that are boundaries whatever comes before.
_CERTAIN = regex.compile(
    rf"(?rV1)(?<=[^\p{{GCB=Prepend}}])(?={_PLAIN})"
    r"|(?<=[^\p{GCB=Prepend}\p{GCB=Extend}\p{GCB=ZWJ}])(?=\p{GCB=Other})"
    r"|(?<=[^\p{GCB=Prepend}\p{GCB=ZWJ}])(?=[\p{Extended_Pictographic}&&\p{GCB=Other}])"
    r"|(?<=[^\p{GCB=Prepend}\p{GCB=L}])(?=[\p{GCB=LV}\p{GCB=LVT}])"
    r"|(?<=[\p{GCB=Control}\n])(?=[\s\S])"
)
_FLAGS = regex.compile(r"(?r)\p{RI}{4,}+")


def boundaries(text: str, low: int, high: int) -> list[int]:
    """Boundaries of the text, in order: the last at or before ``low``, the first at or after ``high``, all between."""
    found = [_certain(text, low)]
    while found[-1] < high:
        found.append(_end_of_cluster(text, found[-1]))
    return found[bisect_right(found, low) - 1 :]


def _certain(text: str, low: int) -> int:
    """A boundary at or before ``low`` that is told by what is near it; 0 if there is none."""
    flags = _FLAGS.match(text, 0, low)
    if flags:
        return low - 2 + (low - flags.start()) % 2
    certain = _CERTAIN.search(text, 0, min(low + 1, len(text)))
    return certain.start() if certain else 0


def _end_of_cluster(text: str, start: int) -> int:
    match = _CLUSTER.match(text, start)
    return match.end() if match else len(text)
