"""The embedded server: the wire protocols on a loopback port, over a pluggable engine.

It is as strict as the real services where they are strict, so that what passes it passes them. Importing this package
costs nothing: the web framework comes with the first look at ``start_server``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import EmbeddedServer, start_server

logging.getLogger("tokmagic").addHandler(logging.NullHandler())
__all__ = ["EmbeddedServer", "start_server"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import run

    return getattr(run, name)
