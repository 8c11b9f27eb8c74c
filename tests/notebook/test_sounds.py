"""A cell that plays a sound, in a real kernel."""

from __future__ import annotations

from typing import Any

from tests.notebook.test_cells import one_line

PLAYED = "import io, wave\nfile = io.BytesIO()\nwith wave.open(file, 'wb') as sound:\n"
PLAYED += (
    "    sound.setparams((1, 2, 8_000, 0, 'NONE', ''))\n    sound.writeframes(bytes(16_000))\ntalk = file.getvalue()"
)


def test_a_cell_plays_a_variable_to_a_model_that_hears(kernel: Any) -> None:
    kernel.run(PLAYED)
    kernel.run("%%llm plain << -m demo/chat\nWhat is said?")
    cell = kernel.run("%%llm heard << -m demo/chat --audio talk\nWhat is said?")
    assert cell.reply["status"] == "ok"
    assert int(kernel.value("heard.usage.input_tokens - plain.usage.input_tokens")) > 30
    refused = kernel.run("%%llm -m demo/claude --audio talk\nWhat is said?")
    assert one_line(refused.error).startswith("RequestRejected: The Messages protocol takes no sound")
