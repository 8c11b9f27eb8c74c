"""Who is told of each entry that ends in the book: metrics, a log, a test. A hook can fail; no call fails with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeAlias

from tokmagic.core.book import Entry
from tokmagic.core.checks import require

log = logging.getLogger("tokmagic")

Hook: TypeAlias = Callable[[Entry], object]

_hooks: list[Hook] = []
_lock = threading.Lock()


def on_entry(hook: Hook) -> Callable[[], None]:
    """Call ``hook`` with each entry of this process that ends: settled, released or unsettled.

    It is called from the thread that ended the entry, so it should be quick. What it raises is logged.

    Returns:
        What takes the hook away again; calling that twice is a no-op.

    Raises:
        ConfigurationError: it cannot be called.
    """
    require(Callable, "hook", hook, "a function that takes an entry")  # type: ignore[arg-type]
    with _lock:
        _hooks.append(hook)

    def forget() -> None:
        with _lock:
            if hook in _hooks:
                _hooks.remove(hook)

    return forget


def ended(entry: Entry) -> None:
    """Tell the hooks of an entry that ended."""
    with _lock:
        told = tuple(_hooks)
    for hook in told:
        try:
            hook(entry)
        except Exception:
            log.exception("a hook failed for entry %s", entry.id)
