"""A real IPython on a real terminal: answers stream as text, Ctrl-C stops, errors are one line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.patience import PATIENCE

PROMPT = r"In \[\d+\]: "


@pytest.fixture(scope="module")
def terminal(
    tmp_path_factory: pytest.TempPathFactory, environment: Callable[[Path], dict[str, str]]
) -> Iterator[pexpect.spawn]:
    folder = tmp_path_factory.mktemp("terminal")
    command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor", "--no-confirm-exit"]
    home = {**environment(folder), "IPYTHONDIR": str(folder / "ipython"), "TERM": "dumb"}
    child = pexpect.spawn(
        sys.executable, command, env=home, encoding="utf-8", timeout=PATIENCE, dimensions=(40, 200), echo=False
    )
    child.expect(PROMPT)
    run(child, "%load_ext tokmagic")
    yield child
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()


def run(child: pexpect.spawn, line: str) -> str:
    """What a line of code shows, up to the next prompt."""
    child.sendline(line)
    child.expect(PROMPT)
    return str(child.before).replace("\r\n", "\n")


def call(options: str, prompt: str) -> str:
    return f"get_ipython().run_cell_magic('llm', {options!r}, {prompt!r})"


def test_an_answer_streams_as_text_and_ends_with_one_line_of_receipt(terminal: pexpect.spawn) -> None:
    shown = run(terminal, call("reply <<", "Tell me about rivers."))
    text = run(terminal, "print(reply.text)")
    assert text.strip() in shown
    assert re.search(r"\n\[demo/claude · [\d,]+ in · [\d,]+ out · .* play · [\d.]+ s\]\n", shown)


def test_a_mistake_is_one_line(terminal: pexpect.spawn) -> None:
    shown = run(terminal, call("--max-tokens 0", "Hello"))
    assert shown.strip() == "ConfigurationError: --max-tokens is a whole number of 1 or more, not '0'."


def test_ctrl_c_stops_the_answer_and_keeps_what_had_arrived(terminal: pexpect.spawn) -> None:
    terminal.sendline(call("stopped <<", "Write 9,000 words about rivers."))
    terminal.expect(r"\w+ \w+")
    terminal.sendintr()
    terminal.expect(PROMPT)
    shown = str(terminal.before)
    assert "Interrupted: " in shown
    assert "Traceback" not in shown
    assert "True" in run(terminal, "stopped.stopped")


def test_the_gauge_and_its_words_are_plain_text(terminal: pexpect.spawn) -> None:
    assert "Context window" in run(terminal, "%tokens")
    assert re.search(r"tokens +model +characters\n", run(terminal, "%tokens count hello"))


def test_a_call_in_plain_python_is_booked_under_the_cell_that_makes_it(terminal: pexpect.spawn) -> None:
    run(terminal, "import tokmagic as tm")
    cell = str(terminal.after).removeprefix("In [").removesuffix("]: ")
    run(terminal, "tm.Client('demo/claude').send('Hi')")
    assert re.search(rf"\bcell {cell} +1 ", run(terminal, "%tokens report cell"))
