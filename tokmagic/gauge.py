"""The fuel gauge: folds what calls report into the one state that every display draws.

It only listens. Calls report from the event loop, displays read from the cell's thread; a lock keeps snapshots whole.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from tokmagic.core.book import Total
from tokmagic.core.events import Completed, Event, Notice, Planned, ReasoningDelta, TextDelta, Waiting
from tokmagic.core.limits import Level
from tokmagic.core.money import Cost, worst
from tokmagic.core.receipts import together
from tokmagic.core.replies import Receipt
from tokmagic.core.snapshot import Cell, Note, Pause, Running, Snapshot, Sums
from tokmagic.core.usage import Usage

#: Calls and notices kept for displays, and minutes of the chart.
CELLS, NOTICES, MINUTES = 100, 5, 10
#: Bytes of an answer that make about one token, while nothing better is known.
BYTES_PER_TOKEN = 4


@dataclass(slots=True)
class _Now:
    model: str = ""
    context_window: int | None = None
    context_used: int = 0


class Gauge:
    """The state of one process.

    Args:
        epoch: the process, for displays that outlive it.
        clock: seconds of the epoch.
    """

    def __init__(self, epoch: str, clock: Callable[[], float]) -> None:
        self._epoch = epoch
        self._clock = clock
        self._lock = threading.Lock()
        self._sequence = 0
        self._now = _Now()
        self._pauses: dict[str, Pause] = {}
        self._running: dict[str, Running] = {}
        self._written: dict[str, int] = {}
        self._cells: deque[Cell] = deque(maxlen=CELLS)
        self._notices: deque[Note] = deque(maxlen=NOTICES)
        self._used: deque[tuple[float, int]] = deque()

    def observe(self, call: str, label: str, event: Event, context_window: int | None) -> None:
        """Take in one event of a call; ``label`` names its cell."""
        with self._lock:
            self._pauses.pop(call, None)
            if isinstance(event, Planned):
                self._now = _Now(event.model, context_window, event.input_tokens)
                ceiling = Cost(event.ceiling_nanousd, play=event.play)
                self._running[call] = Running(label, event.model, event.input_tokens, 0, ceiling)
            elif isinstance(event, TextDelta | ReasoningDelta):
                self._written[call] = self._written.get(call, 0) + len(event.text.encode("utf-8", "replace"))
            elif isinstance(event, Waiting):
                self._pauses[call] = Pause(event.reason, self._clock() + event.seconds)
            elif isinstance(event, Notice):
                self._notices.append(Note(label, event.text))
            elif isinstance(event, Completed):
                self._cells.append(Cell(label, event.reply.receipt))
                self._used.append((self._clock(), event.reply.usage.total_tokens))

    def gather(self, label: str, calls: Collection[str], receipt: Receipt) -> None:
        """Show calls that were made for one as that one."""
        with self._lock:
            others = [cell for cell in self._cells if cell.receipt.call not in calls]
            self._cells = deque([*others, Cell(label, receipt)], maxlen=CELLS)

    def join(self, label: str, receipts: Sequence[Receipt], duration: float) -> None:
        """Show the calls that were made for many rows, in so many seconds, as one."""
        if len(receipts) > 1:
            whole = together(receipts[-1].call, receipts, receipts[-1].stop_reason, receipts[0].first_token, duration)
            self.gather(label, {receipt.call for receipt in receipts}, whole)

    def forget(self, call: str) -> None:
        """The call ended without a reply."""
        with self._lock:
            self._pauses.pop(call, None)
            self._running.pop(call, None)
            self._written.pop(call, None)

    def snapshot(self, levels: tuple[Level, ...], session: Iterable[Total], day: Iterable[Total]) -> Snapshot:
        """The state now, with what the book says."""
        with self._lock:
            self._sequence += 1
            now = self._clock()
            return Snapshot(
                sequence=self._sequence,
                epoch=self._epoch,
                at=now,
                model=self._now.model,
                context_window=self._now.context_window,
                context_used=self._now.context_used,
                levels=levels,
                running=tuple(self._so_far(call) for call in self._running),
                pause=max(self._pauses.values(), key=lambda pause: pause.until, default=None),
                minute_tokens=self._minutes(now),
                session=sums(session),
                day=sums(day),
                cells=tuple(self._cells),
                notices=tuple(self._notices),
            )

    def _so_far(self, call: str) -> Running:
        return replace(self._running[call], output_tokens=-(-self._written.get(call, 0) // BYTES_PER_TOKEN))

    def _minutes(self, now: float) -> tuple[int, ...]:
        while self._used and self._used[0][0] < now - 60 * MINUTES:
            self._used.popleft()
        series = [0] * MINUTES
        for at, tokens in self._used:
            series[MINUTES - 1 - min(MINUTES - 1, int((now - at) // 60))] += tokens
        return tuple(series)


def sums(totals: Iterable[Total]) -> Sums:
    """Totals as one sum, real and play money apart."""
    found = list(totals)
    return Sums(
        calls=sum(total.calls for total in found),
        usage=sum((total.usage for total in found), Usage()),
        nanousd=_money(found, play=False),
        play_nanousd=_money(found, play=True),
        quality=worst(*(total.cost.quality for total in found)),
    )


def _money(totals: list[Total], *, play: bool) -> int | None:
    amounts = [total.cost.nanousd for total in totals if total.cost.play == play]
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
