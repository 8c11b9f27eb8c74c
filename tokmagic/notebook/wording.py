"""What the street says about a call, in plain words: one line each, foreign text with its keys masked."""

from __future__ import annotations

from typing import assert_never

from tokmagic.core.events import (
    Compacted,
    Completed,
    Connecting,
    Event,
    Notice,
    Planned,
    Progress,
    ReasoningDelta,
    Retrying,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolStarted,
    Truncated,
    Waiting,
)
from tokmagic.core.messages import Text, ToolCall, ToolResult
from tokmagic.core.money import show_nanousd
from tokmagic.core.quotes import CompactionQuote
from tokmagic.core.redaction import redact
from tokmagic.core.replies import CompactionRecord, Receipt
from tokmagic.core.spans import show_seconds
from tokmagic.core.tokens import TokenCount

#: Characters of a line about a tool, at most.
LONGEST_LINE = 160


def waiting(event: Waiting, left: float) -> str:
    """Why a call waits, and for how many more seconds."""
    return one_line(f"Waiting {show_seconds(left)}: {event.reason}" if left >= 0.5 else f"Waiting: {event.reason}")


def connecting(event: Connecting) -> str:
    """What the first call to a service takes its time for."""
    return f"Loading the SDK and connecting to {event.provider}"


def retrying(event: Retrying) -> str:
    """Which attempt failed, why, and when the next one starts."""
    return one_line(f"Attempt {event.attempt} failed: {event.reason}. Trying again in {show_seconds(event.seconds)}.")


def progress(event: Progress) -> str:
    """How far a call in parts is."""
    return f"{event.done:,} of {event.total:,} parts answered"


def note(event: Event) -> str:
    """What a reader must know of an event besides the answer and the status: a cut, a compaction, a notice; or ""."""
    match event:
        case Truncated():
            cuts = "; ".join(f"{cut.what} ({cut.loss})" for cut in event.cuts)
            return one_line(f"Context truncated to fit: {cuts}")
        case Compacted():
            return compaction(event.record)
        case Notice():
            return one_line(event.text)
        case ToolFinished():
            return _clipped(f"{call(event.call)}: {'failed, ' * event.result.is_error}{_result(event.result)}")
        case Planned() | Started() | Waiting() | Connecting() | Retrying() | Progress() | Completed():
            pass
        case TextDelta() | ReasoningDelta() | ToolCallDelta() | ToolStarted():
            pass
        case _:
            assert_never(event)
    return ""


def is_quiet(event: Event) -> bool:
    """Whether the event's note tells only what was asked for: a tool that did its work."""
    return isinstance(event, ToolFinished) and not event.result.is_error


def call(asked: ToolCall) -> str:
    """A tool call with exactly its arguments, on one line; what cannot be seen is written as an escape."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in f"{asked.name} {asked.arguments}")


def running(event: ToolStarted) -> str:
    """Which tool is at work."""
    return _clipped(f"Running {call(event.call)}")


def _result(result: ToolResult) -> str:
    return " ".join(part.text if isinstance(part, Text) else "an image" for part in result.parts) or "nothing"


def _clipped(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


_HOW = {
    "server": "by the service",
    "threshold": "by the service as it answered",
    "summary": "by a summary",
    "extract": "by an extract",
}


def compaction(record: CompactionRecord) -> str:
    """What a compaction did, with its numbers."""
    lost = f", {record.images:,} images lost" if record.images else ""
    price = f"for {record.cost}" if record.cost.nanousd != 0 else "at no cost"
    price = "at a price that is part of the answer's" if record.how == "threshold" else price
    focus = f", with the focus on {record.focus!r}" if record.focus else ""
    return (
        f"{record.replaced:,} earlier messages replaced {_HOW[record.how]}: {record.tokens_before:,} to "
        f"{record.tokens_after:,} tokens {price}{lost} ({record.why}{focus}). %tokens undo brings them back."
    )


def compaction_quote(quote: CompactionQuote) -> str:
    """What a compaction would do that comes with a call, and the most it can cost."""
    after = f" to about {quote.tokens_after:,}" if quote.tokens_after is not None else ""
    most = show_nanousd(quote.ceiling.nanousd, play=quote.ceiling.play)
    price = "unknown" if quote.ceiling.nanousd is None else f"at most {most}"
    return f"{_HOW[quote.how]}: {quote.tokens_before:,}{after} tokens, its part of the cost {price}"


def show_count(tokens: TokenCount) -> str:
    """A number of tokens, with its margin where it is an estimate."""
    return f"{tokens:,}" if tokens.exact else f"≈{tokens:,} (±{tokens.margin:,})"


def receipt_parts(receipt: Receipt) -> tuple[str, ...]:
    """The receipt in a few words each: model, tokens, cost, waiting, badges, duration."""
    if receipt.replayed:
        return (receipt.model, f"replayed, {_free(receipt)}", f"{receipt.duration:.1f} s", *receipt.badges)
    usage = receipt.usage
    cached = f" ({usage.cache_read_tokens:,} cached)" if usage.cache_read_tokens else ""
    thought = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    side_by_side = " in sum" if receipt.calls > 1 and receipt.waited > receipt.duration else ""
    waited = (f"waited {show_seconds(receipt.waited)}{side_by_side}",) if receipt.waited >= 0.5 else ()
    return (
        receipt.model,
        f"{usage.input_tokens:,} in{cached}",
        f"{usage.output_tokens:,} out{thought}",
        f"cost {receipt.cost}" if receipt.cost.nanousd is None else str(receipt.cost),
        *waited,
        f"{receipt.duration:.1f} s",
        *receipt.badges,
    )


def _free(receipt: Receipt) -> str:
    return "$0 play" if receipt.cost.play else "$0"


def receipt_line(receipt: Receipt) -> str:
    """The receipt in one line."""
    return " · ".join(receipt_parts(receipt))


def one_line(text: str) -> str:
    """Foreign text, fit to be shown: keys masked, on one line."""
    return " ".join(redact(text).split())
