"""Replays: what makes two calls the same, and a reply as text and back, so that what was paid for is paid for once.

The key is taken of the call **before** it is made to fit, with what decides how it is made to fit. So what tokmagic
learns about a tokenizer meanwhile changes no key, and neither does whether the answer is streamed or its beginning
cached by the service.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from typing import Any

from .messages import Audio, Compaction, Document, Image, Message, Reasoning, Text, ToolCall, ToolResult
from .money import Cost
from .planning import Wishes
from .replies import Answer, CompactionRecord, Cut, Receipt, Reply, StopReason
from .usage import Usage

#: Part of every key; raised when a kept reply is no longer read as it was written.
VERSION = 1
#: How an answer ends that is worth keeping: by itself, or at a bound that stands in the key.
WHOLE: frozenset[StopReason] = frozenset(
    {"end", "stop_sequence", "tool_use", "max_tokens", "context_window", "refusal", "compaction"}
)

_KIND, _BYTES = "_", "bytes"
_KINDS = {
    kind.__name__: kind
    for kind in (
        Answer,
        Audio,
        Compaction,
        CompactionRecord,
        Cost,
        Cut,
        Document,
        Image,
        Reasoning,
        Receipt,
        Reply,
        Text,
        ToolCall,
        ToolResult,
        Usage,
    )
}


def replay_key(models: Sequence[str], messages: Sequence[Message], wishes: Wishes) -> str:
    """The hash under which the answer to a call is kept.

    Args:
        models: the names of those that would be asked, one after the other.
        messages: all that is said, before anything is cut.
        wishes: what is asked of the call.
    """
    asked = [VERSION, _plain(models), _plain(messages), _plain(replace(wishes, stream=True, cache=False))]
    return sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def worth_keeping(reply: Reply) -> bool:
    """Whether the same call would be answered alike: it ended, and no limit of the moment made it shorter."""
    return reply.stop_reason in WHOLE and not (reply.cut_off and reply.receipt.lowered_from is not None)


def as_text(reply: Reply) -> str:
    """A reply as text to be kept."""
    return json.dumps(_plain(Reply(reply.answer, reply.receipt)), separators=(",", ":"))


def from_text(text: str) -> Reply | None:
    """The reply that was kept; None where the text is none, such as that of another version."""
    try:
        found = _value(json.loads(text))
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, Reply) else None


def replayed(reply: Reply, call: str, duration: float) -> Reply:
    """A kept reply as the answer to the call of that id: it used nothing and cost nothing.

    What was cut of its input, and by which model it was answered, is true as before.
    """
    receipt = replace(
        reply.receipt,
        call=call,
        usage=Usage(),
        cost=Cost(0, "exact", reply.cost.play),
        waited=0.0,
        attempts=0,
        calls=1,
        first_token=None,
        duration=duration,
        replay_of=reply.receipt.call,
    )
    return replace(reply, receipt=receipt)


def _plain(value: Any) -> Any:
    """A value as JSON; what is a mapping, and what a value of ours, can be told apart."""
    if is_dataclass(value):
        return {_KIND: type(value).__name__, **{each.name: _plain(getattr(value, each.name)) for each in fields(value)}}
    if isinstance(value, bytes):
        return {_KIND: _BYTES, _BYTES: b64encode(value).decode()}
    if isinstance(value, Mapping):
        return [[str(name), _plain(value[name])] for name in sorted(value, key=str)]
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return tuple(_value(each) for each in plain)
    if not isinstance(plain, dict):
        return plain
    kind = plain.pop(_KIND)
    if kind == _BYTES:
        return b64decode(plain[_BYTES])
    return _KINDS[kind](**{name: _value(each) for name, each in plain.items()})
