"""Where a text may be cut: between grapheme clusters (Unicode's extended ones), never inside one."""

from __future__ import annotations

from bisect import bisect_right

import regex

#: One cluster. Flags go pair by pair here: the general rule looks back over the whole run of them each time.
_CLUSTER = regex.compile(r"\p{RI}{2}(?![\p{GCB=Extend}\p{GCB=ZWJ}\p{GCB=SpacingMark}])|\X")
#: A place that is a boundary whatever comes before: a plain character after one that joins nothing to itself.
_PLAIN = r"[ -~[\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}\p{Han}\p{Hiragana}\p{Katakana}&&\p{GCB=Other}]]"
_CERTAIN = regex.compile(rf"(?rV1)(?<=[^\p{{GCB=Prepend}}])(?={_PLAIN})")


def boundaries(text: str, low: int, high: int) -> list[int]:
    """Boundaries of the text, in order: the last at or before ``low``, the first at or after ``high``, all between."""
    certain = _CERTAIN.search(text, 0, min(low + 1, len(text)))
    found = [certain.start() if certain else 0]
    while found[-1] < high:
        found.append(_end_of_cluster(text, found[-1]))
    return found[bisect_right(found, low) - 1 :]


def _end_of_cluster(text: str, start: int) -> int:
    match = _CLUSTER.match(text, start)
    return match.end() if match else len(text)
