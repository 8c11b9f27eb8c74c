"""tokmagic: LLM cells for Jupyter with a fuel gauge.

Importing it loads no SDK, no widgets and no tokenizer data; each name below loads what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokmagic.api import chunk as chunk
    from tokmagic.api import clear_cache as clear_cache
    from tokmagic.api import count as count
    from tokmagic.api import fit as fit
    from tokmagic.api import models as models
    from tokmagic.api import price as price
    from tokmagic.api import record as record
    from tokmagic.api import safe_limits as safe_limits
    from tokmagic.api import truncate as truncate
    from tokmagic.api import usage as usage
    from tokmagic.client import AsyncClient as AsyncClient
    from tokmagic.conversation import Conversation as Conversation
    from tokmagic.core.compaction import Compacting as Compacting
    from tokmagic.core.errors import BudgetExceeded as BudgetExceeded
    from tokmagic.core.errors import ConfigurationError as ConfigurationError
    from tokmagic.core.errors import Interrupted as Interrupted
    from tokmagic.core.errors import InvalidPrompt as InvalidPrompt
    from tokmagic.core.errors import LedgerError as LedgerError
    from tokmagic.core.errors import MissingKey as MissingKey
    from tokmagic.core.errors import ProviderError as ProviderError
    from tokmagic.core.errors import RequestTooLarge as RequestTooLarge
    from tokmagic.core.errors import TokmagicError as TokmagicError
    from tokmagic.core.errors import UnknownModel as UnknownModel
    from tokmagic.core.messages import Audio as Audio
    from tokmagic.core.messages import Document as Document
    from tokmagic.core.messages import Image as Image
    from tokmagic.core.messages import Message as Message
    from tokmagic.core.messages import Text as Text
    from tokmagic.core.messages import Tool as Tool
    from tokmagic.core.messages import ToolCall as ToolCall
    from tokmagic.core.messages import ToolResult as ToolResult
    from tokmagic.core.quotes import Quote as Quote
    from tokmagic.core.replies import Reply as Reply
    from tokmagic.core.usage import Usage as Usage
    from tokmagic.guarding.clients import guard as guard
    from tokmagic.hooks import on_entry as on_entry
    from tokmagic.metrics import export_metrics as export_metrics
    from tokmagic.notebook import load_ipython_extension as load_ipython_extension
    from tokmagic.notebook import unload_ipython_extension as unload_ipython_extension
    from tokmagic.sync import Client as Client

__version__ = "0.1.0"

_HOMES = {
    "tokmagic.api": (
        "chunk",
        "clear_cache",
        "count",
        "fit",
        "models",
        "price",
        "record",
        "safe_limits",
        "truncate",
        "usage",
    ),
    "tokmagic.client": ("AsyncClient",),
    "tokmagic.conversation": ("Conversation",),
    "tokmagic.core.compaction": ("Compacting",),
    "tokmagic.core.errors": (
        "BudgetExceeded",
        "ConfigurationError",
        "Interrupted",
        "InvalidPrompt",
        "LedgerError",
        "MissingKey",
        "ProviderError",
        "RequestTooLarge",
        "TokmagicError",
        "UnknownModel",
    ),
    "tokmagic.core.messages": ("Audio", "Document", "Image", "Message", "Text", "Tool", "ToolCall", "ToolResult"),
    "tokmagic.core.quotes": ("Quote",),
    "tokmagic.core.replies": ("Reply",),
    "tokmagic.core.usage": ("Usage",),
    "tokmagic.functions": ("mcp_tools",),
    "tokmagic.guarding.clients": ("guard",),
    "tokmagic.hooks": ("on_entry",),
    "tokmagic.metrics": ("export_metrics",),
    "tokmagic.notebook": ("load_ipython_extension", "unload_ipython_extension"),
    "tokmagic.results": ("ToolError",),
    "tokmagic.sync": ("Client",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
