"""Compacting on the way: a thread that grew too long, or too dear, is summarised before the call that is made in it.

What is due is decided by what the last reply stated of the thread's size. A thread is replaced only by a summary that
was judged good, so it is never worse than it was; and where the service finds a call too long all the same, its thread
is compacted once and the call made again. A service that compacts by itself, on the way to its answer, is let do so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from anyio import to_thread

from tokmagic.compactor import AskSummary, Compactor, Due, model_of
from tokmagic.conversation import Conversation
from tokmagic.core.compaction import Compacting, CompactionPlan, plan_compaction, threshold_of, too_soon
from tokmagic.core.errors import ConfigurationError, ContextLengthExceeded
from tokmagic.core.events import Compacted, Completed, Event, Notice
from tokmagic.core.messages import Message
from tokmagic.core.models import Model
from tokmagic.core.money import show_nanousd
from tokmagic.core.planning import Wishes, answer_bound, input_room
from tokmagic.core.quotes import Quote, most_of_both
from tokmagic.core.replies import CompactionRecord, Reply
from tokmagic.core.saving import economy
from tokmagic.core.tokens import count_request
from tokmagic.corridor.passage import Passage
from tokmagic.corridor.splitting import SplitPassage
from tokmagic.folding import fold
from tokmagic.options import CallOptions, compacting_of, wishes_of
from tokmagic.parts import Parts

#: Makes the passage of a call of these messages with these options.
MakePassage: TypeAlias = Callable[[tuple[Message, ...], CallOptions], Passage | SplitPassage]


class CompactingPassage:
    """One call in a thread, which is compacted before it where that is due. It is used as a ``Passage`` is.

    Args:
        parts: the book, providers and settings to work with.
        make: makes the passage of the call.
        ask: makes the passage of a call for a summary.
        options: of the call.
        thread: in which it is made.
        head: the system's text.
        turns: what is said now.
    """

    def __init__(
        self,
        parts: Parts,
        make: MakePassage,
        ask: AskSummary,
        options: CallOptions,
        thread: Conversation,
        head: tuple[Message, ...],
        turns: tuple[Message, ...],
    ) -> None:
        self.reply: Reply | None = None
        self._parts = parts
        self._make = make
        self._ask = ask
        self._options = options
        self._thread = thread
        self._said = tuple(thread.messages)
        self._head = head
        self._turns = turns
        self._settings = compacting_of(options)
        self._record: CompactionRecord | None = None

    async def run(self) -> AsyncGenerator[Event]:
        """Compact where it is due, then call; where the service finds that too long, once more. ``Completed`` ends."""
        async with aclosing(self._compacted(await to_thread.run_sync(self._due))) as events:
            async for event in events:
                yield event
        try:
            async with aclosing(self._call()) as events:
                async for event in events:
                    yield event
        except ContextLengthExceeded as error:
            due = None if self._record is not None else await to_thread.run_sync(self._forced, str(error))
            if due is None:
                raise
            async with aclosing(self._compacted(due)) as events:
                async for event in events:
                    yield event
            if self._record is None:
                raise
            async with aclosing(self._call()) as events:
                async for event in events:
                    yield event

    def quote(self) -> Quote:
        """The call as it would be now, with the compaction before it or on its way.

        It is held at what it costs without one, too: a compaction may come to nothing.
        """
        plain, due = self._make((*self._head, *self._said, *self._turns), self._asked()).quote(), self._due()
        if due is None:
            return plain
        quoted, thread = Compactor(self._parts, self._ask, self._options, self._thread, self._head).quote(due)
        call = self._make((*self._head, *thread, *self._turns), self._options).quote()
        most = most_of_both(call.ceiling if call.replayed else plain.ceiling, quoted.ceiling)
        return replace(call, ceiling=most, calls=call.calls + quoted.calls, compaction=quoted)

    async def _call(self) -> AsyncGenerator[Event]:
        passage = self._make((*self._head, *self._said, *self._turns), self._asked())
        try:
            async with aclosing(passage.run()) as events:
                async for event in events:
                    if not isinstance(event, Completed):
                        yield event
        finally:
            self.reply = self._with_record(passage)
        if self.reply is None:
            return
        summarised = self.reply.answer.compaction is not None
        if summarised and (folded := await to_thread.run_sync(self._folded, self.reply)) is not None:
            self.reply = self._with_record(passage) or self.reply
            yield folded
        yield Completed(self.reply)

    def _asked(self) -> CallOptions:
        """The options of the call: its service is asked to compact where that is wanted and not too soon.

        Raises:
            ConfigurationError: a service knows nothing of messages that must stay, and the thread has some.
        """
        thread = self._thread
        if self._settings.mode != "server":
            return self._options
        if thread.stuck or too_soon(self._settings, thread.answers_since):
            return {**self._options, "compact": "off"}
        if pinned := sum(message.pinned for message in (*self._said, *self._turns)):
            raise ConfigurationError(
                f"Thread {thread.name!r} has turns that are pinned: {pinned:,} of its messages, which a service that "
                "compacts by itself would summarise like any other. Use compact=auto."
            )
        return self._options

    def _folded(self, reply: Reply) -> Compacted | Notice | None:
        """What became of the summary that the service made on its way, if it did."""
        turns = tuple(turn for turn in self._turns if turn.role != "system")
        model = self._parts.model(reply.receipt.model)
        asked = (*self._said, *turns)
        found = fold(self._thread, self._head, asked, reply, model, self._parts.counter(model))
        self._record = found.record if isinstance(found, Compacted) else self._record
        return found

    def _with_record(self, passage: Passage | SplitPassage) -> Reply | None:
        reply = passage.reply
        if reply is None or self._record is None:
            return reply
        receipt = replace(reply.receipt, compaction=self._record)
        self._parts.gauge.gather(self._options.get("cell", ""), {receipt.call}, receipt)
        return replace(reply, receipt=receipt)

    async def _compacted(self, due: Due | None) -> AsyncGenerator[Event]:
        if due is None:
            if self._settings.mode == "now":
                yield await to_thread.run_sync(_no_gain, self._parts, self._options, self._thread, self._head)
            return
        compactor = Compactor(self._parts, self._ask, self._options, self._thread, self._head)
        async with aclosing(compactor.run(due)) as events:
            async for event in events:
                yield event
        if compactor.record is not None:
            self._record, self._said = compactor.record, compactor.turns

    def _due(self) -> Due | None:
        """The compaction to make before the call, or None."""
        return due_now(self._parts, self._options, self._thread, self._head, self._turns)

    def _forced(self, why: str) -> Due | None:
        """The compaction to make after the service found the call too long."""
        settings = replace(self._settings, keep_recent=0)
        return planned(self._parts, self._options, self._thread, self._head, settings, why)


class ThreadCompaction:
    """A compaction that somebody asked for, without a call behind it; there is no reply.

    Its arguments are those of ``CompactingPassage``.
    """

    def __init__(
        self, parts: Parts, ask: AskSummary, options: CallOptions, thread: Conversation, head: tuple[Message, ...]
    ) -> None:
        self.reply: Reply | None = None
        self._parts = parts
        self._ask = ask
        self._options = options
        self._thread = thread
        self._head = head

    async def run(self) -> AsyncGenerator[Event]:
        """Compact it; the last event is ``Compacted`` if it was."""
        due = await to_thread.run_sync(due_now, self._parts, self._options, self._thread, self._head, ())
        if due is None:
            yield await to_thread.run_sync(_no_gain, self._parts, self._options, self._thread, self._head)
            return
        compactor = Compactor(self._parts, self._ask, self._options, self._thread, self._head)
        async with aclosing(compactor.run(due)) as events:
            async for event in events:
                yield event


def _no_gain(parts: Parts, options: CallOptions, thread: Conversation, head: tuple[Message, ...]) -> Notice:
    plan = _plan(parts, options, thread, head, replace(compacting_of(options), keep_recent=0))
    return Notice(f"Thread {thread.name!r} is not compacted: {plan.shortfall}.")


def due_now(
    parts: Parts, options: CallOptions, thread: Conversation, head: tuple[Message, ...], turns: tuple[Message, ...]
) -> Due | None:
    """The compaction that is due before a call in the thread, or None."""
    settings = compacting_of(options)
    if settings.mode == "now":
        found = planned(parts, options, thread, head, settings, "asked for")
        return found or planned(parts, options, thread, head, replace(settings, keep_recent=0), "asked for")
    if settings.mode in ("off", "server") or thread.stuck or too_soon(settings, thread.answers_since):
        return None
    model, threshold = _threshold(parts, options, settings)
    new = int(count_request(turns, (), parts.counter(model))) if turns else 0
    tokens = _tokens(parts, options, model, thread, head) + new
    if tokens >= threshold:
        why = f"{tokens:,} tokens, from {threshold:,} on a thread is compacted"
        return planned(parts, options, thread, head, settings, why)
    return _economic(parts, options, thread, head, settings) if settings.mode == "economic" else None


def planned(
    parts: Parts, options: CallOptions, thread: Conversation, head: tuple[Message, ...], settings: Compacting, why: str
) -> Due | None:
    """A compaction of the thread; None where it would save too little."""
    plan = _plan(parts, options, thread, head, settings)
    return None if plan.shortfall else Due(plan, why)


def _plan(
    parts: Parts, options: CallOptions, thread: Conversation, head: tuple[Message, ...], settings: Compacting
) -> CompactionPlan:
    model, threshold = _threshold(parts, options, settings)
    return plan_compaction(
        (*head, *thread.messages),
        parts.counter(model),
        threshold=threshold,
        keep_recent=settings.keep_recent,
        tokens=_tokens(parts, options, model, thread, head),
        tools=_wishes(parts, options).tools,
        thinking=model.protocol != "messages",
    )


def _economic(
    parts: Parts, options: CallOptions, thread: Conversation, head: tuple[Message, ...], settings: Compacting
) -> Due | None:
    model = model_of(parts, options)
    due = planned(parts, options, thread, head, settings, "") if model.price is not None else None
    if due is None or model.price is None:
        return None
    known = thread.known(model.name)
    found = economy(model.price, due.plan, cached=known is not None and known.cached)
    if found.break_even is None or found.break_even > settings.coming:
        return None
    price, saved = (show_nanousd(amount, play=model.play) for amount in (found.price, found.saved))
    return replace(due, why=f"about {price} now saves {saved} a turn, so it pays after {found.break_even} turns")


def _tokens(parts: Parts, options: CallOptions, model: Model, thread: Conversation, head: tuple[Message, ...]) -> int:
    """Tokens of the thread: what the last reply stated, else what is counted."""
    known = thread.known(model.name)
    if known is not None:
        return known.tokens
    tools = _wishes(parts, options).tools
    return int(count_request((*head, *thread.messages), tools, parts.counter(model)))


def _threshold(parts: Parts, options: CallOptions, settings: Compacting) -> tuple[Model, int]:
    model, wishes = model_of(parts, options), _wishes(parts, options)
    return model, threshold_of(model, settings, input_room(model, wishes, answer_bound(model, wishes)))


def _wishes(parts: Parts, options: CallOptions) -> Wishes:
    return wishes_of(options, parts.settings.max_tokens)
