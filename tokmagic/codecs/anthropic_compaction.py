"""What a Messages request says of compaction at a threshold, to core values and back, as strict as the real service.

It is one of the edits of ``context_management``. The others leave out what tools returned or what was thought; nothing
here does that, so they are refused and not passed over.
"""

from __future__ import annotations

from tokmagic.core.messages import CompactAt
from tokmagic.core.thresholds import LEAST

from . import Json
from .wire import Node

EDIT = "compact_20260112"
#: Where an edit names no threshold, in input tokens.
DEFAULT = 150_000
_FIELDS = frozenset({"type", "trigger", "pause_after_compaction", "instructions"})


def encode_compact_at(asked: CompactAt) -> Json:
    """The ``context_management`` of a request."""
    edit: Json = {"type": EDIT, "trigger": {"type": "input_tokens", "value": asked.tokens}}
    if asked.instructions:
        edit["instructions"] = asked.instructions
    if asked.pause:
        edit["pause_after_compaction"] = True
    return {"edits": [edit]}


def decode_compact_at(node: Node | None) -> CompactAt | None:
    """What the ``context_management`` of a request asks for; None where it asks for nothing.

    Raises:
        WireError: another edit than this one, more than one, or one that the service does not take.
    """
    if node is None:
        return None
    node.only(frozenset({"edits"}))
    edits = list(found.items()) if (found := node.optional("edits")) is not None else []
    for edit in edits:
        _check_type(edit, EDIT)
    if len(edits) > 1:
        node.refuse(f"only one edit of type '{EDIT}' is allowed")
    return _compact_at(edits[0]) if edits else None


def _compact_at(edit: Node) -> CompactAt:
    edit.only(_FIELDS)
    trigger, pause, wish = (edit.optional(name) for name in ("trigger", "pause_after_compaction", "instructions"))
    return CompactAt(
        tokens=_threshold(trigger) if trigger is not None else DEFAULT,
        instructions=wish.text().strip() if wish is not None else "",
        pause=pause.flag() if pause is not None else False,
    )


def _threshold(trigger: Node) -> int:
    trigger.only(frozenset({"type", "value"}))
    _check_type(trigger, "input_tokens")
    value, least = trigger.field("value"), LEAST["messages"]
    if value.integer(0) < least:
        value.refuse(f"Input should be greater than or equal to {least}")
    return value.integer(least)


def _check_type(node: Node, wanted: str) -> None:
    kind = node.field("type").text()
    if kind != wanted:
        node.refuse(f"Input tag '{kind}' found using 'type' does not match any of the expected tags: '{wanted}'")
