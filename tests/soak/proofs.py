"""The proofs over seeds at full size: what each runs, how many seeds, and what none of them may do.

A proof is a function of a range of seeds that says what happened; a new one is a line here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.codecs.test_mutations import damage_anew
from tests.ledgers.kills import kill_with_redis, kill_with_sqlite
from tests.ledgers.schedules import run_schedules
from tests.simulation.test_pacing import pace_anew
from tests.test_compacted_histories import compact_anew
from tests.test_folded_histories import fold_anew
from tests.test_histories import fit_anew

from . import each


@dataclass(frozen=True)
class Proof:
    """``size`` seeds, ``block`` of them in one job; none of them may have done what ``shows`` says."""

    name: str
    size: int
    block: int
    run: Callable[[range], Counter[str]]
    shows: str


PROOFS = (
    Proof("schedules", 1_000_000, 2_000, run_schedules, "overspent a budget, leaked a hold or were miscounted"),
    Proof(
        "compacted", 100_000, 250, partial(each, compact_anew), "were not accepted, lost what must stay or did not end"
    ),
    Proof(
        "folded", 50_000, 250, partial(each, fold_anew), "were not accepted, or read otherwise than the service left it"
    ),
    Proof("fitted", 100_000, 500, partial(each, fit_anew), "were not accepted, too large or lost what must stay"),
    Proof("streams", 50_000, 2_500, partial(each, damage_anew), "passed for whole or were no typed error"),
    Proof("kills", 1_000, 50, kill_with_sqlite, "lost a call or undercharged it"),
    Proof("kills-redis", 1_000, 50, kill_with_redis, "lost a call or undercharged it"),
    Proof("pacing", 200, 1, partial(each, pace_anew), "met a refusal too many, failed or left a limit unused"),
)
