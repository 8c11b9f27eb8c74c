"""Filling a room with a conversation, what matters most first. What does not go in any more is never counted.

First comes what must stay, then what is recent, then what is old, each from the newest back. Long texts of users and
tools go in short, so that as much as possible finds room; what room is then left lets them grow again. Of what is old
only tools' results go in short: an old question is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from .exchanges import Ranks, ranked
from .known import Known
from .messages import Message
from .sampling import texts_of
from .shortening import LongText, long_texts, results, with_texts
from .tokens import count_message
from .truncation import Truncation, truncate

#: Tokens a text keeps as long as recent turns can go instead, and an old result as long as old turns can.
SHORT = 256
#: Characters for each token of room, beyond which a text is not counted before it is known to fit.
LONG = 4


@dataclass(slots=True)
class Grown:
    """A text that may be cut, as much of it as has found room; ``cut`` is None if that is all of it."""

    where: LongText
    tokens: int
    cut: Truncation | None


class Filling:
    """The part of a conversation that has found room.

    Attributes:
        left: tokens of room left.
        places: which messages are in.
        grown: those of their texts that may be cut, in the order in which they came in.
    """

    def __init__(self, messages: Sequence[Message], room: int, strategy: str, counter: Known) -> None:
        self.left = room
        self.places: set[int] = set()
        self.grown: list[Grown] = []
        self._messages = messages
        self._strategy = strategy
        self._counter = counter

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is in, in order, with its texts cut."""
        cuts = {grown.where.place: grown.cut.text for grown in self.grown if grown.cut is not None}
        whole = with_texts(self._messages, cuts)
        return tuple(whole[place] for place in sorted(self.places))

    @property
    def is_whole(self) -> bool:
        """Whether everything is in, and whole."""
        return len(self.places) == len(self._messages) and not any(grown.cut for grown in self.grown)

    def add(self, places: Iterable[int], texts: Callable[[int, Message], Iterable[LongText]], least: int) -> bool:
        """Let messages in, all or none of them, the ``texts`` of each cut to ``least`` tokens; whether they went in."""
        left, grown, taken = self.left, len(self.grown), list(places)
        for place in reversed(taken):
            message = self._messages[place]
            soft = [self._short(text, least) for text in texts(place, message)]
            blanks = {text.where.place._replace(message=0): "" for text in soft}
            firm = with_texts([message], blanks)[0] if soft else message
            self.left -= sum(text.tokens for text in soft)
            self.left -= self._cost(firm) if self.left >= 0 else 0
            self.grown += soft
            if self.left < 0:
                self.left = left
                del self.grown[grown:]
                return False
        self.places.update(taken)
        return True

    def add_whole(self, places: Sequence[int]) -> bool:
        """The same with nothing cut; what is likely to be too long is not even counted."""
        size = 0
        for place in reversed(places):
            size += sum(map(len, texts_of(self._messages[place].parts)))
            if size > LONG * self.left:
                return False
        return self.add(places, _nothing, SHORT)

    def grow(self, texts: Iterable[Grown]) -> bool:
        """Let texts grow into the room that is left, one after the other; whether all are whole then."""
        whole = True
        for text in texts:
            if text.cut is not None and self.left > 0:
                room = text.tokens + self.left
                cut = truncate(text.where.text, room, self._strategy, self._counter)
                text.cut, text.tokens, self.left = cut if cut.cuts else None, cut.tokens, room - cut.tokens
                self._counter.note(cut.text, cut.tokens)
            whole = whole and text.cut is None
        return whole

    def _short(self, where: LongText, least: int) -> Grown:
        text = where.text
        if len(text) <= LONG * least and (tokens := self._counter.count(text)) <= least:
            return Grown(where, tokens, None)
        cut = truncate(text, least, self._strategy, self._counter)
        while cut.cuts and not cut.text.strip():  # providers refuse a blank text
            least *= 2
            cut = truncate(text, least, self._strategy, self._counter)
        self._counter.note(cut.text, cut.tokens)
        return Grown(where, cut.tokens, cut if cut.cuts else None)

    def _cost(self, message: Message) -> int:
        """Tokens of a message; of one that is far too long for the room, only that they are too many."""
        for text in texts_of(message.parts):
            if len(text) > LONG * self.left and self._exceeds(text):
                return self.left + 1
        return count_message(message, self._counter)

    def _exceeds(self, text: str) -> bool:
        return self.left < 1 or bool(truncate(text, self.left, "end", self._counter).cuts)


def filled(messages: Sequence[Message], room: int, keep_recent: int, strategy: str, counter: Known) -> Filling | None:
    """As much of a conversation as finds room in so many tokens; None if not even what must stay does."""
    filling = Filling(messages, room, strategy, counter)
    if filling.add_whole(range(len(messages))):
        return filling
    ranks = ranked(messages, keep_recent)
    if filling.add_whole([*chain(*reversed(ranks.recent)), *ranks.base]) or _add_short(filling, ranks):
        known = len(filling.grown)
        for part in ranks.old:
            if not filling.add(part, results, SHORT):
                break
        filling.grow(filling.grown[known:])
    return filling if filling.places else None


def _add_short(filling: Filling, ranks: Ranks) -> bool:
    """Let in what must stay and what is recent, long texts cut; whether all of it is in and whole in the end."""
    least = next((least for least in (SHORT, 1) if filling.add(ranks.base, long_texts, least)), 0)
    recent = least == SHORT and all(filling.add(part, long_texts, SHORT) for part in ranks.recent)
    return filling.grow(sorted(filling.grown, key=_by_length)) and recent


def _by_length(text: Grown) -> tuple[int, int]:
    """The shortest first, of equal ones the newest: what comes last is cut most."""
    return len(text.where.text), -text.where.place.message


def _nothing(_place: int, _message: Message) -> Iterable[LongText]:
    return ()
