"""The words of ``%tokens`` about conversations: ``threads``, ``compact``, ``undo``, and the history of one.

They mean the thread that is named, else the one that was used last.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tokmagic.core.compaction import without_thinking
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.events import Compacted
from tokmagic.core.summarising import transcript
from tokmagic.notebook import markup, wording
from tokmagic.notebook.markup import Bundle

if TYPE_CHECKING:
    from tokmagic.conversation import Conversation
    from tokmagic.core.messages import Message
    from tokmagic.notebook.state import MagicsState

HEAD = ("", "turn", "says", "sent")
NONE_YET = "There is no conversation yet: a cell with --thread NAME begins one."
#: Characters of a turn that are shown.
SHOWN = 100


def threads(magics: MagicsState, _: str) -> Bundle:
    """The named conversations."""
    if not magics.threads:
        return markup.prose(NONE_YET)
    lines = [(name, f"{len(thread):,}", _compacted(thread)) for name, thread in sorted(magics.threads.items())]
    return markup.table(("thread", "messages", ""), lines, numbers=(1,))


def compact(magics: MagicsState, rest: str) -> Bundle:
    """Replace a thread's earlier turns by a summary: ``compact [THREAD] [FOCUS]``.

    Raises:
        ConfigurationError: there is no thread, or the first word is nearly the name of one.
    """
    thread, focus = _named(magics, rest)
    unnamed = "" if rest.partition(" ")[0] == thread.name else ", the one used last"
    lines = [f"Thread {thread.name}{unnamed}{f', with the focus on {focus!r}' if focus else ''}"]
    with magics.client().compacting(thread, focus, model=thread.model or None) as events:
        for event in events.ticks(0.1):
            if event is not None and (line := wording.note(event)):
                lines.append(line)
            if isinstance(event, Compacted):
                lines += ["", event.record.summary]
            magics.pulse()
    return markup.prose("\n".join(lines))


def undo(magics: MagicsState, rest: str) -> Bundle:
    """Bring back the turns that a thread's last compaction replaced: ``undo [THREAD]``.

    Raises:
        ConfigurationError: there is no thread, or no compaction.
    """
    thread, unknown = _named(magics, rest)
    if unknown:
        raise ConfigurationError(f"There is no thread {unknown!r}: %tokens threads lists them.")
    record = thread.undo()
    return markup.prose(f"Thread {thread.name} has its {record.replaced:,} earlier messages back, word for word.")


def history(thread: Conversation) -> Bundle:
    """Every turn of a thread as it was said, and which of them a summary stands for."""
    sent = set(map(without_thinking, thread.messages))
    lines = [_turn(place, turn, without_thinking(turn) in sent) for place, turn in enumerate(thread.history, 1)]
    records = [("", "summary", wording.compaction(record), "yes") for record in thread.compactions[-1:]]
    return markup.table(HEAD, [*records, *lines], numbers=(0,))


def _turn(place: int, turn: Message, word_for_word: bool) -> tuple[str, ...]:
    said = wording.one_line(transcript([turn]).partition(": ")[2])
    short = said if len(said) <= SHOWN else f"{said[: SHOWN - 1]}…"
    return f"{place:,}", turn.role, short, "word for word" if word_for_word else "in the summary"


def _named(magics: MagicsState, rest: str) -> tuple[Conversation, str]:
    """The thread that the first word names, else the last one used, and the words that are left."""
    if not magics.threads:
        raise ConfigurationError(NONE_YET)
    first, _, others = rest.partition(" ")
    if first in magics.threads:
        return magics.threads[first], others.strip()
    if near := _near(first, magics.threads):
        raise ConfigurationError(f"There is no thread {first!r}. Did you mean {near}? %tokens threads lists them.")
    return list(magics.threads.values())[-1], rest


def _near(word: str, names: Iterable[str]) -> str:
    """The name that the word is nearly, or an empty text."""
    by_letters = {name.casefold(): name for name in names}
    return "".join(by_letters[found] for found in get_close_matches(word.casefold(), by_letters, 1))


def _compacted(thread: Conversation) -> str:
    records: Iterable[str] = (record.badge for record in thread.compactions[-1:])
    return "".join(records)
