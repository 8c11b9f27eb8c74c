"""Batches as the embedded server works them off: row by row in the background, beyond the limits of the minute.

Nothing outlives the process. A row that cannot be answered fails alone; what a cancelled batch had not begun stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Literal, TypeAlias

from tokmagic.codecs import Json, WireError
from tokmagic.core.models import Protocol

#: Answers one request of a protocol, given as JSON, with the JSON of its reply.
Answering: TypeAlias = Callable[[Protocol, Mapping[str, Any]], Awaitable[Json]]
State: TypeAlias = Literal["running", "cancelling", "ended"]
#: How long a batch may take, in seconds.
WINDOW = 86_400
#: Batches, and files, that are kept; the oldest give way.
MOST_KEPT = 100


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch; ``custom_id`` is the caller's name for it."""

    custom_id: str
    body: Mapping[str, Any]


@dataclass(slots=True)
class Batch:
    """One batch. Of each row, in ``results`` by its ``custom_id``, the reply or why there is none; none if cancelled.

    Times are seconds of the epoch.
    """

    id: str
    protocol: Protocol
    rows: Sequence[Row]
    created: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    results: dict[str, Json | WireError] = field(default_factory=dict)
    state: State = "running"
    cancelled: float | None = None
    ended: float | None = None

    @property
    def succeeded(self) -> int:
        """How many rows have a reply."""
        return sum(not isinstance(result, WireError) for result in self.results.values())

    @property
    def errored(self) -> int:
        """How many rows were refused or failed."""
        return len(self.results) - self.succeeded


class Bench:
    """Where batches are worked off.

    Args:
        answer: answers one request.
        clock: seconds of the epoch.
    """

    def __init__(self, answer: Answering, clock: Callable[[], float]) -> None:
        self._answer = answer
        self._clock = clock
        self._batches: dict[str, Batch] = {}
        self._work: set[asyncio.Task[None]] = set()

    def begin(self, prefix: str, protocol: Protocol, rows: Sequence[Row], facts: Mapping[str, Any]) -> Batch:
        """Take a batch in and begin to work it off; its id begins with ``prefix``."""
        batch = Batch(f"{prefix}{token_hex(12)}", protocol, rows, self._clock(), facts)
        self._batches[batch.id] = batch
        make_room(self._batches, lambda old: old.state == "ended")
        work = asyncio.get_running_loop().create_task(self._work_off(batch))
        self._work.add(work)
        work.add_done_callback(self._work.discard)
        return batch

    def find(self, id: str, prefix: str) -> Batch | None:
        """The batch of that id, if it is one whose id begins so."""
        return self._batches.get(id) if id.startswith(prefix) else None

    def all(self, prefix: str) -> list[Batch]:
        """Those whose ids begin so, the newest first."""
        return [batch for id, batch in reversed(self._batches.items()) if id.startswith(prefix)]

    def cancel(self, batch: Batch) -> None:
        """Begin no further row of it."""
        if batch.state == "running":
            batch.state, batch.cancelled = "cancelling", self._clock()

    def forget(self, batch: Batch) -> None:
        """Drop it with its results."""
        self._batches.pop(batch.id, None)

    async def _work_off(self, batch: Batch) -> None:
        for row in batch.rows:
            if batch.state != "running":
                break
            try:
                batch.results[row.custom_id] = await self._answer(batch.protocol, row.body)
            except WireError as error:
                batch.results[row.custom_id] = error
            await asyncio.sleep(0)
        batch.state, batch.ended = "ended", self._clock()


def make_room(kept: dict[str, Any], may_go: Callable[[Any], bool] = lambda _: True) -> None:
    """Let the oldest go where there are too many."""
    for id in [id for id, thing in kept.items() if may_go(thing)][: max(0, len(kept) - MOST_KEPT)]:
        del kept[id]
