"""How a complete answer is shown: as Markdown, as the text it is, as JSON set out, or as its code alone."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from tokmagic.core.errors import MalformedReply
from tokmagic.notebook.markup import Bundle, fenced, markdown, plain

_BLOCK = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)^[ \t]*\1[`~]*[ \t]*$", re.DOTALL | re.MULTILINE
)


def present(text: str, format: str) -> Bundle:
    """The answer as ``--format`` asks for it.

    Raises:
        MalformedReply: JSON was asked for and the answer is none.
    """
    if format == "json":
        return fenced(json.dumps(_parsed(text), indent=2, ensure_ascii=False), "json")
    if format == "code":
        language, code = first_block(text)
        return fenced(code, language)
    return plain(text) if format == "text" else markdown(text)


def first_block(text: str) -> tuple[str, str]:
    """Language and content of the first fenced block; the whole text where there is none."""
    match = _BLOCK.search(text)
    return (match[2], match[3].rstrip("\n")) if match else ("", text.strip("\n"))


def _parsed(text: str) -> object:
    try:
        return json.loads(first_block(text)[1], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedReply(
            f"The answer is not JSON ({error}); the reply is kept in _llm. Ask for JSON alone, or use --format text."
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
