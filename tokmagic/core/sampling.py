"""How many tokens were left out, without encoding all of it.

Cutting is bound by what is kept, and so is its report: what is left out is counted as long as it is no longer than what
is kept; of more, samples at even distances are counted and scaled. Such a number is rounded and marked not exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, assert_never

from .counters import Counter
from .messages import Audio, Compaction, Document, Image, Message, Part, Reasoning, Text, ToolCall, ToolResult
from .tokens import PER_MESSAGE, count_message

#: How many samples, and characters of one.
SAMPLES, SAMPLE = 128, 128
#: Characters that are counted in any case.
FEW = 131_072
#: Digits of a sampled number that are stated.
DIGITS = 2


class Stretch(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) of a text."""

    text: str
    start: int
    end: int


class Loss(NamedTuple):
    """Tokens that were left out, and whether they were counted."""

    tokens: int
    exact: bool


def loss_of_messages(messages: Sequence[Message], kept: int, counter: Counter) -> Loss:
    """What messages would add to a request that keeps ``kept`` characters."""
    parts = [part for message in messages for part in message.parts]
    texts = list(texts_of(parts))
    if sum(map(len, texts)) <= max(FEW, kept):
        return Loss(sum(count_message(message, counter) for message in messages), True)
    images = Message("user", tuple(part for part in parts if isinstance(part, Image)))
    around = PER_MESSAGE * len(messages) + count_message(images, counter)
    tokens = _sampled(list(map(len, texts)), lambda number: Stretch(texts[number], 0, len(texts[number])), counter)
    return Loss(rounded(around + tokens), False)


def loss_of_parts(parts: Sequence[Part], kept: int, counter: Counter) -> Loss:
    """The same of parts that were taken out of messages."""
    tokens, exact = loss_of_messages([Message("assistant", tuple(parts))], kept, counter)
    around = count_message(Message("assistant", ()), counter)
    return Loss(tokens - around if exact else tokens, exact)


def sampled(stretches: Sequence[Stretch], counter: Counter) -> int:
    """About how many tokens the stretches have, all together."""
    return _sampled([stretch.end - stretch.start for stretch in stretches], stretches.__getitem__, counter)


def rounded(tokens: int) -> int:
    """The number with as many digits as a sample is good for."""
    return round(tokens, min(0, DIGITS - len(str(tokens))))


def texts_of(parts: Iterable[Part]) -> Iterator[str]:
    """The texts by which a message grows long."""
    for part in parts:
        match part:
            case Text() | Compaction():
                yield part.text
            case Reasoning():
                yield from filter(None, (part.text, part.redacted))
            case ToolCall():
                yield part.arguments
            case ToolResult():
                yield from texts_of(part.parts)
            case Image() | Document() | Audio():
                pass
            case _:
                assert_never(part)


def _sampled(lengths: Sequence[int], stretch: Callable[[int], Stretch], counter: Counter) -> int:
    ends = list(accumulate(lengths))
    step = ends[-1] / SAMPLES
    places = [int((number + 0.5) * step) for number in range(SAMPLES)]
    numbers = [bisect_right(ends, place) for place in places]
    texts = [_words(stretch(number), ends[number] - place) for number, place in zip(numbers, places, strict=True)]
    sample = "".join(texts)
    return ends[-1] * counter.count(sample) // max(1, len(sample))


def _words(stretch: Stretch, left: int) -> str:
    """The words from ``left`` characters before the end; a short stretch whole, for its ends count as well."""
    text, start, end = stretch
    if end - start <= 2 * SAMPLE:
        return text[start:end]
    begin = end - max(left, SAMPLE)
    first, last = text.find(" ", begin, begin + SAMPLE), text.rfind(" ", begin, begin + SAMPLE)
    return text[first:last] if last - first > SAMPLE // 2 else text[begin : begin + SAMPLE]
