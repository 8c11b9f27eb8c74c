"""The functions of ``import tokmagic as tm``: the foundation's arithmetic with the parts of this process filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from tokmagic.core.book import Total
from tokmagic.core.chunking import chunk as chunk_text
from tokmagic.core.counters import Counter
from tokmagic.core.fitting import Fitted
from tokmagic.core.fitting import fit as fit_messages
from tokmagic.core.messages import Message, as_messages
from tokmagic.core.models import Model
from tokmagic.core.money import Cost
from tokmagic.core.prices import cost
from tokmagic.core.tokens import TokenCount, count_request, count_text
from tokmagic.core.truncation import Truncation
from tokmagic.core.truncation import truncate as truncate_text
from tokmagic.core.usage import Usage
from tokmagic.parts import shared_parts

Said = Message | Iterable[Message | Mapping[str, Any]]


def count(text_or_messages: str | Said, model: str | None = None) -> TokenCount:
    """How many tokens a text, or a conversation, has for a model.

    Args:
        text_or_messages: plain text, counted as such, or messages, counted as the provider counts them.
        model: ``provider/model``; None takes the default model.

    Returns:
        A whole number with ``.exact``, ``.margin`` and ``.tokenizer``.

    Raises:
        UnknownModel: naming the nearest models.
    """
    counter = _counter(model)
    if isinstance(text_or_messages, str):
        return count_text(text_or_messages, counter)
    return count_request(as_messages(text_or_messages), (), counter)


def truncate(text: str, max_tokens: int, strategy: str = "end", model: str | None = None) -> Truncation:
    """Cut a text to at most ``max_tokens``; what was cut is on the result.

    Args:
        text: of any length; only what is kept is encoded.
        max_tokens: in tokens of the model.
        strategy: named after the part it removes: ``end`` or ``start``.
        model: ``provider/model``; None takes the default model.

    Raises:
        ConfigurationError: an unknown strategy, or a limit below 1.
    """
    return truncate_text(text, max_tokens, strategy, _counter(model))


def chunk(text: str, max_tokens: int, overlap: int = 0, model: str | None = None) -> list[str]:
    """Split a text into chunks of at most ``max_tokens``, at the ends of sentences and lines where there are any.

    Args:
        text: of any length; with no overlap the chunks joined are the text again.
        max_tokens: of each chunk, in tokens of the model.
        overlap: each chunk begins with the end of the one before: as much as has at most so many tokens.
        model: ``provider/model``; None takes the default model.

    Raises:
        ConfigurationError: an impossible limit or overlap, or a single grapheme has more tokens than a chunk may have.
    """
    return list(chunk_text(text, max_tokens, _counter(model), overlap=overlap))


def fit(messages: str | Said, max_tokens: int, keep_recent: int = 10, model: str | None = None) -> Fitted:
    """Make a conversation fit into ``max_tokens``: the oldest turns go first, then too long texts are cut.

    Raises:
        RequestTooLarge: even the last turn does not fit.
    """
    return fit_messages(as_messages(messages), max_tokens, _counter(model), keep_recent=keep_recent)


def price(model: str, usage: Usage) -> Cost:
    """What ``usage`` costs on a model; ``unknown``, never 0, where no price is known."""
    return cost(shared_parts().model(model).price, usage)


def usage(
    since: datetime | None = None, by: Literal["model", "cell", "notebook", "session"] | None = None
) -> tuple[Total, ...]:
    """What the book says was used since a moment, by group; real and play money apart."""
    return shared_parts().ledger.totals(since=since.timestamp() if since is not None else 0.0, by=by)


def models(pattern: str = "") -> tuple[Model, ...]:
    """The models in the catalogue whose name contains ``pattern``."""
    return shared_parts().models(pattern)


def _counter(name: str | None) -> Counter:
    parts = shared_parts()
    return parts.counter(parts.model(name or parts.default_model()[0]))
