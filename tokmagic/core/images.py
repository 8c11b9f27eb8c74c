"""What an image takes, from its size alone, which stands in the first bytes of its file.

Each provider scales a large image down and pays for what is left by area: in patches or in tiles. The rules are
published for families of models and change with them, so an image never counts as exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal, TypeAlias

from .messages import Image

#: First bytes of a file -> its media type.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)
#: Width and height, in pixels.
Size: TypeAlias = tuple[int, int]

_PNG, _JPEG, _GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", (b"GIF87a", b"GIF89a")
#: JPEG markers that carry the frame's size, and those without a length.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})


@dataclass(frozen=True, slots=True)
class Patches:
    """One token for each square patch, after the image was scaled down to at most so many of them.

    Attributes:
        side: of a patch, in pixels.
        most: patches of one image.
        longest: edge that is not scaled down, in pixels; None for any.
        percent: tokens for a hundred patches.
    """

    side: int
    most: int
    longest: int | None = None
    percent: int = 100

    def tokens(self, size: Size | None) -> int:
        """Tokens of an image; one of unknown size counts as a large one."""
        patches = self.most if size is None else min(self.most, self._patches(size))
        return -(-patches * self.percent // 100)

    def _patches(self, size: Size) -> int:
        scale = min(1.0, self.longest / max(size)) if self.longest else 1.0
        width, height = (max(1, ceil(edge * scale / self.side)) for edge in size)
        return width * height


@dataclass(frozen=True, slots=True)
class Tiles:
    """``base`` tokens and ``each`` for every tile of 512 pixels, after scaling into 2,048 with a short side of 768."""

    base: int
    each: int

    def tokens(self, size: Size | None) -> int:
        """Tokens of an image; one of unknown size counts as a large square."""
        width, height = size or (2_048, 2_048)
        scale = min(1.0, 2_048 / max(width, height))
        scale = min(scale, 768 / min(width, height))
        across, down = (ceil(max(1, floor(edge * scale)) / 512) for edge in (width, height))
        return self.base + self.each * across * down


ImageRule: TypeAlias = Patches | Tiles

#: Where nothing better is known: the Messages services' rule, for images up to about 1.2 megapixels.
COMMON = Patches(side=28, most=1_568, longest=1_568)


def image_size(image: Image) -> Size | None:
    """The size of an image, read from its PNG, JPEG, GIF or WebP header; None if it is not there."""
    data = image.data
    if data.startswith(_PNG):
        found = _numbers(data[16:24], 4, "big")
    elif data.startswith(_GIF):
        found = _numbers(data[6:10], 2, "little")
    elif data.startswith(_JPEG):
        found = _jpeg(data)
    elif _is_webp(data):
        found = _webp(data)
    else:
        found = None
    return found if found and min(found) > 0 else None


def _numbers(data: bytes, width: int, order: Literal["big", "little"]) -> Size | None:
    if len(data) < 2 * width:
        return None
    return int.from_bytes(data[:width], order), int.from_bytes(data[width : 2 * width], order)


def _jpeg(data: bytes) -> Size | None:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            found = _numbers(data[place + 5 : place + 9], 2, "big")
            return (found[1], found[0]) if found else None
        if marker == 0xFF:
            place += 1
        else:
            place += 2 if marker in _BARE else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _webp(data: bytes) -> Size | None:
    kind, body = data[12:16], data[20:]
    if kind == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    found = _numbers(body[6:10], 2, "little") if kind == b"VP8 " else None
    return (found[0] & 0x3FFF, found[1] & 0x3FFF) if found else None


def image_of(data: bytes) -> Image | None:
    """The image that these bytes are; None if they are none that every provider takes."""
    for signature, media_type in _SIGNATURES:
        if data.startswith(signature):
            return Image(media_type, data)
    return Image("image/webp", data) if _is_webp(data) else None


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
