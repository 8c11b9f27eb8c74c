"""A thread: the turns of a running conversation, grown by each call that is given it.

A compaction replaces earlier turns by a summary and forgets nothing: ``history`` has every turn as it was said, and
``undo`` brings them back.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokmagic.core.checks import require_text
from tokmagic.core.compaction import summary_of
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Compaction, Message, Reasoning
from tokmagic.core.replies import CompactionRecord, Reply
from tokmagic.core.summarising import headed, headless


@dataclass(frozen=True, slots=True)
class _Step:
    """A compaction: the turns it replaced, and how many stand for them."""

    before: tuple[Message, ...]
    after: int
    record: CompactionRecord


@dataclass(frozen=True, slots=True)
class Known:
    """What the last reply stated: the model, tokens of all turns with it, whether some were read from a cache."""

    model: str
    turns: int
    tokens: int
    cached: bool


class Conversation:
    """The turns so far. Pass it as ``thread=`` to a call: the call sends them, and adds its own two turns when it ends.

    A call that fails adds nothing. One that is stopped by hand adds what had arrived. Of two calls at once each sends
    the turns there were when it was made, and adds its own exchange whole when it ends.

    Attributes:
        name: for displays.
        messages: the turns as they are sent, the oldest first; a summary may stand for earlier ones.
        model: that answered last.
        stuck: why it is not compacted any more by itself; "" if it may be.
    """

    def __init__(self, name: str = "", messages: tuple[Message, ...] = ()) -> None:
        require_text("name", name)
        self.name = name
        self.messages: list[Message] = list(messages)
        self.stuck = ""
        self.model = ""
        self._steps: list[_Step] = []
        self._settled_at: int | None = None
        self._known: Known | None = None

    def add(self, turns: tuple[Message, ...], reply: Reply) -> None:
        """Grow by what was asked and what was answered; an answer without a word leaves the thread as it was.

        A summary that the service made on the way is no part of what was said: see ``replace``.
        """
        said = tuple(part for part in reply.answer.parts if not isinstance(part, Compaction))
        if any(not isinstance(part, Reasoning) for part in said):
            self.messages += [*(turn for turn in turns if turn.role != "system"), Message("assistant", said)]
            self.model, usage = reply.receipt.model, reply.answer.usage
            if usage is not None and not reply.truncated and len(said) == len(reply.answer.parts):
                cached = usage.cache_read_tokens > 0
                self._known = Known(reply.receipt.model, len(self.messages), usage.total_tokens, cached)

    def known(self, model: str) -> Known | None:
        """What the last reply of that model stated, if it is still true of all turns there are."""
        known = self._known
        return known if known is not None and (known.model, known.turns) == (model, len(self.messages)) else None

    def replace(self, before: tuple[Message, ...], after: tuple[Message, ...], record: CompactionRecord) -> bool:
        """Put ``after`` where the thread begins with ``before``; False where it does not any more."""
        if tuple(self.messages[: len(before)]) != before:
            return False
        self.messages[: len(before)] = after
        self._steps.append(_Step(before, len(after), record))
        self._settle()
        return True

    def undo(self) -> CompactionRecord:
        """Bring back the turns that the last compaction replaced; it is not repeated at once.

        Raises:
            ConfigurationError: there is none.
        """
        if not self._steps:
            raise ConfigurationError(f"Thread {self.name!r} was not compacted: there is nothing to bring back.")
        step = self._steps.pop()
        self.messages[: step.after] = step.before
        self._settle()
        return step.record

    @property
    def compactions(self) -> tuple[CompactionRecord, ...]:
        """Those in force, the oldest first."""
        return tuple(step.record for step in self._steps)

    @property
    def history(self) -> tuple[Message, ...]:
        """Every turn as it was said."""
        turns = list(self.messages)
        for step in reversed(self._steps):
            turns[: step.after] = step.before
        return tuple(turns)

    @property
    def answers_since(self) -> int | None:
        """Answers since turns were last replaced or brought back; None if they never were."""
        if self._settled_at is None:
            return None
        return sum(message.role == "assistant" for message in self.messages[self._settled_at :])

    @property
    def summary(self) -> str:
        """What stands for earlier turns; "" if nothing does. Set it to change the words that are sent.

        A service's sealed summary cannot be read: then it is an extract of what was replaced.
        """
        part = summary_of(self.messages)
        if part is None:
            return ""
        return headless(part.text) or (self._steps[-1].record.summary if self._steps else "")

    @summary.setter
    def summary(self, text: str) -> None:
        place = next((n for n, turn in enumerate(self.messages) if summary_of([turn]) is not None), None)
        if place is None:
            raise ConfigurationError(f"Thread {self.name!r} has no summary to change: compact it first.")
        if not text.strip():
            raise ConfigurationError("A summary cannot be empty: undo brings the turns back that it stands for.")
        self.messages[place] = Message("user", (Compaction(headed(text)),), self.messages[place].pinned)
        self._known = None

    def clear(self) -> None:
        """Forget every turn."""
        self.messages.clear()
        self._steps.clear()
        self.stuck, self._settled_at, self._known = "", None, None

    def _settle(self) -> None:
        self._settled_at, self._known, self.stuck = len(self.messages), None, ""

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Conversation {self.name!r}: {len(self)} messages>"
