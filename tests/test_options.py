"""Options: given to a client they are defaults, given to a call they win; what cannot be used is refused by name."""

import pytest

from tokmagic.conversation import Conversation
from tokmagic.core.errors import ConfigurationError
from tokmagic.options import merge, wishes_of


def test_a_call_wins_over_its_client_and_none_means_not_said():
    merged = merge({"max_tokens": 10, "system": "short"}, {"max_tokens": 20, "system": None})
    assert merged == {"max_tokens": 20, "system": "short"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", -5),
        ("max_tokens", True),
        ("max_tokens", 1.5),
        ("max_input_tokens", "many"),
        ("keep_recent", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", -0.1),
        ("timeout", "soon"),
        ("timeout", 0),
        ("truncate", "middel"),
        ("reasoning", "much"),
        ("reasoning", 100),
        ("reasoning", True),
    ],
)
def test_an_unusable_value_is_refused_with_its_name_and_value(name, value):
    with pytest.raises(ConfigurationError) as refused:
        merge({}, {name: value})
    assert str(value) in str(refused.value)


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"max_token\b.*max_tokens"):
        merge({}, {"max_token": 5})


@pytest.mark.parametrize("field", ["max_tokens", "model", "n", "tools", "service_tier"])
def test_a_body_field_that_the_budget_rests_on_is_refused(field):
    with pytest.raises(ConfigurationError, match=f"extra_body cannot set {field}"):
        merge({}, {"extra_body": {"seed": 1, field: 9}})


@pytest.mark.parametrize(
    "options",
    [
        {"extra_headers": {"x-a": 5}},
        {"extra_headers": {"x-a": "a\nb"}},
        {"extra_headers": {"x-a": "ключ"}},
        {"extra_body": {"a": object()}},
        {"extra_body": {"a": float("nan")}},
        {"extra_body": {"a": "\ud800"}},
        {"extra_query": {"a": {1}}},
        {"stop": [1]},
        {"stop": iter(["a", "b"])},
        {"server_tools": "web_search"},
        {"server_tools": [{"name": "search"}]},
        {"server_tools": [{"type": "web_search", "at": object()}]},
        {"extra_headers": {"Host": "example.org"}},
        {"extra_headers": {"Idempotency-Key": "one"}},
        {"extra_headers": {"Anthropic-Version": "2023-01-01"}},
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is(options):
    with pytest.raises(ConfigurationError) as refused:
        merge({}, options)
    assert "\n" not in str(refused.value)
    assert next(iter(options)) in str(refused.value)


def test_one_stop_text_is_one_and_not_its_letters():
    assert wishes_of(merge({}, {"stop": "END"}), 100).stop == ("END",)
    assert wishes_of(merge({}, {"stop": ["a", "b"]}), 100).stop == ("a", "b")


def test_keeping_no_recent_message_is_not_the_default():
    assert wishes_of(merge({}, {"keep_recent": 0}), 100).keep_recent == 0
    assert wishes_of({}, 100).keep_recent == 10


@pytest.mark.parametrize(
    "options",
    [
        {"extra_headers": {"Authorization": "Bearer abc"}},
        {"extra_headers": {"X-API-Key": "abc"}},
        {"extra_headers": {"x-mine": "sk-ant-api03-0123456789abcdef"}},
        {"extra_query": {"key": "AIzaSy0123456789"}},
        {"extra_query": {"who": "gsk_0123456789abcdef"}},
        {"extra_body": {"user": "sk-proj-0123456789abcdef"}},
        {"api_key": "sk-0123456789abcdef"},
        {"token": "abc"},
    ],
)
def test_a_key_is_taken_from_nowhere_in_a_notebook(options):
    with pytest.raises(ConfigurationError, match="a key comes from the environment") as refused:
        merge({}, options)
    assert "0123456789" not in str(refused.value)


def test_headers_of_beta_features_go_through():
    headers = {"anthropic-beta": "context-1m-2025-08-07", "x-session": "a1"}
    assert wishes_of(merge({}, {"extra_headers": headers}), 100).extras.headers == headers


def test_a_thread_is_cached_unless_it_is_said_otherwise():
    thread = Conversation("talk")
    assert wishes_of(merge({}, {"thread": thread}), 100).cache
    assert not wishes_of(merge({}, {"thread": thread, "cache": False}), 100).cache
    assert not wishes_of({}, 100).cache
    assert wishes_of(merge({}, {"cache": True}), 100).cache
