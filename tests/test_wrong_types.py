"""What a caller gives in a wrong type is refused where it comes in: one line of ours, which names it."""

import pytest

import tokmagic as tm
from tokmagic import parts as parts_module

USED = tm.Usage(input_tokens=5, output_tokens=5)
LONG = "one two three " * 20


@pytest.fixture(autouse=True)
def client(parts, monkeypatch):
    monkeypatch.setattr(parts_module, "shared_parts", lambda: parts)
    monkeypatch.setattr("tokmagic.api.shared_parts", lambda: parts)
    return tm.Client("demo/claude", parts=parts)


#: A public function or method by its name, how it is called with a wrong value, and what the message calls that.
DOORS = {
    "count, model": (lambda _, x: tm.count("x", x), "model"),
    "truncate, text": (lambda _, x: tm.truncate(x, 5), "text"),
    "truncate, max_tokens": (lambda _, x: tm.truncate(LONG, x), "max_tokens"),
    "truncate, strategy": (lambda _, x: tm.truncate(LONG, 5, x), "strategy"),
    "chunk, text": (lambda _, x: tm.chunk(x, 5), "text"),
    "chunk, max_tokens": (lambda _, x: tm.chunk(LONG, x), "max_tokens"),
    "chunk, overlap": (lambda _, x: tm.chunk(LONG, 5, x), "overlap"),
    "fit, max_tokens": (lambda _, x: tm.fit(LONG, x), "max_tokens"),
    "fit, keep_recent": (lambda _, x: tm.fit(LONG, 100, x), "keep_recent"),
    "price, model": (lambda _, x: tm.price(x, USED), "model"),
    "price, usage": (lambda _, x: tm.price("demo/claude", x), "usage"),
    "record, model": (lambda _, x: tm.record(x, USED), "model"),
    "record, usage": (lambda _, x: tm.record("demo/claude", x), "usage"),
    "models, pattern": (lambda _, x: tm.models(x), "pattern"),
    "safe_limits, model": (lambda _, x: tm.safe_limits(x), "model"),
    "on_entry, hook": (lambda _, x: tm.on_entry(x), "hook"),
    "mcp_tools, tools": (lambda _, x: tm.mcp_tools(None, x), "tools"),
    "Conversation, name": (lambda _, x: tm.Conversation(x), "name"),
    "Client, limits": (lambda _, x: tm.Client("demo/claude", limits=x), "limit"),
    "send, prompt": (lambda client, x: client.send(x), "mapping|prompt"),
    "map, template": (lambda client, x: client.map(x, [1]), "template"),
    "map, rows": (lambda client, x: client.map("{{text}}", x), "rows"),
    "map, at_once": (lambda client, x: client.map("{{text}}", [1], at_once=x), "at_once"),
    "batch, template": (lambda client, x: client.batch(x, [1]), "template"),
    "run_tools, tools": (lambda client, x: client.run_tools("x", tools=x), "tool"),
    "run_tools, max_iterations": (lambda client, x: client.run_tools("x", max_iterations=x), "max_iterations"),
    "compact, thread": (lambda client, x: client.compact(x), "thread"),
    "compact, focus": (lambda client, x: client.compact(client.conversation(), x), "focus"),
    "history, most": (lambda client, x: client.history(x), "most"),
}
WRONG = (0.5, b"x", ["x"], {"a": 1}, object())
#: A list is right where rows are asked for.
PAIRS = [(door, wrong) for door in DOORS for wrong in WRONG if (door, wrong) != ("map, rows", ["x"])]


@pytest.mark.parametrize(("door", "wrong"), PAIRS, ids=[f"{door}, {type(wrong).__name__}" for door, wrong in PAIRS])
def test_a_wrong_type_is_refused_at_the_door(client, door, wrong):
    call, named = DOORS[door]
    with pytest.raises(tm.TokmagicError, match=named) as refused:
        call(client, wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        *("model", "system", "max_tokens", "max_input_tokens", "keep_recent", "truncate", "extended_output"),
        *("temperature", "reasoning", "cache", "server_tools", "stop", "stream", "limits", "thread", "compact"),
        *("timeout", "extra_headers", "extra_query", "extra_body", "replay", "fresh", "cell", "notebook", "tools"),
    ],
)
@pytest.mark.parametrize("wrong", [object(), {1: object()}], ids=["object", "mapping"])
def test_an_option_of_a_wrong_type_is_refused_by_its_name(client, name, wrong):
    with pytest.raises(tm.ConfigurationError) as refused:
        client.quote("hello", **{name: wrong})
    what = {"truncate": "truncation", "limits": "limit", "tools": "tool"}.get(name, name)
    assert what in str(refused.value)


def test_a_single_function_is_no_list_of_tools(client):
    with pytest.raises(tm.ConfigurationError, match=r"tools is a list of functions, such as \[f\], not <function"):
        client.run_tools("x", tools=test_a_single_function_is_no_list_of_tools)


def test_an_unknown_option_is_answered_with_the_nearest(client):
    with pytest.raises(tm.ConfigurationError, match=r"Unknown option max_tokns. Did you mean max_tokens\?"):
        client.quote("hello", max_tokns=5)


def test_a_usage_that_cannot_be_is_not_booked(client):
    for wrong in (tm.Usage(input_tokens=-5), tm.Usage(output_tokens=0.5)):
        with pytest.raises(tm.ConfigurationError, match=r"usage.*put_tokens is a whole number of 0 or more"):
            tm.record("demo/claude", wrong)
    assert client.history() == ()


class Seven:
    """A whole number that is no ``int``, as numpy's are not."""

    def __index__(self):
        return 7


def test_a_whole_number_of_another_library_is_one(client):
    assert tm.truncate(LONG, Seven()).tokens == 7
    assert type(client.quote("hello", max_tokens=Seven()).max_tokens) is int


class Sevens:
    """Several numbers, which lack no method that one has, as numpy's arrays lack none."""

    def __index__(self):
        raise TypeError("only one number is a number")


def test_what_only_looks_like_a_whole_number_is_none(client):
    with pytest.raises(tm.ConfigurationError, match="max_tokens is a whole number of 1 or more, not <"):
        client.quote("hello", max_tokens=Sevens())


def test_a_number_too_large_to_reckon_with_is_none_that_is_finite(client):
    with pytest.raises(tm.ConfigurationError, match="timeout is a finite number of 0 or more, not 1000"):
        client.quote("hello", timeout=10**400)


def test_what_was_given_is_shown_short_and_without_keys():
    with pytest.raises(tm.ConfigurationError) as refused:
        tm.price("demo/claude", "sk-ant-" + "a1" * 30 + "\n" + "much " * 100)
    assert "key hidden" in str(refused.value)
    assert len(str(refused.value)) < 200
