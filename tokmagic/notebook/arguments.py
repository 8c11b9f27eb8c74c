"""The first line of a ``%%llm`` cell, parsed once to a small frozen value; what cannot be used is refused in one line.

``OPTIONS`` is the only list of options: the parser, the help of ``%%llm?`` and the completion read it.
"""

from __future__ import annotations

import math
import re
import shlex
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser, argument, magic_arguments

from tokmagic.core.errors import ConfigurationError

if TYPE_CHECKING:
    from tokmagic.core.limits import Limit
    from tokmagic.core.messages import Reasoned

F = TypeVar("F", bound=Callable[..., Any])

COMPACTIONS = ("auto", "economic", "server", "now", "off")
FORMATS = ("markdown", "text", "json", "code")
EFFORTS = ("off", "low", "medium", "high")
MODEL = ("-m", "--model")
STRATEGIES = ("smart", "start", "middle", "end", "split", "off")

_TARGET = re.compile(r"\s*(\S+)\s*<<(?=\s|$)")


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What the first line of a cell says; None means *not said*.

    Attributes:
        name: variable that gets the reply, or "".
        new: start the thread afresh.
        compact: when the thread's earlier turns are replaced by a summary.
        limits: for this call alone.
        images, sounds: names of variables.
        confirm_above: nano-dollars from which on the call is asked for.
        tools: names of functions that the model may have called.
        max_iterations: turns of the model, at most, where it has tools.
        confirm_tools: ask before each of their calls.
        fresh: ask again, even if the same was asked before.
        stream: show the answer as it comes.
    """

    name: str = ""
    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    reasoning: Reasoned | None = None
    thread: str | None = None
    new: bool = False
    compact: str | None = None
    format: str = "markdown"
    limits: tuple[Limit, ...] = ()
    truncate: str | None = None
    max_input_tokens: int | None = None
    keep_recent: int | None = None
    images: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    estimate: bool = False
    confirm_above: int | None = None
    tools: tuple[str, ...] = ()
    max_iterations: int | None = None
    confirm_tools: bool = False
    fresh: bool = False
    stream: bool = True


def parse_cell(parser: MagicArgumentParser, line: str) -> CellOptions:
    """The options in the first line of a cell.

    Raises:
        ConfigurationError: naming the word that cannot be used and what would do.
    """
    from tokmagic.core.redaction import redact

    if redact(line) != line:
        from tokmagic.extras import NO_KEYS

        raise ConfigurationError(f"The first line holds what looks like a key: {NO_KEYS}.")
    name, rest = _target(line)
    words = _split(rest)
    try:
        found, unknown = parser.parse_known_args(words)
    except UsageError as error:
        said = str(error).removeprefix("argument ").replace(": expected one argument", " needs a value")
        raise ConfigurationError(f"{said}. Type %%llm? for the options.") from None
    if unknown:
        raise ConfigurationError(_unknown(unknown[0]))
    if found.new and not found.thread:
        raise ConfigurationError("--new starts a conversation afresh: name it too, such as --thread talk --new.")
    if (found.confirm_tools or found.max_iterations) and not found.tools:
        raise ConfigurationError("--confirm-tools and --max-iterations are about tools: name some with --tools f,g.")
    return CellOptions(name=name, **_values(found))


def cell_arguments(function: F) -> F:
    """Decorate a cell magic with the options."""
    for names, settings in reversed(OPTIONS.items()):
        function = argument(*names.split(), **settings)(function)  # type: ignore[no-untyped-call, unused-ignore]
    decorated: F = magic_arguments("%llm [NAME <<]")(function)  # type: ignore[no-untyped-call, unused-ignore]
    return decorated


def _values(found: Namespace) -> dict[str, Any]:
    values = vars(found)
    values["limits"] = tuple(values.pop("limit"))
    values["images"], values["sounds"] = tuple(values.pop("image")), tuple(values.pop("audio"))
    values["stream"] = not values.pop("no_stream")
    return values


def _target(line: str) -> tuple[str, str]:
    match = _TARGET.match(line)
    if match is None:
        return "", line
    if not match[1].isidentifier():
        raise ConfigurationError(f"{match[1]!r} is not a variable's name: write NAME <<, such as answer <<.")
    return match[1], line[match.end() :]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        raise ConfigurationError(f"A quote is not closed in {line.strip()!r}: close it, or drop it.") from None


def _unknown(word: str) -> str:
    if not word.startswith("-"):
        return f"{word!r} is not an option: the prompt goes below the first line. Type %%llm? for the options."
    near = "" if word in ("-h", "--help") else _did_you_mean(word.partition("=")[0], option_names())
    return f"Unknown option {word}.{near or ' Type %%llm? for the options.'}"


def _did_you_mean(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def option_names() -> tuple[str, ...]:
    """Every option as it is typed."""
    return tuple(name for names in OPTIONS for name in names.split())


def _whole(option: str, least: int, words: tuple[str, ...] = ()) -> Callable[[str], int]:
    def convert(word: str) -> int:
        digits = word.replace("_", "").replace(",", "")
        if not (digits.isascii() and digits.isdigit()) or int(digits) < least:
            others = f"one of {', '.join(words)}, or " if words else ""
            raise ConfigurationError(f"{option} is {others}a whole number of {least} or more, not {word!r}.")
        return int(digits)

    return convert


def _names(words: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in words.split(","))
    for name in names:
        if not name.isidentifier():
            raise ConfigurationError(f"--tools takes names of functions, such as --tools f,g, not {words!r}.")
    return names


def _temperature(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ConfigurationError(f"--temperature is a finite number of 0 or more, not {word!r}.")
    return value


def _reasoning(word: str) -> Reasoned:
    from tokmagic.core import messages
    from tokmagic.core.reasoning import LEAST_BUDGET

    effort = next((effort for effort in messages.EFFORTS if word == effort), None)
    return effort if effort is not None else _whole("--reasoning", LEAST_BUDGET, EFFORTS)(word)


def _one_of(option: str, known: tuple[str, ...]) -> Callable[[str], str]:
    def convert(word: str) -> str:
        if word not in known:
            said = f"Unknown {option} {word!r}: use one of {', '.join(known)}."
            raise ConfigurationError(said + _did_you_mean(word, known))
        return word

    return convert


def _limit(words: str) -> Limit:
    from tokmagic.core.words import parse_limit

    return parse_limit(words, window="call", source="cell")


def _dollars(word: str) -> int:
    from tokmagic.core.money import nanousd

    try:
        amount = nanousd(word.removeprefix("$"))
    except (ArithmeticError, ValueError):
        amount = -1
    if amount < 0:
        raise ConfigurationError(f"--confirm-above is an amount of US dollars, such as 0.10, not {word!r}.")
    return amount


#: Names of an option -> what argparse is told about it.
OPTIONS: dict[str, dict[str, Any]] = {
    "-m --model": {
        "help": "provider/model, or a bare name; of several, with commas, the next is asked where one fails"
    },
    "--system": {"metavar": "TEXT", "help": "the system text, with {{expressions}} as in the prompt"},
    "--max-tokens": {"type": _whole("--max-tokens", 1), "metavar": "N", "help": "bound of the answer, in tokens"},
    "--temperature": {"type": _temperature, "metavar": "X", "help": "0 or more; left to the model if not said"},
    "--reasoning": {
        "type": _reasoning,
        "metavar": "HOW",
        "help": f"how much to think: {', '.join(EFFORTS)}, or a budget in tokens; left to the model if not said",
    },
    "--thread": {"metavar": "NAME", "help": "continue the conversation of that name; without it a cell stands alone"},
    "--new": {"action": "store_true", "help": "start the conversation afresh"},
    "--compact": {
        "type": _one_of("--compact", COMPACTIONS),
        "metavar": "WHEN",
        "help": "replace its earlier turns by a summary: auto (when it is long), economic (when it pays), server (by "
        "the service itself while it answers), now or off",
    },
    "--format": {
        "type": _one_of("--format", FORMATS),
        "default": "markdown",
        "help": "how the answer is shown: markdown, text, json or code",
    },
    "--limit": {
        "type": _limit,
        "action": "append",
        "default": [],
        "metavar": "WORDS",
        "help": 'a limit for this call, such as "0.10 usd"; may be repeated',
    },
    "--truncate": {
        "type": _one_of("--truncate", STRATEGIES),
        "metavar": "PART",
        "help": "the part too long input loses: start, middle, end, or smart (what is least missed); "
        "split sends it in parts, off refuses it",
    },
    "--max-input-tokens": {
        "type": _whole("--max-input-tokens", 1),
        "metavar": "N",
        "help": "a cap on the input below the model's window, in tokens",
    },
    "--keep-recent": {
        "type": _whole("--keep-recent", 0),
        "metavar": "N",
        "help": "messages of the conversation kept word for word as long as possible",
    },
    "--image": {
        "action": "append",
        "default": [],
        "metavar": "VAR",
        "help": "a variable that holds an image, a path or bytes; may be repeated",
    },
    "--audio": {"action": "append", "default": [], "metavar": "VAR", "help": "the same for a sound, WAV or MP3"},
    "--tools": {
        "type": _names,
        "default": (),
        "metavar": "F,G",
        "help": "functions of the notebook that the model may have called; no others ever are",
    },
    "--max-iterations": {
        "type": _whole("--max-iterations", 1),
        "metavar": "N",
        "help": "turns of the model with its tools, at most; 25 if not said",
    },
    "--confirm-tools": {"action": "store_true", "help": "ask before each call of a tool, with exactly its arguments"},
    "--estimate": {"action": "store_true", "help": "show tokens and the most it can cost; send nothing"},
    "--confirm-above": {"type": _dollars, "metavar": "USD", "help": "ask first if the call can cost more than that"},
    "--fresh": {"action": "store_true", "help": "ask again what was asked before, instead of replaying the answer"},
    "--no-stream": {"action": "store_true", "help": "show the answer when it is complete"},
}
