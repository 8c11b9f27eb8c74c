"""Images and documents as both of OpenAI's protocols carry them, and back: their bytes stand in a data URL.

Sound goes to Chat Completions only, by its bytes and the name of its format.

Chat Completions takes files that are PDFs, so a text goes out as text everywhere: it is then counted as what it is.
Responses takes text files too, so the embedded server reads them.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping

from tokmagic.core.errors import RequestRejected
from tokmagic.core.messages import MP3, PDF, PLAIN, WAV, Audio, Document, Image

from . import Json
from .wire import Node

#: The name of a document that has no title; these protocols demand one.
NAMELESS = "document.pdf"
#: What Chat Completions calls the formats of sound.
_FORMATS: Mapping[str, str] = {WAV: "wav", MP3: "mp3"}
_MEDIA_TYPES: Mapping[str, str] = {name: media_type for media_type, name in _FORMATS.items()}
#: Kinds of files that are text and are not called so.
_TEXTS = frozenset({"application/json", "application/xml", "application/x-yaml", "application/toml"})


def data_url(shown: Image | Document) -> str:
    """The bytes of an image or document in an address."""
    return f"data:{shown.media_type};base64,{b64encode(shown.data).decode('ascii')}"


def decode_image(url: Node) -> Image:
    """The image of an ``image_url``, whose data may be in the address itself."""
    address = url.text()
    return Image(*_read(url, "an image")) if address.startswith("data:") else Image(url=address)


def file_fields(document: Document) -> Json:
    """The fields of a PDF."""
    return {"filename": document.title or NAMELESS, "file_data": data_url(document)}


def audio_fields(audio: Audio) -> Json:
    """The fields of a sound.

    Raises:
        RequestRejected: it is in another format.
    """
    if audio.media_type not in _FORMATS:
        raise RequestRejected(
            f"Chat Completions takes sound as {WAV} or {MP3}, not {audio.media_type!r}: convert it first."
        )
    return {"data": b64encode(audio.data).decode("ascii"), "format": _FORMATS[audio.media_type]}


def decode_audio(sound: Node) -> Audio:
    """The sound of an ``input_audio``."""
    data, name = sound.field("data"), sound.field("format")
    if name.text() not in _MEDIA_TYPES:
        name.refuse(f"'{name.value}'. Supported values are: 'wav' and 'mp3'.")
    try:
        return Audio(b64decode(data.text(), validate=True), _MEDIA_TYPES[name.text()])
    except (Base64Error, ValueError):
        data.refuse("expected base64-encoded audio data.")


def titled(document: Document, text: str) -> str:
    """A document's text under its title, where a protocol has no place for either."""
    return f"{document.title}\n\n{text}" if document.title else text


def decode_file(file: Node, *, texts: bool) -> Document:
    """The document of a file's fields, which must hold its data.

    Args:
        file: the object with ``filename`` and ``file_data``.
        texts: whether files of text are taken beside PDFs.
    """
    if (stored := file.optional("file_id")) is not None:
        stored.refuse("this server keeps files for batches only; give the file as 'file_data'.")
    data, name = file.field("file_data"), file.field("filename").text()
    kind, content = _read(data, f"{'a text or ' if texts else ''}an {PDF}")
    if texts and (kind.startswith("text/") or kind in _TEXTS):
        return Document(content, PLAIN, name)
    if kind != PDF:
        data.refuse(f"expected a base64-encoded data URL with {PDF}, but got unsupported MIME type '{kind}'.")
    return Document(content, title="" if name == NAMELESS else name)


def _read(url: Node, wanted: str) -> tuple[str, bytes]:
    """The media type and the bytes of a data URL."""
    head, found, data = url.text().partition(";base64,")
    try:
        if not found or not head.startswith("data:"):
            raise ValueError("no base64")
        return head.removeprefix("data:").partition(";")[0], b64decode(data, validate=True)
    except (Base64Error, ValueError):
        url.refuse(f"expected a base64-encoded data URL with {wanted} MIME type.")
