"""Thoughts, text and calls of a local model are told apart however its text is cut, and every token is told once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.codecs import WireError
from tokmagic.core.messages import Extras, Image, Message, Request, Text, Tool, ToolCall, ToolResult, assistant, user
from tokmagic.server.engine import Called, Output
from tokmagic.server.local.asking import said, seed, settings
from tokmagic.server.local.reading import Reader

ADD = '{"name": "add", "arguments": {"a": 2}}'
ANSWERS: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    "just text": ("", "just text", []),
    " \n text": ("", "text", []),
    "<think>\nhm </think>\n\nyes": ("hm ", "yes", []),
    "[THINK]hm[/THINK]yes": ("hm", "yes", []),
    "<think>never ends": ("never ends", "", []),
    "a < b <thin c": ("", "a < b <thin c", []),
    f"<tool_call>\n{ADD}\n</tool_call>": ("", "", [("add", '{"a":2}')]),
    f"I add. <tool_call>{ADD}</tool_call>\n<tool_call>{ADD}</tool_call>": ("", "I add. ", [("add", '{"a":2}')] * 2),
    f"<think>hm</think><tool_call>{ADD}</tool_call>": ("hm", "", [("add", '{"a":2}')]),
    f"<tool_call>{ADD}": ("", "", [("add", '{"a":2}')]),
    f"[TOOL_CALLS][{ADD}, {ADD}]": ("", "", [("add", '{"a":2}')] * 2),
    '<|python_tag|>{"name": "f", "parameters": {"x": "y"}}': ("", "", [("f", '{"x":"y"}')]),
    '{"name": "f"}': ("", "", [("f", "{}")]),
    '{"name": "f", "arguments": "{\\"a\\": 1}"}': ("", "", [("f", '{"a": 1}')]),
    '{"no": "call"}': ("", '{"no": "call"}', []),
    "<tool_call>not json</tool_call> so": ("", "<tool_call>not json</tool_call>so", []),
    "[TOOL_CALLS][]": ("", "[TOOL_CALLS][]", []),
}


def read(pieces: list[str], *, thinking: bool = False, tools: bool = True) -> list[Output]:
    reader = Reader(thinking=thinking, tools=tools)
    return [*(output for piece in pieces for output in reader.read(piece, 1)), *reader.end()]


def told(outputs: list[Output]) -> tuple[str, str, list[tuple[str, str]]]:
    pieces = [output for output in outputs if not isinstance(output, Called)]
    calls = [(output.call.name, output.call.arguments) for output in outputs if isinstance(output, Called)]
    thought = "".join(piece.text for piece in pieces if piece.thought)
    return thought, "".join(piece.text for piece in pieces if not piece.thought), calls


def cut(text: str, places: list[int]) -> list[str]:
    ends = [*sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("answer", ANSWERS)
@given(places=st.lists(st.integers(0, 99), max_size=40))
def test_an_answer_means_the_same_however_it_is_cut(answer: str, places: list[int]) -> None:
    pieces = cut(answer, places)
    outputs = read(pieces)
    assert told(outputs) == ANSWERS[answer]
    assert sum(output.tokens for output in outputs) == len(pieces)


def test_text_is_told_as_soon_as_it_can_be_no_mark() -> None:
    reader = Reader(thinking=False, tools=True)
    assert told(reader.read("The sea <", 1))[1] == "The sea "
    assert told(reader.read("to", 1))[1] == ""
    assert told(reader.read("ol of", 1))[1] == "<tool of"


def test_a_thought_that_the_prompt_opened_goes_on_and_calls_nobody_offered_are_text() -> None:
    assert told(read(["hm</think>", "yes"], thinking=True)) == ("hm", "yes", [])
    assert told(read([f"<tool_call>{ADD}</tool_call>"], tools=False))[1:] == (f"<tool_call>{ADD}</tool_call>", [])
    assert told(read([ADD], tools=False))[1:] == (ADD, [])


def test_a_call_nested_too_deeply_to_be_read_is_text() -> None:
    written = '{"name": ' + "[" * 5_000 + "]" * 5_000 + "}"
    assert told(read([written])) == ("", written, [])


def test_each_call_has_an_id_of_its_own() -> None:
    calls = [one.call.id for one in read([f"[TOOL_CALLS][{ADD},{ADD}]"]) if isinstance(one, Called)]
    assert len(set(calls)) == 2


@given(st.lists(st.sampled_from([*"<>[]{}|/ ", "think", "tool_call", "TOOL_CALLS", "</think>", ADD]), max_size=30))
def test_nothing_is_lost_but_marks_and_blanks(pieces: list[str]) -> None:
    outputs = read(pieces)
    assert sum(output.tokens for output in outputs) == len(pieces)
    if not any(mark in "".join(pieces) for mark in ("<think>", "<tool_call>", "[TOOL_CALLS]", "{")):
        assert told(outputs)[1] == "".join(pieces).lstrip()


def request(*messages: Message, **body: Any) -> Request:
    return Request("m", messages or (user("Hi"),), 50, extras=Extras(body=body))


def test_a_conversation_is_what_chat_templates_take() -> None:
    call, result = ToolCall("c1", "add", '{"a":2}'), ToolResult("c1", (Text("5"),))
    turns = (user("Hi"), Message("assistant", (call,)), Message("user", (result, Text("And?"))))
    asked = Request("m", turns, 50, tools=(Tool("add"), Tool("other")), extras=Extras(body={"tool_choice": "auto"}))
    found = said(asked)
    assert [message["role"] for message in found.messages] == ["user", "assistant", "tool", "user"]
    assert found.messages[1]["content"] == ""
    assert found.messages[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": {"a": 2}}
    assert [tool["function"]["name"] for tool in found.tools or ()] == ["add", "other"]
    assert not found.continued
    assert said(request(user("Hi"), assistant("The sea"))).continued
    none = Request("m", turns, 50, tools=(Tool("add"),), extras=Extras(body={"tool_choice": {"type": "none"}}))
    assert said(none).tools is None


def test_thinking_is_told_to_the_template_unless_the_caller_does_himself() -> None:
    assert said(request()).template == {"enable_thinking": False}
    assert said(request(thinking={"type": "adaptive"})).template == {"enable_thinking": True}
    told_so = said(request(chat_template_kwargs={"enable_thinking": True, "tone": "kind"})).template
    assert told_so == {"enable_thinking": True, "tone": "kind"}


def test_an_image_in_a_tools_result_is_refused_too() -> None:
    result = ToolResult("c1", (Image("image/png", b"x"),))
    with pytest.raises(WireError, match="holds an image"):
        said(request(user("Hi"), Message("assistant", (ToolCall("c1", "look"),)), Message("user", (result,))))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {}),
        ({"top_p": 0.9, "top_k": 5}, {"do_sample": True, "top_p": 0.9, "top_k": 5}),
        ({"repetition_penalty": 1.1}, {"repetition_penalty": 1.1}),
        ({"generation_config": '{"do_sample": false}'}, {"do_sample": False}),
        ({"generation_config": {"top_p": 0.1}, "top_p": 0.9}, {"do_sample": True, "top_p": 0.9}),
        ({"generation_config": {"temperature": 0, "top_k": 5}}, {"do_sample": False, "top_k": 5}),
        ({"seed": 3, "top_p": None}, {}),
    ],
)
def test_settings_are_those_that_were_named(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert settings(request(**body)) == expected


def test_a_temperature_of_nothing_takes_the_likeliest_token() -> None:
    assert settings(Request("m", (user("Hi"),), 5, temperature=0)) == {"do_sample": False}
    assert settings(Request("m", (user("Hi"),), 5, temperature=0.5)) == {"do_sample": True, "temperature": 0.5}


@given(st.integers())
def test_any_whole_number_is_a_seed(value: int) -> None:
    found = seed(request(seed=value))
    assert found is not None
    assert 0 <= found < 2**63
    assert (found - value) % 2**63 == 0


@given(st.one_of(st.booleans(), st.floats(), st.text(), st.lists(st.integers())))
def test_what_is_no_whole_number_is_no_seed(value: Any) -> None:
    with pytest.raises(WireError, match="'seed'") as refused:
        seed(request(seed=value))
    assert (refused.value.status, refused.value.param) == (400, "seed")
    assert seed(request()) is None
