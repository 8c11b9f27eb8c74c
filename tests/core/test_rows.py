"""Rows into prompts: names only, each value as it is written, nothing evaluated."""

import pytest

from tokmagic.core.errors import InvalidPrompt
from tokmagic.core.rows import names_in, prompts


def test_each_row_fills_the_template():
    rows = [{"a": 1, "b": "x"}, {"b": "y", "a": None}]
    assert prompts("{{a}}-{{ b }}-{{a}}", rows) == ("1-x-1", "None-y-None")


def test_single_values_stand_for_the_one_name():
    assert prompts("Is {{it}} a {{it}}?", ["fox", 3]) == ("Is fox a fox?", "Is 3 a 3?")


def test_what_a_value_holds_is_never_expanded_again():
    assert prompts("{{a}}", [{"a": "{{b}} \\1 \\g<0>", "b": "secret"}]) == ("{{b}} \\1 \\g<0>",)


def test_single_braces_and_empty_ones_are_text():
    assert prompts('{"a": {{a}}} {{}} {x}', [{"a": 1}]) == ('{"a": 1} {{}} {x}',)


def test_a_name_may_have_blanks_and_need_not_be_text():
    assert prompts("{{unit price}} {{0}}", [{"unit price": 5, 0: "zero"}]) == ("5 zero",)
    assert names_in("{{b}} {{a}} {{ b }}") == ("b", "a")


def test_nothing_is_evaluated():
    with pytest.raises(InvalidPrompt, match="no such value"):
        prompts("{{__import__('os').getcwd()}}", [{"a": 1}])


class Pandas:
    columns = ("a",)

    def to_dict(self, orient):
        assert orient == "records"
        return [{"a": 1}, {"a": 2}]


class Polars:
    columns = ("a",)

    def to_dict(self):
        return {"a": [1, 2]}

    def to_dicts(self):
        return [{"a": 1}, {"a": 2}]


class Arrow:
    column_names = ("a",)

    def to_pylist(self):
        return [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("table", [Pandas(), Polars(), Arrow()], ids=lambda table: type(table).__name__)
def test_a_table_gives_its_rows(table):
    assert prompts("{{a}}", table) == ("1", "2")


def test_no_rows_make_no_prompts():
    assert prompts("{{a}}", []) == ()
