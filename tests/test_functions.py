"""A function as a tool: what a model is told of it, and what it is called with."""

import asyncio
import functools
from typing import Annotated, Any, Literal

import anthropic
import pytest
from pydantic import BaseModel, Field

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Tool
from tokmagic.core.schemas import answer_format, closed
from tokmagic.functions import BadArguments, as_function, described, mcp_tools

LOCATION = {"title": "Location", "type": "string", "description": "The city."}


class Place(BaseModel):
    name: str
    height: int = 0


def google(location: str, units: Literal["c", "f"] = "c") -> str:
    """Look up the weather.

    It is that of today.

    Args:
        location: The city.
        units: Of the answer.

    Returns:
        The weather.
    """
    return f"{location} {units}"


def numpy(location: str, units: Literal["c", "f"] = "c") -> str:
    """Look up the weather.

    It is that of today.

    Parameters
    ----------
    location : str
        The city.
    units : str
        Of the answer.
    """
    return f"{location} {units}"


def sphinx(location: str, units: Literal["c", "f"] = "c") -> str:
    """Look up the weather.

    It is that of today.

    :param location: The city.
    :param units: Of the answer.
    :return: the weather.
    """
    return f"{location} {units}"


def typed(
    place: Place,
    tags: list[str] | None = None,
    many: dict[str, float] = {},  # noqa: B006
    size: Annotated[int, Field(gt=0, description="How many.")] = 1,
    *,
    exact: bool = False,
) -> Any:
    return place, tags, many, size, exact


async def waits(seconds: float) -> float:
    """Wait."""
    return seconds


def untyped(one, other=2):
    return one, other


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_signature_and_docstring_of_any_style_describe_it(function):
    tool = as_function(function).tool
    assert tool.name == function.__name__
    assert tool.description == "Look up the weather.\n\nIt is that of today."
    assert tool.schema["properties"]["location"] == LOCATION
    assert tool.schema["properties"]["units"]["enum"] == ["c", "f"]
    assert tool.schema["properties"]["units"]["description"] == "Of the answer."
    assert tool.schema["required"] == ["location"]


@pytest.mark.parametrize("function", [google, numpy, sphinx, typed, untyped])
def test_it_is_described_as_the_sdk_describes_it(function):
    theirs, ours = anthropic.beta_tool(function).to_dict(), as_function(function).tool
    assert ours.schema == theirs["input_schema"]
    assert (ours.name, ours.description) == (theirs["name"], theirs["description"])


def test_it_gets_the_types_that_it_names():
    arguments = '{"place": {"name": "Sea", "height": "3"}, "tags": ["a"], "size": 2, "exact": true}'
    assert as_function(typed).bound(arguments)() == (Place(name="Sea", height=3), ["a"], {}, 2, True)


def test_asynchronous_functions_and_methods_are_tools_too():
    class Store:
        def look(self, at: int) -> int:
            """Look."""
            return at + 1

    found = as_function(waits)
    assert found.is_async
    assert asyncio.run(found.bound('{"seconds": 0.5}')()) == 0.5
    assert as_function(Store().look).tool.schema["required"] == ["at"]
    assert as_function(Store().look).bound('{"at": 1}')() == 2


def test_a_decorated_function_is_described_as_the_one_inside():
    @functools.wraps(google)
    def logged(*args, **kwargs):
        return google(*args, **kwargs).upper()

    assert as_function(logged).tool == as_function(google).tool
    assert as_function(logged).bound('{"location": "sea"}')() == "SEA C"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"place": {}}', "place.name: Field required"),
        ('{"place": {"name": "x"}, "size": 0}', "size: Input should be greater than 0"),
        ('{"place": {"name": "x"}, "other": 1}', "other: Unexpected keyword argument"),
        ('"place"', "a JSON object, not str"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_arguments_that_do_not_fit_say_where(arguments, told):
    with pytest.raises(BadArguments, match=told):
        as_function(typed).bound(arguments)


def test_what_no_json_carries_is_refused_when_it_is_described():
    def reads(stream: memoryview) -> None:
        """Read."""

    with pytest.raises(ConfigurationError, match="reads takes what no JSON can carry"):
        as_function(reads)


def test_descriptions_stay_as_they_are():
    tool = Tool("other", "Another.", {"type": "object"})
    assert described([tool, google]) == [tool, as_function(google).tool]


def test_a_schema_is_closed_wherever_it_names_properties_and_does_not_say_otherwise():
    open_inside = {
        "type": "object",
        "properties": {"a": {"type": "object", "properties": {}, "additionalProperties": True}},
    }
    assert closed({"$defs": {"P": open_inside}, "anyOf": [{"type": "object"}]}) == {
        "$defs": {"P": {**open_inside, "additionalProperties": False}},
        "anyOf": [{"type": "object"}],
    }


@pytest.mark.parametrize("protocol", ["messages", "responses", "chat"])
def test_a_type_is_asked_for_in_the_words_of_each_protocol(protocol):
    schema = Place.model_json_schema()
    said = answer_format(protocol, "Place[int]", schema)
    (name, asked), *others = said.items()
    assert others == []
    assert {"messages": "output_config", "responses": "text", "chat": "response_format"}[protocol] == name
    assert "'additionalProperties': False" in str(asked)
    assert ("Place_int_" in str(asked)) == (protocol != "messages")


class Look:
    """A tool that describes itself."""

    name, description, input_schema = "look", None, {"type": "object", "properties": {"at": {"type": "string"}}}

    def call(self, arguments):
        return arguments


def test_an_object_may_describe_itself_and_gets_its_arguments_as_they_are():
    found = as_function(Look())
    assert found.tool == Tool("look", "", Look.input_schema)
    assert found.bound('{"at": 1, "more": [2]}')() == {"at": 1, "more": [2]}
    with pytest.raises(BadArguments, match="a JSON object, not list"):
        found.bound("[]")


def test_a_tool_made_for_the_anthropic_sdk_is_one_here_too():
    made = anthropic.beta_tool(google)
    assert as_function(made).tool.schema == made.input_schema
    assert as_function(made).bound('{"location": "Rome"}')() == "Rome c"


def test_tools_that_can_be_listed_only_once_are_all_there():
    listed = type("Listed", (), {"name": "look", "description": None, "inputSchema": {"type": "object"}})
    assert [tool.name for tool in mcp_tools(None, (listed() for _ in range(2)))] == ["look", "look"]


@pytest.mark.parametrize("lacking", [{"name": None}, {"name": "a b"}, {"input_schema": None}])
def test_an_object_that_describes_itself_by_half_is_refused(lacking):
    half = type("Half", (Look,), lacking)()
    with pytest.raises(ConfigurationError, match="it has `call`, and needs a `name`"):
        as_function(half)
