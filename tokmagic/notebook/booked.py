"""The words of ``%tokens`` about what the book holds: ``history``, ``report``, ``export``, ``release``, ``models``.

And ``guard``, which lets clients that are made in the kernel from then on write in it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tokmagic import reports
from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.money import show_nanousd
from tokmagic.core.reports import BY, MODEL_HEAD, MOMENTS, named_moment
from tokmagic.export import write_entries
from tokmagic.notebook import markup, threads
from tokmagic.notebook.markup import Bundle
from tokmagic.parts import shared_parts

if TYPE_CHECKING:
    from tokmagic.notebook.state import MagicsState

HISTORY_HEAD = ("id", "when", "cell", "model", "in", "out", "waited", "cost", "state")
#: At most so many models are listed at once.
MOST_MODELS = 40


def history(magics: MagicsState, rest: str) -> Bundle:
    """The newest entries of the book, where one that hangs says what can be done; or the turns of a thread.

    Raises:
        ConfigurationError: no whole number of 1 or more, and no thread.
    """
    if rest in magics.threads:
        return threads.history(magics.threads[rest])
    if rest and not (rest.isascii() and rest.isdigit() and int(rest)):
        wanted = "a whole number of 1 or more, or the name of a thread"
        raise ConfigurationError(f"%tokens history takes {wanted}, not {rest!r}.{_near(rest, magics.threads)}")
    entries = magics.client().history(int(rest or 20))
    if not entries:
        return markup.prose("There is no call in the book yet.")
    return markup.table(HISTORY_HEAD, map(_history_line, entries), numbers=(4, 5, 6, 7))


def _near(word: str, names: Iterable[str]) -> str:
    near = get_close_matches(word, list(names), 1)
    return f" Did you mean {near[0]}?" if near else ""


def _history_line(entry: Entry) -> tuple[str, ...]:
    id = reports.short_id(entry)
    return (
        id,
        datetime.fromtimestamp(entry.at).astimezone().strftime("%m-%d %H:%M:%S"),
        entry.cell or "-",
        entry.model,
        f"{entry.usage.input_tokens:,}",
        f"{entry.usage.output_tokens:,}",
        f"{entry.waited:.1f} s" if entry.waited else "-",
        _cost(entry),
        f"! unsettled, at its ceiling: %tokens release {id}" if entry.state == "unsettled" else _state(entry),
    )


def _cost(entry: Entry) -> str:
    """What it cost; of a call under way, the most it can cost."""
    most = entry.charge.ceiling.nanousd
    if entry.state != "held" or most is None:
        return str(entry.cost)
    return f"at most {show_nanousd(most, play=entry.play)}"


def _state(entry: Entry) -> str:
    return f"{entry.state} compaction" if entry.kind == "compaction" else entry.state


def release(_: MagicsState, rest: str) -> Bundle:
    """Give back what an unsettled entry was charged.

    Raises:
        ConfigurationError: no id, or one of no unsettled entry.
    """
    if not rest:
        raise ConfigurationError("%tokens release needs an id: %tokens history shows them.")
    entry = reports.release(shared_parts(), rest)
    most = entry.used.ceiling
    money = show_nanousd(most.nanousd, play=entry.play)
    back = f"{money} and {most.tokens:,} tokens came back to the limits."
    return markup.prose(f"Released {reports.short_id(entry)} ({entry.model}): {back}")


def export(_: MagicsState, rest: str) -> Bundle:
    """Write the whole book to a file.

    Raises:
        ConfigurationError: no file, one of another format, or one that cannot be written.
    """
    name = rest[1:-1] if len(rest) >= 2 and rest[0] == rest[-1] and rest[0] in "\"'" else rest
    if not name:
        raise ConfigurationError("%tokens export needs a file: %tokens export usage.csv, .json or .parquet.")
    file = Path(name).expanduser()
    written = write_entries(reports.pages(shared_parts().ledger), file)
    return markup.prose(f"{written:,} entries written to {file}.")


def report(_: MagicsState, rest: str) -> Bundle:
    """What was used, by group, since a moment.

    Raises:
        ConfigurationError: words that name no group or no moment.
    """
    first = rest.partition(" ")[0]
    by, since = (first, rest.removeprefix(first).strip()) if first in BY else ("model", rest)
    if since and named_moment(since, shared_parts().now()) is None:
        unknown = "is no moment" if first in BY else f"is no group ({', '.join(BY)}) and no moment"
        near = "" if first in BY else _near(first, BY)
        raise ConfigurationError(f"%tokens report: {since!r} {unknown}. A moment is {MOMENTS}.{near}")
    found = reports.usage_table(shared_parts(), since or None, by)
    if not found:
        return markup.prose(f"There is no call in the book {f'since {since}' if since else 'yet'}.")
    return markup.table(found.head, found.lines(), numbers=found.numbers)


def models(_: MagicsState, rest: str) -> Bundle:
    """Models with their limits, prices and keys.

    Raises:
        ConfigurationError: no name contains the filter.
    """
    found = reports.model_table(shared_parts(), rest)
    if not len(found):
        raise ConfigurationError(f"No model's name contains {rest!r}: %tokens models alone lists the first of all.")
    lines = list(islice(found.lines(), MOST_MODELS))
    if len(found) > MOST_MODELS:
        lines.append((f"and {len(found) - MOST_MODELS:,} more: %tokens models FILTER", *[""] * (len(MODEL_HEAD) - 1)))
    return markup.table(MODEL_HEAD, lines, numbers=range(1, 7))


def guard(_: MagicsState, rest: str) -> Bundle:
    """Guard every SDK client that is made in this kernel from now on, or no more; without a word, say which.

    Raises:
        ConfigurationError: another word than ``on`` or ``off``.
    """
    from tokmagic.guarding import clients
    from tokmagic.guarding.doors import Door

    word = rest.partition(" ")[0]
    if word == "on":
        clients.guard_every_client(Door(shared_parts(), provider=rest.removeprefix(word).strip() or None))
    elif rest == "off":
        clients.release_every_client()
    elif rest:
        raise ConfigurationError(f"%tokens guard takes on or off, not {rest!r}.")
    if clients.guards_every_client():
        return markup.prose("On: every anthropic and openai client made from now on obeys the book and its limits.")
    return markup.prose("Off: only clients given to tm.guard, or made while it was on, obey the book.")
