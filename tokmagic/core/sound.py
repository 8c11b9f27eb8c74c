"""What a sound takes: estimated by how long it lasts, and bounded by nothing but the model's window.

Services count a fixed number of tokens for a second, but few say how many, and some have changed it. So the estimate
is good for fitting and pacing alone, and whatever a money limit rests on takes the window. A token of sound often costs
far more than one of text (see ``prices``).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from .messages import MP3, WAV, Audio, Message

#: Tokens of a second: the most that a service of ours publishes.
PER_SECOND = 32
#: Bytes of a second of MP3, as speech is kept, and of a WAV that does not say.
MP3_SECOND, WAV_SECOND = 8_000, 32_000


def seconds_of(audio: Audio) -> float:
    """About how long it lasts, in seconds: of a WAV by its header, of an MP3 as if it were speech."""
    return len(audio.data) / (_byte_rate(audio.data) if audio.data.startswith(b"RIFF") else MP3_SECOND)


def tokens_of(audio: Audio) -> int:
    """About how many tokens it takes."""
    return ceil(seconds_of(audio) * PER_SECOND)


def holds_sound(messages: Iterable[Message]) -> bool:
    """Whether anything is to be heard in them."""
    return any(isinstance(part, Audio) for message in messages for part in message.parts)


def audio_of(data: bytes) -> Audio | None:
    """The sound that these bytes are; None if they are no WAV and no MP3."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return Audio(data, WAV)
    return Audio(data, MP3) if data.startswith(b"ID3") or _is_frame(data) else None


def _is_frame(data: bytes) -> bool:
    """Whether it begins as a frame of Layer III does: eleven bits that are set, two of the version, then 01."""
    return len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2


def _byte_rate(data: bytes) -> int:
    """Bytes of a second of a WAV, as its format chunk has them."""
    place = 12
    while place + 20 <= len(data):
        if data[place : place + 4] == b"fmt ":
            return int.from_bytes(data[place + 16 : place + 20], "little") or WAV_SECOND
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return WAV_SECOND
