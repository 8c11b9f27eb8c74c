"""Settings come from defaults, then the file, then the environment; what cannot be used is refused by its place."""

import re

import pytest

from tokmagic.config import load_settings
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Account, Level, Refused
from tokmagic.core.messages import user
from tokmagic.core.models import Model
from tokmagic.core.planning import Wishes, plan_call
from tokmagic.core.receipts import refusal
from tokmagic.core.words import parse_limit
from tokmagic.tokenizers import counter


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
    plan = plan_call(model, (user("hi"),), Wishes(max_tokens=10), counter("o200k_base"))
    shown = str(refusal(Refused(level, None, never=True), plan, now=0.0))
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


def test_a_service_may_be_elsewhere_and_one_of_ones_own_may_be_added(tmp_path):
    text = """
        [services.vllm]
        base_url = "http://gpu.lab:8000/v1"
        [services.lab]
        base_url = "https://lab.example.org/v1"
        key_variable = "LAB_KEY"
        protocol = "responses"
        [services.azure]
        base_url = "https://mine.openai.azure.com"
        deployments = { "team-chat" = "gpt-4o" }
        """
    found = settings(tmp_path, text).services
    assert found["vllm"].base_url == "http://gpu.lab:8000/v1"
    assert found["vllm"].open
    assert (found["lab"].protocol, found["lab"].key_variable, found["lab"].open) == ("responses", "LAB_KEY", True)
    assert found["azure"].deployments == {"team-chat": "gpt-4o"}
    assert found["azure"].azure
    assert next(iter(found)) == "anthropic"


def test_the_environment_names_another_place_of_a_service(tmp_path):
    table = '[services.openai]\nbase_url = "https://file.example.org/v1"'
    assert settings(tmp_path, table).services["openai"].base_url == "https://file.example.org/v1"
    found = settings(tmp_path, table, OPENAI_BASE_URL="https://gateway.example.org/v1").services
    assert found["openai"].base_url == "https://gateway.example.org/v1"
    assert found["anthropic"].base_url == ""
    with pytest.raises(ConfigurationError, match=r"AZURE_OPENAI_ENDPOINT: 'mine' is no address"):
        settings(tmp_path, AZURE_OPENAI_ENDPOINT="mine")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("services = 5", "services are tables"),
        ("[services]\nvllm = 5", "services are tables"),
        ("[services.lab]\nopen = true", "needs its base_url"),
        ('[services.vllm]\nurl = "x"', "unknown field 'url'"),
        ("[services.vllm]\nbase_url = 5", "base_url = 5 is no str"),
        ('[services.vllm]\nbase_url = "localhost:8000"', "is no address"),
        ('[services.vllm]\nbase_url = "http://localhost:80000"', "out of range"),
        ('[services.vllm]\nprotocol = "soap"', "protocol is one of"),
        ("[services.azure]\ndeployments = { a = 1 }", "deployments has lines"),
        ('[services.demo]\nbase_url = "http://x.org"', "demo and names with a slash are taken"),
    ],
)
def test_a_service_that_cannot_be_used_is_refused_by_its_place(tmp_path, table, why):
    with pytest.raises(ConfigurationError) as refused:
        settings(tmp_path, table)
    assert why in str(refused.value)
    assert "config.toml" in str(refused.value)
    assert "\n" not in str(refused.value)
