"""Tools made for the Anthropic SDK's own runner, given to this one as they are."""

from base64 import b64encode
from contextlib import contextmanager

import pytest
from anthropic.lib.tools import BetaBuiltinFunctionTool, ToolError, beta_async_tool, beta_tool
from anthropic.tools.memory import BetaLocalFilesystemMemoryTool

from tests.scripted import ASK, PIXEL, add, calls, results, said, text_of
from tokmagic.client import AsyncClient
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Image, Text, Tool
from tokmagic.sync import Client

LOOK_BACK = "use the memory tool with command=view and path=/memories"
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64encode(PIXEL).decode()}}


class Bash(BetaBuiltinFunctionTool):
    def to_dict(self):
        return {"type": "bash_20250124", "name": "bash"}

    def call(self, input):
        return f"ran {input['command']}"


def result_of(parts, tool):
    """The result of one call of the tool, as it was sent."""
    parts.script = [calls((tool.name, "{}")), said()]
    Client("demo/claude", parts=parts).run_tools(ASK, tools=[tool]).until_done()
    return results(parts.requests[-1])[0]


def test_its_memory_is_offered_by_the_name_the_service_has_for_it_and_kept_in_files(parts, tmp_path):
    memory = BetaLocalFilesystemMemoryTool(str(tmp_path))
    (tmp_path / "memories" / "whales.md").write_text("107 tons")
    last = Client("demo/claude", parts=parts).run_tools(LOOK_BACK, tools=[memory]).until_done()
    assert "whales.md" in last.text


def test_a_tool_that_a_service_knows_is_held_at_the_whole_window_for_nobody_says_how_it_describes_it(parts):
    client = Client("demo/claude", parts=parts)
    plain, offered = (client.quote("hello", max_tokens=10, tools=tools) for tools in ([add], [Bash()]))
    assert offered.ceiling.nanousd > plain.ceiling.nanousd * 10
    assert offered.input_tokens < 100


@pytest.mark.parametrize("model", ["demo/gpt", "demo/chat"])
def test_a_service_that_does_not_know_it_is_not_asked(parts, model):
    with pytest.raises(ConfigurationError, match=f"^{model} does not know the tool bash.*give a function instead"):
        Client(model, parts=parts).run_tools(ASK, tools=[Bash()]).until_done()


def test_a_tool_that_the_service_runs_itself_goes_past_no_limit_under_the_cover_of_one(parts):
    class Search(Bash):
        def to_dict(self):
            return {"type": "web_search_20250305", "name": "web_search"}

    client = Client("demo/claude", parts=parts, limits=["5 usd/day"])
    for tool in (Search(), Tool("web_search", native=Search().to_dict())):
        with pytest.raises(ConfigurationError, match=r"^The tool web_search is run by the service.*as server_tools\.$"):
            client.send("hello", tools=[tool])


def test_an_object_with_a_schema_of_its_own_is_not_asked_for_another(parts):
    class Table:
        name, description, input_schema = "table", "A table.", {"type": "object", "properties": {}}

        def to_dict(self, orient):
            raise AssertionError(orient)

        def call(self, arguments):
            return "rows"

    run = Client("demo/claude", parts=parts).run_tools("use the table tool", tools=[Table()])
    assert "rows" in run.until_done().text


def test_an_asynchronous_one_runs_with_either_client(scripted, runner):
    @beta_async_tool
    async def look() -> str:
        """Look."""
        return "a whale"

    parts = scripted(calls(("look", "{}")), said(), calls(("look", "{}")), said())
    Client("demo/claude", parts=parts).run_tools(ASK, tools=[look]).until_done()
    runner.run(AsyncClient("demo/claude", parts=parts).run_tools(ASK, tools=[look]).until_done())
    assert [text_of(results(request)[0]) for request in (parts.requests[1], parts.requests[3])] == ["a whale"] * 2


def test_the_blocks_that_it_returns_are_sent_as_what_they_are(scripted):
    @beta_tool
    def look():
        """Look."""
        return [{"type": "text", "text": "a whale", "cache_control": {"type": "ephemeral"}}, IMAGE]

    assert result_of(scripted(), look).parts == (Text("a whale"), Image("image/png", PIXEL))


def test_records_that_only_look_like_blocks_are_sent_whole(scripted):
    def look() -> list:
        return [{"type": "text", "text": "a whale", "by": "Ahab"}]

    look.name = "look"
    assert '"by":"Ahab"' in text_of(result_of(scripted(), look))


@pytest.mark.parametrize("content", ["no whale", [{"type": "text", "text": "no whale"}]], ids=["text", "blocks"])
def test_its_error_tells_the_model_just_its_content(scripted, content, caplog):
    @beta_tool
    def look():
        """Look."""
        raise ToolError(content)

    result = result_of(scripted(), look)
    assert (text_of(result), result.is_error) == ("no whale", True)
    assert "Traceback" not in caplog.text


def test_arguments_that_do_not_fit_are_told_to_the_model(scripted):
    @beta_tool
    def look(at: int):
        """Look."""
        return str(at)

    result = result_of(scripted(), look)
    assert (text_of(result), result.is_error) == ("ValueError: Invalid arguments for function look", True)


def test_one_that_is_a_context_manager_by_the_sdks_decorator_stays_open_for_its_owner(scripted):
    seen = []

    @contextmanager
    def harbour():
        seen.append("entered")

        def look() -> str:
            """Look."""
            return "a whale"

        try:
            yield look
        finally:
            seen.append("left")

    tool = beta_tool(harbour)
    assert [text_of(result_of(scripted(), tool)) for _ in range(2)] == ["a whale"] * 2
    assert seen == ["entered"]
