from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tokmagic.codecs import StreamDecoder
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.events import StreamEvent
from tokmagic.core.models import Protocol

FIXTURES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "fixtures").glob("*.sse"))}


def protocol_of(name: str) -> Protocol:
    """The protocol that the name of a recorded stream begins with."""
    return next(protocol for protocol in CODECS if name.startswith(protocol))


def fold(name: str, stream: bytes) -> tuple[StreamDecoder, list[StreamEvent]]:
    decoder = CODECS[protocol_of(name)].decoder()
    return decoder, [event for kind, data in SSEDecoder().feed(stream) for event in decoder.feed(kind, data)]


@pytest.fixture(params=sorted(FIXTURES))
def recorded(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    """Each recorded stream: its name and its bytes."""
    return request.param, FIXTURES[request.param]


@pytest.fixture
def stream_of() -> Callable[[str], bytes]:
    """A recorded stream by name."""
    return FIXTURES.__getitem__


@pytest.fixture
def read() -> Callable[[str, bytes], tuple[StreamDecoder, list[StreamEvent]]]:
    """Feed a stream to the decoder of the protocol that its name begins with."""
    return fold
