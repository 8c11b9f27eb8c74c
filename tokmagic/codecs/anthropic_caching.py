"""Where a request's beginning is marked to be cached: where a later request can share it, and at most three times.

A prefix ends at each mark: tools and system text together, which every call of a thread shares; the turn that the call
before ended with, which is read; and the last turn, which is written for the call after. Whatever is read costs a tenth
of its price, and writing a quarter more than it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import Json

_MARK: Mapping[str, str] = {"type": "ephemeral"}
#: Blocks that carry no mark.
_BARE = frozenset({"thinking", "redacted_thinking", "compaction"})
#: Turns that are marked: the one the call before ended with, and the last.
_TURNS = 2


def mark_shared(body: Json) -> None:
    """Mark what the requests after this one will share, in its own body."""
    if "system" in body:
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": dict(_MARK)}]
    elif body.get("tools"):
        body["tools"][-1] = body["tools"][-1] | {"cache_control": dict(_MARK)}
    said = [turn for turn in body["messages"] if turn["role"] == "user"]
    for turn in said[-_TURNS:]:
        last = turn["content"][-1]
        if last["type"] not in _BARE:
            last["cache_control"] = dict(_MARK)


def is_marked(body: Mapping[str, Any]) -> bool:
    """Whether a body that was read holds such a mark."""
    turns = body.get("messages")
    contents = [turn.get("content") for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []
    return any("cache_control" in block for block in _blocks([body.get("system"), body.get("tools"), *contents]))


def _blocks(lists: Iterable[Any]) -> Iterable[Mapping[str, Any]]:
    return (block for found in lists if isinstance(found, list) for block in found if isinstance(block, Mapping))
