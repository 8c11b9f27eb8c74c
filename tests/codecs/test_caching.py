"""What is marked to be cached is what later requests of a thread share, and never more than the service allows."""

from __future__ import annotations

import json
from typing import Any

from tokmagic.codecs.registry import CODECS
from tokmagic.core.messages import Message, Request, Text, Tool, ToolCall, ToolResult, assistant, system, user

MESSAGES = CODECS["messages"]
TOOL = Tool("look", "Look up", {"type": "object", "properties": {}})
MARK = {"type": "ephemeral"}


def encoded(*messages: Message, **options: Any) -> dict[str, Any]:
    return MESSAGES.encode_request(Request("m", messages, 50, cache=True, **options))


def marked(body: dict[str, Any]) -> list[str]:
    """The texts or types of the blocks that are marked, in the order in which the service reads them."""
    system = body.get("system")
    blocks = [*body.get("tools", []), *(system if isinstance(system, list) else [])]
    blocks += [block for turn in body["messages"] for block in turn["content"]]
    return [block.get("text") or block.get("name") or block["type"] for block in blocks if "cache_control" in block]


def prefixes(body: dict[str, Any]) -> list[str]:
    """All that is said up to each mark, without the marks."""
    turns = [(turn["role"], block) for turn in body["messages"] for block in turn["content"]]
    ends = [place for place, (_, block) in enumerate(turns) if "cache_control" in block]
    bare = [(role, {name: value for name, value in block.items() if name != "cache_control"}) for role, block in turns]
    return [json.dumps([body.get("system"), bare[: end + 1]]) for end in ends]


def test_the_system_text_the_turn_before_and_the_last_turn_are_marked() -> None:
    body = encoded(system("Be brief."), user("one"), assistant("1"), user("two"), assistant("2"), user("three"))
    assert marked(body) == ["Be brief.", "two", "three"]
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": MARK}]


def test_what_a_call_writes_is_what_the_next_call_of_its_thread_reads() -> None:
    said = [system("Be brief."), user("one")]
    written = prefixes(encoded(*said))
    for number in range(5):
        said += [assistant(f"a{number}"), user(f"q{number}")]
        read = prefixes(encoded(*said))
        assert written[-1] in read
        assert len(marked(encoded(*said))) <= 4
        written = read


def test_without_a_system_text_the_tools_end_the_first_beginning() -> None:
    assert marked(encoded(user("one"), tools=(TOOL,))) == ["look", "one"]
    assert marked(encoded(system("Be brief."), user("one"), tools=(TOOL,))) == ["Be brief.", "one"]
    assert "cache_control" not in TOOL.schema


def test_a_tools_result_is_marked_where_it_ends_the_turn() -> None:
    call, result = ToolCall("c1", "look", "{}"), ToolResult("c1", (Text("found"),))
    body = encoded(user("look"), Message("assistant", (call,)), Message("user", (result,)), tools=(TOOL,))
    assert marked(body) == ["look", "look", "tool_result"]


def test_nothing_is_marked_unasked_and_other_protocols_mark_nothing() -> None:
    said = (system("Be brief."), user("one"), assistant("1"), user("two"))
    assert marked(MESSAGES.encode_request(Request("m", said, 50))) == []
    for name in ("chat", "responses"):
        assert "cache_control" not in json.dumps(CODECS[name].encode_request(Request("m", said, 50, cache=True)))
