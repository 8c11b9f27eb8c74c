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
    Truncated,
    Waiting,
)
from tokmagic.core.redaction import redact
from tokmagic.core.replies import Receipt
from tokmagic.core.spans import show_seconds
from tokmagic.core.tokens import TokenCount


def waiting(event: Waiting, left: float) -> str:
    """Why a call waits, and for how many more seconds."""
    return one_line(f"Waiting {show_seconds(left)}: {event.reason}" if event.seconds else f"Waiting: {event.reason}")


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
            return f"Earlier turns compacted: {event.tokens_before:,} to {event.tokens_after:,} tokens"
        case Notice():
            return one_line(event.text)
        case Planned() | Started() | Waiting() | Connecting() | Retrying() | Progress() | Completed():
            return ""
        case TextDelta() | ReasoningDelta() | ToolCallDelta():
            return ""
        case _:
            assert_never(event)


def show_count(tokens: TokenCount) -> str:
    """A number of tokens, with its margin where it is an estimate."""
    return f"{tokens:,}" if tokens.exact else f"≈{tokens:,} (±{tokens.margin:,})"


def receipt_parts(receipt: Receipt) -> tuple[str, ...]:
    """The receipt in a few words each: model, tokens, cost, waiting, badges, duration."""
    usage = receipt.usage
    cached = f" ({usage.cache_read_tokens:,} cached)" if usage.cache_read_tokens else ""
    thought = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    waited = (f"waited {show_seconds(receipt.waited)}",) if receipt.waited >= 0.5 else ()
    return (
        receipt.model,
        f"{usage.input_tokens:,} in{cached}",
        f"{usage.output_tokens:,} out{thought}",
        f"cost {receipt.cost}" if receipt.cost.nanousd is None else str(receipt.cost),
        *waited,
        f"{receipt.duration:.1f} s",
        *receipt.badges,
    )


def receipt_line(receipt: Receipt) -> str:
    """The receipt in one line."""
    return " · ".join(receipt_parts(receipt))


def one_line(text: str) -> str:
    """Foreign text, fit to be shown: keys masked, on one line."""
    return " ".join(redact(text).split())
