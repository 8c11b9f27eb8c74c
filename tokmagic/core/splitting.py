"""Splitting a call instead of cutting it: one call for each part of a text that is too long, and a last one to combine.

Split is the longest text of the last question, if it alone takes more than half of the room; else the conversation is
made to fit as usual. A call for a part has the system's text and that question, with the part in place of the text.
What is asked is the rest of the question, if it has more than this text; else it is looked for at both ends of the
text: in the first and the last paragraph, at most ``ENDS`` characters each. The last call has the whole conversation,
with the answers in place of the text; if they are too long they are split in turn, and each such round halves them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .calibration import calibrated, countable_room
from .chunking import chunk
from .counters import Counter
from .errors import RequestTooLarge
from .exchanges import is_question
from .messages import Message, Text
from .models import Model
from .planning import CallPlan, Wishes, input_room, plan_call
from .prices import ceiling
from .tokens import TokenCount, count_request, count_text
from .truncation import truncate

#: Characters of each end of a text that are taken for what is asked, at most and at least; less in a small room.
ENDS, LEAST_END, ENDS_SHARE = 2_000, 200, 8
_PAUSES = ("\n\n", "\n", " ")
#: Tokens of a part at least, and of its answer, so that a round is worth its calls.
LEAST_PART, LEAST_ANSWER = 256, 64
#: Tokens around each answer in the last call, and around each part where texts meet.
AROUND = 32
#: Characters by which a text's tokens are compared with the provider's.
SAMPLE = 65_536

_PART = """A text that is too long for one request is read in {total} parts, each for itself. {asked}

Do what is asked with this part alone. State all that it holds for the whole answer, briefly, without an introduction.

--- part {number} of {total} ---
{part}
--- end of part {number} of {total} ---"""
_COMBINE = """A text that is too long for one request was read in {total} parts, each for itself. {asked}

These are the answers to the parts, in order. Make one answer to what is asked of them, as if the text had been read at
once: join what belongs together, say nothing twice, and do not mention the parts.

{answers}"""
_ASKED_BESIDE = "What is asked stands beside it in this message."
_ASKED_AT_THE_ENDS = """What is asked stands at the beginning or at the end of the text:

{head}

[...]

{tail}"""


@dataclass(frozen=True, slots=True)
class Splitting:
    """One round of a call in parts.

    Attributes:
        parts: the text; joined they are all of it.
        answer_tokens: the bound of each part's answer.
    """

    parts: tuple[str, ...]
    answer_tokens: int
    _call: _Call
    _part_tokens: int

    def part(self, number: int) -> tuple[Message, ...]:
        """The messages of the call for a part, counted from 0."""
        return self._call.part(self.parts[number], number + 1, len(self.parts))

    def combined(self, answers: Sequence[str]) -> tuple[Message, ...]:
        """The messages of the last call. Its question is pinned: turns before it leave first, the answers never."""
        return self._call.combined(_joined(answers), len(answers))

    def again(self, answers: Sequence[str]) -> Splitting | None:
        """The next round, if the answers are too long to be combined in one call; else None.

        Raises:
            RequestTooLarge: the answers do not get shorter from round to round.
        """
        text = _joined(answers)
        if self._call.left_by(text, len(answers)) >= 0:
            return None
        following = self._call.round(text)
        if len(following.parts) >= len(self.parts):
            tokens = self._call.counter.count(text)
            raise RequestTooLarge(
                f"The answers to the {len(self.parts):,} parts take {tokens:,} tokens, too many to be combined in one "
                "call: shorten what else stays, or allow more.",
                tokens=tokens,
                allowed=self._call.room,
            )
        return following

    def quote(self) -> SplitQuote:
        """What all its calls take at most."""
        call, rounds = self._call, list(self._rounds())
        plans = [call.plan(self.part(number), self.answer_tokens) for number in range(len(self.parts))]
        bounds = [plan.charge.ceiling.nanousd for plan in plans]
        for parts, answer in rounds[1:]:
            bounds += [ceiling(call.model.price, call.room, answer)] * parts
        bounds.append(ceiling(call.model.price, call.room, call.max_tokens))
        known = [bound for bound in bounds if bound is not None]
        later = sum(parts * (answer + AROUND) for parts, answer in rounds)
        count = TokenCount(
            sum(plan.input_tokens for plan in plans) + later // 2,
            exact=False,
            margin=sum(plan.input_tokens.margin for plan in plans) + later - later // 2,
            tokenizer=call.counter.name,
        )
        calls = sum(parts for parts, _ in rounds) + 1
        return SplitQuote(calls, count, call.max_tokens, sum(known) if len(known) == len(bounds) else None)

    def _rounds(self) -> Iterator[tuple[int, int]]:
        """Parts, and tokens of an answer, of each round there can be, this one first."""
        parts, answer = len(self.parts), self.answer_tokens
        yield parts, answer
        while (tokens := parts * (answer + AROUND)) > self._call.answers_room:
            parts = min(parts - 1, -(-tokens // self._part_tokens))
            answer = self._call.answer_tokens(self._part_tokens, parts)
            yield parts, answer


@dataclass(frozen=True, slots=True)
class SplitQuote:
    """What a call in parts takes: calls at most, tokens they read, ``max_tokens`` of the last, the most all cost."""

    calls: int
    input_tokens: TokenCount
    max_tokens: int
    nanousd: int | None


@dataclass(frozen=True, slots=True)
class _Call:
    """What all rounds of one call share.

    Attributes:
        room: tokens that a call may read.
        max_tokens: bound of the last call's answer.
        place, text: where the long text stands: its message, and its part there.
        asked: where the model finds what is asked of the text.
    """

    model: Model
    messages: tuple[Message, ...]
    wishes: Wishes
    counter: Counter
    note: str
    room: int
    max_tokens: int
    place: int
    text: int
    asked: str

    def part(self, text: str, number: int, total: int) -> tuple[Message, ...]:
        """The messages of the call for one part."""
        asks = _PART.format(asked=self.asked, number=number, total=total, part=text.strip("\n"))
        return (*(message for message in self.messages if message.role == "system"), self._question_with(asks))

    def combined(self, answers: str, total: int) -> tuple[Message, ...]:
        """The messages of the last call."""
        asks = _COMBINE.format(asked=self.asked, total=total, answers=answers)
        question = replace(self._question_with(asks), pinned=True)
        return (*self.messages[: self.place], question, *self.messages[self.place + 1 :])

    def plan(self, messages: tuple[Message, ...], max_tokens: int) -> CallPlan:
        """The plan of one of the calls."""
        wishes = replace(self.wishes, max_tokens=max_tokens)
        return plan_call(self.model, messages, wishes, self.counter, self.note)

    def left_by(self, answers: str, total: int) -> int:
        """Tokens of room left in the last call by what must stay in it."""
        must = [message for message in self.combined(answers, total) if message.role == "system" or message.pinned]
        return self.room - self._most(must)

    @property
    def answers_room(self) -> int:
        """Tokens of room for the answers in the last call."""
        return self.left_by("", 1) - AROUND

    def round(self, text: str) -> Splitting:
        """The round that splits ``text``."""
        free = min(self.room - self._most(self.part("", 1, 1)) - AROUND, self.answers_room)
        tokens = countable_room(max(0, free), calibrated(count_text(text[:SAMPLE], self.counter), self.note))
        if tokens < LEAST_PART:
            least = self.room - free + LEAST_PART
            raise RequestTooLarge(
                f"Each part of a split text takes {least:,} tokens or more with what stands around it, and "
                f"{self.room:,} are allowed: shorten the system text and what stands beside the text, or allow more.",
                tokens=least,
                allowed=self.room,
            )
        parts = chunk(text, tokens, self.counter)
        return Splitting(parts, self.answer_tokens(tokens, len(parts)), self, tokens)

    def answer_tokens(self, part_tokens: int, parts: int) -> int:
        """What each of so many parts may answer: at most half of what it reads, and if possible all fit together."""
        share = max(LEAST_ANSWER, self.answers_room // parts - AROUND)
        return min(self.max_tokens, share, part_tokens // 2 - AROUND)

    def _question_with(self, text: str) -> Message:
        question = self.messages[self.place]
        return replace(question, parts=(*question.parts[: self.text], Text(text), *question.parts[self.text + 1 :]))

    def _most(self, messages: Sequence[Message]) -> int:
        count = calibrated(count_request(messages, self.wishes.tools, self.counter), self.note)
        return count + count.margin


def split_call(
    model: Model, messages: tuple[Message, ...], wishes: Wishes, counter: Counter, note: str = ""
) -> Splitting | None:
    """The first round of a call in parts; None if it fits, or if it is not one text that is too long.

    Args:
        model: that is called.
        messages: all that is said, the oldest first.
        wishes: what is asked of the call; ``truncate`` is how a conversation is cut that is too long for other reasons.
        counter: of the model's tokenizer.
        note: what replies taught about the model's tokens.

    Raises:
        ConfigurationError: as ``plan_call`` does.
        RequestTooLarge: what must stay is too much, or leaves no room for parts.
    """
    plan = plan_call(model, messages, wishes, counter, note)
    room = input_room(plan.model, wishes, plan.request.max_tokens)
    if room is None or not plan.cuts:
        return None
    place = max((place for place, message in enumerate(messages) if is_question(message)), default=None)
    if place is None:
        return None
    texts = {number: part.text for number, part in enumerate(messages[place].parts) if isinstance(part, Text)}
    number = max(texts, key=lambda number: len(texts[number]), default=None)
    if number is None or not truncate(texts[number], max(1, room // 2), "end", counter).cuts:
        return None
    beside = any(text.strip() for other, text in texts.items() if other != number)
    asked = _ASKED_BESIDE if beside else _asked_at_the_ends(texts[number], room // ENDS_SHARE, counter)
    call = _Call(model, messages, wishes, counter, note, room, plan.request.max_tokens, place, number, asked)
    return call.round(texts[number])


def _asked_at_the_ends(text: str, most: int, counter: Counter) -> str:
    """Both ends of a text, each of at most ``most`` tokens: up to a blank line, else a line's end, else a space."""
    head, tail = text[:ENDS], text[-ENDS:]
    end = next((place for mark in _PAUSES if (place := head.find(mark, LEAST_END)) > 0), ENDS)
    start = next((place for mark in _PAUSES if (place := tail.rfind(mark, 0, ENDS - LEAST_END)) > 0), 0)
    return _ASKED_AT_THE_ENDS.format(
        head=truncate(head[:end].strip(), max(1, most), "end", counter).text,
        tail=truncate(tail[start:].strip(), max(1, most), "start", counter).text,
    )


def _joined(answers: Sequence[str]) -> str:
    return "\n\n".join(f"Part {number}:\n{answer.strip()}" for number, answer in enumerate(answers, 1))
