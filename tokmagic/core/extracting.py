"""A summary without a model: the sentences of a conversation that state most of what is said nowhere else.

It costs nothing and depends on the conversation alone, so the same turns always give the same summary. A **fact** is a
number, a name, an identifier or something quoted; a fact weighs the more, the fewer sentences state it. What an earlier
summary kept, what sounds like a decision and what a turn begins with weigh more too. Sentences are taken word for word.
"""

from __future__ import annotations

import re
from collections import Counter as Frequencies
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import regex

from .messages import Compaction, Message, Text, ToolCall, ToolResult
from .summarising import headless

#: Characters of a sentence; a longer one is taken apart at its blanks.
LONGEST = 280
#: Tokens below which no sentence is looked for any more.
LEAST = 8
#: What speaks for a sentence beside its facts, each of which counts 1 at most.
EARLIER, FOCUS, DECISION, FIRST, ASKED = 4.0, 3.0, 1.5, 1.0, 0.5
#: Characters that every sentence is taken to cost beside its own, so that the shortest do not win alone.
AROUND = 40

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_PIECE = re.compile(rf"\S.{{0,{LONGEST - 1}}}(?=\s|$)")
_CLUSTERS = regex.compile(rf"\X{{1,{LONGEST}}}")
_MARK = re.compile(r"^(?:[#>*+|\-\s]|\d+[.)]\s)+")
_FACT = re.compile(
    r"""\w*\d[\w.,:/%-]*\w | \d                         # 3.14, 2026-11-21, v2, 12:30
      | \w+(?:[_/\\.@:-]+\w+)+                          # file.py, snake_case, a@b, well-known
      | \b[a-z]+[A-Z]\w*                                # camelCase
      | (?<=[^.!?:\s]\s)["'(]?\b[^\W\d_a-z]\w+          # a name in the middle of a sentence
      | `[^`]+`""",
    re.VERBOSE,
)
_DECISION = re.compile(
    r"\b(?:decid|agree|chose|must|never|always|shall|will use|instead of|because|remember|prefer|require|deadline"
    r"|todo|next step|open question|fix(?:ed)?\b|error)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    role: str
    facts: frozenset[str]
    weight: float


def extract(messages: Sequence[Message], most: int, count: Callable[[str], int], focus: str = "") -> str:
    """A summary of at most ``most`` tokens, counted as plain text; empty where no sentence fits.

    Args:
        messages: the turns it stands for, the oldest first.
        most: 1 or more.
        count: tokens of a text.
        focus: words that are wanted most.
    """
    wanted = frozenset(re.findall(r"\w{3,}", focus.lower()))
    sentences = [sentence for message in messages for sentence in _sentences(message, wanted)]
    left = most
    lines = {place: _line(sentence) for place, sentence in enumerate(sentences)}
    picked: list[int] = []
    for place in _ranked(sentences):
        cost = count(lines[place]) + 1
        if cost <= left:
            picked.append(place)
            left -= cost
        elif left < LEAST:
            break
    return "\n".join(lines[place] for place in sorted(picked))


def _ranked(sentences: Sequence[_Sentence]) -> list[int]:
    """The places of the sentences, the most telling for its length first."""
    stated = Frequencies(fact for sentence in sentences for fact in sentence.facts)

    def density(sentence: _Sentence) -> float:
        facts = sum(1 / stated[fact] for fact in sentence.facts)
        return (sentence.weight + facts) / (len(sentence.text) + AROUND)

    first = {sentence.text: place for place, sentence in reversed(list(enumerate(sentences)))}
    return sorted(first.values(), key=lambda place: (-density(sentences[place]), place))


def _line(sentence: _Sentence) -> str:
    return f"- {sentence.role}: {sentence.text}" if sentence.role else f"- {sentence.text}"


def _sentences(message: Message, wanted: frozenset[str]) -> Iterable[_Sentence]:
    for said, role, bonus in _said(message):
        for number, text in enumerate(_split(said)):
            facts = frozenset(fact.strip("\"'(").lower() for fact in _FACT.findall(text))
            weight = bonus + (FIRST if number == 0 else 0.0)
            weight += DECISION if _DECISION.search(text) else 0.0
            weight += FOCUS * len(wanted.intersection(re.findall(r"\w{3,}", text.lower()))) if wanted else 0.0
            yield _Sentence(text, role, facts, weight)


def _said(message: Message) -> Iterable[tuple[str, str, float]]:
    """What a message says, who says it, and how much that alone speaks for it."""
    for part in message.parts:
        match part:
            case Compaction(text):
                yield headless(text), "", EARLIER
            case Text(text):
                yield text, message.role, ASKED if message.role == "user" else 0.0
            case ToolResult(_, parts, _):
                yield "\n".join(inner.text for inner in parts if isinstance(inner, Text)), "tool", 0.0
            case ToolCall(_, name, arguments):
                yield f"called {name} with {arguments}", message.role, 0.0
            case _:
                pass


def _split(text: str) -> Iterable[str]:
    for piece in _SENTENCE_END.split(text):
        sentence = " ".join(_MARK.sub("", piece).split())
        if len(sentence) <= LONGEST:
            yield from (sentence,) if sentence else ()
            continue
        for part in _PIECE.findall(sentence) or [sentence]:
            yield from (part,) if len(part) <= LONGEST else _CLUSTERS.findall(part)
