"""Which codec speaks which protocol: the one table to add a protocol to."""

from __future__ import annotations

from collections.abc import Mapping

from tokmagic.core.models import Protocol

from . import Codec
from .anthropic import MessagesCodec
from .chat import ChatCodec
from .responses import ResponsesCodec

CODECS: Mapping[Protocol, Codec] = {
    "messages": MessagesCodec(),
    "responses": ResponsesCodec(),
    "chat": ChatCodec(),
}
