"""What the server gives out sealed and takes back: the thoughts and summaries that the real services encrypt.

A seal is no secret, only a text that shows whether it was changed. What does not open was not sealed here.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

_MARK = "tokmagic."
_DIGEST = 12


def seal(text: str) -> str:
    """The text, sealed."""
    said = text.encode()
    return _MARK + urlsafe_b64encode(blake2b(said, digest_size=_DIGEST).digest() + said).decode("ascii")


def unseal(sealed: str) -> str | None:
    """The text in a seal, or None if it was not made here or was changed since."""
    if not sealed.startswith(_MARK):
        return None
    try:
        raw = urlsafe_b64decode(sealed.removeprefix(_MARK))
        text = raw[_DIGEST:].decode()
    except ValueError:
        return None
    return text if seal(text) == sealed else None
