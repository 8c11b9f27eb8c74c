"""An extract of a text: its sentences that use its most frequent words, in their order.

The extract depends on the text alone. Code is left out and mentioned, so that no fence is ever cut in two, and markup
that a sentence opens and does not close is taken off it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import count, zip_longest
from math import log1p

DEFAULT_WORDS = 120
MAX_WORDS = 200_000
MAX_SENTENCE = 280
#: Parts of a text that are heard in turn.
REGIONS = 10

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S)
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_LIST_MARK = re.compile(r"^(?:[#>*+|\-\s]|\d+[.)]\s)+")
_WORD = re.compile(r"\w{3,}")
_ASKED = re.compile(r"(?<![\d.,])(\d[\d,_]*)\s*(k)?[\s-]+(?:words?|tokens?)\b", re.I)


def digest(text: str, wished: int | None) -> str:
    """A Markdown list of sentences of the text: a short one, or about as many words as are wished for.

    A text that has too few of them is gone through again, round after round.
    """
    fences = _FENCE.findall(text)
    sentences = list(dict.fromkeys(_sentences(_FENCE.sub("\n", text))))
    lines = [f"- ({len(fences)} code block{'s' * (len(fences) > 1)} left out)"] if fences else []
    if not sentences:
        return "\n".join(lines or ["- (nothing that could be extracted)"])
    ranked, words = _ranked(sentences), DEFAULT_WORDS if wished is None else wished
    for turn in count(1):
        if turn > 1:
            lines += ["", f"Once more, round {turn}:", ""]
        picked = _first_words(ranked, words)
        lines += [f"- {sentence}" for sentence in sentences if sentence in picked]
        words -= sum(map(_length, picked)) + 4
        if wished is None or words <= 0:
            break
    return "\n".join(lines)


def words_asked_for(text: str) -> int | None:
    """How many words a text asks for (``write 2,000 words``) at its start or end; the last such wish counts."""
    asked = _ASKED.findall(text[-20_000:] if len(text) > 40_000 else text) or _ASKED.findall(text[:20_000])
    if not asked:
        return None
    digits, thousands = asked[-1]
    return min(MAX_WORDS, int(re.sub(r"\D", "", digits)[:9]) * (1000 if thousands else 1))


def _sentences(text: str) -> Iterable[str]:
    for part in _SENTENCE_END.split(text):
        sentence = _LIST_MARK.sub("", part).strip()
        if sentence:
            yield _balanced(_shortened(" ".join(sentence.split())))


def _shortened(sentence: str) -> str:
    if len(sentence) <= MAX_SENTENCE:
        return sentence
    head, blank, _ = sentence[:MAX_SENTENCE].rpartition(" ")
    return f"{head if blank else sentence[:MAX_SENTENCE]} …"


def _balanced(sentence: str) -> str:
    """The sentence without the emphasis or code marks that it does not close."""
    for mark in ("`", "**", "__", "~~", "$"):
        if sentence.count(mark) % 2:
            sentence = sentence.replace(mark, "")
    return sentence or "…"


def _ranked(sentences: list[str]) -> list[str]:
    """The most telling sentence of each region of the text, then the next of each, so that all of it has a say.

    A sentence tells much whose words are frequent in the whole text.
    """
    used = [set(_WORD.findall(sentence.lower())) for sentence in sentences]
    frequency = Counter(word for words in used for word in words)
    scores = [sum(log1p(frequency[word]) for word in words) / (8 + len(words)) for words in used]
    size = -(-len(sentences) // REGIONS)

    def telling(places: Iterable[int]) -> list[int]:
        return sorted(places, key=lambda place: (-scores[place], place))

    starts = range(0, len(sentences), size)
    regions = [telling(range(start, min(start + size, len(sentences)))) for start in starts]
    rounds = (telling(place for place in heard if place is not None) for heard in zip_longest(*regions))
    return [sentences[place] for heard in rounds for place in heard]


def _first_words(ranked: list[str], words: int) -> set[str]:
    picked: set[str] = set()
    for sentence in ranked:
        if words <= 0:
            break
        picked.add(sentence)
        words -= _length(sentence)
    return picked


def _length(sentence: str) -> int:
    """Words of a sentence; where blanks do not part them, five characters are taken for one."""
    return max(sentence.count(" ") + 1, len(sentence) // 12)
