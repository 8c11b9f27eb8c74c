"""The functions of ``import tokmagic as tm``: the foundation's arithmetic with the parts of this process filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokmagic import reports, tokenizers
from tokmagic.core.book import Entry
from tokmagic.core.calibration import calibrated
from tokmagic.core.checks import require_text, whole
from tokmagic.core.chunking import chunk as chunk_text
from tokmagic.core.counters import Counter
from tokmagic.core.errors import LedgerError
from tokmagic.core.fitting import Fitted
from tokmagic.core.fitting import fit as fit_messages
from tokmagic.core.messages import Message, Request, as_messages
from tokmagic.core.models import Model
from tokmagic.core.money import Cost
from tokmagic.core.prices import cost
from tokmagic.core.reports import By, ModelTable, Since, UsageTable
from tokmagic.core.sizes import SafeLimits
from tokmagic.core.sizes import safe_limits as limits_of
from tokmagic.core.tokens import TokenCount, count_request, count_text
from tokmagic.core.truncation import Truncation
from tokmagic.core.truncation import truncate as truncate_text
from tokmagic.core.usage import Usage, checked_usage
from tokmagic.parts import Parts, shared_parts

Said = Message | Iterable[Message | Mapping[str, Any]]


def count(text_or_messages: str | Said | Request, model: str | None = None) -> TokenCount:
    """How many tokens a text, a conversation or a whole request has for a model.

    Args:
        text_or_messages: plain text, counted as such; or messages, or a request with its tools, counted as the provider
            counts them.
        model: ``provider/model``; None takes the default model.

    Returns:
        A whole number with ``.exact``, ``.margin`` and ``.tokenizer``. Where a model's tokens can only be estimated,
        what its replies taught so far is applied.

    Raises:
        UnknownModel: naming the nearest models.
    """
    parts = shared_parts()
    found = parts.model(model or parts.default_model()[0])
    counter = parts.counter(found)
    if isinstance(text_or_messages, str):
        counted = count_text(text_or_messages, counter)
    elif isinstance(text_or_messages, Request):
        counted = count_request(text_or_messages.messages, text_or_messages.tools, counter)
    else:
        counted = count_request(as_messages(text_or_messages), (), counter)
    return counted if counted.exact else calibrated(counted, _note(parts, found))


def clear_cache() -> None:
    """Forget every count that is remembered; vocabularies stay loaded."""
    tokenizers.clear()
    shared_parts().answers.clear()
    shared_parts().learning.forget()


def truncate(text: str, max_tokens: int, strategy: str = "smart", model: str | None = None) -> Truncation:
    """Cut a text to at most ``max_tokens``; what was cut is on the result.

    Args:
        text: of any length; only what is kept is encoded.
        max_tokens: in tokens of the model.
        strategy: named after the part it removes, ``end``, ``start`` or ``middle``; ``smart`` removes the middle where
            the text pauses, and marks the gap.
        model: ``provider/model``; None takes the default model.

    Raises:
        ConfigurationError: no text, an unknown strategy, or a limit that is no whole number of 1 or more.
    """
    require_text("text", text)
    return truncate_text(text, whole("max_tokens", max_tokens, 1), strategy, _counter(model))


def chunk(text: str, max_tokens: int, overlap: int = 0, model: str | None = None) -> list[str]:
    """Split a text into chunks of at most ``max_tokens``, at the ends of sentences and lines where there are any.

    Args:
        text: of any length; with no overlap the chunks joined are the text again.
        max_tokens: of each chunk, in tokens of the model.
        overlap: each chunk begins with the end of the one before: as much as has at most so many tokens.
        model: ``provider/model``; None takes the default model.

    Raises:
        ConfigurationError: no text, an impossible limit or overlap, or a single grapheme has more tokens than a chunk
            may have.
    """
    require_text("text", text)
    most, again = whole("max_tokens", max_tokens, 1), whole("overlap", overlap, 0)
    return list(chunk_text(text, most, _counter(model), overlap=again))


def fit(
    messages: str | Said, max_tokens: int, keep_recent: int = 10, model: str | None = None, strategy: str = "smart"
) -> Fitted:
    """Make a conversation fit into ``max_tokens``, losing no more than it must; one that fits is left as it is.

    What goes, in this order: the thinking of earlier answers, most of old tools' results, the oldest turns (a tool
    call with its results), the middle of long texts, recent turns. The system's text, pinned messages, the last
    question and the last turn stay, so the outcome is one that every provider takes.

    Args:
        messages: a text, or the conversation, the oldest message first.
        max_tokens: of the whole request, in tokens of the model.
        keep_recent: how many of the newest turns go only after long texts were cut.
        model: ``provider/model``; None takes the default model.
        strategy: how texts are cut: ``smart``, ``middle``, ``start`` or ``end``; ``off`` refuses instead of cutting.

    Returns:
        ``.messages`` and their ``.tokens``; every loss in ``.cuts``; how many messages were ``.dropped``; the texts
        that were ``.truncated``.

    Raises:
        RequestTooLarge: what must stay does not fit; the message says how many tokens must go, and what most of it is.
        ConfigurationError: no such strategy, or a number that is no whole number of 0 or more.
    """
    most, recent = whole("max_tokens", max_tokens, 0), whole("keep_recent", keep_recent, 0)
    return fit_messages(as_messages(messages), most, _counter(model), keep_recent=recent, strategy=strategy)


def price(model: str, usage: Usage) -> Cost:
    """What ``usage`` costs on a model; ``unknown``, never 0, where no price is known.

    Raises:
        UnknownModel: naming the nearest models.
        ConfigurationError: a usage that is none.
    """
    return cost(shared_parts().model(model).price, checked_usage(usage))


def usage(since: Since | None = None, by: By | None = None) -> UsageTable:
    """What the book says was used, a row for each group; real and play money have rows of their own.

    Args:
        since: a moment: a datetime, a timedelta back from now, or words such as ``today``, ``90m``, ``24h`` and ``7d``.
        by: ``model``, ``cell`` (of each session), ``day``, ``notebook`` or ``session``; None adds everything up.

    Returns:
        Rows with calls, tokens by kind, the last minute's rates, delays and cost; shown as a table.

    Raises:
        ConfigurationError: words that name no moment or no group.
    """
    return reports.usage_table(shared_parts(), since, by)


def record(model: str, usage: Usage, cost: Cost | float | None = None) -> Entry:
    """Book a call that was made elsewhere, so that budgets and reports know of it.

    It has happened already: it is booked even where it passes a budget, which is then closed.

    Args:
        model: ``provider/model``.
        usage: what the call used.
        cost: what it cost, in US dollars; None takes the model's price.

    Returns:
        Its line in the book.

    Raises:
        UnknownModel: naming the nearest models.
        ConfigurationError: a cost that is no amount of 0 or more, or a usage that is none.
    """
    return reports.record(shared_parts(), model, usage, cost)


def models(pattern: str = "") -> ModelTable:
    """The models in the catalogue whose name contains ``pattern``; shown as a table with limits, prices and keys.

    Raises:
        ConfigurationError: a pattern that is no text.
    """
    require_text("pattern", pattern)
    return reports.model_table(shared_parts(), pattern)


def safe_limits(model: str | None = None) -> SafeLimits:
    """Sensible sizes for a model, in tokens: of an answer, of its thinking, with the extended output, of the input.

    Args:
        model: ``provider/model``; None takes the default model.

    Raises:
        UnknownModel: naming the nearest models.
    """
    parts = shared_parts()
    return limits_of(parts.model(model or parts.default_model()[0]))


def _note(parts: Parts, model: Model) -> str:
    """What replies taught about the model's tokens; a book that cannot be read taught nothing."""
    try:
        parts.learning.look()
    except LedgerError:
        return ""
    return parts.learning.calibration(model)


def _counter(name: str | None) -> Counter:
    parts = shared_parts()
    return parts.counter(parts.model(name or parts.default_model()[0]))
