"""``%tokens``: the gauge as a table, and the words that may follow, each a function and its line in ``WORDS``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.snapshot import rows
from tokmagic.notebook import booked, limiting, markup, measuring, threads
from tokmagic.notebook.markup import Bundle
from tokmagic.parts import shared_parts

if TYPE_CHECKING:
    from tokmagic.notebook.state import MagicsState


def answer(magics: MagicsState, line: str) -> Bundle:
    """What ``%tokens`` with that line shows.

    Raises:
        ConfigurationError: an unknown word, or one that lacks what it needs.
    """
    word, _, rest = line.strip().partition(" ")
    if not word:
        return markup.gauge(rows(magics.client().snapshot()))
    if word not in WORDS:
        near = get_close_matches(word, WORDS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(WORDS)}."
        raise ConfigurationError(f"Unknown word {word!r} after %tokens. {hint}")
    return WORDS[word][1](magics, rest.strip())


def _reset(_: MagicsState, rest: str) -> Bundle:
    if rest != "replay":
        said = f"takes the word replay, not {rest!r}" if rest else "needs the word replay"
        raise ConfigurationError(f"%tokens reset {said}: that forgets the kept answers, so every cell is asked anew.")
    return markup.table(("answers forgotten",), [(f"{shared_parts().replays.clear():,}",)], numbers=(0,))


def _panel(magics: MagicsState, _: str) -> Bundle:
    return magics.widget().bundle()


def _help(_: MagicsState, __: str) -> Bundle:
    return markup.table(("%tokens", "shows"), [("", "the gauge"), *((word, text) for word, (text, _) in WORDS.items())])


#: Word after ``%tokens`` -> what it does, and the function that does it.
WORDS: dict[str, tuple[str, Callable[[MagicsState, str], Bundle]]] = {
    "count": ("tokens of a text or variable: %tokens count TEXT|VAR [-m MODEL]", measuring.count),
    "plan": (
        "what a call would take: %tokens plan TEXT|VAR [-m MODEL]; without a text, the sizes safe for the model",
        measuring.plan,
    ),
    "limits": ("every limit and what it has left", limiting.limits),
    "limit": ('sets a limit: %tokens limit "5 usd/day, warn at 60 %"; off removes those set here', limiting.limit),
    "history": ("the newest calls in the book, or all turns of a thread: %tokens history [N|THREAD]", booked.history),
    "release": ("gives back what an unsettled call was charged: %tokens release ID", booked.release),
    "report": ("what was used: %tokens report [model|cell|day|notebook|session] [SINCE]", booked.report),
    "export": ("the whole book as a file: %tokens export FILE.{csv,json,parquet}", booked.export),
    "guard": ("puts every SDK client made from now on under the book: %tokens guard on [PROVIDER]|off", booked.guard),
    "threads": ("the named conversations", threads.threads),
    "compact": ("replaces earlier turns by a summary: %tokens compact [THREAD] [FOCUS]", threads.compact),
    "undo": ("brings back the turns of the last compaction: %tokens undo [THREAD]", threads.undo),
    "models": ("models, limits, prices and keys: %tokens models [FILTER]", booked.models),
    "reset": ("forgets the answers that are kept for another run: %tokens reset replay", _reset),
    "panel": ("the gauge, live, in this cell's output", _panel),
    "config": ("the settings in force", limiting.config),
    "help": ("this table", _help),
}
