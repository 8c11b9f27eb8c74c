"""Calibration: what replies taught about a model whose tokens can only be estimated.

The provider reports what it read; what was counted beforehand is set against it. Kept is the ratio of the two, as a
moving average of logarithms, and how far a report was last from what was expected, which fades slowly. So the stated
margin starts at the estimate's own, tightens as reports come in, widens at once when one lies outside, and follows a
model that changes. Only what was counted loosely is corrected: an exact part of a count stays as it is.

No bound rests on this: a budget's ceiling is ``bound_request``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, isfinite, log

from .tokens import ESTIMATE_MARGIN_PERCENT, TokenCount

#: Tokens by which any count may be off, however short: what stands around messages is not public.
SLACK = 16
#: Logarithm of the margin before the first report; it counts as much as this many reports.
PRIOR, PRIOR_REPORTS = log(1 + ESTIMATE_MARGIN_PERCENT / 100), 6.0
#: The margin never states less than this, as a logarithm.
FLOOR = 0.02
#: How much more than the widest deviation seen the margin covers.
COVER = 1.4
#: Reports that the moving average remembers, and after which half of a deviation is forgotten.
MEMORY, HALF_LIFE = 64.0, 512.0
#: The most a first report moves the ratio; a later one counts as no further off than twice the margin.
FIRST_REACH, REACH = log(2.5), 2.0
#: Reports of no news that stand against the first one, so that a very short one says little.
DOUBT = 0.1
#: A report about so many tokens weighs half as much as a very long one.
HALF_WEIGHT = 100
#: Within these a note is believed.
_WIDEST = 3.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is known of one model's tokens.

    Attributes:
        reports: how many the average rests on, short ones counting for less, at most ``MEMORY``.
        bias: logarithm of true tokens to counted ones.
        deviation: the widest distance of a report from what was expected, as a logarithm; it fades.
    """

    reports: float = 0.0
    bias: float = 0.0
    deviation: float = 0.0

    @property
    def margin(self) -> float:
        """How far the truth may lie from what is expected, as a logarithm."""
        return max(FLOOR, COVER * self.deviation + PRIOR * PRIOR_REPORTS / (self.reports + PRIOR_REPORTS))

    def learn(self, counted: TokenCount, reported: int) -> Calibration:
        """What is known after a provider ``reported`` so many input tokens for what was ``counted``."""
        if not counted.loose or reported <= 0:
            return self
        rest = max(1, reported - (counted.counted - counted.loose))
        weight = counted.loose / (counted.loose + HALF_WEIGHT)
        off = log(rest / counted.loose) - self.bias
        reach = REACH * self.margin if self.reports else FIRST_REACH
        off = max(-reach, min(reach, off))
        faded = self.deviation * 0.5 ** (weight / HALF_LIFE)
        beyond = min(abs(off), self._beyond_slack(counted.loose, rest)) * self.reports / (self.reports + 1)
        return Calibration(
            reports=min(MEMORY, self.reports + weight),
            bias=_within(self.bias + off * weight / (self.reports + weight + DOUBT)),
            deviation=_within(max(faded, beyond)),
        )

    def apply(self, count: TokenCount) -> TokenCount:
        """The count with its loose part corrected, and the margin that is known now."""
        if not count.loose or not self.reports:
            return count
        corrected = exp(self.bias) * count.loose
        return TokenCount(
            count.counted - count.loose + round(corrected),
            exact=False,
            margin=ceil(corrected * (exp(self.margin) - 1)) + SLACK,
            tokenizer=count.tokenizer,
            counted=count.counted,
            loose=count.loose,
        )

    def to_text(self) -> str:
        """A note for the book."""
        return json.dumps(
            {"version": 1, "reports": self.reports, "bias": self.bias, "deviation": self.deviation},
            separators=(",", ":"),
        )

    def _beyond_slack(self, loose: int, rest: int) -> float:
        expected = exp(self.bias) * loose
        if rest > expected:
            return max(0.0, log(max(1.0, rest - SLACK) / expected))
        return max(0.0, log(expected / (rest + SLACK)))

    @property
    def believable(self) -> bool:
        """Whether reports can have led to it."""
        return (
            all(map(isfinite, (self.reports, self.bias, self.deviation)))
            and 0 <= self.reports <= MEMORY
            and abs(self.bias) <= _WIDEST
            and 0 <= self.deviation <= _WIDEST
        )


@lru_cache(256)
def read_calibration(note: str) -> Calibration:
    """What a note says; nothing is known where it is empty or not one of ours."""
    try:
        values = json.loads(note)
        known = Calibration(float(values["reports"]), float(values["bias"]), float(values["deviation"]))
    except (ValueError, TypeError, KeyError):
        return Calibration()
    return known if known.believable else Calibration()


def _within(logarithm: float) -> float:
    return max(-_WIDEST, min(_WIDEST, logarithm))


def note_name(model: str) -> str:
    """The name of a model's note in the book; ``model`` is ``provider/id``."""
    return f"calibration/{model}"


def calibrated(count: TokenCount, note: str) -> TokenCount:
    """The count as the model's note has it; an empty note changes nothing."""
    return read_calibration(note).apply(count)


def lesson(counted: TokenCount, reported: int) -> Callable[[str], str]:
    """What a reply's reported input teaches, for ``Lessons.notes``: makes the new note of the old one."""
    return lambda note: read_calibration(note).learn(counted, reported).to_text()


def countable_room(room: int, count: TokenCount) -> int:
    """How many tokens, as counted before calibration, stay within ``room`` true ones with their margin.

    ``count`` tells how counted tokens and true ones compare; it is of what has to be made to fit.
    """
    most = int(count) + count.margin
    slack = SLACK if count.loose and most > SLACK else 0
    return max(0, room - slack) * count.counted // max(1, most - slack)
