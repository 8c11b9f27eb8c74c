"""What is shown to a model or played to it, from the bytes of a request to what its processor takes.

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
from tokmagic.core.sound import audio_of

#: Pixels of one image.
MOST_PIXELS = 50_000_000
#: Samples of one sound, as it is in its file and as the model hears it.
MOST_SAMPLES = 50_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


def with_shown(messages: Iterable[Json], rate: int) -> list[Json]:
    """Chat Completions' messages as the templates of processors have them: content is a list of parts.

    Args:
        messages: what is said.
        rate: samples of a second, as the model hears sounds.

    Raises:
        WireError: 400; an image or a sound that is none, or is too large.
    """
    return [{**message, "content": _parts(message["content"], rate)} for message in messages]


def sounds_in(messages: Iterable[Json]) -> list[Any]:
    """The samples of the sounds in messages with what is shown."""
    return [part["audio"] for message in messages for part in message["content"] if part["type"] == "audio"]


def sound_part(samples: Any) -> Json:
    """A sound as the templates of processors have it."""
    return {"type": "audio", "audio": samples}


def _parts(content: str | list[Json], rate: int) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_part(part, rate) for part in content]


def _part(part: Json, rate: int) -> Json:
    match part["type"]:
        case "image_url":
            return {"type": "image", "image": _picture(_bytes(part["image_url"]["url"]))}
        case "input_audio":
            return sound_part(_samples(b64decode(part["input_audio"]["data"]), rate))
        case _:
            return part


def _bytes(data_url: str) -> bytes:
    return b64decode(data_url.partition(",")[2])


def _picture(data: bytes) -> Any:
    """An image in RGB, the right way up, as Pillow has it; of a moving one the first frame."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    size = image_size(Image(data=data))
    if size is None:
        raise refused("an image is none in PNG, JPEG, GIF or WebP")
    if size[0] * size[1] > MOST_PIXELS:
        raise refused(f"an image of {size[0]:,} x {size[1]:,} pixels is beyond the {MOST_PIXELS:,} that are read")
    try:
        with Pillow.open(BytesIO(data), formats=_FORMATS) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise refused(f"an image cannot be read ({error})") from None


def _samples(data: bytes, rate: int) -> Any:
    """A sound at that rate, of one channel, from -1 to 1, as numpy has it."""
    import numpy
    import soundfile
    import soxr

    if audio_of(data) is None:
        raise refused("a sound is none in WAV or MP3")
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            _check_length(file.frames, file.channels, file.samplerate, rate)
            heard = file.read(dtype="float32", always_2d=True).mean(axis=1)
            heard = soxr.resample(heard, file.samplerate, rate)
    except soundfile.SoundFileError as error:
        raise refused(f"a sound cannot be read ({str(error).rstrip('.')})") from None
    if not len(heard) or not numpy.isfinite(heard).all():
        raise refused("a sound cannot be read (there is nothing to be heard in it)")
    return heard


def _check_length(frames: int, channels: int, file_rate: int, rate: int) -> None:
    most = max(frames * channels, frames * rate // file_rate)
    if most > MOST_SAMPLES:
        raise refused(f"a sound of {most:,} samples is beyond the {MOST_SAMPLES:,} that are read")


def refused(what: str) -> WireError:
    """The refusal of something that is shown."""
    return WireError(
        400, "invalid_request_error", f"Invalid 'messages': {what}.", param="messages", code="invalid_value"
    )
