"""What a Responses request says of compaction at a threshold, to core values and back, as strict as OpenAI is."""

from __future__ import annotations

from typing import Any

from tokmagic.core.messages import CompactAt
from tokmagic.core.thresholds import LEAST

from . import Json, WireError
from .wire import Node

#: Where an entry names no threshold, in input tokens.
DEFAULT = 150_000


def encode_compact_at(asked: CompactAt) -> list[Json]:
    """The ``context_management`` of a request; the protocol has no wishes and no pause."""
    return [{"type": "compaction", "compact_threshold": asked.tokens}]


def decode_compact_at(node: Node | None) -> CompactAt | None:
    """What the ``context_management`` of a request asks for: of several entries the lowest threshold is met first.

    Raises:
        WireError: an entry that the service does not take.
    """
    found = [_threshold(entry) for entry in node.items()] if node is not None else []
    return CompactAt(min(found)) if found else None


def at_least(node: Node, least: int) -> int:
    """The whole number that a node holds; the service has words of its own for one that is too low."""
    value: Any = node.value
    if isinstance(value, int) and not isinstance(value, bool) and value < least:
        name = node.dialect.invalid(node.path, "").param
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {value}."
        raise WireError(400, "invalid_request_error", message, param=name, code="integer_below_min_value")
    return node.integer(least)


def _threshold(entry: Node) -> int:
    entry.only(frozenset({"type", "compact_threshold"}))
    if (kind := entry.field("type")).text() != "compaction":
        kind.refuse(f"'{kind.value}'. Supported values are: 'compaction'.")
    threshold = entry.optional("compact_threshold")
    return at_least(threshold, LEAST["responses"]) if threshold is not None else DEFAULT
