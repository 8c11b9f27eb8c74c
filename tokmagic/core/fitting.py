"""Making a conversation fit: the work is bound by what is kept, and each loss is told.

What is lost, in this order, and only as much as needed: the thinking of earlier answers, all but a little of old tools'
results, old turns, long texts but for a little of each, recent turns, and in the end all but one token of a text.
System messages, pinned ones (with their exchange), summaries, the last question and the last turn stay. Turns leave as
``exchanges.py`` has it, so that what is left is valid for every provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .counters import Counter
from .errors import ConfigurationError, RequestTooLarge
from .exchanges import is_question, ranked
from .filling import Filling, filled
from .known import Known, known
from .messages import Message, Reasoning, Tool
from .replies import Cut
from .sampling import loss_of_messages, loss_of_parts, texts_of
from .shortening import cuts_of, long_texts
from .tokens import TokenCount, count_message, count_request
from .truncation import Truncation, strategy_named

#: The strategy that refuses instead of cutting.
OFF = "off"
#: More room than any conversation takes.
BOUNDLESS = 2**62


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
    strategy: str = "smart",
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
    counter = known(counter)
    if strategy == OFF:
        return _uncut(messages, max_tokens, counter, tools)
    strategy_named(strategy)
    if _likely_fits(messages, max_tokens) and (tokens := count_request(messages, tools, counter)) <= max_tokens:
        return Fitted(tuple(messages), tokens)
    room = max_tokens - count_request((), tools, counter)
    kept = filled(messages, room, keep_recent, strategy, counter)
    if kept is not None and kept.is_whole:
        return Fitted(tuple(messages), count_request(messages, tools, counter))
    lighter = messages
    if any(isinstance(part, Reasoning) for message in messages for part in message.parts):
        lighter = _without_old_thinking(messages)
        kept = filled(lighter, room, keep_recent, strategy, counter)
    if kept is None:
        raise _too_large(lighter, max_tokens, tools, counter)
    return _fitted(messages, lighter, kept, tools, counter)


def _likely_fits(messages: Sequence[Message], max_tokens: int) -> bool:
    """Whether the texts have no more characters than tokens are allowed: then it takes little to count them all."""
    left = max_tokens
    for message in messages:
        left -= sum(map(len, texts_of(message.parts)))
        if left < 0:
            return False
    return True


def _uncut(messages: Sequence[Message], max_tokens: int, counter: Known, tools: Sequence[Tool]) -> Fitted:
    total = count_request(messages, tools, counter)
    if total > max_tokens:
        text = (
            f"The request takes {total:,} tokens and {max_tokens:,} are allowed: {total - max_tokens:,} must go. "
            f"Shorten it, or allow it to be cut (truncate)."
        )
        raise RequestTooLarge(text, tokens=total, allowed=max_tokens)
    return Fitted(tuple(messages), total)


def _without_old_thinking(messages: Sequence[Message]) -> list[Message]:
    """The messages, without what the model thought before the last question: no provider reads that.

    Some even refuse it when what precedes it has changed.
    """
    last = next((place for place in reversed(range(len(messages))) if is_question(messages[place])), 0)
    return [_unthinking(message) if place < last else message for place, message in enumerate(messages)]


def _unthinking(message: Message) -> Message:
    said = tuple(part for part in message.parts if not isinstance(part, Reasoning))
    return replace(message, parts=said) if said and len(said) < len(message.parts) and not message.pinned else message


def _fitted(
    messages: Sequence[Message], lighter: Sequence[Message], kept: Filling, tools: Sequence[Tool], counter: Known
) -> Fitted:
    left = kept.messages
    size = sum(len(text) for message in left for text in texts_of(message.parts))
    gone = [place for place in range(len(messages)) if place not in kept.places]
    lightened = [messages[place] for place in sorted(kept.places) if lighter[place] is not messages[place]]
    truncated = [(grown.where, grown.cut) for grown in kept.grown if grown.cut is not None]
    cuts = (
        *_dropped(messages, gone, size, counter),
        *_forgotten(lightened, size, counter),
        *cuts_of(messages, truncated, size, counter),
    )
    tokens = count_request(left, tools, counter)
    return Fitted(left, tokens, cuts, len(gone), tuple(cut for _, cut in truncated))


def _dropped(messages: Sequence[Message], gone: Sequence[int], kept: int, counter: Known) -> Iterator[Cut]:
    """What to say of turns that were dropped, where ``kept`` characters were not."""
    if not gone:
        return
    turns = [place for place, message in enumerate(messages) if message.role != "system"]
    oldest = list(gone) == turns[: len(gone)]
    if len(gone) == 1:
        what = "the oldest turn" if oldest else "an older turn"
    else:
        what = f"the {len(gone):,} oldest turns" if oldest else f"{len(gone):,} older turns"
    yield Cut("dropped turns", what, *loss_of_messages([messages[place] for place in gone], kept, counter))


def _forgotten(lightened: Sequence[Message], kept: int, counter: Known) -> Iterator[Cut]:
    """What to say of the thinking in messages that are kept without it."""
    if not lightened:
        return
    thinking = [part for message in lightened for part in message.parts if isinstance(part, Reasoning)]
    what = f"the thinking in {len(lightened):,} earlier answers" if len(lightened) > 1 else "the thinking in an answer"
    yield Cut("dropped thinking", what, *loss_of_parts(thinking, kept, counter))


def _too_large(messages: Sequence[Message], allowed: int, tools: Sequence[Tool], counter: Known) -> RequestTooLarge:
    smallest = Filling(messages, BOUNDLESS, "end", counter)
    smallest.add(ranked(messages, 0).base, long_texts, 1)
    least = count_request(smallest.messages, tools, counter)
    largest, tokens = max(_shares(smallest.messages, tools, counter).items(), key=lambda share: share[1])
    text = (
        f"What must stay takes {least:,} tokens and {allowed:,} are allowed: {least - allowed:,} must go. "
        f"Most of it is {largest} ({tokens:,} tokens): shorten that, or allow more."
    )
    return RequestTooLarge(text, tokens=least, allowed=allowed)


def _shares(messages: Sequence[Message], tools: Sequence[Tool], counter: Known) -> dict[str, int]:
    """Tokens of what must stay, by what it is."""
    shares = {"the last question and turn": 0, "the system text": 0, "pinned messages": 0}
    for message in messages:
        system, pinned = message.role == "system", message.pinned
        name = "the system text" if system else "pinned messages" if pinned else "the last question and turn"
        shares[name] += count_message(message, counter)
    return {**shares, "the tools": count_request((), tools, counter) - count_request((), (), counter)}
