"""Server-sent events: an incremental decoder over bytes, and the one line that writes an event.

The decoder may be fed any cut of the stream: an event is reported once, when the blank line behind it has arrived, and
no cut changes what is reported. What has no blank line behind it when the stream ends was cut off and is no event.
"""

from __future__ import annotations

from typing import TypeAlias

#: The name of an event and its data.
ServerSentEvent: TypeAlias = tuple[str, str]

#: What an event without a name is called.
UNNAMED = "message"
#: A comment, which readers pass over: a sign of life where the protocol has no event for one.
KEEP_ALIVE = b": keep-alive\n\n"
_BOM = b"\xef\xbb\xbf"


class SSEDecoder:
    """Turns the bytes of one stream into events; the cost is linear in the bytes, however they are cut."""

    __slots__ = ("_after_cr", "_begun", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk completes, in order; bytes that are not UTF-8 become replacement characters."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._unified(chunk)
        unseen = max(0, len(self._rest) - 1) if self._begun else 0
        self._rest += chunk
        if not self._begun and not self._begin():
            return []
        if self._rest.find(b"\n\n", unseen) < 0:
            return []
        blocks = bytes(self._rest).split(b"\n\n")
        self._rest = bytearray(blocks.pop())
        return [event for block in blocks if (event := _event(block)) is not None]

    def _begin(self) -> bool:
        """Drop a byte order mark; False while too little has arrived to tell."""
        if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
            return False
        self._begun = True
        if self._rest.startswith(_BOM):
            del self._rest[: len(_BOM)]
        return True

    def _unified(self, chunk: bytes) -> bytes:
        """The chunk with every line end as one newline; a newline behind an earlier chunk's return is part of it."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def encode_event(event: str, data: str) -> bytes:
    """One event on the wire; ``event`` may be empty, newlines in ``data`` become lines of their own."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {data.replace(chr(10), f'{chr(10)}data: ')}\n\n".encode()


def _event(block: bytes) -> ServerSentEvent | None:
    """The event of one block of lines, or None if it carries no data."""
    head, found, data = block.partition(b"\ndata: ")
    if found and head.startswith(b"event: ") and b"\n" not in data and b"\n" not in head:
        return head[7:].decode("utf-8", "replace"), data.decode("utf-8", "replace")
    if not found and head.startswith(b"data: ") and b"\n" not in head:
        return UNNAMED, head[6:].decode("utf-8", "replace")
    return _any_event(block.decode("utf-8", "replace"))


def _any_event(block: str) -> ServerSentEvent | None:
    name, data = UNNAMED, []
    for line in block.split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value or UNNAMED
    return (name, "\n".join(data)) if data else None
