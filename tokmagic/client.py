"""The client: options and limits in, calls through the corridor, replies out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, Unpack, cast

from anyio import to_thread

from tokmagic.allowance import limits_around
from tokmagic.batch import AsyncBatch
from tokmagic.chaining import Call, in_thread
from tokmagic.compacting import CompactingPassage, ThreadCompaction
from tokmagic.conversation import Conversation
from tokmagic.core.book import Entry
from tokmagic.core.checks import require, require_text, whole
from tokmagic.core.errors import ConfigurationError, StreamBroken
from tokmagic.core.limits import Limit
from tokmagic.core.mapped import Replies
from tokmagic.core.messages import Message, as_messages, system
from tokmagic.core.quotes import Quote
from tokmagic.core.replies import Receipt, Reply
from tokmagic.core.rows import prompts
from tokmagic.core.snapshot import Snapshot
from tokmagic.core.toolcalls import closed
from tokmagic.core.words import parse_limits
from tokmagic.corridor import Walk
from tokmagic.corridor.passage import Passage
from tokmagic.corridor.splitting import SplitPassage
from tokmagic.mapping import AT_ONCE, MapPassage
from tokmagic.options import (
    A_THREAD,
    SPLIT,
    CallOptions,
    ClientOptions,
    ToolOptions,
    chain_of,
    compacting_of,
    merge,
    parted_options,
)
from tokmagic.parts import Parts, shared_parts
from tokmagic.streams import AsyncStream, AsyncToolRunner
from tokmagic.surroundings import notebook
from tokmagic.toolrun import ToolRun
from tokmagic.tools import tool_run

Prompt = str | Message | list[Message] | list[dict[str, Any]]


class AsyncClient:
    """Sends calls through the corridor. Used with ``async with``, it closes the loop's connections at the end.

    Args:
        model: ``provider/model``, or a bare name; of several the next one is asked where one fails for good; None takes
            the configured one, else the first whose key is set.
        parts: the book, providers and settings to work with; None takes this process's own.
        options: defaults for every call; see ``ClientOptions``.

    Raises:
        ConfigurationError: a limit or option that cannot be used.
    """

    def __init__(
        self, model: str | Sequence[str] | None = None, *, parts: Parts | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        self.parts = parts or shared_parts()
        self.limits = [*self.parts.settings.limits, *self._limits(options.pop("limits", ()), "notebook")]
        asked = self.parts.settings.model if model is None else model
        self.options = merge({"model": asked}, cast("CallOptions", options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.parts.disconnect()

    def stream(self, prompt: Prompt, **options: Unpack[CallOptions]) -> AsyncStream:
        """A call whose events can be watched.

        Args:
            prompt: text, or messages.
            options: see ``CallOptions``.

        Raises:
            ConfigurationError: an option that cannot be used.
            InvalidPrompt: nothing to send.
        """
        return AsyncStream(self._passage(prompt, options))

    async def send(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Reply:
        """Send and wait for the reply.

        Args:
            prompt: text, or messages.
            options: see ``CallOptions``.

        Raises:
            TokmagicError: nothing was sent that is not in the book.
        """
        async with self.stream(prompt, **options) as events:
            async for _ in events:
                pass
        if events.reply is None:
            raise StreamBroken("The call ended without a reply.")
        return events.reply

    async def quote(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Quote:
        """What the call would take and cost; sends nothing and takes nothing from any limit."""
        return await to_thread.run_sync(self._passage(prompt, options).quote)

    def compacting(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> AsyncStream:
        """A compaction of the thread now, whose events can be watched; there is no reply.

        Args:
            thread: its earlier turns are replaced by a summary; ``thread.undo()`` brings them back.
            focus: what the summary should keep above all.
            options: see ``CallOptions``.

        Raises:
            ConfigurationError: an option that cannot be used.
        """
        require_text("focus", focus)
        require(Conversation, "thread", thread, A_THREAD)
        merged, limits = self._merged(options)
        now = replace(compacting_of(merged), mode="now", focus=focus or compacting_of(merged).focus)
        ask = partial(self._ask, limits=limits, about=thread.name)
        return AsyncStream(ThreadCompaction(self.parts, ask, {**merged, "compact": now}, thread, _head(merged)))

    async def compact(self, thread: Conversation, /, focus: str = "", **options: Unpack[CallOptions]) -> bool:
        """Replace the thread's earlier turns by a summary; whether that was done. See ``compacting``."""
        stream, before = self.compacting(thread, focus, **options), len(thread.compactions)
        async with stream as events:
            async for _ in events:
                pass
        return len(thread.compactions) > before

    def run_tools(self, prompt: Prompt, **options: Unpack[ToolOptions]) -> AsyncToolRunner:
        """A run in which the tools that the model calls are run, until it is done.

        Args:
            prompt: text, or messages.
            options: see ``ToolOptions``.

        Raises:
            ConfigurationError: an option that cannot be used, or a function that is no tool.
            InvalidPrompt: nothing to send.
        """
        return AsyncToolRunner(self.tool_run(prompt, options), self.parts)

    def tool_run(self, prompt: Prompt, options: ToolOptions) -> ToolRun:
        """The state of such a run, for a face of its own."""
        own = self._limits(options.pop("limits", ()), "cell")
        asked, call = parted_options(options)
        merged = cast("ToolOptions", {**merge(self._defaults(), call), **asked})
        return tool_run(self.parts, self._walk, as_messages(prompt), merged, self.limits, own)

    def mapping(
        self, template: str, rows: Iterable[Any], /, at_once: int = AT_ONCE, **options: Unpack[CallOptions]
    ) -> MapPassage:
        """The calls of ``map``, to be watched or made by a face of its own."""
        if options.get("thread") is not None or self.options.get("thread") is not None:
            raise ConfigurationError("Rows are asked each by itself: leave thread out.")
        options.setdefault("replay", self.options.get("replay", True))
        label = options.setdefault("cell", self._defaults()["cell"])

        def make(prompt: str, first: bool) -> Walk:
            return self._passage(prompt, {**options} if first else {**options, "fresh": False})

        began = self.parts.clock()

        def ended(receipts: Sequence[Receipt]) -> None:
            self.parts.gauge.join(label, receipts, self.parts.clock() - began)

        return MapPassage(make, prompts(template, rows), at_once, ended, bool(options["replay"]))

    async def map(
        self, template: str, rows: Iterable[Any], /, at_once: int = AT_ONCE, **options: Unpack[CallOptions]
    ) -> Replies:
        """Ask the same of many rows: each is a call of its own, a few at a time, paced and in the book.

        Answers are kept, so a second run asks only the rows that have none yet; ``fresh=True`` asks all of them again.

        Args:
            template: the prompt, with ``{{name}}`` where a row's value goes; nothing in it is evaluated.
            rows: mappings, or a table; or single values, where the template has one name.
            at_once: so many calls go together, at most.
            options: see ``CallOptions``.

        Returns:
            For each row its reply, or the error it ended in. Where a budget ends, so do the rows.

        Raises:
            InvalidPrompt: a row lacks a name of the template; nothing was sent.
            TokmagicError: what refuses every row, where not one was answered.
        """
        passage = self.mapping(template, rows, at_once, **options)
        async with aclosing(passage.run()) as events:
            async for _ in events:
                pass
        return passage.replies

    async def batch(self, template: str, rows: Iterable[Any], /, **options: Unpack[CallOptions]) -> AsyncBatch:
        """Ask the same of many rows as one batch of the provider, at its batch price and within a day.

        Every row's worst case is reserved before it is sent. The same rows asked again, also after a restart, go on
        with the same batch; rows that were answered before are not sent. ``fresh=True`` sends all of them anew.

        Args:
            template: the prompt, as for ``map``.
            rows: as for ``map``.
            options: see ``CallOptions``; of one model, and no thread.

        Raises:
            BudgetExceeded: a limit has no room for all rows; nothing was sent.
            TokmagicError: the provider did not take it, or has no batches.
        """
        merged, limits = self._merged(options)
        head = _head(merged)
        asked = [(*head, *as_messages(prompt)) for prompt in prompts(template, rows)]
        batch = AsyncBatch(self.parts, merged, asked, limits)
        await batch.submit()
        return batch

    def conversation(self, name: str = "") -> Conversation:
        """A new thread, to be passed as ``thread=``."""
        return Conversation(name)

    def limit(self, words: str | Limit) -> Limit:
        """Add a limit to this client; those of the configuration stay."""
        self.limits += self._limits([words], "notebook")
        return self.limits[-1]

    def snapshot(self) -> Snapshot:
        """The state that displays draw."""
        model = self.parts.model(chain_of(self.options)[0] or self.parts.default_model()[0])
        return self.parts.snapshot(model, self._defaults()["notebook"], notebook().over(self.limits))

    def history(self, most: int = 20) -> tuple[Entry, ...]:
        """The newest entries of the book, the newest first."""
        return self.parts.ledger.entries(most=whole("most", most, 1))

    def _passage(self, prompt: Prompt, options: CallOptions) -> Call:
        return self._walk(as_messages(prompt), options)

    def _walk(self, turns: tuple[Message, ...], options: CallOptions) -> Call:
        merged, limits = self._merged(options)
        thread, head, mode = merged.get("thread"), _head(merged), compacting_of(merged).mode
        make = partial(self._call, turns=turns, limits=limits)
        if thread is None or mode == "off" or (mode != "server" and not thread):
            return make((*head, *(thread.messages if thread else ()), *turns), merged)
        ask = partial(self._ask, limits=limits, about=thread.name)
        in_options = partial(CompactingPassage, self.parts, make, ask, thread=thread, head=head, turns=turns)
        return in_thread(self.parts, in_options, merged)

    def _call(
        self, said: tuple[Message, ...], options: CallOptions, *, turns: tuple[Message, ...], limits: list[Limit]
    ) -> Passage | SplitPassage:
        said = closed(said)
        if options.get("truncate") != SPLIT:
            return Passage(self.parts, options, said, turns, limits)
        return SplitPassage(self.parts, partial(self._part, turns=turns, limits=limits), options, said)

    def _part(
        self, said: tuple[Message, ...], options: CallOptions, *, turns: tuple[Message, ...], limits: list[Limit]
    ) -> Passage:
        return Passage(self.parts, options, said, turns, limits)

    def _ask(self, said: tuple[Message, ...], options: CallOptions, *, limits: list[Limit], about: str) -> Passage:
        return Passage(self.parts, options, said, said, limits, "compaction", about)

    def _merged(self, options: CallOptions) -> tuple[CallOptions, list[Limit]]:
        asked = self._limits(options.pop("limits", ()), "cell")
        limits = [*notebook().over(self.limits), *asked, *limits_around()]
        return merge(self._defaults(), options), limits

    def _defaults(self) -> CallOptions:
        """The client's options, and where it calls."""
        here = notebook()
        return {"notebook": here.name(), "cell": here.cell(), **self.options}

    def _limits(self, limits: Any, source: Any) -> list[Limit]:
        return [self.parts.known(limit) for limit in parse_limits(limits, source=source)]


def _head(options: CallOptions) -> tuple[Message, ...]:
    text = options.get("system")
    return (system(text),) if text else ()
