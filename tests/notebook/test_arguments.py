from __future__ import annotations

import pytest
from IPython.core.magic_arguments import MagicArgumentParser

from tokmagic.core import messages, truncation
from tokmagic.core.errors import ConfigurationError
from tokmagic.notebook.arguments import (
    EFFORTS,
    STRATEGIES,
    CellOptions,
    cell_arguments,
    option_names,
    parse_cell,
)


@cell_arguments
def llm() -> None:
    """Sends a cell."""


PARSER: MagicArgumentParser = vars(llm)["parser"]


def test_a_line_without_options_says_nothing() -> None:
    assert parse_cell(PARSER, "") == CellOptions()


def test_every_option_has_its_field() -> None:
    options = parse_cell(
        PARSER,
        'answer << -m demo/claude --system "You are kind, don\'t lie" --max-tokens 4,096 --temperature 0.5 '
        '--thread essay --new --format json --limit "0.10 usd" --limit "5k tokens" --truncate start '
        "--max-input-tokens 9_000 --keep-recent 0 --image plot --image photo --audio talk --estimate "
        "--confirm-above 0.25 --no-stream",
    )
    assert options.name == "answer"
    assert options.model == "demo/claude"
    assert options.system == "You are kind, don't lie"
    assert (options.max_tokens, options.max_input_tokens, options.keep_recent) == (4_096, 9_000, 0)
    assert (options.temperature, options.thread, options.new) == (0.5, "essay", True)
    assert (options.format, options.truncate, options.images) == ("json", "start", ("plot", "photo"))
    assert options.sounds == ("talk",)
    assert [str(limit) for limit in options.limits] == ["$0.10/call", "5k tokens/call"]
    assert {limit.source for limit in options.limits} == {"cell"}
    assert (options.estimate, options.confirm_above, options.stream) == (True, 250_000_000, False)


def test_thinking_is_asked_for_in_words_or_tokens() -> None:
    assert parse_cell(PARSER, "--reasoning high").reasoning == "high"
    assert parse_cell(PARSER, "--reasoning 4,096").reasoning == 4_096


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--modle x", "Did you mean --model?"),
        ("--qqq", "Type %%llm? for the options"),
        ("--help", "Unknown option --help. Type %%llm? for the options"),
        ("What is love?", "the prompt goes below the first line"),
        ("--system 'open", "A quote is not closed"),
        ("--temperature nan", "finite number of 0 or more, not 'nan'"),
        ("--temperature inf", "finite number of 0 or more, not 'inf'"),
        ("--temperature=-0.5", "finite number of 0 or more, not '-0.5'"),
        ("--temperature -1", "finite number of 0 or more, not '-1'"),
        ("--temperature hot", "finite number of 0 or more, not 'hot'"),
        ("--reasoning much", "one of off, low, medium, high, or a whole number of 1024 or more, not 'much'"),
        ("--reasoning 100", "whole number of 1024 or more, not '100'"),
        ("--system sk-ant-api03-0123456789abcdef", "looks like a key: a key comes from the environment"),
        ("--max-tokens 0", "whole number of 1 or more, not '0'"),
        ("--max-tokens -1", "whole number of 1 or more, not '-1'"),
        ("--max-tokens abc", "whole number of 1 or more, not 'abc'"),
        ("--max-tokens ٣", "whole number of 1 or more"),
        ("--max-tokens", "--max-tokens needs a value"),
        ("--truncate strat", "use one of smart, start, middle, end, split, off. Did you mean start?"),
        ("--format html", "use one of markdown, text, json, code"),
        ("--limit 5", "unit"),
        ("--limit nan_usd", "nan"),
        ("--confirm-above nan", "amount of US dollars"),
        ("--confirm-above -1", "amount of US dollars"),
        ("--confirm-above x", "amount of US dollars"),
        ("2x << -m a", "'2x' is not a variable's name"),
        ("--tools f,", "--tools takes names of functions"),
        ("--tools 'f g'", "--tools takes names of functions"),
        ("--confirm-tools", "name some with --tools f,g"),
        ("--max-iterations 3", "name some with --tools f,g"),
        ("--tools f --max-iterations 0", "whole number of 1 or more"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_cell(PARSER, line)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_help_of_the_magic_names_every_option() -> None:
    shown = llm.__doc__ or ""
    assert all(name in shown for name in option_names())
    assert shown.splitlines()[2].strip().startswith("%%llm [NAME <<] [-m MODEL]")


def test_a_repeated_limit_of_one_cell_does_not_leak_into_the_next() -> None:
    parse_cell(PARSER, '--limit "1 usd"')
    assert parse_cell(PARSER, "").limits == ()


def test_a_conversation_that_starts_afresh_needs_its_name() -> None:
    with pytest.raises(ConfigurationError, match="--new starts a conversation afresh: name it too"):
        parse_cell(PARSER, "--new")


def test_the_values_it_offers_are_those_there_are() -> None:
    assert (EFFORTS, STRATEGIES) == (messages.EFFORTS, ("smart", "start", "middle", "end", "split", "off"))
    assert {*STRATEGIES} == {*truncation.STRATEGIES, "split", "off"}
