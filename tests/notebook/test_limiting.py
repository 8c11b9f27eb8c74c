"""The words and traitlets about limits: what a cell may set, and what the configuration keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tokmagic import parts
from tokmagic.config import load_settings
from tokmagic.core.errors import BudgetExceeded, ConfigurationError
from tokmagic.notebook import load_ipython_extension, unload_ipython_extension
from tokmagic.notebook.magics import TokMagics
from tokmagic.notebook.state import RefusedSetting
from tokmagic.parts import Parts
from tokmagic.sync import Client

FILE = """
limits = ["5 usd/day, warn at 60 %", "0.50 usd/call", "0 requests/hour for demo/small"]
prices."ollama/*" = {input = "0", output = "0.10"}
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shell whose IPython configuration sets a limit, over a book and a configuration file of its own."""
    (tmp_path / "config.toml").write_text(FILE)
    found = Parts(load_settings({"TOKMAGIC_HOME": str(tmp_path), "TOKMAGIC_MODEL": "demo/claude"}))
    monkeypatch.setattr(parts, "_shared", (os.getpid(), found))
    yield InteractiveShell(config=Config({"TokMagics": {"limits": ["200k tokens/session"]}}))
    found.close()


@pytest.fixture
def magics(shell: Any) -> TokMagics:
    return TokMagics(shell)


def tokens(magics: TokMagics, line: str) -> str:
    from tokmagic.notebook.tokens import answer

    text: str = answer(magics, line)["text/plain"]
    return text


def test_limits_are_listed_with_who_set_them_and_where_they_warn(magics: TokMagics) -> None:
    tokens(magics, 'limit "9 usd/month, warn at 90 %"')
    lines = tokens(magics, "limits").splitlines()
    shown = {" ".join(line.split()) for line in lines}
    assert any(line.startswith("$5.00/day user refuse 60 % config $5.00 play") for line in shown)
    assert any(line.startswith("$0.50/call session refuse - config per call") for line in shown)
    assert any(line.startswith("200k tokens/session session refuse 80 % config") for line in shown)
    assert any(line.startswith("$9.00/month user refuse 90 % notebook") for line in shown)
    assert any(line.startswith("50 requests/minute for demo/claude key wait - provider") for line in shown)


@pytest.mark.parametrize("words", ["6 usd/day", "0.51 usd/call", "201k tokens/session", "6 usd/day for *"])
def test_a_limit_above_one_of_the_configuration_is_refused(magics: TokMagics, words: str) -> None:
    with pytest.raises(ConfigurationError, match="set by the configuration: a cell can lower it, not raise it to"):
        tokens(magics, f'limit "{words}"')
    assert magics.limits == ["200k tokens/session"]


def test_the_limits_set_in_the_notebook_can_be_removed_and_those_of_the_configuration_stay(magics: TokMagics) -> None:
    tokens(magics, "limit 1 usd/day")
    tokens(magics, "limit 9 usd/month")
    left = tokens(magics, "limit off")
    assert "$1.00/day" not in left
    assert "$9.00/month" not in left
    assert "$5.00/day" in left
    assert "200k tokens/session" in left
    assert "off removes" in tokens(magics, "help")


def test_a_lower_limit_holds_and_may_be_raised_again_up_to_the_configuration(magics: TokMagics) -> None:
    tokens(magics, "limit 1 usd/day")
    assert "$1.00/day" in tokens(magics, "limits")
    tokens(magics, "limit 5 usd/day")
    assert "$1.00/day" not in tokens(magics, "limits")
    assert "$5.00/day" in tokens(magics, "limits")


@pytest.mark.parametrize("limits", [[], ["900k tokens/session"], ["500 usd/day", "9 requests/hour for demo/*"]])
def test_no_setting_of_the_magics_lifts_a_limit_of_the_configuration(magics: TokMagics, limits: list[str]) -> None:
    magics.limits = limits
    client = magics.client()
    held = {str(limit): limit.source for limit in client.limits}
    assert held["$5.00/day"] == held["$0.50/call"] == held["200k tokens/session"] == "config"
    with pytest.raises(BudgetExceeded, match="0 requests/hour for demo/small"):
        client.send("Hello", model="demo/small", limits=["9 requests/hour for demo/small"])


def test_a_word_that_is_no_limit_leaves_the_setting_as_it_was(magics: TokMagics) -> None:
    magics.limits = ["1 usd/day"]
    with pytest.raises(RefusedSetting, match="the unit 'eur' is not known"):
        magics.limits = ["5 eur/day"]
    assert magics.limits == ["1 usd/day"]


def test_a_plan_shows_a_call_without_sending_it(magics: TokMagics) -> None:
    shown = tokens(magics, "plan 'How deep is the sea?'")
    assert "nothing was sent" in shown
    assert "demo/claude" in shown
    assert magics.client().history() == ()


def test_a_plan_of_nothing_shows_the_sizes_that_are_safe(magics: TokMagics) -> None:
    shown = {tuple(line.rsplit(maxsplit=1)) for line in tokens(magics, "plan").splitlines()}
    assert {("context window", "200,000"), ("safe max_tokens", "16,000"), ("extended output", "64,000")} <= {
        (name.strip(), number) for name, number in shown
    }


def test_the_settings_in_force_show_no_password_of_the_book(magics: TokMagics) -> None:
    found = parts.shared_parts()
    found.settings = replace(found.settings, ledger="rediss://me:hunter2@host:7/1?prefix=team")
    assert "rediss://host:7/1?prefix=team" in tokens(magics, "config")
    assert "hunter2" not in tokens(magics, "config") + repr(found.settings)


def test_the_settings_in_force_name_limits_by_their_origin_and_prices(magics: TokMagics) -> None:
    tokens(magics, "limit 1 usd/hour")
    shown = tokens(magics, "config")
    assert "$5.00/day; $0.50/call; 0 requests/hour for demo/small; 200k tokens/session" in shown
    assert "1 usd/hour" in shown
    assert "ollama/*: $0.00 in, $0.10 out per million" in shown


def test_a_limit_set_in_the_notebook_binds_plain_python_there_until_it_is_unloaded(shell: Any) -> None:
    load_ipython_extension(shell)
    try:
        shell.user_ns["__vsc_ipynb_file__"] = "/home/tea.ipynb"
        shell.run_line_magic("tokens", 'limit "1 requests/session"')
        client = Client("demo/claude", max_tokens=20)
        client.send("How is tea made?")
        with pytest.raises(BudgetExceeded, match="1 requests/session has 0 requests left"):
            client.send("And coffee?")
        assert client.history(1)[0].notebook == "tea.ipynb"
    finally:
        unload_ipython_extension(shell)
    assert Client("demo/claude", max_tokens=20).send("And coffee?").text
