from __future__ import annotations

from typing import Any

import pytest

from tokmagic.core.errors import InvalidPrompt
from tokmagic.notebook.template import expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello {{name}}!", "Hello Ada!"),
        ("{{ name }}{{name}}", "AdaAda"),
        ("{{ name.upper() + '!' }}", "ADA!"),
        ('{{ {"a": {"b": 1}} }}', "{'a': {'b': 1}}"),
        ('{{{"a": 1}["a"]}}', "1"),
        ("{{ {1, 2} == {2, 1} }}", "True"),
        ("{{ f'{name:>{width}}' }}", "  Ada"),
        ('{{ "}}" }} and {{ "{{" }}', "}} and {{"),
        ("{{ [word\n for word in 'a b'.split()] }}", "['a', 'b']"),
        ("{{ '日本 🙂' }}", "日本 🙂"),
    ],
)
def test_an_expression_is_replaced_by_what_it_yields(text: str, expected: str) -> None:
    assert expand(text, {"name": "Ada", "width": 5}) == expected


@pytest.mark.parametrize(
    "text", ['{"a": 1}', "{name}", "a {{ name", "{{}}", "{{ }}", "}} {{", '{"a": {"b": {"c": 1}}}', "", "{{{"]
)
def test_braces_that_are_no_expression_are_just_text(text: str) -> None:
    assert expand(text, {"name": "Ada"}) == text


def test_what_an_expression_yields_is_never_expanded_again() -> None:
    assert expand("{{text}}", {"text": "{{secret}} $HOME {x}", "secret": "no"}) == "{{secret}} $HOME {x}"


def test_each_expression_is_evaluated_once() -> None:
    calls: list[int] = []
    assert expand("{{ calls.append(1) or len(calls) }}", {"calls": calls}) == "1"
    assert calls == [1]


def test_an_undefined_name_is_refused_with_the_near_names() -> None:
    with pytest.raises(InvalidPrompt, match=r"\{\{reveiw\}\}: reveiw is not defined.*Did you mean review\?"):
        expand("{{reveiw}}", {"review": "good", "_private": 1})


def test_a_failing_expression_is_refused_with_its_error_in_one_line_and_its_key_masked() -> None:
    def fails() -> None:
        raise ValueError("first\nsecond sk-abcdefghijklmnop123456")

    with pytest.raises(InvalidPrompt) as caught:
        expand("{{ fails() }}", {"fails": fails})
    assert str(caught.value) == "{{fails()}} failed with ValueError: first second [key hidden]. Nothing was sent."


def test_something_that_is_no_python_is_refused_with_the_way_to_write_braces() -> None:
    with pytest.raises(InvalidPrompt, match=r'\{\{#if user\}\} is not a Python expression.*\{\{"\{\{"\}\}'):
        expand("{{#if user}} hello", {})


def test_a_stop_while_an_expression_runs_is_a_stop() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        expand("{{ stop() }}", {"stop": stop})


def test_evaluating_leaves_no_name_behind() -> None:
    namespace: dict[str, Any] = {}
    assert expand("{{ (x := 3) }}", namespace) == "3"
    assert namespace == {}


def test_names_that_ipython_brings_are_not_suggested() -> None:
    with pytest.raises(InvalidPrompt, match=r"opens is not defined.*Define it in a cell above"):
        expand("{{opens}}", {"open": open, "exit": exit})
