"""The panel inside a notebook: an anywidget over the component that the sidebar draws.

It keeps no state of its own: snapshots come as messages and are not synced, so that a saved notebook holds no numbers
that would look live when it is opened again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anywidget import AnyWidget

from tokmagic.core.errors import ConfigurationError
from tokmagic.notebook.markup import Bundle
from tokmagic.notebook.panel import HELLO, Panel

#: Where the build puts the bundled component.
STATIC = Path(__file__).parents[1] / "static"


class GaugeWidget(AnyWidget):  # type: ignore[misc, unused-ignore]
    """Shows the panel's state, and asks for it when it is shown.

    Raises:
        ConfigurationError: the component was not built.
    """

    def __init__(self, panel: Panel) -> None:
        self._esm = _built("widget.js")
        self._css = _built("widget.css")
        super().__init__()
        self._panel = panel
        self.on_msg(self._answer)
        panel.watch(self.send)

    def bundle(self) -> Bundle:
        """What shows it in a cell's output."""
        data, _ = self._repr_mimebundle_() or ({}, {})
        return {**data, "text/plain": "The token gauge, live while its kernel runs."}

    def _answer(self, _: Any, message: Any, __: Any) -> None:
        if message.get("type") == HELLO:
            self._panel.tell()


def _built(name: str) -> str:
    try:
        return (STATIC / name).read_text("utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            "%tokens panel: the panel is not built in this checkout: run make lab, or use %tokens."
        ) from None
