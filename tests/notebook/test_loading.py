from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[[str], tuple[str, str]]
START = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
table = shell.magics_manager.magics
def state():
    return (sorted(table["cell"]), sorted(table["line"]), list(shell.Completer.custom_matchers),
            list(shell.configurables), sorted(shell.magics_manager.registry))
before, modules = state(), set(sys.modules)
"""


@pytest.fixture
def output_of(tmp_path: Path, environment: Callable[[Path], dict[str, str]]) -> Callable[[str], tuple[str, str]]:
    def run(script: str) -> tuple[str, str]:
        command = [sys.executable, "-W", "error", "-c", START + script]
        env = environment(tmp_path)
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr

    return run


def test_loading_registers_the_magics_and_imports_no_sdk_no_widgets_no_tokenizer(
    output_of: Run, tmp_path: Path
) -> None:
    script = """
shell.extension_manager.load_extension("tokmagic")
print({"llm", "tok"} <= set(table["cell"]), "tokens" in table["line"])
heavy = {"anthropic", "openai", "httpx", "httpx2", "ipywidgets", "anywidget", "tiktoken", "genai_prices", "anyio",
         "starlette", "uvicorn", "sqlite3", "platformdirs", "tokmagic.sync", "tokmagic.client", "tokmagic.parts"}
new = set(sys.modules) - modules
print(sorted(heavy & new), sorted(name for name in new if name.startswith("tokmagic.core.")))
"""
    assert output_of(script) == ("True True\n[] ['tokmagic.core.errors']\n", "")
    assert list(tmp_path.iterdir()) == []


def test_unloading_takes_away_what_loading_added_and_loading_again_works(output_of: Run) -> None:
    script = """
for _ in range(2):
    shell.extension_manager.load_extension("tokmagic")
    loaded = state()
    shell.extension_manager.unload_extension("tokmagic")
    print(loaded != before, state() == before)
shell.extension_manager.load_extension("tokmagic")
shell.extension_manager.reload_extension("tokmagic")
print(state()[0] == loaded[0], len(state()[2]) == len(loaded[2]))
"""
    assert output_of(script) == ("True True\nTrue True\nTrue True\n", "")


def test_a_magic_of_the_same_name_keeps_it_and_the_other_name_is_offered(output_of: Run) -> None:
    script = """
def llm(line, cell):
    print("theirs", cell.strip())
llm.__module__ = "cellmage"
shell.register_magic_function(llm, "cell", "llm")
shell.extension_manager.load_extension("tokmagic")
shell.run_cell("%%llm\\nhello")
shell.run_cell("%%tok --nonsense\\nhello")
shell.extension_manager.unload_extension("tokmagic")
print("llm" in table["cell"], "tok" in table["cell"])
"""
    out, err = output_of(script)
    assert "theirs hello" in out
    assert "ConfigurationError: Unknown option --nonsense." in out
    assert out.endswith("True False\n")
    assert err == "tokmagic: %%llm already belongs to cellmage; use %%tok for tokmagic.\n"


def test_the_help_of_the_magic_shows_its_options(output_of: Run) -> None:
    script = """
shell.extension_manager.load_extension("tokmagic")
print(shell.object_inspect("%%llm")["docstring"])
"""
    out, _ = output_of(script)
    assert "--max-tokens" in out
    assert "NAME <<" in out


def test_completion_offers_exactly_our_options_and_values(output_of: Run) -> None:
    script = """
shell.extension_manager.load_extension("tokmagic")
from IPython.core.completer import provisionalcompleter
def complete(text, body="\\nhello"):
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text + body, len(text))]
print(complete("%%llm --max"))
print(complete("%%tok --truncate "))
print(complete("%%llm --format j"))
print(complete("%%llm -m demo/s"))
print(complete("%tokens hi", ""))
print("--max-tokens" in complete("%%llm --max-tokens 5 -"), "--model" in complete("%%llm --max-tokens 5 -"))
print(complete("prin", "")[:1])
print(complete("%%llm --reasoning "))
shell.user_ns["poem"] = "Roses are red."
print(complete("%tokens count po", ""), complete("%tokens count poem -", ""), complete("%tokens plan -m demo/s", ""))
print(complete("%tokens report ", ""), complete("%tokens report day t", ""), complete("%tokens guard on op", ""))
print(complete("%tokens reset ", ""), complete("%tokens limit ", ""))
open("usage-kept.csv", "w").close()
print(complete("%tokens export usage-k", ""))
"""
    out, err = output_of(script)
    assert err == ""
    assert out.splitlines() == [
        "['--max-tokens', '--max-input-tokens', '--max-iterations']",
        "['smart', 'start', 'middle', 'end', 'split', 'off']",
        "['json']",
        "['demo/small']",
        "['history']",
        "False True",
        "['print']",
        "['off', 'low', 'medium', 'high']",
        "['poem'] ['-m'] ['demo/small']",
        "['model', 'cell', 'day', 'notebook', 'session'] ['today'] ['openai', 'openrouter']",
        "['replay'] ['off']",
        "['usage-kept.csv']",
    ]


def test_where_there_is_nothing_to_show_yet_that_is_said(output_of: Run) -> None:
    script = """
shell.extension_manager.load_extension("tokmagic")
for word in ("history", "report", "threads"):
    shell.run_line_magic("tokens", word)
"""
    out, err = output_of(script)
    assert err == ""
    assert out.splitlines() == [
        "There is no call in the book yet.",
        "There is no call in the book yet.",
        "There is no conversation yet: a cell with --thread NAME begins one.",
    ]
