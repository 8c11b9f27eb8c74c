"""What the demo engine says to a request, as one value: what it thinks, what it answers, which tools it calls.

It depends on the request alone. A prompt that says ``use the add tool with a=2 and b=3`` has the tool called, if it is
offered; a result that came back is told; where JSON is wanted, the answer is JSON of that schema and nothing else; a
conversation that is to be summarised is answered with the sentences that state what nothing else of it does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from tokmagic.codecs.wire import compact_json, inner
from tokmagic.core.extracting import extract
from tokmagic.core.messages import Compaction, Message, Request, Text, Tool, ToolCall, ToolResult
from tokmagic.core.summarising import material

from .asks import Asks, asks_of
from .digest import DEFAULT_WORDS, digest, words_asked_for
from .specimen import specimen

OPENING = "*Demo engine: no model is at work; this is an extract of your prompt.*"
#: The wish for a tool, up to the next one or the end of its line.
_WISH = re.compile(
    r"""\b(?:use|call)\ the\ [`"']?([\w-]+)[`"']?\ tool
        (?:\ with\ ((?:(?!\b(?:use|call)\ the\ )[^\n])*))?""",
    re.IGNORECASE | re.VERBOSE,
)
#: A name and its value: a number, a list, something quoted, or words up to the next name, comma or end of a sentence.
_ARGUMENT = re.compile(
    r"""([A-Za-z_]\w*)\s*=\s*
        (-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w) | \[[^\]\n]*\] | "[^"\n]*" | '[^'\n]*'
         | .+?(?=\s*,|[.;?!](?:\s|$)|\s+(?:and\s+)?[A-Za-z_]\w*\s*=|\s*$))""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Script:
    """What is thought, then said, then called; each may be nothing."""

    thought: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()


def script(request: Request) -> Script:
    """What the demo engine does with a request."""
    asks = asks_of(request)
    thought = thought_text(request) if asks.thinking else ""
    if calls := tuple(_calls(request, asks)):
        return Script(thought, calls=calls[:1] if asks.one_call else calls)
    if asks.schema is not None:
        return Script(thought, json.dumps(specimen(asks.schema, _start(_last_words(request))), ensure_ascii=False))
    return Script(thought, answer_text(request))


def answer_text(request: Request) -> str:
    """What the demo engine answers to a request in words, in full."""
    asked = _last_words(request)
    if (conversation := material(asked)) is not None:
        return _summary(conversation, words_asked_for(asked))
    size = f"Your prompt has {_size(asked)}."
    told = [f"The {name} tool returned: {_start(result)}" for name, result in _results(request)]
    opening = [OPENING, *told, " ".join([size, *_around(request)])]
    return "\n\n".join([*opening, digest(asked, words_asked_for(asked))])


def _summary(conversation: str, words: int | None) -> str:
    """What a conversation states only once, in about a tenth of its words where no number is asked for."""
    most = words or max(DEFAULT_WORDS, len(conversation.split()) // 10)
    said = Message("user", (Compaction(conversation),))
    return extract([said], most, lambda line: len(line.split())) or "(nothing that could be extracted)"


def thought_text(request: Request) -> str:
    """What it thinks before."""
    asked = _last_words(request)
    return f"The prompt has {_size(asked)}. I look for the sentences that use its most frequent words."


def _calls(request: Request, asks: Asks) -> Iterable[ToolCall]:
    last = _last(request)
    if any(isinstance(part, ToolResult) for part in last.parts):
        return
    offered = {tool.name: tool for tool in asks.tools}
    wishes = [(offered[name], said) for name, said in _WISH.findall(last.text) if name in offered]
    if not wishes and asks.must_call and asks.tools:
        wishes = [(asks.tools[0], "")]
    for place, (tool, said) in enumerate(wishes):
        arguments = compact_json(_arguments(tool, said) or (specimen(tool.schema, "demo") or {}))
        seed = f"{len(request.turns)}/{place}/{tool.name}/{arguments}"
        yield ToolCall(f"call_{blake2b(seed.encode(), digest_size=12).hexdigest()}", tool.name, arguments)


def _arguments(tool: Tool, said: str) -> dict[str, Any]:
    properties = inner(tool.schema, "properties")
    return {name: _argument(value, inner(properties, name)) for name, value in _ARGUMENT.findall(said)}


def _argument(said: str, schema: Mapping[str, Any]) -> Any:
    """A value as it was written: of JSON where it is some and no text is wanted."""
    if said[0] in "\"'":
        return said[1:-1]
    if schema.get("type") == "string":
        return said
    try:
        return json.loads(said)
    except ValueError:
        return said


def _results(request: Request) -> Iterable[tuple[str, str]]:
    """The results that came last, with the names of their tools."""
    names = {part.id: part.name for turn in request.turns for part in turn.parts if isinstance(part, ToolCall)}
    for part in _last(request).parts:
        if isinstance(part, ToolResult):
            text = "".join(piece.text for piece in part.parts if isinstance(piece, Text))
            yield names.get(part.call_id, "called"), text


def _last(request: Request) -> Message:
    """The last turn; an empty one where there is nothing but system text."""
    return request.turns[-1] if request.turns else Message("user", ())


def _last_words(request: Request) -> str:
    """What the user said or the tools returned last."""
    texts = (_said(message) for message in reversed(request.turns) if message.role == "user")
    return next((text for text in texts if text.strip()), "")


def _said(message: Message) -> str:
    found: list[str] = []
    for part in message.parts:
        inside: Iterable[object] = part.parts if isinstance(part, ToolResult) else (part,)
        found += (piece.text for piece in inside if isinstance(piece, Text))
    return "\n".join(found)


def _around(request: Request) -> Iterable[str]:
    if request.system:
        yield f"The system text has {_many(len(request.system.split()), 'word')}: “{_start(request.system)}”."
    if len(request.turns) > 1:
        yield f"{_many(len(request.turns) - 1, 'turn')} came before it."


def _size(text: str) -> str:
    return f"{_many(len(text.split()), 'word')} in {_many(text.count(chr(10)) + 1, 'line')}"


def _start(text: str) -> str:
    words = text.split()
    return " ".join(words[:8])[:80].replace("`", "") + (" …" if len(words) > 8 else "")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
