"""Drafting a call: from what is said to its plan, with the service's own count where only that can tell whether to cut.

To plan takes a thread, because it may read a tokenizer, the catalogue and the book, and count a whole book's text. The
plan of a short call to a model that was planned for before takes less time than the way to a thread and back, so that
one is made at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from anyio import to_thread

from tokmagic.core.asking import PROVIDER
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Message, Request, Text
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan, Wishes, doubtful, plan_call
from tokmagic.corridor.asking import ask_count
from tokmagic.options import CallOptions, wishes_of
from tokmagic.parts import Parts

#: Characters of a conversation that is counted at once.
BRIEF = 4_000
#: What a plan is made of; see ``plan_call``.
Said: TypeAlias = tuple[Model, tuple[Message, ...], Wishes, Counter, str]


class Draft:
    """What one call is planned from.

    Args:
        parts: the catalogue, the tokenizers and what replies taught.
        options: of the call.
        messages: all that is said.
    """

    def __init__(self, parts: Parts, options: CallOptions, messages: tuple[Message, ...]) -> None:
        self._parts = parts
        self._options = options
        self._messages = messages

    def now(self, name: str | None, *, compacting: bool = True) -> CallPlan:
        """The plan as far as the service is not asked, or as if the service was to compact nothing; it blocks."""
        model, messages, wishes, counter, note = self.said(name)
        wishes = wishes if compacting else replace(wishes, compacting=None)
        return plan_call(model, messages, wishes, counter, note)

    async def plan(self, name: str | None) -> CallPlan:
        """The plan; where the margin of an estimate decides whether to cut, the service is asked to count first."""
        if self._at_hand(name):
            said, found = self._begin(name)
        else:
            said, found = await to_thread.run_sync(self._begin, name, abandon_on_cancel=True)
        if isinstance(found, CallPlan):
            return found
        told = await ask_count(self._parts, said[0], found)
        return await to_thread.run_sync(lambda: plan_call(*said, told), abandon_on_cancel=True)

    async def tightened(self, plan: CallPlan) -> CallPlan | None:
        """The plan with the service's own count in place of an estimate's bound; None where that is not to be had."""
        if plan.input_tokens.exact or plan.input_tokens.tokenizer == PROVIDER:
            return None
        told = await ask_count(self._parts, plan.model, plan.request)
        if told is None:
            return None
        model, _, wishes, counter, note = await to_thread.run_sync(self.said, plan.model.name)
        tight = await to_thread.run_sync(plan_call, model, plan.request.messages, wishes, counter, note, told)
        return replace(tight, cuts=plan.cuts)

    def _begin(self, name: str | None) -> tuple[Said, Request | CallPlan]:
        said = self.said(name)
        found = doubtful(*said) or plan_call(*said)
        if name is not None:
            self._parts.planned.add(name)
        return said, found

    def said(self, name: str | None) -> Said:
        """What the plan for the model of that name, or the default one, is made of; it blocks."""
        model = self._parts.model(name or self._parts.default_model()[0])
        wishes = wishes_of(self._options, self._parts.settings.max_tokens)
        self._parts.learning.look()
        return model, self._messages, wishes, self._parts.counter(model), self._parts.learning.calibration(model)

    def _at_hand(self, name: str | None) -> bool:
        """Whether nothing has to be read for the plan, and little has to be counted."""
        known = name in self._parts.planned and self._parts.learning.fresh
        return known and not self._options.get("tools") and _characters(self._messages) <= BRIEF


def _characters(messages: tuple[Message, ...]) -> float:
    """How much is said, in characters; without end where it is more than text."""
    parts = [part for message in messages for part in message.parts]
    return sum(len(part.text) if isinstance(part, Text) else float("inf") for part in parts)
