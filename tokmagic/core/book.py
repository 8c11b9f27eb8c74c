"""One line of the book: an HTTP attempt from its reservation to its settled truth.

An entry is written once when it is reserved (``held``) and once more when it ends: ``settled`` with what was used,
``released`` when it surely did not run, or ``unsettled`` when its owner died or the outcome is unknown, charged at its
ceiling until someone says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .limits import Charge
from .money import Cost, Quality
from .usage import NOTHING_USED, Usage

#: Version of the book's schema; a ledger migrates an older book and refuses a newer one.
BOOK_VERSION = 4

NOTHING_HELD = Charge()

State: TypeAlias = Literal["held", "settled", "released", "unsettled"]
Kind: TypeAlias = Literal["call", "compaction", "batch", "record"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt in the book. Times are seconds of the epoch, durations seconds.

    Attributes:
        id: of this attempt; ``call`` groups the attempts and inner calls of one call.
        owner: the process that holds it, until ``lease_until``.
        session, notebook, cell, thread, user, team, key: who and where; ``key`` is a fingerprint, never the key.
        charge: what was reserved.
        used: what it came to; both vectors hold the truth.
        nanousd: the price; None while it is unknown.
        dropped_tokens: input tokens cut to make it fit.
    """

    id: str
    call: str
    at: float
    model: str
    kind: Kind = "call"
    attempt: int = 1
    state: State = "held"
    settled_at: float | None = None
    owner: str = ""
    lease_until: float = 0.0
    session: str = ""
    notebook: str = ""
    cell: str = ""
    thread: str = ""
    user: str = ""
    team: str = ""
    key: str = ""
    charge: Charge = NOTHING_HELD
    used: Charge = NOTHING_HELD
    usage: Usage = NOTHING_USED
    nanousd: int | None = None
    quality: Quality = "unknown"
    play: bool = False
    stop_reason: str = ""
    request_id: str = ""
    waited: float = 0.0
    first_token: float | None = None
    duration: float | None = None
    dropped_tokens: int = 0
    error: str = ""

    @property
    def cost(self) -> Cost:
        """What it cost, with its quality."""
        return Cost(self.nanousd, self.quality, self.play)


@dataclass(frozen=True, slots=True)
class Total:
    """Entries added up. ``group`` is what they have in common; ``play`` sums are apart from real ones.

    ``waited`` is seconds, ``delays`` the attempts that waited at all.
    """

    group: str
    calls: int
    usage: Usage
    cost: Cost
    waited: float
    dropped_tokens: int
    delays: int = 0


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a reply taught besides its usage; the book keeps it in the transaction that ends the entry.

    Attributes:
        notes: by name, what makes the new text of a note from the old one (empty where there was none).
        rooms: by the key of a waiting limit's account, the most its bucket has left by the provider's own word.
    """

    notes: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    rooms: Mapping[str, float] = field(default_factory=dict)


NOTHING_LEARNED = Lessons()
