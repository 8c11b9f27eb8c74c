"""``--image VAR``: what a variable holds, as an image for a message. Nothing is fetched; an address is passed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokmagic.core.errors import InvalidPrompt
from tokmagic.core.images import image_of
from tokmagic.core.messages import Image

#: Of a path that cannot be read, at most so many characters are repeated.
LONGEST_SHOWN = 80


def as_image(name: str, namespace: dict[str, Any]) -> Image:
    """The image in the variable ``name``: bytes, a path, an address, or anything that draws itself as PNG.

    Raises:
        InvalidPrompt: no such variable, or nothing in it that is an image.
    """
    if name not in namespace:
        hint = (
            f"Give it a name: picture = {name!r}, then --image picture."
            if "." in name
            else "Define it in a cell above."
        )
        raise InvalidPrompt(f"--image {name}: {name} is not defined, so nothing was sent. {hint}")
    value = namespace[name]
    if isinstance(value, Image):
        return value
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return Image(url=value)
    image = image_of(_data(name, value))
    if image is None:
        raise InvalidPrompt(f"--image {name}: not a PNG, JPEG, GIF or WebP image. Convert it first.")
    return image


def _data(name: str, value: Any) -> bytes:
    if isinstance(value, str | Path):
        try:
            return Path(value).read_bytes()
        except OSError as error:
            path = str(value) if len(str(value)) <= LONGEST_SHOWN else f"{str(value)[:LONGEST_SHOWN]}..."
            raise InvalidPrompt(f"--image {name}: {path!r} cannot be read ({error.strerror}).") from None
    if isinstance(value, bytes):
        return value
    drawn = getattr(value, "data", None)
    if not isinstance(drawn, bytes) and hasattr(value, "_repr_png_"):
        drawn = value._repr_png_()
    if isinstance(drawn, bytes):
        return drawn
    raise InvalidPrompt(
        f"--image {name}: an object of type {type(value).__name__} is no image. Use bytes, a path or a picture."
    )
