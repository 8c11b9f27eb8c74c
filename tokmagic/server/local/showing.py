"""What is shown to a model beside text, from the bytes of a request to what its processor takes.

Nothing is fetched and no path is opened: only bytes that came with the request are read, as one of the formats that the
real services take, and no further than a bound, so that a small file cannot unfold into a large one.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from tokmagic.codecs import Json, WireError
from tokmagic.core.images import image_size
from tokmagic.core.messages import Image

#: Pixels of one image.
MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


def with_shown(messages: Iterable[Json]) -> list[Json]:
    """Chat Completions' messages as the templates of processors have them: content is a list of parts.

    Raises:
        WireError: 400; an image that is none, or is too large.
    """
    return [{**message, "content": _parts(message["content"])} for message in messages]


def _parts(content: str | list[Json]) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part) for part in content]


def _part(part: Json) -> Json:
    if part["type"] == "image_url":
        return {"type": "image", "image": _picture(_bytes(part["image_url"]["url"]))}
    return part


def _bytes(data_url: str) -> bytes:
    return b64decode(data_url.partition(",")[2])


def _picture(data: bytes) -> Any:
    """An image in RGB, the right way up, as Pillow has it; of a moving one the first frame."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    size = image_size(Image(data=data))
    if size is None:
        raise _refused("an image is none in PNG, JPEG, GIF or WebP")
    if size[0] * size[1] > MOST_PIXELS:
        raise _refused(f"an image of {size[0]:,} x {size[1]:,} pixels is beyond the {MOST_PIXELS:,} that are read")
    try:
        with Pillow.open(BytesIO(data), formats=_FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise _refused(f"an image cannot be read ({error})") from None


def _refused(what: str) -> WireError:
    return WireError(
        400, "invalid_request_error", f"Invalid 'messages': {what}.", param="messages", code="invalid_value"
    )
