"""Text as the bytes that encoders read."""

from __future__ import annotations


def as_utf8(text: str) -> bytes:
    """The bytes of a text; lone surrogates become U+FFFD, pairs the character they stand for."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
