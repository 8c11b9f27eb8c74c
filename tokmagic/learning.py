"""What replies taught, as calls read and add to it: the notes of the book, kept at hand for a few seconds.

The notes are shared by all kernels. Reading them for every call would cost a transaction each, so ``look`` reads them
anew only when they are ``FRESH`` seconds old; what this process learns itself it knows at once. Everything else that
only tells what is known tells it of the notes at hand, and takes no time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tokmagic.core import calibration, learned, typical
from tokmagic.core.book import Entry, Lessons
from tokmagic.core.errors import RateLimited
from tokmagic.core.limits import Account, Amounts, Limit
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan
from tokmagic.core.rates import RateState
from tokmagic.core.settling import Outcome
from tokmagic.core.typical import Typical
from tokmagic.ledgers import Ledger

#: Seconds for which the notes are believed without another look.
FRESH = 5.0


class Learning:
    """The notes of a book.

    Args:
        ledger: opens the book.
        clock: seconds of the epoch.
    """

    def __init__(self, ledger: Callable[[], Ledger], clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._notes: dict[str, str] = {}
        self._read_at = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether the notes at hand need no other look."""
        return 0 <= self._clock() - self._read_at < FRESH

    def look(self) -> None:
        """Read the notes anew if they are old; that asks the book."""
        with self._lock:
            if not self.fresh:
                now = self._clock()
                self._notes = self._ledger().recall("")
                self._read_at = now

    def calibration(self, model: Model) -> str:
        """The note about the model's tokens."""
        return self._note(calibration.note_name(model.name))

    def typical(self, model: Model) -> Typical:
        """How long the model's answers are."""
        return typical.read_typical(self._note(typical.note_name(model.name)))

    def limits(self, model: Model, key: str, stated: Sequence[RateState] = ()) -> tuple[Limit, ...]:
        """The provider's own limits of the model: what it states or stated, else what the catalogue says."""
        note, now = self._note(learned.note_name(key, model.name)), self._clock()
        note = learned.revised(note, stated, now) if stated else note
        return learned.known_limits(model, learned.limits_of(note, model.name, now))

    def is_news(self, model: Model, key: str, states: Sequence[RateState]) -> bool:
        """Whether a limit that is stated differs from what is known of it."""
        amounts = {limit.unit: limit.amount for limit in self.limits(model, key)} if states else {}
        return any(state.limit is not None and amounts.get(state.unit) != state.limit for state in states)

    def stated(
        self,
        plan: CallPlan,
        entry: Entry,
        states: Sequence[RateState],
        known: Iterable[Account],
        new: Iterable[Account],
        beside: Amounts,
    ) -> None:
        """Keep what a reply states of its limits, for the calls that wait.

        Args:
            plan: of the call.
            entry: of the attempt.
            states: what is stated.
            known: the accounts that count the calls under way.
            new: those that do not yet.
            beside: what those calls take.
        """
        now = self._clock()
        learn = partial(learned.learn_rates, plan.model.name, entry.key, states, asked_at=entry.at, now=now)
        found = learned.together(learn(known), learn(new, beside=beside))
        self._ledger().learn(found)
        self._take(found)

    def lessons(
        self, plan: CallPlan, ended: Entry, outcome: Outcome, accounts: Callable[[], Sequence[Account]]
    ) -> Lessons:
        """What an attempt that has ended teaches; ``accounts`` finds those of the call, where that needs them."""
        error, now = outcome.error, self._clock()
        if isinstance(error, RateLimited):
            needed = ended.charge.expected
            found = learned.learn_refusal(plan.model.name, ended.key, error, needed, accounts(), now)
        else:
            states = learned.credible(outcome.started.rates if outcome.started is not None else (), ended.usage)
            rates = learned.learn_rates(plan.model.name, ended.key, states, accounts() if states else (), ended.at, now)
            found = learned.together(rates, Lessons(_of_usage(plan, ended)))
        self._take(found)
        return found

    def forget(self) -> None:
        """Read the notes anew with the next look."""
        with self._lock:
            self._read_at = float("-inf")

    def _note(self, name: str) -> str:
        return self._notes.get(name, "")

    def _take(self, lessons: Lessons) -> None:
        with self._lock:
            for name, change in lessons.notes.items():
                self._notes[name] = change(self._notes.get(name, ""))


def _of_usage(plan: CallPlan, ended: Entry) -> dict[str, Callable[[str], str]]:
    """What the stated usage of a complete reply teaches; with a compaction on the way it is not of what was planned."""
    if ended.state != "settled" or ended.quality != "exact" or plan.summary_tokens:
        return {}
    notes = {typical.note_name(plan.model.name): lambda note: typical.learned_output(note, ended.usage.output_tokens)}
    if plan.input_tokens.loose:
        teach = calibration.lesson(plan.input_tokens, ended.usage.input_tokens)
        notes[calibration.note_name(plan.model.name)] = teach
    return notes
