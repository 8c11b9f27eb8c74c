"""Settings come from defaults, then the file, then the environment; what cannot be used is refused by its place."""

import pytest

from tokmagic.config import has_key, key_of, load_settings
from tokmagic.core.errors import ConfigurationError, MissingKey
from tokmagic.core.models import Service


def settings(tmp_path, text="", **environ):
    (tmp_path / "config.toml").write_text(text)
    return load_settings({"TOKMAGIC_HOME": str(tmp_path), **environ})


def test_without_a_word_the_defaults_hold_and_the_book_lies_at_home(tmp_path):
    found = load_settings({"TOKMAGIC_HOME": str(tmp_path)})
    assert (found.model, found.limits, found.max_tokens) == (None, (), 4_096)
    assert found.ledger == str(tmp_path / "book.sqlite")


def test_without_a_home_the_platform_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert "tokmagic" in load_settings({}).ledger


def test_the_file_sets_and_the_environment_wins(tmp_path):
    text = 'model = "demo/chat"\nlimits = ["5 usd/day", "200k tokens/session"]\nmax_tokens = 100'
    assert settings(tmp_path, text).model == "demo/chat"
    found = settings(tmp_path, text, TOKMAGIC_MODEL="demo/small", TOKMAGIC_LIMITS="1 usd/day; 9 usd/month")
    assert found.model == "demo/small"
    assert [str(limit) for limit in found.limits] == ["$1.00/day", "$9.00/month"]
    assert {limit.source for limit in found.limits} == {"config"}
    assert found.max_tokens == 100


@pytest.mark.parametrize(
    "text",
    [
        *("limits = ['5 usd']", "limits = 5", "limits = [5]", "nonsense", "modle = 'demo/chat'", "max_tokens = -1"),
        *("max_tokens = 0", "timeout = 'nan'", "timeout = 0", "demo_pace = inf"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, text):
    with pytest.raises(ConfigurationError) as refused:
        settings(tmp_path, text)
    assert "\n" not in str(refused.value)


SERVICE = Service("anthropic", "messages", key_variable="ANTHROPIC_API_KEY")


def test_a_missing_key_names_its_variable_and_the_demo():
    with pytest.raises(MissingKey, match=r"ANTHROPIC_API_KEY.*demo/claude"):
        key_of(SERVICE, {})
    assert not has_key(SERVICE, {"ANTHROPIC_API_KEY": "  "})


def test_a_key_shows_nothing_of_itself():
    key = key_of(SERVICE, {"ANTHROPIC_API_KEY": " sk-ant-secret-value "})
    assert key.reveal() == "sk-ant-secret-value"
    assert "secret" not in f"{key!r} {key} {[key]}"


@pytest.mark.parametrize("value", ["sk-ключ", "sk-a b", "sk-a\nb"])
def test_what_cannot_be_a_key_is_refused_unshown(value):
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY holds characters") as refused:
        key_of(SERVICE, {"ANTHROPIC_API_KEY": value})
    assert value not in str(refused.value)


def test_a_service_without_a_key_needs_none():
    assert has_key(Service("ollama", "chat"), {})
    assert not key_of(Service("ollama", "chat"), {})
