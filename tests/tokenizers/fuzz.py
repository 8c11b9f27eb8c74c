"""Texts of every kind, made from a seed: all of Unicode, runs, words, code, and what looks like a special token."""

from __future__ import annotations

import random
from collections.abc import Iterator

POOLS = (
    "abcdefghijklmnop ", "ABC xyz'stlreSTve ", "def f(x):\n\treturn {1: [x]}\r\n", " \t\n\r\u00a0\u3000",
    "0123456789.,-", "éßøñœЖдαω ", "中文。、的日本語かな", "हिन्दी क्ष", "한국어 ", "😀👍🏽👨‍👩‍👧🇩🇪❤️",
    "!?.,/-_=+'\"(){}", "\u0301\u200d\ufe0f", "ſK'S'LL", "ไทย", "\x00\x1c\x1f\x85", "עבריתعرب", "½Ⅷ٣²", "ǅǈᾈʰˠ",
)  # fmt: skip
WORDS = (  # noqa: SIM905 - read as text
    "The quick brown fox isn't there, they've said; we'll see what HTTPServer's self.request_id == 0x1F3A returns "
    "for item in sorted(items, key=lambda x: -x[1]): https://example.org/a?b=c&d=%20 3.14159 1,000,000 2026-11-21 "
    'naïve Größe Übung переводчик Ελλάδα señor İstanbul 東京タワー 안녕하세요 नमस्ते }}]]) "quoted" <div class="x">'
).split()
GAPS = (" ", " ", " ", "  ", "\n", "\n\n", ", ", ".\n", "'s ", "\t", "-", "", "\r\n    ", " " * 17)
SPECIAL = ("<|endoftext|>", "<|fim_prefix|>", "<|im_start|>", "<|endofprompt|>", "<｜User｜>", "[INST]", "</s>")
_SURROGATES = range(0xD800, 0xE000)


def texts(seed: str, number: int) -> Iterator[str]:
    """So many texts; the same seed makes the same ones."""
    dice = random.Random(seed)  # noqa: S311 - repeatable data
    kinds = (_pooled, _runs, _unicode, _words, _specials)
    for _ in range(number):
        yield dice.choice(kinds)(dice)


def _pooled(dice: random.Random) -> str:
    return "".join(dice.choices("".join(dice.sample(POOLS, dice.randint(1, 3))), k=dice.randint(0, 80)))


def _runs(dice: random.Random) -> str:
    return "".join(
        character * dice.choice((1, 1, 2, 9)) for character in dice.choices("".join(POOLS), k=dice.randint(1, 30))
    )


def _unicode(dice: random.Random) -> str:
    points = (dice.randrange(dice.choice((0x80, 0x3000, 0x110000))) for _ in range(dice.randint(1, 40)))
    return "".join(chr(point) for point in points if point not in _SURROGATES)


def _words(dice: random.Random) -> str:
    return "".join(word + dice.choice(GAPS) for word in dice.choices(WORDS, k=dice.randint(1, 30)))


def _specials(dice: random.Random) -> str:
    return "".join(dice.choice(SPECIAL) + dice.choice(WORDS) + dice.choice(GAPS) for _ in range(dice.randint(1, 4)))
