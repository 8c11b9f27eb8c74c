"""A thread that a service is to compact by itself, and a chain of models of which not every service does that.

The models up to the first one that does not are asked as one chain. If they all fail, the rest is the next chain, and
there the thread is compacted the ordinary way, where that is due.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from anyio import to_thread

from tokmagic.compacting import CompactingPassage
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.events import Completed, Event, Notice
from tokmagic.core.planning import answer_bound, input_room
from tokmagic.core.quotes import Quote
from tokmagic.core.replies import Reply
from tokmagic.core.thresholds import compact_at
from tokmagic.corridor.passage import FINAL, Passage
from tokmagic.corridor.splitting import SplitPassage
from tokmagic.options import CallOptions, chain_of, compacting_of, wishes_of
from tokmagic.parts import Parts

#: Makes the call with these options.
MakeCall: TypeAlias = Callable[[CallOptions], CompactingPassage]


def in_thread(parts: Parts, make: MakeCall, options: CallOptions) -> CompactingPassage | ServerChain:
    """One call in a thread that may be compacted for it."""
    chained = compacting_of(options).mode == "server" and len(chain_of(options)) > 1
    return ServerChain(parts, make, options) if chained else make(options)


class ServerChain:
    """A call that is made by the first of several models that answers. It is used as a ``Passage`` is."""

    def __init__(self, parts: Parts, make: MakeCall, options: CallOptions) -> None:
        self.reply: Reply | None = None
        self._parts = parts
        self._make = make
        self._options = options

    async def run(self) -> AsyncGenerator[Event]:
        """The events of the call, or of both chains. The last is ``Completed``."""
        first, rest = await to_thread.run_sync(self._parted)
        try:
            async with aclosing(self._call(first)) as events:
                async for event in events:
                    yield event
        except FINAL as error:
            if not rest or self.reply is not None:
                raise
            yield Notice(
                f"{first[-1]} failed, {rest[0]} is asked instead. Its service does not compact this thread by itself, "
                f"so that is done the ordinary way, where it is due. {error}"
            )
        else:
            return
        async with aclosing(self._call(rest, instead_of=first)) as events:
            async for event in events:
                yield event

    def quote(self) -> Quote:
        """The call as the first model would make it now."""
        return self._make({**self._options, "model": self._parted()[0]}).quote()

    async def _call(self, names: Sequence[str], instead_of: Sequence[str] = ()) -> AsyncGenerator[Event]:
        options: CallOptions = {**self._options, "model": names}
        if instead_of:
            options["compact"] = replace(compacting_of(self._options), mode="auto")
        call = self._make(options)
        try:
            async with aclosing(call.run()) as events:
                async for event in events:
                    if not isinstance(event, Completed):
                        yield event
        finally:
            self.reply = self._after(call.reply, instead_of)
        if self.reply is not None:
            yield Completed(self.reply)

    def _parted(self) -> tuple[list[str], list[str]]:
        """The models before the first whose service does not compact this thread by itself, and the others."""
        names = [name for name in chain_of(self._options) if name]
        place = next((place for place in range(1, len(names)) if not self._able(names[place])), len(names))
        return names[:place], names[place:]

    def _able(self, name: str) -> bool:
        model, wishes = self._parts.model(name), wishes_of(self._options, self._parts.settings.max_tokens)
        try:
            compact_at(model, compacting_of(self._options), input_room(model, wishes, answer_bound(model, wishes)))
        except ConfigurationError:
            return False
        return True

    def _after(self, reply: Reply | None, failed: Sequence[str]) -> Reply | None:
        """The reply, whose receipt names the models that failed before it."""
        if reply is None or not failed:
            return reply
        receipt = replace(reply.receipt, instead_of=(*failed, *reply.receipt.instead_of))
        self._parts.gauge.gather(self._options.get("cell", ""), {receipt.call}, receipt)
        return replace(reply, receipt=receipt)


#: A call of a client: as it is, in parts, in a thread, or by one of several models.
Call: TypeAlias = Passage | SplitPassage | CompactingPassage | ServerChain
