"""Settings come from defaults, then the file, then the environment; what cannot be used is refused by its place."""

import re

import pytest

from tokmagic.config import has_key, key_of, load_settings
from tokmagic.core.errors import ConfigurationError, MissingKey
from tokmagic.core.limits import Account, Level, Refused
from tokmagic.core.models import Model, Service
from tokmagic.core.receipts import refusal
from tokmagic.core.words import parse_limit


def settings(tmp_path, text="", **environ):
    (tmp_path / "config.toml").write_text(text)
    return load_settings({"TOKMAGIC_HOME": str(tmp_path), **environ})


def test_without_a_word_the_defaults_hold_and_the_book_lies_at_home(tmp_path):
    found = load_settings({"TOKMAGIC_HOME": str(tmp_path)})
    assert (found.model, found.limits, found.max_tokens) == (None, (), None)
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
    assert [str(limit) for limit in found.limits] == [
        *("$5.00/day", "200k tokens/session", "$1.00/day", "$9.00/month"),
    ]
    assert {limit.source for limit in found.limits} == {"config"}
    assert found.max_tokens == 100


@pytest.mark.parametrize("variable", ["", " ", ";", " ; ; "])
def test_the_environment_cannot_take_a_limit_of_the_file_away(tmp_path, variable):
    assert len(settings(tmp_path, 'limits = "5 usd/day; 1 usd/call"', TOKMAGIC_LIMITS=variable).limits) == 2


def test_a_limit_that_cannot_be_used_is_named_by_its_place(tmp_path):
    with pytest.raises(ConfigurationError, match=r"config.toml: '5 eur/day': the unit 'eur' is not known"):
        settings(tmp_path, "limits = ['5 eur/day']")
    with pytest.raises(ConfigurationError, match="TOKMAGIC_LIMITS: '5 eur/day'"):
        settings(tmp_path, TOKMAGIC_LIMITS="5 eur/day")


def test_a_budget_may_warn_at_its_own_share(tmp_path):
    (limit,) = settings(tmp_path, 'limits = ["5 usd/day for anthropic/*, warn at 60 %"]').limits
    assert (limit.models, limit.warn_percent) == ("anthropic/*", 60)


def test_a_model_gets_a_price_of_ones_own(tmp_path):
    text = """
        [prices."ollama/*"]
        input = "0"
        output = 0
        [prices."anthropic/claude-next"]
        input = "3.00"
        output = 15.0
        cache_read = "0.30"
        """
    found = settings(tmp_path, text).prices
    assert list(found) == ["ollama/*", "anthropic/claude-next"]
    rates = found["anthropic/claude-next"].rates(0)
    assert (rates.input, rates.output, rates.cache_read) == (3 * 10**9, 15 * 10**9, 3 * 10**8)
    assert (rates.cache_write, rates.cache_write_1h) == (rates.input, rates.input)
    assert found["ollama/*"].rates(0).dearest_input == 0


def test_the_line_that_a_refusal_shows_is_a_price(tmp_path):
    model = Model("vllm", "my-own-llama:7b", "chat")
    level = Level(Account(parse_limit("5 usd/day"), "key", "me"))
    shown = str(refusal(Refused(level, None, never=True), model))
    found = settings(tmp_path, re.search("prices.*}", shown)[0]).prices[model.name]
    assert found.rates(0).output == 15 * 10**9


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("prices = 5", "prices are tables"),
        ("[prices]\ninput = 5", "prices are tables"),
        ('[prices."a/b"]\ninput = 5', "input and output are needed"),
        ('[prices."a/b"]\ninput = 5\noutput = -1', "output = -1 is no price"),
        ('[prices."a/b"]\ninput = nan\noutput = 1', "input = nan is no price"),
        ('[prices."a/b"]\ninput = "free"\noutput = 1', "input = 'free' is no price"),
        ('[prices."a/b"]\ninput = true\noutput = 1', "input = True is no price"),
        ('[prices."a/b"]\ninput = 1e30\noutput = 1', "is no price"),
        ('[prices."a/b"]\ninput = 1\noutput = 1\nthoughts = 1', "'thoughts' is not a kind of token"),
    ],
)
def test_a_price_that_cannot_be_used_is_refused_by_its_place(tmp_path, table, why):
    with pytest.raises(ConfigurationError) as refused:
        settings(tmp_path, table)
    assert why in str(refused.value)
    assert "config.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


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


def test_a_tokenizer_is_set_by_pattern_and_a_path_is_taken_from_the_files_folder(tmp_path):
    text = '[tokenizers]\n"ollama/*" = "models/tokenizer.json"\n"ollama/Phi*" = "cl100k_base"\n"vllm/x" = "/far/t.json"'
    found = settings(tmp_path, text)
    assert found.tokenizer_of(["ollama/llama:7b"]) == str(tmp_path / "models" / "tokenizer.json")
    assert found.tokenizer_of(["ollama/phi-4"]) == "cl100k_base"
    assert found.tokenizer_of(["my/alias", "vllm/x"]) == "/far/t.json"
    assert found.tokenizer_of(["openai/gpt-5"]) is None


@pytest.mark.parametrize("text", ["tokenizers = 7", '[tokenizers]\n"ollama/*" = 3'])
def test_what_is_no_table_of_tokenizers_is_refused(tmp_path, text):
    with pytest.raises(ConfigurationError, match=r"\[tokenizers\] has lines such as"):
        settings(tmp_path, text)
