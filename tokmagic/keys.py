"""Where keys come from: the environment, then a ``.env`` file, then the system's keyring. Never from a notebook's cell.

A ``.env`` file is looked for in the working folder, which is the notebook's, and in ``$TOKMAGIC_HOME``. Only keys are
read from it, each by its name, so that a file that came with somebody's notebook changes no setting; its lines are
``NAME=value``, quoted or not, and nothing in them is expanded. The keyring is that of the ``keyring`` package, if it is
installed; ``keyring set tokmagic NAME`` puts a key there.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from tokmagic.config import places
from tokmagic.core.errors import ConfigurationError, MissingKey
from tokmagic.core.models import Service
from tokmagic.core.redaction import Secret, Token
from tokmagic.providers.registry import owner_of, services

log = logging.getLogger("tokmagic")

#: Under which name keys are kept in the keyring.
KEYRING = "tokmagic"

_LINE = re.compile(
    r"""^[ \t]* (?:export[ \t]+)? (\w+) [ \t]*=[ \t]* (?: "([^"\n]*)" | '([^'\n]*)' | ([^\s#]*) ) [ \t]* (?:\#.*)? $""",
    re.VERBOSE | re.MULTILINE,
)


def key_of(service: Service, environ: Mapping[str, str] = os.environ) -> Secret:
    """The service's key; empty where it needs none.

    Raises:
        MissingKey: naming the variable, and the models that need no key.
        ConfigurationError: what was found cannot be a key, or is a key of another service.
    """
    if not service.key_variable:
        return Secret("")
    if value := _find(service.key_variable, environ):
        return _checked(Secret(value), service, service.key_variable)
    if service.token_variable and (value := _find(service.token_variable, environ)):
        return _checked(Token(value), service, service.token_variable)
    raise MissingKey(
        f"No key for {service.name}: set {service.key_variable} in the environment that Jupyter is started from, in a "
        f".env file beside the notebook, or by `keyring set {KEYRING} {service.key_variable}`; demo/claude needs none."
    )


def has_key(service: Service, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the service can be used as things stand."""
    variables = filter(None, (service.key_variable, service.token_variable))
    return not service.key_variable or any(_find(variable, environ) for variable in variables)


def _find(variable: str, environ: Mapping[str, str]) -> str:
    return next((value for place in _places(variable, environ) if (value := place.strip())), "")


def _places(variable: str, environ: Mapping[str, str]) -> Iterator[str]:
    yield environ.get(variable, "")
    yield _dotenv(Path()).get(variable, "")
    yield _dotenv(places(environ)[0]).get(variable, "")
    yield _from_keyring(variable)


def _checked(key: Secret, service: Service, variable: str) -> Secret:
    value = key.reveal()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ConfigurationError(f"{variable} holds characters that no key has: copy the key of {service.name} again.")
    owner = owner_of(key)
    if owner is not None and owner.name != service.name and _at_home(service):
        raise ConfigurationError(
            f"{variable} holds a key of {owner.name}: nothing was sent. Set it to one of {service.name}, or name a "
            f"model of {owner.name} and set {owner.key_variable}."
        )
    return key


def _at_home(service: Service) -> bool:
    """Whether it is where everybody's is; a gateway at an address of one's own may take anybody's keys."""
    known = services().get(service.name)
    return known is not None and (service.azure or service.base_url == known.base_url)


def _dotenv(folder: Path) -> Mapping[str, str]:
    file = folder / ".env"
    try:
        known = file.stat()
        return _read(file, (known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns))
    except OSError:
        return {}


@lru_cache(maxsize=8)
def _read(file: Path, _as_it_is: tuple[int, ...]) -> Mapping[str, str]:
    text = file.read_text("utf-8-sig", "replace")
    return {found[1]: found[2] or found[3] or found[4] or "" for found in _LINE.finditer(text)}


def _from_keyring(variable: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return ""
    try:
        return keyring.get_password(KEYRING, variable) or ""
    except KeyringError as error:
        log.info("the keyring cannot be read: %s", error)
        return ""
