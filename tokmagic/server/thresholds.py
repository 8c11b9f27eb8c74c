"""Compaction at a threshold: a call that reads more than its request names is summarised on the way to its answer.

The engine is asked twice: for the summary of everything that was said, then for the answer, for which it reads the
summary and the last turn. What the summary does not make shorter goes on as it was, with a block that stands for
nothing. In a later request, everything before the last summary is ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from secrets import token_hex

from tokmagic.codecs import Json
from tokmagic.codecs.anthropic_blocks import FAMILY
from tokmagic.codecs.responses_items import FAMILY as OPENAI
from tokmagic.codecs.wire import compact_json
from tokmagic.core.messages import Compaction, Extras, Message, Part, Request, ToolResult
from tokmagic.core.replies import Answer
from tokmagic.core.summarising import SUMMARY_PROMPT, enclosed
from tokmagic.core.usage import NOTHING_USED, Usage

from .calls import Call
from .seals import seal

#: What the ``anthropic-beta`` header has to name.
BETA = "compact-2026-01-12"
#: Begins what is sealed in a Responses item that stands for the user's words, too.
WHOLE = "\x01"


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction came to: the block or item, if any is given out, what it used, and the call to answer then."""

    part: Compaction | None
    usage: Usage
    call: Call


def is_due(call: Call) -> bool:
    """Whether the call has reached its threshold."""
    asked = call.request.compact_at
    return asked is not None and call.input_tokens >= asked.tokens


def summary_call(call: Call) -> Call:
    """The call that writes the summary. It is as long as the model writes: a request has no bound for it."""
    request, asked = call.request, call.request.compact_at
    wish = (asked.instructions if asked is not None else "") or SUMMARY_PROMPT
    longest = call.model.max_output_tokens or request.max_tokens
    said = (enclosed(request.turns, wish),)
    plain = replace(request, messages=said, tools=(), stop=(), extras=Extras(), stream=False, compact_at=None)
    return replace(call, request=replace(plain, max_tokens=longest))


def compacted(call: Call, summary: Answer) -> Compacted:
    """The call with the summary in it, as far as that makes it shorter."""
    text = summary.text.strip() if summary.stop_reason == "end" else ""
    part, request, usage = _part(call, text), call.request, summary.usage or NOTHING_USED
    shorter = replace(request, messages=(*_system(request), Message("assistant", (part,)), *_last(request.turns)))
    tokens = call.count(shorter, call.counter)
    if not text or tokens >= call.input_tokens:
        return Compacted(_part(call, "") if call.model.protocol == "messages" else None, usage, call)
    return Compacted(part, usage, replace(call, request=shorter, input_tokens=tokens))


def standing(request: Request) -> Request:
    """The request without what stands before the last summary in it that stands for all of that."""
    kept: list[Message] = []
    for message in request.turns:
        places = [place for place, part in enumerate(message.parts) if _ends(part)]
        kept = [
            *([] if places else kept),
            replace(message, parts=message.parts[places[-1] :] if places else message.parts),
        ]
    return replace(request, messages=(*_system(request), *map(_readable, kept)))


def _ends(part: Part) -> bool:
    """Whether the part is a summary of everything before it: a Messages block that has one, or an item that says so."""
    if not isinstance(part, Compaction):
        return False
    return bool(part.text) if part.provider == FAMILY else part.text.startswith(WHOLE)


def _readable(message: Message) -> Message:
    parts = (
        replace(part, text=part.text.removeprefix(WHOLE)) if isinstance(part, Compaction) else part
        for part in message.parts
    )
    return replace(message, parts=tuple(parts))


def _part(call: Call, text: str) -> Compaction:
    """The block or item of a summary, which is empty where there is none that is any good."""
    if call.model.protocol == "messages":
        block: Json = {"type": "compaction", "content": text or None, "encrypted_content": None}
        return Compaction(text, FAMILY, compact_json(block | ({"signature": seal(text)} if text else {})))
    item = {"id": f"cmp_{token_hex(12)}", "type": "compaction", "encrypted_content": seal(WHOLE + text)}
    return Compaction(text, OPENAI, compact_json(item))


def _system(request: Request) -> tuple[Message, ...]:
    return tuple(message for message in request.messages if message.role == "system")


def _last(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The last turn, with the one before it where it answers the calls of that."""
    answers = any(isinstance(part, ToolResult) for part in turns[-1].parts)
    return turns[-2:] if answers else turns[-1:]
