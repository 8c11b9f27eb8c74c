"""Rows into prompts: ``{{name}}`` in a template is replaced by that value of the row. Nothing is ever evaluated.

What a value holds is never expanded again, and single braces are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias

from .checks import given, require_text
from .errors import InvalidPrompt

Row: TypeAlias = Mapping[Any, Any]

_NAME = re.compile(r"\{\{\s*([^{}\s](?:[^{}]*[^{}\s])?)\s*\}\}")
#: How tables say their rows as mappings: the method's name and its arguments. Of pandas, polars and Arrow.
_TABLES: tuple[tuple[str, tuple[str, ...]], ...] = (("to_dicts", ()), ("to_pylist", ()), ("to_dict", ("records",)))


def names_in(template: str) -> tuple[str, ...]:
    """The names between double braces, each once."""
    return tuple(dict.fromkeys(match[1] for match in _NAME.finditer(template)))


def prompts(template: str, rows: Iterable[Any]) -> tuple[str, ...]:
    """The prompt of each row, in order.

    Args:
        template: text with ``{{name}}`` where a row's value goes.
        rows: mappings, or a table that is made of rows; or single values, where the template has one name.

    Raises:
        InvalidPrompt: a template without a name, or a row that lacks one; the message names both.
        ConfigurationError: a template that is no text.
    """
    require_text("template", template)
    names = names_in(template)
    if not names:
        raise InvalidPrompt("The template has no {{name}}, so every row would be asked the same: nothing was sent.")
    found = _listed(rows)
    return tuple(_filled(template, _row(row, names, number), number) for number, row in enumerate(found, 1))


def _listed(rows: Iterable[Any]) -> Iterable[Any]:
    if isinstance(rows, str | bytes | Mapping):
        raise InvalidPrompt("The rows are a list or a table, not one text or mapping: write [row] for a single one.")
    if hasattr(rows, "columns") or hasattr(rows, "column_names"):
        for method, arguments in _TABLES:
            if hasattr(rows, method):
                listed: Iterable[Any] = getattr(rows, method)(*arguments)
                return listed
    if not isinstance(rows, Iterable):
        raise InvalidPrompt(f"The rows are a list or a table, not {given(rows)}: nothing was sent.")
    return rows


def _row(row: Any, names: Sequence[str], number: int) -> Row:
    """A row as a mapping; one value stands for the one name there is."""
    if isinstance(row, Mapping):
        return row
    if len(names) > 1:
        raise InvalidPrompt(
            f"Row {number:,} is a {type(row).__name__}, and the template has {len(names)} names "
            f"({', '.join(names)}): give mappings. Nothing was sent."
        )
    return {names[0]: row}


def _filled(template: str, row: Row, number: int) -> str:
    by_name = {str(name): value for name, value in row.items()}

    def value(match: re.Match[str]) -> str:
        if match[1] not in by_name:
            near = get_close_matches(match[1], by_name, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(by_name) or 'nothing'}."
            raise InvalidPrompt(f"{{{{{match[1]}}}}}: row {number:,} has no such value; nothing was sent. {hint}")
        return str(by_name[match[1]])

    return _NAME.sub(value, template)
