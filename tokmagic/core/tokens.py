"""Counting: a text, and a whole request as a provider reads it.

``count_request`` is the one count of a request: the corridor plans by it, fitting cuts by it, and the embedded server
bills by it. It adds up message by message and part by part, so that leaving a message out takes off exactly its count.
``bound_request`` is what a request surely does not exceed, for hard budgets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import assert_never

from .counters import PLAIN_CHAT, Counter, Tally
from .documents import PER_PAGE, UNBOUNDED, pages_of, text_of
from .images import COMMON, image_size
from .messages import Audio, Compaction, Document, Image, Message, Part, Reasoning, Text, Tool, ToolCall, ToolResult
from .sound import tokens_of

#: Where nothing else is published: tokens around a message or tool, those that open the reply, a large image.
PER_MESSAGE = PLAIN_CHAT.user
REPLY_PRIMING = PLAIN_CHAT.opening
PER_IMAGE = COMMON.most
#: Characters for one token of content that only the provider can read, such as encrypted reasoning. Never exact.
OPAQUE_CHARACTERS = 4
#: How far an estimate may be from the truth, in per cent of it: measured over code, prose and 30 languages. No bound.
ESTIMATE_MARGIN_PERCENT = 35

#: Bounds: around a message, around a part or tool, the instructions a provider adds when tools are offered, an image.
MOST_PER_MESSAGE = 32
MOST_PER_PART = 32
MOST_FOR_TOOL_USE = 2_048
MOST_PER_IMAGE = 50_000


class TokenCount(int):
    """A number of tokens that says how good it is.

    Attributes:
        exact: whether it is the provider's own count.
        margin: tokens the truth may lie above or below; 0 when exact.
        tokenizer: what it was counted with, such as ``o200k_base`` or ``estimate``.
        loose: tokens, as counted, of what no tokenizer or published rule counts exactly.
        counted: the number before it was corrected by what replies taught; the number itself if it was not.
    """

    exact: bool
    margin: int
    tokenizer: str
    loose: int
    counted: int

    def __new__(
        cls,
        tokens: int,
        *,
        exact: bool = True,
        margin: int = 0,
        tokenizer: str = "",
        loose: int = 0,
        counted: int | None = None,
    ) -> TokenCount:
        """A count of ``tokens``."""
        self = super().__new__(cls, tokens)
        self.exact, self.margin, self.tokenizer = exact, margin, tokenizer
        self.loose, self.counted = loose, tokens if counted is None else counted
        return self

    def __str__(self) -> str:
        return f"{int(self)}"

    def __repr__(self) -> str:
        quality = "exact" if self.exact else f"±{self.margin:,}"
        return f"TokenCount({int(self):,}, {quality}, {self.tokenizer})"


def count_text(text: str, counter: Counter) -> TokenCount:
    """Tokens of plain text, without any message around it."""
    tokens = counter.count(text)
    return _token_count((tokens, 0 if counter.exact else tokens), counter)


def count_message(message: Message, counter: Counter) -> int:
    """What one message adds to the count of a request."""
    return _message_tally(message, counter)[0]


def count_request(messages: Iterable[Message], tools: Iterable[Tool], counter: Counter) -> TokenCount:
    """Tokens of a whole request: its messages, its tools as compact JSON, and the tokens that open the reply.

    It is exact where the tokenizer and what stands around a message are published, and everything said is plain text:
    how a provider writes out tools and its own opaque blocks is not public, and images and sounds are counted by rule.
    """
    tokens, loose = counter.threads.tally(tuple(messages), lambda message: _message_tally(message, counter))
    offered = sum(counter.count(_as_json(tool)) + PER_MESSAGE for tool in tools)
    around = 0 if counter.chat.published else counter.chat.opening
    tokens += offered + counter.chat.opening
    return _token_count((tokens, loose + offered + around if counter.exact else tokens), counter)


def bound_request(messages: Iterable[Message], tools: Iterable[Tool], counter: Counter) -> int:
    """Tokens the request surely does not exceed: for an estimated tokenizer, its bytes and generous surroundings."""
    bound = REPLY_PRIMING + sum(_message_bound(message, counter) for message in messages)
    schemas = [UNBOUNDED if tool.native else counter.bound(_as_json(tool)) + MOST_PER_PART for tool in tools]
    return bound + sum(schemas) + (MOST_FOR_TOOL_USE if schemas else 0)


def _token_count(tally: Tally, counter: Counter) -> TokenCount:
    tokens, loose = tally
    margin = -(-loose * ESTIMATE_MARGIN_PERCENT // 100)
    exact = counter.exact and not loose
    return TokenCount(tokens, exact=exact, margin=margin, tokenizer=counter.name, loose=loose)


def _loose(tokens: int) -> Tally:
    return tokens, tokens


def _message_tally(message: Message, counter: Counter) -> Tally:
    parts = [_part_tally(part, counter) for part in message.parts]
    around = counter.chat.around(message)
    loosely = 0 if counter.chat.published else around
    return around + sum(tokens for tokens, _ in parts), loosely + sum(loose for _, loose in parts)


def _part_tally(part: Part, counter: Counter) -> Tally:
    match part:
        case Text(text):
            return counter.count(text), 0
        case Image() | Document() | Audio():
            return _loose(_shown(part, counter))
        case Reasoning(text, _, redacted):
            return _loose(counter.count(text) + _opaque(redacted))
        case ToolCall(id, name, arguments):
            return _loose(counter.count(id) + counter.count(name) + counter.count(arguments))
        case ToolResult(call_id, parts, _):
            return _loose(counter.count(call_id) + sum(_part_tally(inner, counter)[0] for inner in parts))
        case Compaction(text, _, raw):
            return _loose(counter.count(text) if text else _opaque(raw))
        case _:
            assert_never(part)


def _shown(part: Image | Document | Audio, counter: Counter) -> int:
    if isinstance(part, Image):
        return counter.chat.images.tokens(image_size(part))
    if isinstance(part, Audio):
        return tokens_of(part)
    said = text_of(part)
    return pages_of(part) * PER_PAGE if said is None else counter.count(part.title + said)


def _opaque(content: str) -> int:
    return -(-len(content) // OPAQUE_CHARACTERS)


def _message_bound(message: Message, counter: Counter) -> int:
    return MOST_PER_MESSAGE + sum(_part_bound(part, counter) for part in message.parts)


def _part_bound(part: Part, counter: Counter) -> int:
    match part:
        case Text(text):
            texts: tuple[str, ...] = (text,)
        case Image():
            return MOST_PER_PART + MOST_PER_IMAGE
        case Audio():
            return UNBOUNDED
        case Document():
            said = text_of(part)
            if said is None:
                return UNBOUNDED
            texts = (part.title, said)
        case Reasoning(text, signature, redacted):
            texts = (text, signature, redacted)
        case ToolCall(id, name, arguments):
            texts = (id, name, arguments)
        case ToolResult(call_id, parts, _):
            return counter.bound(call_id) + MOST_PER_PART + sum(_part_bound(inner, counter) for inner in parts)
        case Compaction(text, _, raw):
            texts = (text, raw)
        case _:
            assert_never(part)
    return MOST_PER_PART + sum(counter.bound(text) for text in texts)


def _as_json(tool: Tool) -> str:
    description = {"name": tool.name, "description": tool.description, "parameters": dict(tool.schema)}
    return json.dumps(dict(tool.native) or description, ensure_ascii=False, separators=(",", ":"))
