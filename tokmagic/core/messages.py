"""What is said: messages made of parts, and the request that carries them to a model.

A message holds a tuple of parts. A tool's result is a part of a ``user`` message; the ``system`` message, if any, comes
first. Codecs translate to each provider's own arrangement, and what only one provider understands (a signature, a
compaction block) is kept byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from .errors import InvalidPrompt

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
#: What a document may be.
PDF, PLAIN = "application/pdf", "text/plain"
#: What a sound may be.
WAV, MP3 = "audio/wav", "audio/mpeg"
#: How much a model is asked to think.
Effort: TypeAlias = Literal["off", "low", "medium", "high"]
EFFORTS: tuple[Effort, ...] = ("off", "low", "medium", "high")
Reasoned: TypeAlias = Effort | int
_SURROGATE = re.compile("[\ud800-\udfff]")
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, as written; half a surrogate pair, which no JSON can carry, becomes U+FFFD."""

    text: str

    def __post_init__(self) -> None:
        if not self.text.isascii() and _SURROGATE.search(self.text):
            whole = self.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            object.__setattr__(self, "text", whole)


@dataclass(frozen=True, slots=True)
class Image:
    """An image by its bytes (``data`` with ``media_type``) or by address (``url``)."""

    media_type: str = ""
    data: bytes = b""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF or a plain text (in UTF-8), by its bytes or by the address of a PDF; ``title`` is told to the model."""

    data: bytes = b""
    media_type: str = PDF
    title: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    """A sound, by the bytes of a WAV or an MP3 file."""

    data: bytes = b""
    media_type: str = WAV


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What a model thought. ``signature`` and ``redacted`` are opaque and go back unchanged, to their family only.

    Where ``provider`` names the family, ``redacted`` is a whole item of its as JSON text: a thought, or what it did on
    the way, such as a search. Without it they are of Anthropic's thinking.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model asks for. ``arguments`` is the JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to the call ``call_id``."""

    call_id: str
    parts: tuple[Text | Image, ...] = ()
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Compaction:
    """A summary that stands for earlier turns. ``raw`` is the provider's own block as JSON text, kept byte for byte."""

    text: str = ""
    provider: str = ""
    raw: str = ""


Part: TypeAlias = Text | Image | Document | Audio | Reasoning | ToolCall | ToolResult | Compaction


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A ``pinned`` message is never dropped when a conversation is made to fit."""

    role: Role
    parts: tuple[Part, ...]
    pinned: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function offered to the model; ``schema`` is the JSON schema of its arguments.

    A Messages service knows some tools by itself: then ``native`` is what it calls them, and is sent as it is.
    """

    name: str
    description: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    native: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class Extras:
    """What a caller adds to one HTTP request by hand."""

    headers: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    query: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    body: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True)
class CompactAt:
    """From how many input tokens on the service is to summarise what was said before it answers.

    ``instructions`` stand in for its own wishes of the summary; with ``pause`` it gives the summary back alone.
    """

    tokens: int
    instructions: str = ""
    pause: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One call as it goes to a provider.

    ``model`` is the provider's own id; ``max_tokens`` bounds the answer, in tokens; ``temperature`` None leaves it to
    the model; ``stream`` asks for the answer piece by piece. ``reasoning`` is how much to think: an effort, a budget in
    tokens, or None to leave it to the model. ``cache`` marks the beginning that later requests will share, where the
    service wants that marked. ``server_tools`` are run by the service itself, described in its own words.
    ``compact_at`` lets it compact the conversation on the way to its answer.
    """

    model: str
    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    stream: bool = True
    extras: Extras = field(default_factory=Extras)
    reasoning: Reasoned | None = None
    cache: bool = False
    server_tools: tuple[Mapping[str, Any], ...] = ()
    compact_at: CompactAt | None = None

    @property
    def system(self) -> str:
        """The system text, joined; empty if there is none."""
        return "\n\n".join(m.text for m in self.messages if m.role == "system")

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages without the system text."""
        return tuple(m for m in self.messages if m.role != "system")


def user(text: str, *shown: Image | Document | Audio) -> Message:
    """A user's message of ``text``, with images, documents and sounds in front of it."""
    return Message("user", (*shown, Text(text)))


def assistant(text: str) -> Message:
    """An assistant's message of ``text``."""
    return Message("assistant", (Text(text),))


def system(text: str) -> Message:
    """A system message of ``text``."""
    return Message("system", (Text(text),))


def as_messages(prompt: str | Message | Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """What a caller wrote, as messages: a string is one user message; ``{"role", "content"}`` mappings are taken too.

    Raises:
        InvalidPrompt: nothing in it, an unknown role, or content that is not text.
    """
    if isinstance(prompt, str):
        messages: tuple[Message, ...] = (user(prompt),)
    elif isinstance(prompt, Message):
        messages = (prompt,)
    elif not isinstance(prompt, Iterable):
        raise InvalidPrompt(f"A prompt is text or messages, not {type(prompt).__name__}: nothing was sent.")
    else:
        messages = tuple(_as_message(item) for item in prompt)
    if not any(_says_something(m) for m in messages if m.role != "system"):
        raise InvalidPrompt("The prompt is empty: nothing was sent. Write at least one word.")
    return messages


def _as_message(item: Message | Mapping[str, Any]) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping):
        raise InvalidPrompt(f"A message is a Message or a mapping with role and content, not {type(item).__name__}.")
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        raise InvalidPrompt(f"Unknown role {role!r}: use one of {', '.join(ROLES)}.")
    if not isinstance(content, str):
        raise InvalidPrompt(
            f"The content of a {role} mapping is text, not {type(content).__name__}; use Message for parts."
        )
    return Message(role, (Text(content),))


def _says_something(message: Message) -> bool:
    return any(part.text.strip() if isinstance(part, Text) else True for part in message.parts)
