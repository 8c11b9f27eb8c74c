"""What a run of tools may still use, for its own turns and for whatever its tools send on the way.

A limit per call that is given to a run holds for the run as a whole: each turn gets what the others left. A tool that
sends calls of its own, through any client of this process, obeys the limits of the run that called it as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Protocol

from tokmagic.core.limits import Amounts, Limit
from tokmagic.core.replies import Reply


class Paid(Protocol):
    """A call on its way; its receipt is on its reply, once there is one."""

    @property
    def reply(self) -> Reply | None:
        """The reply."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The limits of one run.

    Attributes:
        shared: those of its client, which each call obeys by itself.
        own: those of the run.
        calls: made so far, for the run or by its tools.
    """

    shared: Sequence[Limit]
    own: Sequence[Limit]
    calls: list[Paid] = field(default_factory=list)

    def left(self) -> list[Limit]:
        """The run's own limits; of those per call what is left."""
        used = self._used()
        return [_less(limit, used) if limit.window == "call" else limit for limit in self.own]

    def _used(self) -> Amounts:
        receipts = [call.reply.receipt for call in self.calls if call.reply is not None]
        return Amounts(
            requests=sum(receipt.attempts for receipt in receipts),
            input_tokens=sum(receipt.usage.input_tokens for receipt in receipts),
            output_tokens=sum(receipt.usage.output_tokens for receipt in receipts),
            tokens=sum(receipt.usage.total_tokens for receipt in receipts),
            nanousd=sum(receipt.cost.nanousd or 0 for receipt in receipts),
        )


_around: ContextVar[Allowance | None] = ContextVar("tokmagic_allowance", default=None)


@contextmanager
def inside(allowance: Allowance) -> Iterator[None]:
    """Calls that are made in the block, in this thread or task, obey the allowance too."""
    token = _around.set(allowance)
    try:
        yield
    finally:
        _around.reset(token)


def limits_around() -> list[Limit]:
    """The limits of the run whose tool is at work here; none outside of one."""
    allowance = _around.get()
    return [*allowance.shared, *allowance.left()] if allowance is not None else []


def count_call(call: Paid) -> None:
    """Let a call that is made here count for the run whose tool is at work."""
    allowance = _around.get()
    if allowance is not None:
        allowance.calls.append(call)


def _less(limit: Limit, used: Amounts) -> Limit:
    return replace(limit, amount=max(0, limit.amount - (used.of(limit.unit) or 0)))
