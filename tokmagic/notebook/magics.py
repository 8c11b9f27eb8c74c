"""The magics: ``%%llm`` sends a cell, ``%tokens`` shows the gauge. What they need is imported on first use.

Loading registers names and nothing more, so that it costs a few milliseconds: no SDK, no tokenizer, no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import cell_magic, line_magic, magics_class, no_var_expand

from tokmagic.notebook.arguments import cell_arguments, parse_cell
from tokmagic.notebook.completion import matcher
from tokmagic.notebook.state import MagicsState

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@magics_class
class TokMagics(MagicsState):
    """LLM cells and their fuel gauge.

    Attributes:
        matcher: completes the magics' options.
    """

    def __init__(self, shell: InteractiveShell, **settings: Any) -> None:
        super().__init__(shell, **settings)
        self.matcher = matcher(self)

    @no_var_expand
    @cell_arguments
    @cell_magic
    def llm(self, line: str, cell: str) -> None:
        """Send the cell to a model and show its answer; the reply is bound to NAME and to _llm.

        {{expression}} in the cell is replaced by its value. Write NAME << before the options to bind the reply.
        """
        options = parse_cell(vars(TokMagics.llm)["parser"], line)
        from tokmagic.notebook.cell import Street, run

        street = Street(
            shell=self.shell,
            client=self.client(),
            threads=self.threads,
            system=self.system or None,
            max_tokens=self.max_tokens or None,
            hz=self.render_hz,
            pulse=self.pulse,
        )
        run(street, options, cell)

    @no_var_expand
    @line_magic
    def tokens(self, line: str) -> None:
        """Show what is left, what it cost, what was cut and why it waits; %tokens help lists what else there is."""
        from tokmagic.notebook.tokens import answer

        self.shell.display_pub.publish(answer(self, line))
