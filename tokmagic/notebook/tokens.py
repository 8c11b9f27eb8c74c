"""``%tokens``: the gauge as a table, and the words that may follow, each a function and its line in ``WORDS``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from tokmagic.api import count, models
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Limit, show_amount
from tokmagic.core.models import Model
from tokmagic.core.money import show_nanousd
from tokmagic.core.snapshot import rows
from tokmagic.core.words import parse_limit
from tokmagic.notebook import markup
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.wording import show_count
from tokmagic.parts import shared_parts

if TYPE_CHECKING:
    from tokmagic.notebook.magics import TokMagics

#: Words of the design that this version does not serve.
LATER = ("plan", "compact", "undo", "reset", "export", "report", "restore")
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


def _limits(magics: TokMagics, _: str) -> Bundle:
    client = magics.client()
    levels = client.snapshot().levels
    known = [level.account.limit for level in levels]
    counted = [(level.account.limit, show_amount(level.left, level.account.limit.unit)) for level in levels]
    others = [(limit, "per call") for limit in client.limits if limit not in known]
    head = ("limit", "for", "when full", "set by", "left")
    return markup.table(head, [(str(lim), lim.scope, lim.full, lim.source, left) for lim, left in counted + others])


def _limit(magics: TokMagics, rest: str) -> Bundle:
    try:
        words = " ".join(shlex.split(rest))
    except ValueError:
        raise ConfigurationError(f"A quote is not closed in {rest!r}: close it, or drop it.") from None
    if not words:
        raise ConfigurationError('%tokens limit needs a limit, such as "5 usd/day".')
    new = shared_parts().known(parse_limit(words))
    kept = [other for other in magics.limits if _subject(parse_limit(other)) != _subject(new)]
    magics.limits = [*kept, words]
    return _limits(magics, "")


def _subject(limit: Limit) -> tuple[str, ...]:
    """What a limit is about; a new one about the same thing replaces it."""
    return limit.unit, limit.window, limit.scope, limit.models


def _history(magics: TokMagics, rest: str) -> Bundle:
    if rest and not (rest.isascii() and rest.isdigit() and int(rest)):
        raise ConfigurationError(f"%tokens history takes a whole number of 1 or more, not {rest!r}.")
    head = ("when", "cell", "model", "in", "out", "cost", "state")
    return markup.table(
        head,
        [
            (
                datetime.fromtimestamp(entry.at).astimezone().strftime("%m-%d %H:%M:%S"),
                entry.cell or "-",
                entry.model,
                f"{entry.usage.input_tokens:,}",
                f"{entry.usage.output_tokens:,}",
                str(entry.cost),
                entry.state,
            )
            for entry in magics.client().history(int(rest or 20))
        ],
        numbers=(3, 4, 5),
    )


def _threads(magics: TokMagics, _: str) -> Bundle:
    found = sorted(magics.threads.items())
    return markup.table(
        ("thread", "messages"), [(name, f"{len(thread.messages):,}") for name, thread in found], numbers=(1,)
    )


def _models(_: TokMagics, rest: str) -> Bundle:
    found = models(rest)
    lines = [_model_line(model) for model in found[:MOST_MODELS]]
    if len(found) > MOST_MODELS:
        lines.append((f"and {len(found) - MOST_MODELS:,} more: %tokens models FILTER", "", "", "", ""))
    return markup.table(
        ("model", "window", "most out", "in, per million", "out, per million"), lines, numbers=(1, 2, 3, 4)
    )


def _model_line(model: Model) -> tuple[str, ...]:
    window = f"{model.context_window:,}" if model.context_window else "unknown"
    most = f"{model.max_output_tokens:,}" if model.max_output_tokens else "unknown"
    if model.price is None:
        return model.name, window, most, "unknown", "unknown"
    rates = model.price.rates(0)
    prices = (show_nanousd(rate, play=model.play) for rate in (rates.input, rates.output))
    return model.name, window, most, *prices


def _config(magics: TokMagics, _: str) -> Bundle:
    settings = shared_parts().settings
    lines = (
        ("model", magics.model or settings.model or "the first whose key is set"),
        ("limits", "; ".join([*(str(limit) for limit in settings.limits), *magics.limits]) or "none"),
        ("system", magics.system or "none"),
        ("max_tokens", f"{magics.max_tokens or settings.max_tokens:,}"),
        ("render_hz", f"{magics.render_hz:g}"),
        ("book", settings.ledger),
        ("user, team", f"{settings.user}, {settings.team or 'no team'}"),
    )
    return markup.table(("setting", "value"), lines)


def _panel(magics: TokMagics, _: str) -> Bundle:
    return magics.widget().bundle()


def _help(_: TokMagics, __: str) -> Bundle:
    return markup.table(("%tokens", "shows"), [("", "the gauge"), *((word, text) for word, (text, _) in WORDS.items())])


#: Word after ``%tokens`` -> what it does, and the function that does it.
WORDS: dict[str, tuple[str, Callable[[TokMagics, str], Bundle]]] = {
    "count": ("tokens of a text or variable: %tokens count TEXT|VAR", _count),
    "limits": ("every limit and what it has left", _limits),
    "limit": ('sets a limit: %tokens limit "5 usd/day"', _limit),
    "history": ("the newest calls in the book: %tokens history [N]", _history),
    "threads": ("the named conversations", _threads),
    "models": ("models, windows and prices: %tokens models [FILTER]", _models),
    "panel": ("the gauge, live, in this cell's output", _panel),
    "config": ("the settings in force", _config),
    "help": ("this table", _help),
}
