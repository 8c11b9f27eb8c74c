"""``%tokens``: the gauge as a table, and the words that may follow, each a function and its line in ``WORDS``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tokmagic.api import count, models, usage
from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.reports import BY, MODEL_HEAD
from tokmagic.core.snapshot import rows
from tokmagic.export import write_entries
from tokmagic.notebook import limiting, markup
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.wording import show_count
from tokmagic.parts import shared_parts
from tokmagic.reports import pages, release, short_id

if TYPE_CHECKING:
    from tokmagic.notebook.magics import TokMagics

#: Words of the design that this version does not serve.
LATER = ("compact", "undo", "reset", "restore")
#: At most so many models are listed at once.
MOST_MODELS = 40


def answer(magics: TokMagics, line: str) -> Bundle:
    """What ``%tokens`` with that line shows.

    Raises:
        ConfigurationError: an unknown word, or one that lacks what it needs.
    """
    word, _, rest = line.strip().partition(" ")
    if not word:
        return markup.gauge(rows(magics.client().snapshot()))
    if word in LATER:
        raise ConfigurationError(f"%tokens {word} is not in this version.")
    if word not in WORDS:
        near = get_close_matches(word, WORDS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(WORDS)}."
        raise ConfigurationError(f"Unknown word {word!r} after %tokens. {hint}")
    return WORDS[word][1](magics, rest.strip())


def _count(magics: TokMagics, rest: str) -> Bundle:
    if not rest:
        raise ConfigurationError("%tokens count needs a text or the name of a variable.")
    namespace = magics.shell.user_ns
    text = str(namespace[rest]) if rest in namespace else _unquoted(rest)
    model = magics.model or shared_parts().default_model()[0]
    tokens = show_count(count(text, model))
    return markup.table(("tokens", "model", "characters"), [(tokens, model, f"{len(text):,}")], numbers=(0, 2))


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _history(magics: TokMagics, rest: str) -> Bundle:
    if rest and not (rest.isascii() and rest.isdigit() and int(rest)):
        raise ConfigurationError(f"%tokens history takes a whole number of 1 or more, not {rest!r}.")
    head = ("id", "when", "cell", "model", "in", "out", "waited", "cost", "state")
    entries = magics.client().history(int(rest or 20))
    return markup.table(head, map(_history_line, entries), numbers=(4, 5, 6, 7))


def _history_line(entry: Entry) -> tuple[str, ...]:
    return (
        short_id(entry),
        datetime.fromtimestamp(entry.at).astimezone().strftime("%m-%d %H:%M:%S"),
        entry.cell or "-",
        entry.model,
        f"{entry.usage.input_tokens:,}",
        f"{entry.usage.output_tokens:,}",
        f"{entry.waited:.1f} s" if entry.waited else "-",
        str(entry.cost),
        "! unsettled: %tokens release ID" if entry.state == "unsettled" else entry.state,
    )


def _release(_: TokMagics, rest: str) -> Bundle:
    if not rest:
        raise ConfigurationError("%tokens release needs an id: %tokens history shows them.")
    entry = release(shared_parts(), rest)
    tokens = f"{entry.used.ceiling.tokens:,} tokens"
    return markup.plain(f"Released {short_id(entry)}: {entry.cost} and {tokens} came back to the limits.")


def _export(_: TokMagics, rest: str) -> Bundle:
    if not rest:
        raise ConfigurationError("%tokens export needs a file: %tokens export usage.csv, .json or .parquet.")
    file = Path(_unquoted(rest)).expanduser()
    written = write_entries(pages(shared_parts().ledger), file)
    return markup.plain(f"{written:,} entries written to {file}.")


def _report(_: TokMagics, rest: str) -> Bundle:
    first, *others = rest.split() or ["model"]
    by, since = (first, others) if first in BY else ("model", [first, *others])
    found = usage(" ".join(since) or None, by)
    return markup.table(found.head, found.lines(), numbers=range(1, len(found.head)))


def _threads(magics: TokMagics, _: str) -> Bundle:
    found = sorted(magics.threads.items())
    return markup.table(
        ("thread", "messages"), [(name, f"{len(thread.messages):,}") for name, thread in found], numbers=(1,)
    )


def _models(_: TokMagics, rest: str) -> Bundle:
    found = models(rest)
    lines = list(islice(found.lines(), MOST_MODELS))
    if len(found) > MOST_MODELS:
        lines.append((f"and {len(found) - MOST_MODELS:,} more: %tokens models FILTER", *[""] * (len(MODEL_HEAD) - 1)))
    return markup.table(MODEL_HEAD, lines, numbers=range(1, 7))


def _panel(magics: TokMagics, _: str) -> Bundle:
    return magics.widget().bundle()


def _help(_: TokMagics, __: str) -> Bundle:
    return markup.table(("%tokens", "shows"), [("", "the gauge"), *((word, text) for word, (text, _) in WORDS.items())])


#: Word after ``%tokens`` -> what it does, and the function that does it.
WORDS: dict[str, tuple[str, Callable[[TokMagics, str], Bundle]]] = {
    "count": ("tokens of a text or variable: %tokens count TEXT|VAR", _count),
    "plan": ("what a call would take: %tokens plan TEXT|VAR; alone, the sizes safe for the model", limiting.plan),
    "limits": ("every limit and what it has left", limiting.limits),
    "limit": ('sets a limit: %tokens limit "5 usd/day, warn at 60 %"', limiting.limit),
    "history": ("the newest calls in the book: %tokens history [N]", _history),
    "release": ("gives back what an unsettled call was charged: %tokens release ID", _release),
    "report": ("what was used: %tokens report [model|cell|day|notebook|session] [SINCE]", _report),
    "export": ("the whole book as a file: %tokens export FILE.{csv,json,parquet}", _export),
    "threads": ("the named conversations", _threads),
    "models": ("models, limits, prices and keys: %tokens models [FILTER]", _models),
    "panel": ("the gauge, live, in this cell's output", _panel),
    "config": ("the settings in force", limiting.config),
    "help": ("this table", _help),
}
