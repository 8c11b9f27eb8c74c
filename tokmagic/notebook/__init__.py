"""The street: magics, arguments, rendering. IPython, ipywidgets and traitlets are used only here.

Loading and unloading mirror each other: what one adds to the shell, the other takes away.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tokmagic import displays, surroundings

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: Another name of ``%%llm``, for notebooks in which that one is taken.
ALIAS = "tok"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%%llm``, ``%%tok`` and ``%tokens``, their completion, and the panel where there is a kernel."""
    from tokmagic.notebook.magics import TokMagics

    magics = TokMagics(shell)
    magics.magics["cell"][ALIAS] = magics.magics["cell"]["llm"]
    taken = shell.magics_manager.magics["cell"].get("llm")
    if taken is not None:
        owner = getattr(taken, "__module__", None) or type(taken).__module__
        sys.stderr.write(f"tokmagic: %%llm already belongs to {owner}; use %%{ALIAS} for tokmagic.\n")
        del magics.magics["cell"]["llm"]
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)
    shell.events.register("pre_run_cell", magics.before_cell)
    magics.before_cell()
    here = surroundings.Notebook(
        name=magics.notebook_name,
        cell=magics.cell_label,
        limits=lambda: magics.client().limits,
        pulse=magics.pulse,
    )
    surroundings.enter(here)
    if getattr(shell, "kernel", None) is not None:
        magics.show_state()
        displays.use(magics.bar)
        shell.events.register("post_run_cell", magics.after_cell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take away what loading added; magics that others have registered since stay."""
    manager = shell.magics_manager
    magics = manager.registry.pop("TokMagics")
    for kind, table in magics.magics.items():
        for name, function in table.items():
            if manager.magics[kind].get(name) == function:
                del manager.magics[kind][name]
    shell.configurables.remove(magics)
    shell.Completer.custom_matchers.remove(magics.matcher)
    surroundings.enter(surroundings.NONE)
    shell.events.unregister("pre_run_cell", magics.before_cell)
    if magics.panel is not None:
        shell.events.unregister("post_run_cell", magics.after_cell)
        displays.use(None)
        magics.hide_state()
    if "tokmagic.guarding.clients" in sys.modules:
        sys.modules["tokmagic.guarding.clients"].release_every_client()
