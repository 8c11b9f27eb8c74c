"""Keys never reach a screen, a log or a saved notebook: a key travels as a ``Secret``, and foreign text is redacted."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "[key hidden]"

_SHAPES = re.compile(
    r"""\b(?:(?:sk|pk|rk|gsk|xai|ghp|hf)[-_]|AIza)[A-Za-z0-9_-]{12,}   # the shapes of well-known services
      | (?<=Bearer\ )[A-Za-z0-9._~+/=-]{8,}
      | (?<=api[-_]key[=:\ ])\s*[A-Za-z0-9._~+/=-]{8,}""",
    re.VERBOSE,
)


class Secret:
    """A key that shows nothing of itself when printed, formatted or found in a traceback."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key, for the one place that sends it."""
        return self._value

    def fingerprint(self, service: str) -> str:
        """What a key of that service is known by, where the key itself must not stand."""
        import hashlib  # takes longer to load than all else of an extension that only knows how to mask

        return f"{service}:{hashlib.sha256(self._value.encode()).hexdigest()[:12]}"

    def __repr__(self) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)


class Token(Secret):
    """A key that ends by itself and is sent as a bearer, such as one of Entra's."""

    __slots__ = ()


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """The text with the given secrets, and whatever has the shape of a key, masked."""
    for secret in secrets:
        if len(secret.reveal()) >= 4:
            text = text.replace(secret.reveal(), MASK)
    return _SHAPES.sub(MASK, text)
