"""What every display shows, as plain values: the snapshot of one kernel, and the rows drawn from it.

A snapshot is whole: it can be drawn without having seen an earlier one. The footer, ``%tokens``, the panel and the
reports draw the same rows, so there is one number everywhere. A display knows labels, texts, fractions and tones, and
nothing of budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

from .limits import Level
from .replies import Receipt
from .usage import Usage

#: Version of the snapshot's schema, for displays that may be older or newer than the kernel.
SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """One call of this kernel: ``label`` is the cell's number or name."""

    label: str
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a call waits, and until when (seconds of the epoch)."""

    reason: str
    until: float


@dataclass(frozen=True, slots=True)
class Sums:
    """What was spent over a time, real and play money apart (nano-dollars; None where a price is unknown)."""

    calls: int = 0
    usage: Usage = Usage()  # noqa: RUF009 - a frozen value
    nanousd: int | None = 0
    play_nanousd: int | None = 0
    quality: str = "exact"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one kernel at one moment.

    Attributes:
        sequence: rises by one with every snapshot of a kernel.
        epoch: the kernel's process; a snapshot of another epoch is of a kernel that is gone.
        at: seconds of the epoch.
        model: of the running or last call.
        context_window, context_used: tokens; None and 0 while unknown.
        levels: how full each limit is.
        pause: why the running call waits, or None.
        minute_tokens: tokens of the last full minutes, the oldest first; the last one is the running minute.
        session, day: sums.
        cells: the newest last.
        notices: one line each.
    """

    sequence: int
    epoch: str
    at: float
    model: str = ""
    context_window: int | None = None
    context_used: int = 0
    levels: tuple[Level, ...] = ()
    pause: Pause | None = None
    minute_tokens: tuple[int, ...] = ()
    session: Sums = Sums()
    day: Sums = Sums()
    cells: tuple[Cell, ...] = ()
    notices: tuple[str, ...] = ()
    version: int = SNAPSHOT_VERSION
