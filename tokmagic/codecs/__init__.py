"""Provider JSON to core values and back: pure, one file per wire protocol, used by the client and by the server.

The client encodes requests and decodes replies; the embedded server decodes requests and encodes replies. What a codec
does not know it keeps or names, and never guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tokmagic.core.errors import ProviderError
from tokmagic.core.events import StreamEvent
from tokmagic.core.messages import Compaction, Reasoning, Request
from tokmagic.core.replies import Answer
from tokmagic.core.usage import Usage

Json = dict[str, Any]


class WireError(Exception):
    """A request that is refused on the wire, in the protocol's own words.

    Args:
        status: the HTTP status.
        kind: the protocol's type of error, such as ``invalid_request_error``.
        message: for people.
        param: the field at fault, where the protocol names one.
        code: the protocol's code, where it has one.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code


class StreamDecoder(Protocol):
    """Folds one reply's stream. Feed it each server-sent event, then close it."""

    def feed(self, event: str, data: str) -> Iterable[StreamEvent]:
        """What one event means. The last is ``Finished``; an error event raises the ``ProviderError`` it stands for."""

    def partial(self) -> Answer:
        """What has arrived so far, as an answer; its usage is what was stated, or None."""

    @property
    def complete(self) -> bool:
        """Whether the stream came to its proper end."""


class StreamEncoder(Protocol):
    """Writes one reply as a stream of server-sent events, ready for the wire."""

    def start(self, usage: Usage) -> bytes:
        """The opening events; ``usage`` states the input."""

    def ping(self) -> bytes:
        """A sign of life while there is nothing to say."""

    def reasoning(self, text: str) -> bytes:
        """A piece of what is thought before the answer."""

    def reasoned(self, part: Reasoning) -> bytes:
        """The end of a thought, which is known whole now; none of it need have been shown in pieces."""

    def compacted(self, part: Compaction) -> bytes:
        """A summary, which is known whole, in the place of what was said before it."""

    def text(self, text: str) -> bytes:
        """A piece of the answer."""

    def finish(self, answer: Answer) -> bytes:
        """The closing events: tool calls, which do not come in pieces, stop reason, and usage if the answer has it."""

    def fail(self, error: WireError) -> bytes:
        """An error in mid-stream."""


class Codec(Protocol):
    """One wire protocol, both directions."""

    def encode_request(self, request: Request) -> Json:
        """The JSON body of a request, without its extras: those the transport adds."""

    def decode_request(self, body: Mapping[str, Any]) -> Request:
        """The request in a JSON body; fields that core has no name for are in ``extras.body``.

        ``max_tokens`` is 0 where the body may and does leave it out.

        Raises:
            WireError: as the real service refuses it.
        """

    def encode_answer(self, answer: Answer, created: int = 0) -> Json:
        """The JSON body of a reply made at ``created``, in seconds of the epoch."""

    def decode_answer(self, body: Any) -> Answer:
        """The answer in a JSON body.

        Raises:
            MalformedReply: when it is no reply.
        """

    def decoder(self) -> StreamDecoder:
        """A decoder for one streamed reply."""

    def encoder(self, id: str, model: str, created: int = 0) -> StreamEncoder:
        """An encoder for one streamed reply made at ``created``, in seconds of the epoch."""

    def encode_error(self, error: WireError, request_id: str = "") -> Json:
        """The JSON body of an error."""

    def decode_error(self, status: int | None, body: Any, headers: Mapping[str, str]) -> ProviderError:
        """The typed error that a status and a body stand for; the body may be parsed, text or bytes."""
