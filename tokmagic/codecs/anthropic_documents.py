"""A document as a block of Anthropic's Messages, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error

from tokmagic.core.documents import text_of
from tokmagic.core.messages import PDF, PLAIN, Document

from . import Json
from .wire import Node


def encode_document(document: Document) -> Json:
    """The block of a document."""
    text = text_of(document)
    if document.url:
        source: Json = {"type": "url", "url": document.url}
    elif text is not None:
        source = {"type": "text", "media_type": PLAIN, "data": text}
    else:
        source = {"type": "base64", "media_type": PDF, "data": b64encode(document.data).decode("ascii")}
    return {"type": "document", "source": source} | ({"title": document.title} if document.title else {})


def decode_document(block: Node) -> Document:
    """The document of a block."""
    source, title = block.field("source"), block.optional("title")
    named = title.text() if title is not None else ""
    kind = source.field("type")
    if kind.text() == "url":
        return Document(url=source.field("url").text(), title=named)
    if kind.text() == "text":
        return Document(source.field("data").text().encode(), PLAIN, named)
    if kind.text() != "base64":
        kind.refuse("Input should be 'base64', 'text' or 'url'")
    return Document(_bytes(source), PDF, named)


def _bytes(source: Node) -> bytes:
    media_type, data = source.field("media_type"), source.field("data")
    if media_type.text() != PDF:
        media_type.refuse(f"Input should be '{PDF}'")
    try:
        return b64decode(data.text(), validate=True)
    except (Base64Error, ValueError):
        data.refuse("invalid base64 data")
