"""The words of ``%tokens`` about a text: ``count`` says its tokens, ``plan`` what a call with it would take.

The text is what is typed, or the variable of that name; ``-m MODEL`` stands in front of it or behind it. A text that
begins or ends like that is put in quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tokmagic.api import count as count_tokens
from tokmagic.api import safe_limits
from tokmagic.core.errors import ConfigurationError
from tokmagic.notebook import markup
from tokmagic.notebook.arguments import MODEL
from tokmagic.notebook.cell import estimate
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.wording import show_count
from tokmagic.parts import shared_parts

if TYPE_CHECKING:
    from tokmagic.notebook.state import MagicsState

_ASKED = rf"(?:{'|'.join(MODEL)})(?:[\s=]+(?P<model>[^\s\"'-][^\s\"']*))?"
_BEFORE = re.compile(rf"{_ASKED}(?:\s+(?P<text>.*))?", re.DOTALL)
_BEHIND = re.compile(rf"(?P<text>.*)\s{_ASKED}", re.DOTALL)
_OPTION = re.compile(r"--?[a-z]+")


def count(magics: MagicsState, rest: str) -> Bundle:
    """The tokens of a text: ``count [-m MODEL] TEXT|VAR``.

    Raises:
        ConfigurationError: no text, or an option that is none.
        UnknownModel: naming the nearest models.
    """
    said, model = _parted(rest)
    if not said:
        raise ConfigurationError("%tokens count needs a text or the name of a variable: %tokens count TEXT|VAR.")
    text, model = _meant(magics, said), model or _model(magics)
    tokens = show_count(count_tokens(text, model))
    return markup.table(("tokens", "model", "characters"), [(tokens, model, f"{len(text):,}")], numbers=(0, 2))


def plan(magics: MagicsState, rest: str) -> Bundle:
    """What a call with that text would read, cost and wait for; without a text, the sizes that are safe for the model.

    Raises:
        TokmagicError: the call would be refused before any limit is asked.
    """
    said, model = _parted(rest)
    if said:
        system, most = magics.system or None, magics.max_tokens or None
        return estimate(magics.client().quote(_meant(magics, said), model=model, system=system, max_tokens=most))
    model = model or _model(magics)
    sizes = safe_limits(model)
    lines = (
        ("context window", show_size(sizes.context_window)),
        ("longest answer", show_size(sizes.max_output_tokens)),
        ("safe max_tokens", show_size(sizes.max_tokens)),
        ("safe thinking budget", show_size(sizes.thinking_budget, "takes none")),
        ("extended output", show_size(sizes.extended_max_tokens, "has none")),
    )
    return markup.table((model, "tokens"), lines, numbers=(1,))


def show_size(number: int | None, none: str = "unknown") -> str:
    """A number of tokens for people; ``none`` where there is none."""
    return none if number is None else f"{number:,}"


def _model(magics: MagicsState) -> str:
    return magics.model or shared_parts().default_model()[0]


def _parted(rest: str) -> tuple[str, str]:
    """The text and the model that were typed, each may be empty."""
    match = _BEFORE.fullmatch(rest) or _BEHIND.fullmatch(rest)
    if match is None:
        if option := _OPTION.match(rest):
            raise ConfigurationError(f"Unknown option {option[0]}: use -m MODEL, or put the text in quotes.")
        return rest, ""
    if match["model"] is None:
        raise ConfigurationError("-m needs a model, such as -m openai/gpt-5; a text that ends so goes in quotes.")
    return (match["text"] or "").strip(), match["model"]


def _meant(magics: MagicsState, said: str) -> str:
    """The value of the variable of that name, else what was typed, without the quotes around it."""
    if said in magics.shell.user_ns:
        return str(magics.shell.user_ns[said])
    quoted = len(said) >= 2 and said[0] == said[-1] and said[0] in "\"'"
    return said[1:-1] if quoted else said
