"""A batch's side of the book: what each row asks and may cost, what is held for it, and how it is settled.

Every method blocks, and may be called from any thread. A row's hold, its line in the provider's batch and its result
have one id. Rows that ask the same are sent once.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tokmagic import hooks
from tokmagic.core.batches import SERVED, Submission, in_batches, note_name, submission_of
from tokmagic.core.book import Entry, Lessons
from tokmagic.core.bounds import open_ends, require_bounds
from tokmagic.core.errors import MalformedReply, ProviderError, RequestTooLarge
from tokmagic.core.limits import NONE, Admitted, Limit, Refused
from tokmagic.core.mapped import Result
from tokmagic.core.messages import Message, Request
from tokmagic.core.planning import CallPlan, plan_call
from tokmagic.core.receipts import receipt_of, refusal
from tokmagic.core.replays import replayed
from tokmagic.core.replies import Answer, Reply
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.corridor.booking import Booking
from tokmagic.corridor.recall import Recall
from tokmagic.options import CallOptions, chain_of, wishes_of
from tokmagic.parts import Parts
from tokmagic.providers import Result as Sent

#: Seconds a hold lives: the day a provider takes at most, and two hours to look at the results.
PATIENCE = 26 * 3600.0


@dataclass(frozen=True, slots=True)
class _Row:
    plan: CallPlan
    booking: Booking
    recall: Recall


class BatchBook:
    """The rows of one batch.

    Args:
        parts: the book, providers and settings to work with.
        options: of every row; ``replay`` is among them.
        asked: the messages of each row.
        limits: of the caller.

    Attributes:
        model: at its batch price.
        results: what is known of the rows, by number.
        submission: what the book remembers of the batch; None where it was not submitted.
        notices: what there is to know of the answers, each once.
    """

    def __init__(
        self, parts: Parts, options: CallOptions, asked: Sequence[tuple[Message, ...]], limits: list[Limit]
    ) -> None:
        self.model = in_batches(parts.model(chain_of(options)[0] or parts.default_model()[0]))
        self.results: dict[int, Result] = {}
        self.submission: Submission | None = None
        self.notices: dict[str, None] = {}
        self._parts = parts
        self._options = options
        self._limits = limits
        self._asked = asked
        self._recalls = [Recall(parts, options, said, chain_of(options)) for said in asked]
        self._keys: list[str] = []
        self._note = ""
        self._rows: dict[int, _Row] = {}

    def open(self) -> None:
        """Take what was answered before, plan the other rows, and find out whether they were submitted before."""
        self._keys = [recall.key() for recall in self._recalls]
        account = self._parts.scopes(self.model, "")["key"]
        self._note = note_name(account, self._keys)
        for number in self._firsts():
            kept = self._recalls[number].find()
            if kept is not None:
                self.results[number] = replayed(kept, uuid.uuid4().hex, 0.0)
                continue
            try:
                self._rows[number] = self._row(number)
            except RequestTooLarge as error:
                self.results[number] = error
        if self._rows and not self._options.get("fresh"):
            self.submission = submission_of(self._parts.ledger.recall(self._note).get(self._note, ""))

    def requests(self, mine: Submission) -> dict[str, Request]:
        """What is to be sent, by the rows' ids."""
        return {mine.row_id(number): self._rows[number].plan.request for number in mine.rows}

    def claim(self) -> Submission | None:
        """The right to submit what is left; None where nothing is, or where it is somebody's already."""
        if not self._rows or self.submission is not None:
            return None
        mine = Submission(uuid.uuid4().hex[:16], tuple(self._rows), self._parts.clock())
        fresh, noted = self._options.get("fresh"), [""]

        def change(old: str) -> str:
            noted[0] = old if old and not fresh else mine.as_note()
            return noted[0]

        self._parts.ledger.learn(Lessons(notes={self._note: change}))
        self.submission = submission_of(noted[0])
        return mine if self.submission == mine else None

    def reserve(self, mine: Submission) -> None:
        """Hold the worst case of every row.

        Raises:
            BudgetExceeded: a limit has no room for all of them, or nothing bounds them; nothing is held then.
        """
        for row in self._rows.values():
            require_bounds(open_ends(row.plan.request), row.booking.limits, row.plan.model.name)
        for place, number in enumerate(mine.rows):
            row = self._rows[number]
            decision = row.booking.reserve(row.plan, self._entry(mine, number))
            if not isinstance(decision, Admitted):
                for held in mine.rows[:place]:
                    self._settle(self._rows[held], self._entry(mine, held), Outcome())
                raise refusal(Refused(decision.level, decision.needed), row.plan, self._parts.clock())

    def submitted(self, mine: Submission, id: str) -> None:
        """The provider took it under that id."""
        self.submission = replace(mine, id=id)
        self._remember(self.submission.as_note())

    def take_back(self, submission: Submission, outcome: Outcome) -> None:
        """None of the rows ran: give back what is held for them, and forget the batch."""
        for number in submission.rows:
            self._settle(self._sent(number), self._entry(submission, number), outcome)
        self.forget()

    def forget(self) -> None:
        """Let the rows be submitted anew."""
        self.submission = None
        self._remember("")

    def settle(self, submission: Submission, found: Mapping[int, Sent]) -> None:
        """Settle every row by what became of it, and keep the answers. Where some have none they may be sent again."""
        held = {entry.id: entry for entry in self._parts.ledger.open_entries(f"{submission.label}-")}
        for number in submission.rows:
            entry = held.get(submission.row_id(number)) or self._entry(submission, number)
            self.results[number] = self._end(self._sent(number), entry, found.get(number))
        if not all(isinstance(self.results[number], Reply) for number in submission.rows):
            self._remember("")

    def all(self) -> tuple[Result, ...]:
        """What became of every row; those that ask the same share the answer, and its price is that of one."""
        firsts = {self._keys[number]: number for number in self._firsts()}
        found: list[Result] = []
        for number, key in enumerate(self._keys):
            result = self.results[firsts[key]]
            if isinstance(result, Reply) and firsts[key] != number:
                result = replayed(result, uuid.uuid4().hex, 0.0)
            found.append(result)
        return tuple(found)

    def _firsts(self) -> list[int]:
        """The first row of each key."""
        found: dict[str, int] = {}
        for number, key in enumerate(self._keys):
            found.setdefault(key, number)
        return list(found.values())

    def _sent(self, number: int) -> _Row:
        """A row that was sent, even if it was answered elsewhere meanwhile."""
        if number not in self._rows:
            self._rows[number] = self._row(number)
        return self._rows[number]

    def _row(self, number: int) -> _Row:
        wishes = wishes_of(self._options, self._parts.settings.max_tokens)
        self._parts.learning.look()
        calibration = self._parts.learning.calibration(self.model)
        plan = plan_call(self.model, self._asked[number], wishes, self._parts.counter(self.model), calibration)
        cell, notebook = self._options.get("cell", ""), self._options.get("notebook", "")
        booking = Booking(self._parts, self._limits, PATIENCE, cell=cell, notebook=notebook, kind="batch")
        return _Row(plan, booking, self._recalls[number])

    def _entry(self, submission: Submission, number: int) -> Entry:
        """A row's line in the book. Batches have rates of their own, so it takes nothing from those of a minute."""
        row = self._sent(number)
        entry = replace(row.booking.entry(row.plan, 1), id=submission.row_id(number), at=submission.at)
        return replace(entry, charge=replace(entry.charge, expected=NONE))

    def _end(self, row: _Row, entry: Entry, result: Sent | None) -> Result:
        if not isinstance(result, Answer):
            name = self.model.provider
            error = result or ProviderError(f"{name} left this row of the batch out; it cost nothing.", provider=name)
            self._settle(row, entry, Outcome(sent=isinstance(error, MalformedReply), error=error))
            return error
        answer = replace(result, served=SERVED)
        ended = self._settle(row, entry, Outcome(sent=True, answer=answer))
        reply = Reply(answer, receipt_of(entry.call, row.plan, answer, [ended], 0.0, ended.duration or 0.0))
        if row.recall.keeps(reply) and (said := row.recall.keep(reply)):
            self.notices[said] = None
        return reply

    def _settle(self, row: _Row, entry: Entry, outcome: Outcome) -> Entry:
        booked = replace(row.plan, charge=entry.charge)
        ended = settle_entry(entry, booked, outcome, self._parts.counter(self.model), self._parts.clock())
        ended = replace(ended, used=replace(ended.used, expected=NONE))
        (self._parts.ledger.release if ended.state == "released" else self._parts.ledger.settle)(ended)
        hooks.ended(ended)
        return ended

    def _remember(self, note: str) -> None:
        self._parts.ledger.learn(Lessons(notes={self._note: lambda _: note}))
