"""A provider's batch as values: how far it is, what the book remembers of it, and its own prices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Literal, TypeAlias

from .models import Model

#: The way a batch is served, in the words of prices and replies.
SERVED = "batch"
Phase: TypeAlias = Literal["running", "cancelling", "ended", "failed"]
_NOTE = "batch:"


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is.

    Attributes:
        phase: ``ended`` when there are results; ``failed`` when there never will be.
        total: rows that were sent.
        succeeded, failed: of these, as far as the provider says it while the batch runs.
        why: what the provider says of a batch that failed.
    """

    phase: Phase
    total: int
    succeeded: int = 0
    failed: int = 0
    why: str = ""

    @property
    def over(self) -> bool:
        """Whether it will not change any more."""
        return self.phase in ("ended", "failed")


@dataclass(frozen=True, slots=True)
class Submission:
    """What the book remembers of a batch, so that another process can go on with it.

    Attributes:
        label: its rows' ids in the book, and for the provider, are this, a dash and the row's number.
        rows: the numbers of the rows that were sent, from 0.
        at: when, in seconds of the epoch.
        id: the provider's own id of the batch; empty until that is known.
    """

    label: str
    rows: tuple[int, ...]
    at: float
    id: str = ""

    def row_id(self, row: int) -> str:
        """The id of a row."""
        return f"{self.label}-{row}"

    def row_of(self, id: str) -> int | None:
        """The row of that id; None if it is none of its rows."""
        label, _, number = id.rpartition("-")
        known = label == self.label and number.isdecimal() and int(number) in self.rows
        return int(number) if known else None

    def as_note(self) -> str:
        """As text to be kept."""
        return json.dumps(asdict(self))


def submission_of(note: str) -> Submission | None:
    """What a note says; None where there is none."""
    if not note:
        return None
    fields = json.loads(note)
    return Submission(**{**fields, "rows": tuple(fields["rows"])})


def note_name(account: str, keys: Sequence[str]) -> str:
    """The name of the note of a batch: whose account it is at, and what each row asks."""
    return f"{_NOTE}{sha256(json.dumps([account, *keys]).encode()).hexdigest()}"


def in_batches(model: Model) -> Model:
    """The model at its price in a batch; at its ordinary price where no other is known."""
    price = model.price
    if price is None or SERVED not in price.served:
        return model
    tiers = price.served[SERVED]
    return replace(model, price=replace(price, tiers=tiers, others=(), served={SERVED: tiers}))
