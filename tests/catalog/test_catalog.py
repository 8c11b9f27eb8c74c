"""Names become models: prices, windows and tokenizers, or a refusal with the nearest names."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from tokmagic import catalog
from tokmagic.core.errors import UnknownModel
from tokmagic.core.images import COMMON, Patches, Tiles
from tokmagic.core.models import Service
from tokmagic.core.prices import Price, Rates, ceiling, cost
from tokmagic.core.usage import Usage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SERVICES = {
    "anthropic": Service("anthropic", "messages"),
    "openai": Service("openai", "chat"),
    "deepseek": Service("deepseek", "chat"),
    "openrouter": Service("openrouter", "chat", open=True),
    "ollama": Service("ollama", "chat", open=True),
    "mistral": Service("mistral", "chat"),
    "google": Service("google", "chat", models="gem*"),
    "azure": Service("azure", "chat", azure=True, open=True, catalogue="openai", deployments={"team-chat": "gpt-4o"}),
}


def find(name):
    return catalog.lookup(name, SERVICES, NOW)


def test_a_full_name_finds_price_window_and_protocol():
    model = find("anthropic/claude-sonnet-5-5")
    assert (model.name, model.protocol, model.context_window) == ("anthropic/claude-sonnet-5-5", "messages", 1_000_000)
    assert cost(model.price, Usage(input_tokens=1_000_000, output_tokens=1_000_000)).nanousd == 12_000_000_000


def test_a_bare_name_finds_its_only_provider():
    assert find("claude-sonnet-5-5").name == "anthropic/claude-sonnet-5-5"


@pytest.mark.parametrize(
    ("name", "tokenizer"), [("gpt-5", "o200k_base"), ("gpt-4o", "o200k_base"), ("gpt-4", "cl100k_base")]
)
def test_openai_families_have_their_public_tokenizer(name, tokenizer):
    assert find(f"openai/{name}").tokenizer == tokenizer


@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("deepseek/deepseek-v4-pro", "deepseek"),
        ("mistral/mistral-nemo", "tekken"),
        ("mistral/mistral-tiny", "estimate"),
    ],
)
def test_who_publishes_a_tokenizer_is_counted_with_it(name, tokenizer):
    assert find(name).tokenizer == tokenizer


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("openai/gpt-4o", Tiles(85, 170)),
        ("openai/gpt-4o-mini", Tiles(2_833, 5_667)),
        ("openai/gpt-5", Tiles(70, 140)),
        ("openai/gpt-5-mini", Patches(32, 1_536, percent=162)),
        ("anthropic/claude-sonnet-5-5", COMMON),
    ],
)
def test_an_image_is_counted_by_its_models_rule(name, rule):
    assert find(name).images == rule


@pytest.mark.parametrize("name", ["openai/gpt-6-sol", "anthropic/claude-opus-5-5"])
def test_without_a_public_tokenizer_tokens_are_estimated(name):
    assert find(name).tokenizer == "estimate"


def test_a_tier_starts_one_token_above_its_bound():
    price = find("openai/gpt-6-sol").price
    assert price.rates(272_000).input == 2_000_000_000
    assert price.rates(272_001).input == 4_000_000_000


def test_a_price_that_depends_on_the_hour_bounds_its_ceiling_by_the_dearest_hour():
    price = find("deepseek/deepseek-v4-pro").price
    cheap = cost(price, Usage(input_tokens=1_000_000)).nanousd
    assert cheap == 660_000_000
    assert ceiling(price, 1_000_000, 0) == 1_320_000_000


def test_a_reply_served_by_priority_flex_or_batch_has_its_own_price_within_the_ceiling():
    price, usage = find("openai/gpt-6-sol").price, Usage(input_tokens=1_000_000, output_tokens=0)
    plain = cost(price, usage).nanousd
    assert cost(price, usage, served="flex").nanousd == cost(price, usage, served="batch").nanousd == plain // 2
    assert cost(price, usage, served="priority").nanousd == 2 * plain
    assert ceiling(price, 1_000_000, 0) >= 2 * plain


def test_a_fast_mode_that_is_not_offered_raises_no_ceiling():
    price = find("anthropic/claude-opus-5-5").price
    assert set(price.served) == {"batch"}
    assert ceiling(price, 0, 1_000_000) == cost(price, Usage(output_tokens=1_000_000)).nanousd


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("anthropic/claude-opus-5-5", 128_000),
        ("anthropic/claude-sonnet-4-6", 128_000),
        ("anthropic/claude-haiku-4-5-20251001", 64_000),
        ("anthropic/claude-opus-4-1-20250805", 32_000),
        ("anthropic/claude-3-5-haiku-20241022", 8_192),
        ("openai/gpt-6-sol", 128_000),
        ("openai/o3", 100_000),
        ("openai/gpt-4o", 16_384),
        ("deepseek/deepseek-v4-pro", 384_000),
    ],
)
def test_the_longest_answer_of_current_models_is_known(name, longest):
    assert find(name).max_output_tokens == longest


def test_the_extended_output_has_its_switch_where_the_model_has_one():
    model = find("anthropic/claude-3-7-sonnet-20250219")
    assert (model.extended_output_tokens, model.extended_output_beta) == (128_000, "output-128k-2025-02-19")
    assert find("anthropic/claude-opus-5-5").extended_output_beta == ""


@pytest.mark.parametrize(
    ("name", "unseen"),
    [
        *[("anthropic/claude-opus-5-5", True), ("openai/gpt-5", True), ("openai/gpt-6-sol", True), ("openai/o3", True)],
        *[("anthropic/claude-haiku-4-5", False), ("openai/gpt-4o", False), ("deepseek/deepseek-v4-pro", False)],
    ],
)
def test_it_is_known_which_models_think_unseen(name, unseen):
    assert find(name).thinks_unseen is unseen


@pytest.mark.parametrize(
    ("name", "on_demand", "by_itself"),
    [
        *[("anthropic/claude-opus-5-5", True, True), ("anthropic/claude-sonnet-4-6", True, True)],
        *[("anthropic/claude-sonnet-5", True, True), ("openai/gpt-6-sol", True, True)],
        *[("anthropic/claude-sonnet-5-5", True, False), ("anthropic/claude-haiku-5-5", True, False)],
        *[("anthropic/claude-haiku-4-5", False, False), ("deepseek/deepseek-v4-pro", False, False)],
    ],
)
def test_it_is_known_which_models_compact_on_demand_and_which_by_themselves(name, on_demand, by_itself):
    model = find(name)
    assert (model.compacts, model.compacts_by_itself) == (on_demand, by_itself)


@pytest.mark.parametrize(
    ("alias", "listed"),
    [
        ("anthropic/claude-sonnet-5-5@20261001", "anthropic/claude-sonnet-5-5"),
        ("anthropic/Claude-Opus-5-5", "anthropic/claude-opus-5-5"),
        ("anthropic/claude-5-5-sonnet", "anthropic/claude-sonnet-5-5"),
    ],
)
def test_another_name_of_a_model_is_that_model_in_all_but_what_is_sent(alias, listed):
    model, known = find(alias), find(listed)
    assert model.name == alias
    assert model.names == {alias, listed}
    assert (model.price, model.max_output_tokens) == (known.price, known.max_output_tokens)


def test_a_price_of_ones_own_wins_over_the_catalogue_and_the_last_over_the_first():
    cheap, dear = (Price(((0, Rates(*(rate,) * 5)),), source="own") for rate in (1, 2))
    prices = {"anthropic/*": cheap, "anthropic/claude-opus-5-5": dear, "ollama/*": cheap}
    assert catalog.lookup("anthropic/claude-sonnet-5-5", SERVICES, NOW, prices).price is cheap
    assert catalog.lookup("anthropic/Claude-Opus-5-5", SERVICES, NOW, prices).price is dear
    assert catalog.lookup("claude-opus-5-5", SERVICES, NOW, prices).price is dear
    assert catalog.lookup("ollama/my-own-llama:7b", SERVICES, NOW, prices).price is cheap
    assert catalog.lookup("openai/gpt-5", SERVICES, NOW, prices).price == find("openai/gpt-5").price


def test_a_model_with_a_price_of_ones_own_need_not_be_in_the_catalogue():
    prices = {"anthropic/claude-next": Price(((0, Rates(*(1,) * 5)),))}
    assert catalog.lookup("anthropic/claude-next", SERVICES, NOW, prices).price is prices["anthropic/claude-next"]
    with pytest.raises(UnknownModel):
        catalog.lookup("anthropic/claude-other", SERVICES, NOW, prices)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("claude-sonet-5-5", "anthropic/claude-sonnet-5-5"),
        ("anthropic/claude-sonet-5-5", "anthropic/claude-sonnet-5-5"),
        ("demo/cloude", "demo/claude"),
        ("gpt5", "openai/gpt-5"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(wrong, near):
    with pytest.raises(UnknownModel) as refused:
        find(wrong)
    assert near in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("nope/x", f"Use one of {', '.join(['demo', *SERVICES])}."),
        ("openia/gpt-4o", "Did you mean openai/gpt-4o?"),
    ],
)
def test_a_provider_that_nobody_knows_is_refused_with_the_providers_there_are(wrong, hint):
    with pytest.raises(UnknownModel) as refused:
        find(wrong)
    assert str(refused.value) == f"Unknown provider {wrong.partition('/')[0]!r} in {wrong!r}. {hint}"


@pytest.mark.parametrize("name", ["", "/", "demo/", "nobody/nothing", "anthropic/"])
def test_a_name_of_nothing_is_refused(name):
    with pytest.raises(UnknownModel):
        find(name)


def test_a_name_that_several_providers_offer_is_refused_with_the_candidates():
    services = {**SERVICES, "google": Service("google", "chat")}
    with pytest.raises(UnknownModel, match="anthropic/claude-opus-5-5, google/claude-opus-5-5"):
        catalog.lookup("claude-opus-5-5", services, NOW)


def test_an_open_service_takes_names_nobody_lists_at_an_unknown_price():
    model = find("ollama/my-own-llama:7b")
    assert model.price is None
    assert cost(model.price, Usage(input_tokens=5)).quality == "unknown"


def test_default_models_exist():
    for provider in ("anthropic", "openai", "deepseek"):
        assert find(catalog.default_model(provider)).price is not None


@pytest.mark.parametrize("id", ["claude", "gpt", "chat", "small"])
def test_demo_models_are_paid_in_play_money_and_have_limits(id):
    model = catalog.demo_models()[id]
    assert model.play
    assert {limit.source for limit in model.rates} == {"provider"}
    assert all(limit.full == "wait" and limit.covers(model.name) for limit in model.rates)


def test_demo_models_need_no_price_data():
    code = "import sys; from tokmagic import catalog; catalog.demo_models(); print('genai_prices' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_service_that_speaks_responses_is_asked_by_chat_where_its_name_says_so():
    services = {**SERVICES, "openai": Service("openai", "responses")}
    by_default = catalog.lookup("openai/gpt-5", services, NOW)
    by_chat = catalog.lookup("openai-chat/gpt-5", services, NOW)
    assert (by_default.protocol, by_chat.protocol) == ("responses", "chat")
    assert (by_chat.name, by_chat.price) == (by_default.name, by_default.price)
    assert catalog.lookup("gpt-5", services, NOW) == by_default
    with pytest.raises(UnknownModel):
        catalog.lookup("deepseek-chat/deepseek-v4-pro", services, NOW)


def test_a_deployment_has_the_facts_of_its_model_under_a_name_of_ones_own():
    model, original = find("azure/team-chat"), find("openai/gpt-4o")
    assert (model.id, model.listed, model.protocol) == ("team-chat", "azure/gpt-4o", "chat")
    assert (model.tokenizer, model.context_window, model.max_output_tokens, model.images) == (
        *(original.tokenizer, original.context_window, original.max_output_tokens, original.images),
    )
    assert cost(model.price, Usage(input_tokens=9)) == cost(original.price, Usage(input_tokens=9))
    assert find("team-chat") == model


def test_a_deployment_named_as_its_model_needs_no_line_and_does_not_make_the_bare_name_ambiguous():
    assert find("azure/gpt-4o").price is not None
    assert find("gpt-4o").name == "openai/gpt-4o"
    assert find("azure/nobody-knows").price is None
    assert [name for name in catalog.names(SERVICES.values()) if name.startswith("azure/")] == ["azure/team-chat"]


def test_a_service_offers_only_what_it_serves_of_what_its_provider_is_listed_with():
    assert find("gemini-2.5-flash").name == "google/gemini-2.5-flash"
    assert find("google/gemini-2.5-flash").thinks_unseen
    assert find("claude-haiku-4-5").name == "anthropic/claude-haiku-4-5"
    with pytest.raises(UnknownModel, match="Did you mean anthropic/claude-haiku-4-5"):
        find("google/claude-haiku-4-5")
    assert not [name for name in catalog.names(SERVICES.values()) if name.startswith("google/claude")]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("anthropic/claude-3-opus-20240229", "2026-01-05"),
        ("anthropic/claude-sonnet-4-5", "2026-11-30"),
        ("openai/gpt-4", "2026-10-23"),
        ("openai/gpt-5-mini", "2026-12-11"),
        ("azure/gpt-4o", "None"),
        ("anthropic/claude-sonnet-5-5", "None"),
    ],
)
def test_a_model_whose_end_is_announced_has_its_day(name, day):
    assert str(find(name).retires) == day


@pytest.mark.parametrize("provider", ["anthropic", "openai", "deepseek"])
def test_the_model_that_is_used_unasked_has_a_price_and_no_end_announced(provider):
    model = find(catalog.default_model(provider))
    assert model.price is not None
    assert model.retires is None
