"""Hands ``core`` a counter by the tokenizer's name. Nothing is loaded before the first count, nothing ever downloaded.

To add a tokenizer, write its counter and its line in ``_COUNTERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from threading import Lock

from tokmagic.core.counters import Counter
from tokmagic.core.errors import ConfigurationError

from .bpe import BpeCounter
from .estimate import EstimateCounter
from .packed import VOCABULARIES

_COUNTERS: Mapping[str, Callable[[], Counter]] = {
    **{name: partial(BpeCounter, name) for name in VOCABULARIES},
    "estimate": EstimateCounter,
}
_ONE_MAKER = Lock()


def counter(name: str) -> Counter:
    """The counter of a tokenizer, one for the whole process.

    Args:
        name: one of ``o200k_base``, ``cl100k_base`` and ``estimate``.

    Raises:
        ConfigurationError: no such tokenizer; the message names the known ones.
    """
    if name not in _COUNTERS:
        raise ConfigurationError(f"There is no tokenizer {name!r}: use one of {', '.join(_COUNTERS)}.")
    with _ONE_MAKER:
        return _made(name)


@cache
def _made(name: str) -> Counter:
    return _COUNTERS[name]()
