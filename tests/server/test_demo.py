from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokmagic.core.messages import Message, Request, Text, ToolResult, assistant, system, user
from tokmagic.server.demo import DemoEngine
from tokmagic.server.digest import digest, words_asked_for
from tokmagic.server.engine import Piece, pieces
from tokmagic.server.script import OPENING, answer_text
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
ESSAY = (
    "# The sky\n\nThe sky is blue because air scatters blue light. Bananas are yellow.\n"
    "Blue light has short waves, and air scatters short waves more. Hm.\n\n"
    "```python\nsky = 'blue'\n```\n\n- Sunsets are red because blue light is scattered away.\n"
)


def ask(*messages: Message) -> Request:
    return Request("claude", messages, 100)


def test_an_answer_says_what_it_is_names_the_size_and_lists_sentences_of_the_prompt() -> None:
    opening, size, extract = answer_text(ask(user(ESSAY))).split("\n\n", 2)
    assert opening == OPENING
    assert size == "Your prompt has 42 words in 11 lines."
    lines = extract.splitlines()
    assert lines[0] == "- (1 code block left out)"
    assert "- The sky is blue because air scatters blue light." in lines
    assert all(line.removeprefix("- ") in ESSAY for line in lines[1:])


def test_the_picked_sentences_keep_their_order_and_the_telling_ones_come_first_to_be_picked() -> None:
    picked = digest(ESSAY, 20).splitlines()[1:]
    assert picked == [
        "- The sky is blue because air scatters blue light.",
        "- Blue light has short waves, and air scatters short waves more.",
    ]


def test_another_prompt_gets_another_answer_and_the_same_the_same() -> None:
    assert answer_text(ask(user(ESSAY))) == answer_text(ask(user(ESSAY)))
    assert answer_text(ask(user(ESSAY))) != answer_text(ask(user(ESSAY.replace("blue", "green"))))


def test_the_last_user_message_is_digested_and_the_rest_is_mentioned() -> None:
    text = answer_text(ask(system("Be brief."), user("Old question."), assistant("Old answer."), user("New question.")))
    assert "- New question." in text
    assert "Old" not in text
    assert "The system text has 2 words: “Be brief.”. 2 turns came before it." in text


def test_a_tool_result_is_digested_when_the_user_says_nothing_more() -> None:
    assert "- Rain in Paris." in answer_text(ask(Message("user", (ToolResult("t", (Text("Rain in Paris."),)),))))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Write 500 words.", 500),
        ("Give me about 2,000 words on the sky", 2_000),
        ("a 3k-word essay, no, 10 words", 10),
        ("Write 1_000 tokens", 1_000),
        ("In 1999 words were cheap.", 1_999),
        ("Why?", None),
        ("Version 2.5 wordsmiths", None),
        ("Write 10**9 or 999999999999 words", 200_000),
    ],
)
def test_a_wish_for_a_length_is_understood(prompt: str, words: int | None) -> None:
    assert words_asked_for(prompt) == words


@pytest.mark.parametrize("wished", [50, 400, 3_000])
def test_about_as_many_words_are_written_as_are_wished_for(wished: int) -> None:
    assert wished <= len(digest(ESSAY, wished).split()) <= wished * 1.4 + 40


def test_markup_that_a_sentence_does_not_close_is_taken_off() -> None:
    found = digest("Say `this and **that. Then `close` and **bold** it. ```\nunclosed fence", None)
    for mark in ("`", "**"):
        assert found.count(mark) % 2 == 0
    assert "- Say this and that." in found


@pytest.mark.parametrize(
    "prompt",
    ["🌌", "🌌" * 50_000, "x" * 100_000, "```", "```\ncode", "- ", "**", "a\n" * 30_000, "。" * 1_000, "\0", "\u202e!"],
)
def test_any_prompt_gets_an_answer(prompt: str) -> None:
    text = answer_text(ask(user(prompt)))
    assert text.startswith(OPENING)
    assert text.splitlines()[-1].strip()
    assert len(text) < 3_000


@settings(max_examples=100)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_pieces_are_tokens_and_join_to_the_text(text: str) -> None:
    found = list(pieces(text, COUNTER))
    assert "".join(piece.text for piece in found) == text
    assert all(piece.text and piece.tokens >= 1 for piece in found)
    assert sum(piece.tokens for piece in found) == sum(max(1, COUNTER.count(part)) for part in _blanks(text))


def _blanks(text: str) -> list[str]:
    """The text taken apart at each blank behind a word."""
    ends = [place for place in range(1, len(text)) if text[place] == " " and not text[place - 1].isspace()]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True) if text[start:end]]


def test_pieces_of_plain_english_are_its_tokens() -> None:
    text = "The sky is blue because air scatters blue light."
    assert len(list(pieces(text, COUNTER))) == COUNTER.count(text)


class Time:
    """A clock that moves only while someone sleeps, and by half as much again."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps += 1
        self.now += seconds * 1.5 + 0.001


def run(engine: DemoEngine, request: Request) -> list[tuple[Piece, ...]]:
    async def collect() -> list[tuple[Piece, ...]]:
        return [tuple(batch) async for batch in engine.generate(request, COUNTER)]

    return asyncio.run(collect())


def test_a_pace_is_kept_although_every_pause_is_too_long() -> None:
    time = Time()
    batches = run(DemoEngine(50, time.clock, time.sleep), ask(user("Write 400 words. " + ESSAY)))
    tokens = sum(map(len, batches))
    assert tokens > 400
    assert time.now - 100 == pytest.approx(tokens / 50, abs=0.1)
    assert max(map(len, batches)) <= 3
    assert "".join(piece.text for batch in batches for piece in batch) == answer_text(
        ask(user("Write 400 words. " + ESSAY))
    )


def test_without_a_pace_there_is_no_pause() -> None:
    time = Time()
    batches = run(DemoEngine(None, time.clock, time.sleep), ask(user(ESSAY)))
    assert len(batches) == time.naps
    assert time.now - 100 == pytest.approx(0.001 * time.naps)
