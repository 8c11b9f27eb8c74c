"""What became of many rows: for each its reply, or the error it ended in, in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from .errors import BudgetExceeded, TokmagicError
from .money import Cost, summed
from .replies import Reply
from .usage import Usage

Result: TypeAlias = Reply | TokmagicError


@dataclass(frozen=True, slots=True)
class Replies(Sequence[Result]):
    """A sequence as long as the rows.

    Attributes:
        results: of each row its reply, or the error it ended in.
        stopped: why the rows that are not answered were not asked, or None; it is their result, too.
    """

    results: tuple[Result, ...]
    stopped: TokmagicError | None = None

    @property
    def answered(self) -> int:
        """How many rows have a reply."""
        return sum(isinstance(result, Reply) for result in self.results)

    @property
    def texts(self) -> list[str | None]:
        """The answers alone; None where there is none. As long as the rows, so it makes a column."""
        return [result.text if isinstance(result, Reply) else None for result in self.results]

    @property
    def errors(self) -> dict[int, TokmagicError]:
        """The errors by the row's place, counted from 0."""
        return {place: result for place, result in enumerate(self.results) if not isinstance(result, Reply)}

    @property
    def usage(self) -> Usage:
        """Tokens used, all rows together."""
        return sum((result.usage for result in self.results if isinstance(result, Reply)), Usage())

    @property
    def cost(self) -> Cost:
        """The price of all replies together. Beside real money, play money counts for nothing."""
        return summed(result.cost for result in self.results if isinstance(result, Reply))

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Result, ...]: ...
    def __getitem__(self, index: int | slice) -> Result | tuple[Result, ...]:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __repr__(self) -> str:
        replayed = sum(isinstance(result, Reply) and result.receipt.replayed for result in self.results)
        again = f", {replayed:,} of them replayed" if replayed else ""
        why = f"; stopped: {self.stopped}" if self.stopped is not None else ""
        return f"<{self.answered:,} of {len(self):,} rows answered{again}, {self.cost}{why}>"


def come_so_far(answered: int, total: int, kept: bool) -> str:
    """How far the rows came, and whether their answers are kept, as the beginning of a sentence."""
    return f"{answered:,} of {total:,} rows are answered and {'kept' if kept else 'not kept, as replay is off'}"


def stopped_at(error: TokmagicError, answered: int, total: int, kept: bool) -> TokmagicError:
    """The error that ended all, with how far it came."""
    way_on = ": run it again to go on, they cost nothing then." if kept else "."
    so_far = come_so_far(answered, total, kept) + way_on
    if isinstance(error, BudgetExceeded):
        return BudgetExceeded(f"{error} {so_far}", limit=error.limit, needed=error.needed, left=error.left)
    error.args = (f"{error.args[0]} {so_far}", *error.args[1:])
    return error
