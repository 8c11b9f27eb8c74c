"""``--image VAR`` and ``--audio VAR``: what a variable holds, as a part of a message.

Nothing is fetched; the address of an image is passed on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokmagic.core.errors import InvalidPrompt
from tokmagic.core.images import image_of
from tokmagic.core.messages import Audio, Image
from tokmagic.core.sound import audio_of

#: Of a path that cannot be read, at most so many characters are repeated.
LONGEST_SHOWN = 80


def as_image(name: str, namespace: dict[str, Any]) -> Image:
    """The image in the variable ``name``: bytes, a path, an address, or anything that draws itself as PNG.

    Raises:
        InvalidPrompt: no such variable, or nothing in it that is an image.
    """
    value = _value("--image", name, "picture", namespace)
    if isinstance(value, Image):
        return value
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return Image(url=value)
    image = image_of(_data("--image", name, value, "image. Use bytes, a path or a picture"))
    if image is None:
        raise InvalidPrompt(f"--image {name}: not a PNG, JPEG, GIF or WebP image. Convert it first.")
    return image


def as_audio(name: str, namespace: dict[str, Any]) -> Audio:
    """The sound in the variable ``name``: bytes, a path, or a player of IPython's.

    Raises:
        InvalidPrompt: no such variable, or nothing in it that is a sound.
    """
    value = _value("--audio", name, "speech", namespace)
    if isinstance(value, Audio):
        return value
    audio = audio_of(_data("--audio", name, value, "sound. Use bytes, a path or a player"))
    if audio is None:
        raise InvalidPrompt(f"--audio {name}: not a WAV or MP3 sound. Convert it first.")
    return audio


def _value(option: str, name: str, example: str, namespace: dict[str, Any]) -> Any:
    if name in namespace:
        return namespace[name]
    hint = (
        f"Give it a name: {example} = {name!r}, then {option} {example}."
        if "." in name
        else "Define it in a cell above."
    )
    raise InvalidPrompt(f"{option} {name}: {name} is not defined, so nothing was sent. {hint}")


def _data(option: str, name: str, value: Any, wanted: str) -> bytes:
    if isinstance(value, str | Path):
        try:
            return Path(value).read_bytes()
        except OSError as error:
            path = str(value) if len(str(value)) <= LONGEST_SHOWN else f"{str(value)[:LONGEST_SHOWN]}..."
            raise InvalidPrompt(f"{option} {name}: {path!r} cannot be read ({error.strerror}).") from None
    if isinstance(value, bytes):
        return value
    drawn = getattr(value, "data", None)
    if not isinstance(drawn, bytes) and hasattr(value, "_repr_png_"):
        drawn = value._repr_png_()
    if isinstance(drawn, bytes):
        return drawn
    raise InvalidPrompt(f"{option} {name}: an object of type {type(value).__name__} is no {wanted}.")
