"""A call in parts: each part goes through the corridor as a call of its own, a few at a time, and a last one combines.

So each is reserved, paced and in the book. Where a limit has no room for so many at once, fewer go: no part is answered
shorter because of what the others hold. Its one reply has the last call's answer and the receipt of all. Stopped before
that, it has the answers to the parts that had come by then.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias, TypeVar

from anyio import to_thread

from tokmagic.allowance import Tab
from tokmagic.core.errors import StreamBroken, TokmagicError
from tokmagic.core.events import (
    Completed,
    Event,
    Notice,
    Progress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from tokmagic.core.messages import Message, Text
from tokmagic.core.quotes import Quote
from tokmagic.core.receipts import together
from tokmagic.core.replies import Answer, Reply
from tokmagic.core.splitting import Splitting, split_call
from tokmagic.corridor.abreast import Abreast
from tokmagic.corridor.drafting import Draft
from tokmagic.corridor.passage import Passage
from tokmagic.options import CallOptions, chain_of
from tokmagic.parts import Parts

T = TypeVar("T")
#: Makes the passage of one call of these messages with these options.
MakePassage: TypeAlias = Callable[[tuple[Message, ...], CallOptions], Passage]

#: Calls for parts that are under way together, at most.
AT_ONCE = 4
#: How a conversation is cut that is too long for other reasons than one long text.
OTHERWISE = "smart"
_SAID = (TextDelta, ReasoningDelta, ToolCallDelta)


class SplitPassage:
    """One call on its way through the corridor, in parts if it is too long. It is used as a ``Passage`` is.

    Args:
        parts: the book, providers and settings to work with.
        make: makes the passage of each call.
        options: of the call; ``truncate`` is not read. Only the last call adds to its thread.
        messages: all that is said.
    """

    def __init__(self, parts: Parts, make: MakePassage, options: CallOptions, messages: tuple[Message, ...]) -> None:
        self.id = uuid.uuid4().hex
        self.reply: Reply | None = None
        self._parts = parts
        self._make = make
        self._options: CallOptions = {**options, "truncate": OTHERWISE}
        self._messages = messages
        self._passages: list[Passage] = []
        self._tab = Tab()
        self._beside: Callable[[], bool] = bool
        self._done = 0
        self._answers: list[str] = []
        self._answering: Passage | None = None
        self._failed = False
        self._began = parts.clock()
        self._first_token: float | None = None

    def go_beside(self, others: Callable[[], bool]) -> None:
        """See ``Sociable``: so are its calls."""
        self._beside = others

    async def run(self) -> AsyncGenerator[Event]:
        """The parts, then the last call. The last event is ``Completed``."""
        try:
            messages, splitting = self._messages, await _in_thread(self._split)
            while splitting is not None:
                async with aclosing(self._round(splitting)) as events:
                    async for event in events:
                        yield event
                messages = splitting.combined(self._answers)
                splitting = await _in_thread(splitting.again, self._answers)
            async with aclosing(self._last(messages)) as events:
                async for event in events:
                    yield event
        except TokmagicError:
            self._failed = True
            raise
        finally:
            self._close()
        if self.reply is not None:
            yield Completed(self.reply)

    def quote(self) -> Quote:
        """What all calls would take together, and how long the first would wait now.

        Calls whose answers are kept cost nothing; as long as those of a round all are, the next one is known.
        """
        messages, splitting = self._messages, self._split()
        while splitting is not None and (answers := self._kept(splitting)) is not None:
            messages, splitting = splitting.combined(answers), splitting.again(answers)
        if splitting is None:
            return self._make(messages, self._last_options(messages)).quote()
        whole, first = splitting.quote(), self._make(splitting.part(0), self._for_parts(splitting)).quote()
        return replace(
            first,
            input_tokens=whole.input_tokens,
            max_tokens=whole.max_tokens,
            ceiling=replace(first.ceiling, nanousd=whole.nanousd),
            calls=whole.calls,
            replayed=False,
        )

    def _split(self) -> Splitting | None:
        return split_call(*Draft(self._parts, self._options, self._messages).said(chain_of(self._options)[0]))

    def _kept(self, splitting: Splitting) -> list[str] | None:
        """The answers to all parts of a round, where they are kept."""
        options, kept = self._for_parts(splitting), []
        for number in range(len(splitting.parts)):
            reply = self._make(splitting.part(number), options).kept()
            if reply is None:
                return None
            kept.append(reply.text)
        return kept

    def _last_options(self, messages: tuple[Message, ...]) -> CallOptions:
        """Of the last call: in the place of a text it may have answers to parts, which no summary may stand for."""
        return self._options if messages is self._messages else {**self._options, "compact": "off"}

    def _for_parts(self, splitting: Splitting) -> CallOptions:
        options: CallOptions = {**self._options, "truncate": "off", "max_tokens": splitting.answer_tokens}
        options.pop("thread", None)
        return options

    async def _round(self, splitting: Splitting) -> AsyncGenerator[Event]:
        """The calls for all parts, ``AT_ONCE`` of them at a time; their answers are kept in order."""
        total = len(splitting.parts)
        self._answers, self._done = [""] * total, 0
        abreast = Abreast(range(total), AT_ONCE, self._beside)
        yield Progress(0, total)
        async with aclosing(abreast.run(lambda number: self._answer(splitting, number, abreast))) as events:
            async for event in events:
                yield event

    async def _answer(self, splitting: Splitting, number: int, abreast: Abreast) -> None:
        """Keep the answer to one part."""
        options = self._for_parts(splitting)
        passage = self._joined(splitting.part(number), options)
        await abreast.ask(passage)
        if passage.reply is None:
            raise StreamBroken("A part of the call ended without a reply.")
        if passage.reply.cut_off:
            bound = options.get("max_tokens")
            abreast.tell(Notice(f"The answer to a part met its bound of {bound:,} tokens and is cut off."))
        self._answers[number] = passage.reply.text
        self._done += 1
        abreast.tell(Progress(self._done, len(splitting.parts)))

    async def _last(self, messages: tuple[Message, ...]) -> AsyncGenerator[Event]:
        """The call that answers."""
        passage = self._answering = self._joined(messages, self._last_options(messages))
        passage.go_beside(self._beside)
        async with aclosing(passage.run()) as events:
            async for event in events:
                if self._first_token is None and isinstance(event, _SAID):
                    self._first_token = self._parts.clock() - self._began
                if not isinstance(event, Completed):
                    yield event

    def _joined(self, messages: tuple[Message, ...], options: CallOptions) -> Passage:
        """The passage of one of the calls; limits per call bound them all together."""
        passage = self._make(messages, options)
        passage.share(self._tab)
        self._passages.append(passage)
        return passage

    def _close(self) -> None:
        receipts = [passage.reply.receipt for passage in self._passages if passage.reply is not None]
        answered = self._answering.reply if self._answering is not None else None
        if not receipts or (len(receipts) == 1 and answered is not None):
            self.reply = answered
            return
        answer = answered.answer if answered is not None else self._so_far()
        duration = self._parts.clock() - self._began
        receipt = together(self.id, receipts, answer.stop_reason, self._first_token, duration)
        self.reply = Reply(answer, receipt)
        self._parts.gauge.gather(self._options.get("cell", ""), {passage.id for passage in self._passages}, receipt)

    def _so_far(self) -> Answer:
        """The answers to the parts that came before it ended early."""
        text = "\n\n".join(answer for answer in self._answers if answer)
        return Answer((Text(text),) if text else (), stop_reason="unknown" if self._failed else "interrupted")


async def _in_thread(act: Callable[..., T], *args: object) -> T:
    return await to_thread.run_sync(act, *args, abandon_on_cancel=True)
