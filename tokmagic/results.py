"""What a tool returned, as the parts of its result: text, images, and everything else as JSON.

A long text is shortened to a number of tokens, in the middle, and the result says so to the model; the cut is handed
back, to be shown to people.
"""

from __future__ import annotations

import sys
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tokmagic.core.counters import Counter
from tokmagic.core.images import image_of
from tokmagic.core.messages import Audio, Image, Text, ToolResult
from tokmagic.core.replies import Cut
from tokmagic.core.truncation import Truncation, truncate


class ToolError(Exception):
    """Raised in a tool with text, images or whatever a tool may return: the result of the call, as an error."""


def parts_of(value: Any) -> tuple[Text | Image, ...]:
    """What a tool returned, for the model.

    Args:
        value: text is taken as it is, and so are ``Text`` and ``Image``; bytes of an image, and what draws itself as
            PNG, become images; None is nothing; a list that holds an image is taken item by item, and so is one of
            texts and images in the words of the Messages protocol; what an MCP server returned is its content; all
            else is JSON.

    Raises:
        ToolError: an MCP server returned an error.
        TypeError: a sound, which no protocol takes from a tool.
    """
    if value is None:
        return ()
    if isinstance(value, Audio):
        raise TypeError("the result of a tool is text and images, no sound: return its words")
    if isinstance(value, str | Text | Image):
        return (Text(value) if isinstance(value, str) else value,)
    if image := _drawn(value):
        return (image,)
    if isinstance(value, list | tuple) and (parts := _listed(value)):
        return parts
    if _named(value, "isError", "is_error") is not None and isinstance(getattr(value, "content", None), list):
        return _returned(value)
    return (Text(_as_json(value)),)


def _listed(items: Sequence[Any]) -> tuple[Text | Image, ...]:
    """The items, where one of them is an image or all are blocks; else nothing."""
    if any(isinstance(item, Text | Image) or _drawn(item) for item in items):
        return tuple(part for item in items for part in parts_of(item))
    blocks = [_block(item) for item in items]
    return tuple(block for block in blocks if block is not None) if all(blocks) else ()


def told_by(error: Exception) -> tuple[Text | Image, ...] | None:
    """What an error is to tell the model; None of one that was not raised for that."""
    if isinstance(error, ToolError):
        return tuple(part for content in error.args for part in parts_of(content))
    sdk = sys.modules.get("anthropic.lib.tools")
    return parts_of(error.content) if sdk is not None and isinstance(error, sdk.ToolError) else None


def _block(item: object) -> Text | Image | None:
    """A text or an image as the tools of the Anthropic SDK return it, if it is that and no more."""
    match item:
        case {"type": "text", "text": str(text), **more} if more.keys() <= {"cache_control", "citations"}:
            return Text(text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(media_type), "data": str(data)}}:
            return Image(media_type, b64decode(data))
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return Image(url=url)
    return None


def _returned(result: Any) -> tuple[Text | Image, ...]:
    """The content of an MCP server's result; its structured value, where it has no other."""
    parts = tuple(_piece(block) for block in result.content)
    structured = _named(result, "structuredContent", "structured_content")
    if not parts and structured is not None:
        parts = (Text(_as_json(structured)),)
    if _named(result, "isError", "is_error"):
        raise ToolError(*parts)
    return parts


def _piece(block: Any) -> Text | Image:
    """A block of text, an image, or a resource that is either; anything else as JSON."""
    held = getattr(block, "resource", block)
    data = getattr(held, "data", None) or getattr(held, "blob", None)
    image = image_of(b64decode(data)) if isinstance(data, str) else None
    text = getattr(held, "text", None)
    return image or Text(text if isinstance(text, str) else _as_json(block))


def _named(value: Any, *names: str) -> Any:
    """What it has under the first of these names; packages before and after version 2 differ in them."""
    return next((found for name in names if (found := getattr(value, name, None)) is not None), None)


def shortened(result: ToolResult, max_tokens: int, counter: Counter) -> tuple[ToolResult, tuple[Cut, ...]]:
    """The result with each of its texts cut to ``max_tokens``, with a note behind it; and what was cut, in numbers."""
    parts, cuts = [], []
    for part in result.parts:
        cut = truncate(part.text, max_tokens, "smart", counter) if isinstance(part, Text) else None
        if cut is None or not cut.cuts:
            parts.append(part)
            continue
        parts.append(Text(f"{cut.text}\n\n[{_told(cut)}]"))
        cuts.append(Cut("truncated text", f"the middle of a tool's result, {_long(cut)}", cut.dropped_tokens))
    return (replace(result, parts=tuple(parts)), tuple(cuts)) if cuts else (result, ())


def _told(cut: Truncation) -> str:
    return f"This result was {_long(cut)}; {cut.dropped_tokens:,} tokens of its middle are left out."


def _long(cut: Truncation) -> str:
    return f"{cut.tokens + cut.dropped_tokens:,} tokens long"


def _drawn(value: Any) -> Image | None:
    if isinstance(value, bytes | bytearray):
        return image_of(bytes(value))
    data = value._repr_png_() if hasattr(value, "_repr_png_") and not isinstance(value, type) else None
    return image_of(data) if isinstance(data, bytes) else None


def _as_json(value: Any) -> str:
    from pydantic_core import to_json

    try:
        return to_json(value, fallback=str, inf_nan_mode="strings").decode()
    except (ValueError, TypeError, RecursionError):  # a cycle, or bytes that are no text
        return str(value)
