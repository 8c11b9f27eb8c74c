"""What the README shows works: its Python runs (on a demo model), its options exist, its files are there."""

import re
from pathlib import Path

import pytest

import tokmagic as tm
from tokmagic.core.words import parse_limit
from tokmagic.notebook.arguments import OPTIONS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_its_python_runs(private_home, monkeypatch, capsys):
    monkeypatch.setenv("TOKMAGIC_DEMO_PACE", "0")
    (program,) = blocks("python")
    space = {"long_text": "The sea is deep and blue. " * 1_000}
    exec(program.replace("anthropic/claude-sonnet-5-5", "demo/claude"), space)  # noqa: S102
    assert "sky" in capsys.readouterr().out
    assert space["reply"].cost.play


def test_a_number_it_states_is_true():
    stated = re.search(r'tm\.count\("(.+?)", "(.+?)"\)\s+# (\d+), exact', README)
    assert tm.count(stated[1], stated[2]) == int(stated[3])
    assert tm.count(stated[1], stated[2]).exact


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", README))))
def test_its_options_exist(option):
    assert option in str(OPTIONS)


@pytest.mark.parametrize("words", ["5 usd/day", "200k tokens/session", "40k input_tokens/minute for anthropic/*"])
def test_its_limits_are_limits(words):
    assert words in re.sub(r"\s+", " ", README)
    assert parse_limit(words).amount > 0


@pytest.mark.parametrize("file", sorted(set(re.findall(r"\]\(([\w./-]+)\)", README))))
def test_its_files_are_there(file):
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z]+)", README))))
def test_its_commands_are_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
