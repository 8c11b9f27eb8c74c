"""Making a conversation fit: old turns go first, then long texts are cut, then recent turns go, and each loss is told.

Turns leave as ``exchanges.py`` has it, so that what is left is valid for every provider. System messages, pinned ones
(with their exchange), the last question and the last turn always stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .counters import Counter
from .errors import ConfigurationError, RequestTooLarge
from .exchanges import droppable, exchanges
from .messages import Message, Tool
from .replies import Cut
from .shortening import Shortened, long_texts, shorten
from .tokens import TokenCount, count_message, count_request
from .truncation import Truncation, strategy_named

#: The strategy that refuses instead of cutting.
OFF = "off"
#: Tokens a text keeps as long as recent turns can go instead.
KEPT_OF_A_TEXT = 256


@dataclass(frozen=True, slots=True)
class Fitted:
    """A conversation that fits.

    Attributes:
        messages: what is left, in order.
        tokens: their count as a request, with the tools.
        cuts: every loss, in words and tokens.
        dropped: how many messages were dropped.
        truncated: the texts that were cut.
    """

    messages: tuple[Message, ...]
    tokens: TokenCount
    cuts: tuple[Cut, ...] = ()
    dropped: int = 0
    truncated: tuple[Truncation, ...] = ()


def fit(
    messages: Sequence[Message],
    max_tokens: int,
    counter: Counter,
    *,
    tools: Sequence[Tool] = (),
    keep_recent: int = 10,
    strategy: str = "end",
) -> Fitted:
    """Make a conversation fit into ``max_tokens``, counted with ``count_request``; one that fits is left as it is.

    Args:
        messages: the conversation, the oldest first.
        max_tokens: of the whole request.
        counter: of the model's tokenizer.
        tools: offered with it.
        keep_recent: how many of the newest turns go only after long texts were cut.
        strategy: how texts are cut, a name in ``STRATEGIES``; ``off`` refuses instead of cutting anything.

    Raises:
        RequestTooLarge: it does not fit and may not be cut, or what must stay is too much.
        ConfigurationError: no such strategy, or ``keep_recent`` is negative.
    """
    if keep_recent < 0:
        raise ConfigurationError(f"keep_recent is a number of turns, 0 or more, not {keep_recent}.")
    if strategy != OFF:
        strategy_named(strategy)
    total = count_request(messages, tools, counter)
    if total <= max_tokens:
        return Fitted(tuple(messages), total)
    if strategy == OFF:
        raise _too_large(total, max_tokens, "Shorten it, or allow it to be cut (truncate).")
    costs = [count_message(message, counter) for message in messages]
    staying = _staying(messages, costs, total - max_tokens, keep_recent, counter)
    gone = sorted(set(range(len(messages))).difference(staying))
    dropped = sum(costs[place] for place in gone)
    shortened = _shorten([messages[place] for place in staying], total - max_tokens - dropped, strategy, counter)
    if shortened.excess > 0:
        raise _too_large(
            total, max_tokens, "What may be cut is not enough: shorten the system text or pinned messages."
        )
    cuts = (Cut("dropped turns", _words(messages, gone), dropped),) if gone else ()
    tokens = count_request(shortened.messages, tools, counter)
    return Fitted(shortened.messages, tokens, cuts + shortened.cuts, len(gone), shortened.truncated)


def _staying(
    messages: Sequence[Message], costs: Sequence[int], excess: int, keep_recent: int, counter: Counter
) -> list[int]:
    """The places of the messages that stay: old turns leave first, recent ones only if cutting texts is not enough."""
    turns = _turns(messages, range(len(messages)))
    needed = {place for place in turns if messages[place].pinned}
    if turns:
        needed |= {exchanges(messages, turns)[-1][0], turns[-1]}
    old = droppable(messages, turns, needed.union(turns[max(0, len(turns) - keep_recent) :]))
    gone = _enough(old, costs, excess)

    spare = [0] * len(messages)
    for place, _, tokens in long_texts(messages, counter):
        spare[place.message] += max(0, tokens - KEPT_OF_A_TEXT)
    staying = [place for place in range(len(messages)) if place not in gone]
    excess -= sum(costs[place] for place in gone) + sum(spare[place] for place in staying)
    gains = [cost - saved for cost, saved in zip(costs, spare, strict=True)]
    gone |= _enough(droppable(messages, _turns(messages, staying), needed), gains, excess)
    return [place for place in staying if place not in gone]


def _turns(messages: Sequence[Message], places: Iterable[int]) -> list[int]:
    return [place for place in places if messages[place].role != "system"]


def _enough(parts: Iterable[list[int]], gains: Sequence[int], excess: int) -> set[int]:
    """The places in as many of the parts as it takes to gain ``excess`` tokens."""
    gone: set[int] = set()
    for part in parts:
        if excess <= 0:
            break
        gone.update(part)
        excess -= sum(gains[place] for place in part)
    return gone


def _words(messages: Sequence[Message], gone: Sequence[int]) -> str:
    oldest = list(gone) == _turns(messages, range(len(messages)))[: len(gone)]
    if len(gone) == 1:
        return "the oldest turn" if oldest else "an older turn"
    return f"the {len(gone):,} oldest turns" if oldest else f"{len(gone):,} older turns"


def _shorten(messages: Sequence[Message], excess: int, strategy: str, counter: Counter) -> Shortened:
    shortened = shorten(messages, excess, KEPT_OF_A_TEXT, strategy, counter)
    return shortened if shortened.excess <= 0 else shorten(messages, excess, 1, strategy, counter)


def _too_large(tokens: int, allowed: int, way_out: str) -> RequestTooLarge:
    message = f"The request takes {tokens:,} tokens and {allowed:,} are allowed. {way_out}"
    return RequestTooLarge(message, tokens=tokens, allowed=allowed)
