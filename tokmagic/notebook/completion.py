"""Completion on ``%%llm`` and ``%tokens`` lines: exactly our options and their values, and nothing else's.

Only the name of a file, behind ``%tokens export``, is left to others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from inspect import isfunction
from typing import TYPE_CHECKING

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from tokmagic.notebook.arguments import COMPACTIONS, EFFORTS, FORMATS, MODEL, OPTIONS, STRATEGIES, option_names

if TYPE_CHECKING:
    from tokmagic.notebook.state import MagicsState

_CELL = re.compile(r"%%(?:llm|tok)\s+(.*)", re.DOTALL)
_VALUES = {"--format": FORMATS, "--truncate": STRATEGIES, "--compact": COMPACTIONS, "--reasoning": EFFORTS}
_LINE = re.compile(r"\s*%tokens\s+(.*)", re.DOTALL)


def matcher(magics: MagicsState) -> Callable[[CompletionContext], SimpleMatcherResult]:
    """The matcher of one shell, for ``Completer.custom_matchers``."""

    @context_matcher(identifier="tokmagic")  # type: ignore[untyped-decorator, unused-ignore]
    def complete(context: CompletionContext) -> SimpleMatcherResult:
        before = context.text_until_cursor
        if context.cursor_line == 0 and (match := _CELL.match(before)):
            return _result(match[1], _cell_words(magics, match[1]))
        if (match := _LINE.match(before)) and match[1].split()[:1] != ["export"]:
            return _result(match[1], _line_words(magics, match[1]))
        return SimpleMatcherResult(completions=[], suppress=False)

    matches: Callable[[CompletionContext], SimpleMatcherResult] = complete
    return matches


def _result(typed: str, words: Iterable[str]) -> SimpleMatcherResult:
    fragment = _fragment(typed)
    found = [SimpleCompletion(word, type="magic option") for word in words if word.startswith(fragment)]
    return SimpleMatcherResult(completions=found, matched_fragment=fragment, suppress=True, ordered=True)


def _fragment(typed: str) -> str:
    return "" if not typed or typed[-1].isspace() else typed.rsplit(maxsplit=1)[-1]


def _before(typed: str) -> list[str]:
    return typed[: len(typed) - len(_fragment(typed))].split()


def _cell_words(magics: MagicsState, typed: str) -> Iterable[str]:
    before = _before(typed)
    option = before[-1] if before else ""
    if option in MODEL:
        return magics.model_names()
    if option == "--tools":
        return sorted(name for name, value in magics.shell.user_ns.items() if isfunction(value) and name[0] != "_")
    if option == "--thread":
        return sorted(magics.threads)
    if option in _VALUES:
        return _VALUES[option]
    return () if _takes_value(option) else [name for name in option_names() if name not in before]


def _takes_value(option: str) -> bool:
    return any(option in names.split() and "action" not in said for names, said in OPTIONS.items()) or option in (
        "--limit",
        "--image",
        "--audio",
    )


def _line_words(magics: MagicsState, typed: str) -> Iterable[str]:
    from tokmagic.notebook.tokens import WORDS

    before = _before(typed)
    if not before:
        return WORDS
    following = _FOLLOWING.get(before[0])
    return following(magics, before[1:]) if following is not None else ()


def _measured(magics: MagicsState, said: list[str]) -> Iterable[str]:
    if said and said[-1] in MODEL:
        return magics.model_names()
    texts = (name for name, value in magics.shell.user_ns.items() if isinstance(value, str) and name[0] != "_")
    return () if set(MODEL) & set(said) else [MODEL[0], *sorted(texts)]


def _threads(magics: MagicsState, said: list[str]) -> Iterable[str]:
    return () if said else sorted(magics.threads)


def _reported(_: MagicsState, said: list[str]) -> Iterable[str]:
    from tokmagic.core.reports import BY, MOMENT_WORDS

    return BY if not said else MOMENT_WORDS if said[0] in BY and len(said) == 1 else ()


def _guarded(_: MagicsState, said: list[str]) -> Iterable[str]:
    return _services() if said == ["on"] else () if said else ("on", "off")


def _services() -> Iterable[str]:
    from tokmagic.parts import shared_parts

    return shared_parts().services()


#: Word of ``%tokens`` -> what may stand behind it, given the words between.
_FOLLOWING: dict[str, Callable[[MagicsState, list[str]], Iterable[str]]] = {
    "count": _measured,
    "plan": _measured,
    "limit": lambda _, said: () if said else ("off",),
    "history": _threads,
    "compact": _threads,
    "undo": _threads,
    "report": _reported,
    "guard": _guarded,
    "models": lambda _, said: () if said else _services(),
    "reset": lambda _, said: () if said else ("replay",),
}
