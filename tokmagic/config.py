"""Where settings come from: defaults, then the configuration file, then the environment. Nobody else reads either.

The file is ``config.toml`` in ``$TOKMAGIC_HOME``, else in the platform's configuration folder. A limit that stands
there or in the environment can be lowered from a notebook, never raised. So the limits of the environment come on top
of the file's and replace none.

A model whose price nobody publishes gets one in the file, in US dollars per million tokens::

    [prices."ollama/*"]
    input = "0"
    output = "0"

A service of one's own, or another place of a known one, is a table as in ``compatible.toml``::

    [services.azure]
    base_url = "https://NAME.openai.azure.com"
    deployments = { "my-deployment" = "gpt-4o" }
"""

from __future__ import annotations

import getpass
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Limit
from tokmagic.core.models import Service
from tokmagic.core.prices import Price, price_of
from tokmagic.core.words import parse_limit
from tokmagic.providers.registry import with_tables

#: Setting -> the environment variable that overrides it.
VARIABLES: Mapping[str, str] = {
    "model": "TOKMAGIC_MODEL",
    "limits": "TOKMAGIC_LIMITS",
    "ledger": "TOKMAGIC_LEDGER",
    "team": "TOKMAGIC_TEAM",
    "demo_pace": "TOKMAGIC_DEMO_PACE",
    "replay_megabytes": "TOKMAGIC_REPLAY_MEGABYTES",
}
#: Tokens per second of a demo answer: slow enough to be seen, fast enough not to bore.
DEMO_PACE = 400.0
REPLAY_MEGABYTES = 256.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every client of this process.

    Attributes:
        home: folder of the book.
        model: the default model, or None to look for a key.
        limits: set by configuration.
        prices: the user's own, by pattern over ``provider/model`` names; of several the last one holds.
        tokenizers: the user's own, by the same patterns: a name, or the path of a ``tokenizer.json``.
        ledger: where the book is; a path or a URL, whose password no ``repr`` shows.
        user, team: for the scopes of these names.
        max_tokens: default bound of an answer; None takes what is safe for the model.
        timeout: seconds a reply may take.
        demo_pace: tokens per second of the demo models; 0 for instant.
        services: every service by name, in the order in which a default is looked for.
        replay_megabytes: most that is kept of answers, to be replayed when the same is asked again; 0 keeps none.
    """

    home: Path
    model: str | None = None
    limits: tuple[Limit, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    ledger: str = field(default="", repr=False)
    user: str = ""
    team: str = ""
    max_tokens: int | None = None
    timeout: float = 600.0
    demo_pace: float = DEMO_PACE
    services: Mapping[str, Service] = field(default_factory=lambda: with_tables({}))
    replay_megabytes: float = REPLAY_MEGABYTES

    def tokenizer_of(self, names: Iterable[str]) -> str | None:
        """The tokenizer that the user set for a model of these ``provider/model`` names, or None."""
        found = [
            tokenizer
            for pattern, tokenizer in self.tokenizers.items()
            if any(fnmatchcase(name.lower(), pattern.lower()) for name in names)
        ]
        return found[-1] if found else None


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: naming the file or variable, the setting and what would do.
    """
    home, file = places(environ)
    values = _read(file)
    limits = _limits(values.get("limits", ()), str(file))
    for name, variable in VARIABLES.items():
        if environ.get(variable):
            values[name] = environ[variable]
    variable = VARIABLES["limits"]
    return Settings(
        home=home,
        model=str(values["model"]) if values.get("model") else None,
        limits=(*limits, *_limits(environ.get(variable, ""), variable)),
        prices=_prices(values.get("prices", {}), file),
        tokenizers=_tokenizers(values.get("tokenizers", {}), file),
        ledger=str(values.get("ledger") or home / "book.sqlite"),
        user=_user(),
        team=str(values.get("team", "")),
        max_tokens=int(_number("max_tokens", values["max_tokens"], least=1)) if "max_tokens" in values else None,
        timeout=_number("timeout", values.get("timeout", 600.0), least=1),
        demo_pace=_number("demo_pace", values.get("demo_pace", DEMO_PACE)),
        services=_services(values.get("services", {}), file, environ),
        replay_megabytes=_number("replay_megabytes", values.get("replay_megabytes", REPLAY_MEGABYTES)),
    )


def places(environ: Mapping[str, str]) -> tuple[Path, Path]:
    """The folder of the book, and the configuration file."""
    if environ.get("TOKMAGIC_HOME"):
        home = Path(environ["TOKMAGIC_HOME"]).expanduser()
        return home, home / "config.toml"
    import platformdirs

    return platformdirs.user_state_path("tokmagic"), platformdirs.user_config_path("tokmagic") / "config.toml"


def _read(file: Path) -> dict[str, Any]:
    known = (*VARIABLES, "max_tokens", "timeout", "prices", "tokenizers", "services")
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}. Mend or remove it.") from None
    for name in values:
        if name not in known:
            raise ConfigurationError(f"{file}: unknown setting {name!r}; the known ones are {', '.join(known)}.")
    return values


def _limits(limits: object, place: str) -> tuple[Limit, ...]:
    try:
        return tuple(parse_limit(words, source="config") for words in _words(limits))
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from None


def _prices(tables: object, file: Path) -> dict[str, Price]:
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f'{file}: prices are tables such as [prices."ollama/*"] with input and output.')
    prices = {}
    for pattern, dollars in tables.items():
        try:
            prices[pattern] = price_of(dollars, f"{file}: {pattern}")
        except ConfigurationError as error:
            raise ConfigurationError(f'{file}: [prices."{pattern}"]: {error}') from None
    return prices


def _services(tables: object, file: Path, environ: Mapping[str, str]) -> Mapping[str, Service]:
    """Every service; where the environment names another place of one, that holds."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{file}: services are tables such as [services.vllm] with a base_url.")
    known = dict(with_tables({}))
    for name, table in tables.items():
        try:
            known[name] = with_tables({name: table})[name]
            _address(table.get("base_url", ""))
        except ValueError as error:
            raise ConfigurationError(f"{file}: [services.{name}]: {error}.") from None
    for name, service in known.items():
        if service.url_variable and (url := environ.get(service.url_variable, "").strip()):
            try:
                known[name] = replace(service, base_url=_address(url))
            except ValueError as error:
                raise ConfigurationError(f"{service.url_variable}: {error}.") from None
    return known


def _address(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
        raise ValueError(f"{url!r} is no address such as https://example.org/v1")
    return url


def _tokenizers(table: object, file: Path) -> dict[str, str]:
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise ConfigurationError(f'{file}: [tokenizers] has lines such as "ollama/*" = "path/of/tokenizer.json".')
    return {pattern: _beside(name, file) for pattern, name in table.items()}


def _beside(name: str, file: Path) -> str:
    """A path is taken from the folder of the configuration file."""
    return str(file.parent / Path(name).expanduser()) if name.endswith(".json") else name


def _words(limits: object) -> list[str]:
    words = [part for part in limits.split(";") if part.strip()] if isinstance(limits, str) else limits
    if not isinstance(words, list | tuple) or not all(isinstance(part, str) for part in words):
        raise ConfigurationError(f"limits is a list of words such as '5 usd/day', not {limits!r}.")
    return list(words)


def _number(name: str, value: Any, least: float = 0) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not least <= number < float("inf"):
        raise ConfigurationError(f"{name} is a finite number of {least} or more, not {value!r}.")
    return number


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "user"
