"""What the magics of one kernel share: their settings, the client, the threads and the panels.

A client is built on first use, and again when a setting has changed; the threads and the limits of the IPython
configuration stay until the kernel ends. The magics are above it, and each word of ``%tokens`` is given it.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics
from traitlets import Float, Int, List, TraitError, Unicode, observe, validate

from tokmagic.core.errors import ConfigurationError, OneLine

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from tokmagic.conversation import Conversation
    from tokmagic.core.limits import Limit
    from tokmagic.displays import Display
    from tokmagic.notebook.panel import Panel
    from tokmagic.notebook.widget import GaugeWidget
    from tokmagic.sync import Client


#: The label of the cell in which this code, or the task that it is part of, was begun.
_cell: ContextVar[str] = ContextVar("tokmagic_cell")


class RefusedSetting(OneLine, TraitError):
    """A setting of the magics that cannot be used; what it was before still holds."""


class MagicsState(Magics):
    """The settings of the magics, and what they made with them.

    The limits it is loaded with are those of the IPython configuration: they hold until the kernel ends, whatever
    ``limits`` is set to afterwards.

    Attributes:
        threads: the named conversations of this kernel.
        panel: pushes the state to the sidebar; None where there is no kernel.
    """

    shell: InteractiveShell  # type: ignore[assignment, unused-ignore]

    model = Unicode("", help="provider/model of cells that name none; empty takes the first whose key is set").tag(
        config=True
    )
    limits = List(
        Unicode(), help='limits of every call, such as ["5 usd/day, warn at 60 %", "200k tokens/session"]'
    ).tag(config=True)
    system = Unicode("", help="system text of cells that name none").tag(config=True)
    max_tokens = Int(0, min=0, help="bound of an answer, in tokens; 0 takes the default").tag(config=True)
    render_hz = Float(10.0, min=0.1, max=60.0, help="drawings of a growing answer per second").tag(config=True)

    def __init__(self, shell: InteractiveShell, **settings: Any) -> None:
        super().__init__(shell, **settings)
        self._configured: tuple[str, ...] = tuple(self.limits)
        self.threads: dict[str, Conversation] = {}
        self.panel: Panel | None = None
        self._cell = ""
        self._client: Client | None = None
        self._widget: GaugeWidget | None = None

    def client(self) -> Client:
        """The client of this kernel, built on first use and again when its settings change.

        Raises:
            ConfigurationError: a limit that cannot be used.
        """
        if self._client is None:
            from tokmagic.sync import Client

            limits: list[str | Limit] = [*self.configured_limits(), *self.notebook_limits()]
            self._client = Client(self.model or None, limits=limits)
        return self._client

    def notebook_name(self) -> str:
        """The file's name, by what Jupyter or the editor told the kernel; empty where nobody did."""
        path = os.environ.get("JPY_SESSION_NAME") or self.shell.user_ns.get("__vsc_ipynb_file__") or ""
        return PurePath(str(path)).name

    def before_cell(self, _: Any = None) -> None:
        """A cell begins: calls from it bear its label, also those of a task that outlives it."""
        self._cell = f"cell {self.shell.displayhook.prompt_count}"
        _cell.set(self._cell)

    def cell_label(self) -> str:
        """The cell that calls; in a thread the last that began, for a thread does not know where it comes from."""
        return _cell.get(self._cell)

    def configured_limits(self) -> tuple[Limit, ...]:
        """The limits of the IPython configuration."""
        from tokmagic.core.words import parse_limit

        return tuple(parse_limit(words, source="config") for words in self._configured)

    def notebook_limits(self) -> list[str]:
        """The limits set since it was loaded, in their words."""
        return [words for words in self.limits if words not in self._configured]

    def show_state(self) -> None:
        """Give the sidebar its first state; the book is opened for that only if it is in use already."""
        from tokmagic.notebook.panel import READY, Panel, connect, in_use, state_of

        state = partial(state_of, self.client)
        self.panel = Panel(state, connect)
        self.panel.open(state() if in_use() else READY)

    def hide_state(self) -> None:
        """Take the panels away."""
        if self._widget is not None:
            self._widget.close()
            self._widget = None
        if self.panel is not None:
            self.panel.close()
            self.panel = None

    def bar(self) -> Display:
        """What shows how far many rows are, in the cell that waits for them."""
        from tokmagic.notebook.bar import BarDisplay

        return BarDisplay(self.shell.display_pub, self.pulse)

    def pulse(self) -> None:
        """A call goes on: let the panels follow."""
        if self.panel is not None:
            self.panel.pulse()

    def after_cell(self, _: Any = None) -> None:
        """A cell ended: let the panels show what it left, if it can have touched the book."""
        from tokmagic.notebook.panel import in_use

        if self.panel is not None and in_use():
            self.panel.push()

    def widget(self) -> GaugeWidget:
        """The panel to be shown inside a notebook.

        Raises:
            ConfigurationError: there is no notebook, or the panel is not built.
        """
        if self.panel is None:
            raise ConfigurationError("%tokens panel needs a notebook: %tokens shows the same as a table.")
        if self._widget is None:
            from tokmagic.notebook.widget import GaugeWidget

            self._widget = GaugeWidget(self.panel)
        return self._widget

    def model_names(self) -> tuple[str, ...]:
        """Every model there is, for completion."""
        from tokmagic import catalog
        from tokmagic.parts import shared_parts

        return catalog.names(shared_parts().services().values())

    @validate("limits")
    def _usable(self, proposal: Any) -> list[str]:
        from tokmagic.core.words import parse_limit

        try:
            for words in proposal["value"]:
                parse_limit(words)
        except ConfigurationError as error:
            raise RefusedSetting(str(error)) from None
        limits: list[str] = proposal["value"]
        return limits

    @observe("model", "limits")
    def _forget_client(self, _: Any) -> None:
        self._client = None
