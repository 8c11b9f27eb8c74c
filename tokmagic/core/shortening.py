"""The texts of a conversation that may be cut, and what to say of those that were.

Only what users and tools said is cut: never the system's text, a pinned message or an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from .counters import Counter
from .messages import Message, Part, Text, ToolResult
from .replies import Cut
from .sampling import FEW, Stretch, rounded, sampled
from .truncation import Truncation


class Place(NamedTuple):
    """Where a text stands: its message, its part, and within a tool's result the part there."""

    message: int
    part: int
    inner: int | None


class LongText(NamedTuple):
    """A text that may be cut."""

    place: Place
    text: str


def long_texts(place: int, message: Message) -> Iterator[LongText]:
    """The texts of a message that may be cut; ``place`` is its own."""
    if message.role != "user" or message.pinned:
        return
    for number, part in enumerate(message.parts):
        if isinstance(part, Text):
            yield LongText(Place(place, number, None), part.text)
        elif isinstance(part, ToolResult):
            for inner, text in enumerate(part.parts):
                if isinstance(text, Text):
                    yield LongText(Place(place, number, inner), text.text)


def results(place: int, message: Message) -> Iterator[LongText]:
    """Those of them that a tool said."""
    return (text for text in long_texts(place, message) if text.place.inner is not None)


def with_texts(messages: Sequence[Message], texts: Mapping[Place, str]) -> list[Message]:
    """The messages with other texts at these places."""
    changed = list(messages)
    for place, text in texts.items():
        changed[place.message] = _with_text(changed[place.message], place, text)
    return changed


def _with_text(message: Message, place: Place, text: str) -> Message:
    part: Part = Text(text)
    result = message.parts[place.part]
    if isinstance(result, ToolResult) and place.inner is not None:
        part = replace(result, parts=(*result.parts[: place.inner], Text(text), *result.parts[place.inner + 1 :]))
    return replace(message, parts=(*message.parts[: place.part], part, *message.parts[place.part + 1 :]))


def cuts_of(
    messages: Sequence[Message], truncated: Iterable[tuple[LongText, Truncation]], kept: int, counter: Counter
) -> Iterator[Cut]:
    """What to say of texts that were cut, those of one kind together.

    Args:
        messages: the conversation they stand in.
        truncated: the texts, whole and cut.
        kept: characters of what was kept of the conversation.
        counter: of the model's tokenizer.
    """
    kinds: dict[str, list[tuple[str, Truncation]]] = {}
    for where, cut in truncated:
        kinds.setdefault(_whose(messages, where.place), []).append((where.text, cut))
    for whose, texts in kinds.items():
        cuts = [cut for _, cut in texts]
        left = sum(cut.tokens for cut in cuts)
        missing = [Stretch(text, *span) for text, cut in texts for span in cut.cuts]
        exact = sum(stretch.end - stretch.start for stretch in missing) <= max(FEW, kept)
        lost = sum(cut.dropped_tokens for cut in cuts) if exact else rounded(sampled(missing, counter))
        total = f"{left + lost:,} tokens" if exact else f"about {rounded(left + lost):,} tokens"
        many = f"{len(cuts):,} {_MANY[whose]}" if len(cuts) > 1 else whose
        removed = _REMOVED.get(cuts[0].strategy, cuts[0].strategy)
        yield Cut("truncated text", f"the {removed} of {many}, {total} long", lost, exact)


#: What a strategy removes, where its name is not the word for that.
_REMOVED = {"smart": "middle"}
_MANY = {
    "your message": "texts of your message",
    "an earlier message": "texts of earlier messages",
    "a tool's result": "tools' results",
}


def _whose(messages: Sequence[Message], place: Place) -> str:
    if place.inner is not None:
        return "a tool's result"
    is_last = all(message.role != "user" for message in messages[place.message + 1 :])
    return "your message" if is_last else "an earlier message"
