"""How long a model's answers are, learned from those it gave: a running mean, kept in the book as a note.

A bucket that counts what is produced is charged the mean while an answer is under way, and the truth once it is known.
The mean forgets slowly, so that a new kind of work shows within some dozens of answers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

#: Tokens an answer is expected to take before any has been seen.
FIRST_GUESS = 1_000
#: The weight of the first guess, in answers.
GUESS_WEIGHT = 1
#: How many answers the mean looks back on.
MEMORY = 50
#: The longest answer that is believed, in tokens.
LONGEST = 2**40


@dataclass(frozen=True, slots=True)
class Typical:
    """The mean length of ``answers`` answers, in tokens."""

    mean: float = FIRST_GUESS
    answers: int = 0

    def expect(self, max_tokens: int) -> int:
        """Tokens the next answer is expected to take; at least 1."""
        return max(1, min(max_tokens, math.ceil(self.mean)))

    def learn(self, output_tokens: int) -> Self:
        """The mean with one more answer in it."""
        answers = min(self.answers + 1, MEMORY)
        mean = self.mean + (min(output_tokens, LONGEST) - self.mean) / (answers + GUESS_WEIGHT)
        return type(self)(mean, answers)

    def note(self) -> str:
        """As the book keeps it."""
        return json.dumps({"mean": round(self.mean, 1), "answers": self.answers})


@lru_cache(256)
def read_typical(note: str) -> Typical:
    """What a note says; one that says nothing of use is the first guess."""
    try:
        values = json.loads(note)
        mean, answers = float(values["mean"]), int(values["answers"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return Typical()
    believable = 0 <= mean <= LONGEST and 0 <= answers <= MEMORY
    return Typical(mean, answers) if believable else Typical()


def note_name(model: str) -> str:
    """The name of the note about ``provider/model``."""
    return f"output/{model}"


def learned_output(note: str, output_tokens: int) -> str:
    """The note with one more answer in it."""
    return read_typical(note).learn(output_tokens).note()
