"""A reply read while it passes by to somebody else: folded into an outcome, and never held up by what it holds.

It is fed as it is on the wire, in any cut. What cannot be read is an outcome like any other: it may have run.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from tokmagic.core.errors import MalformedReply, ProviderError, StreamBroken
from tokmagic.core.events import Started
from tokmagic.core.settling import Outcome

from . import Codec
from .failures import failure
from .ratelimits import read_rates
from .sse import SSEDecoder


class Overheard:
    """Reads one reply while it passes by, and folds it into the outcome of its attempt.

    Args:
        codec: of its protocol; None reads no answer in it, only whether it failed.
        outcome: of the attempt.
        status: the HTTP status.
        headers: of the reply.
    """

    def __init__(self, codec: Codec | None, outcome: Outcome, status: int, headers: Mapping[str, str]) -> None:
        self._codec = codec
        self._outcome = outcome
        self._status = status
        self._headers = headers
        self._started = Started(rates=read_rates(headers) if status < 400 else ())
        outcome.take(self._started)
        self._inflate = _inflater(headers.get("content-encoding", ""))
        self._body = bytearray()
        self._ended = False
        self._sse = SSEDecoder()
        streamed = "text/event-stream" in headers.get("content-type", "")
        self._read = status >= 400 or codec is not None
        self._decoder = codec.decoder() if codec is not None and streamed and status < 400 else None

    @property
    def refused(self) -> bool:
        """Whether it is a refusal or a failure, by its status."""
        return self._status >= 400

    def feed(self, chunk: bytes) -> None:
        """Take in a chunk as it is on the wire. What cannot be read is an outcome, not an error of the reader's."""
        if self._outcome.error is not None or not self._read:
            return
        try:
            self._take(self._inflate(chunk))
        except ProviderError as error:
            self._outcome.error = error
        except zlib.error as error:
            self._outcome.error = StreamBroken(f"The reply cannot be read: {error}.")

    def end(self, content: bytes | None) -> None:
        """It is whole."""
        self._ended = True
        if content is not None:
            self._inflate = bytes
            self.feed(content)

    def failure(self) -> ProviderError | None:
        """What went wrong with it, or None; of a whole reply the answer is read here."""
        if self.refused:
            return failure(self._status, bytes(self._body), self._headers)
        if self._codec is None:
            return None
        if self._decoder is not None:
            cut = self._ended and not self._decoder.complete
            return StreamBroken("The service ended the reply before it was complete.") if cut else None
        if not self._ended:
            return StreamBroken("The reply was not read to its end.")
        return self._read_whole(self._codec)

    def _take(self, data: bytes) -> None:
        if self._decoder is None:
            self._body += data
            return
        for name, text in self._sse.feed(data):
            for event in self._decoder.feed(name, text):
                self._outcome.take(replace(event, rates=self._started.rates) if isinstance(event, Started) else event)

    def _read_whole(self, codec: Codec) -> ProviderError | None:
        try:
            answer = self._outcome.answer = codec.decode_answer(json.loads(self._body))
            self._outcome.take(Started(answer.id, answer.model, answer.usage, self._started.rates))
        except ProviderError as error:
            return error
        except ValueError:
            return MalformedReply("The reply is no JSON.")
        return None


def _inflater(encoding: str) -> Callable[[bytes], bytes]:
    if encoding.lower() in ("gzip", "deflate", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress
    return bytes
