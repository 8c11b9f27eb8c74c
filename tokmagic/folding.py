"""Folding a thread whose service compacted it on the way to its answer: the summary takes the place of what it read.

The service's block goes first, as it came, and behind it what was answered after it; that is what the service itself
leaves of the thread. A summary that is empty or hardly smaller is paid for all the same and folds nothing; then
the service is not asked again.
"""

from __future__ import annotations

from dataclasses import replace

from tokmagic.conversation import Conversation
from tokmagic.core.compaction import LONGEST, SHORTEST, SUMMARY_PERCENT, too_little
from tokmagic.core.counters import Counter
from tokmagic.core.events import Compacted, Notice
from tokmagic.core.extracting import extract
from tokmagic.core.messages import Compaction, Image, Message
from tokmagic.core.models import Model
from tokmagic.core.money import Cost
from tokmagic.core.prices import cost
from tokmagic.core.replies import CompactionRecord, Reply
from tokmagic.core.summarising import headed, headless
from tokmagic.core.tokens import count_request
from tokmagic.core.usage import NOTHING_USED


def fold(
    thread: Conversation,
    head: tuple[Message, ...],
    asked: tuple[Message, ...],
    reply: Reply,
    model: Model,
    counter: Counter,
) -> Compacted | Notice | None:
    """Put a reply's summary in the place of what it stands for, if it has one and that helps.

    Args:
        thread: that has grown by the reply already.
        head: the system's text.
        asked: all other messages that were sent; the thread begins with them, and with the answer.
        reply: that may hold a summary.
        model: that answered.
        counter: of its tokenizer.
    """
    block = reply.answer.compaction
    if block is None:
        return None
    before = (*asked, *_said(reply, 0))
    summary = _readable(block, asked, counter)
    if summary is None:
        return _not_again(thread, "the service's summary is empty")
    place = reply.answer.parts.index(block)
    told = Message("assistant" if model.protocol == "messages" else "user", (summary,))
    after = (told, *_said(reply, place))
    record = _record(model, counter, (*head, *before), (*head, *after), summary, reply)
    if why := too_little(record.tokens_before, record.tokens_after):
        return _not_again(thread, f"with the service's summary {why}")
    if not thread.replace(before, after, record):
        return Notice(f"Thread {thread.name!r} was compacted by the service and changed meanwhile: it stays as it is.")
    return Compacted(record)


def _said(reply: Reply, place: int) -> tuple[Message, ...]:
    """What was answered from that place on, without summaries, as a message; nothing if that is all."""
    parts = tuple(part for part in reply.answer.parts[place:] if not isinstance(part, Compaction))
    return (Message("assistant", parts),) if parts else ()


def _readable(block: Compaction, asked: tuple[Message, ...], counter: Counter) -> Compaction | None:
    """The summary; a sealed one with an extract beside it that people and other models can read."""
    if block.text or block.provider == "anthropic":
        return block if block.text else None
    size = int(count_request(asked, (), counter)) * SUMMARY_PERCENT // 100
    return replace(block, text=headed(extract(asked, min(LONGEST, max(SHORTEST, size)), counter.count)))


def _not_again(thread: Conversation, why: str) -> Notice:
    thread.stuck = why
    return Notice(f"Thread {thread.name!r} stays as it is, and its service is not asked to compact it again: {why}.")


def _record(
    model: Model,
    counter: Counter,
    before: tuple[Message, ...],
    after: tuple[Message, ...],
    summary: Compaction,
    reply: Reply,
) -> CompactionRecord:
    systems = sum(message.role == "system" for message in before)
    kept = len(after) - systems - 1
    return CompactionRecord(
        how="threshold",
        why="it reached the service's threshold",
        tokens_before=int(count_request(before, (), counter)),
        tokens_after=int(count_request(after, (), counter)),
        replaced=len(before) - systems - kept,
        kept=kept,
        images=sum(isinstance(part, Image) for message in before for part in message.parts),
        cost=_price(model, reply),
        summary=headless(summary.text),
    )


def _price(model: Model, reply: Reply) -> Cost:
    if reply.receipt.replayed:
        return Cost(0, "exact", model.play)
    stated, served = reply.answer.compacting, reply.answer.served
    return cost(model.price, stated, served=served) if stated != NOTHING_USED else Cost(None, "unknown", model.play)
