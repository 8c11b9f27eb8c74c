"""``tm.count`` takes texts, conversations and requests, learns from the book, and forgets when told."""

import subprocess
import sys

import pytest

import tokmagic as tm
from tokmagic.core.book import Lessons
from tokmagic.core.calibration import lesson, note_name
from tokmagic.core.images import Tiles
from tokmagic.core.messages import Request, Tool, assistant, system, user
from tokmagic.core.tokens import count_request
from tokmagic.tokenizers import counter

CLAUDE = "anthropic/claude-opus-5-5"
SAID = (system("Be brief."), user("How blue is the sky?"), assistant("Very."), user("Why?"))


@pytest.fixture
def shared(parts, monkeypatch):
    monkeypatch.setattr("tokmagic.api.shared_parts", lambda: parts)
    return parts


def test_a_request_is_counted_with_its_tools(shared):
    tool = Tool("look", "Look up", {"type": "object"})
    request = Request("claude", SAID, 50, tools=(tool,))
    assert tm.count(request, "demo/claude") == count_request(SAID, (tool,), counter("o200k_base"))
    assert tm.count(request, "demo/claude") > tm.count(SAID, "demo/claude") > tm.count("Why?", "demo/claude") == 2


def test_an_estimate_is_corrected_by_what_replies_taught(shared):
    text = "one two three four five six seven eight nine ten " * 100
    plain = tm.count(text, CLAUDE)
    teach = lesson(plain, 2 * plain)
    for _ in range(50):
        shared.ledger.learn(Lessons(notes={note_name(CLAUDE): teach}))
    tm.clear_cache()
    taught = tm.count(text, CLAUDE)
    assert abs(taught - 2 * plain) < 0.05 * plain
    assert taught.margin < taught // 4
    assert tm.count(text, "anthropic/claude-sonnet-5-5") == plain
    assert tm.count(text, "demo/claude").exact


def test_a_book_that_cannot_be_read_does_not_stop_a_count(shared, monkeypatch):
    def refuse(prefix):
        raise tm.LedgerError("the book is damaged")

    monkeypatch.setattr(shared.ledger, "recall", refuse)
    assert tm.count("one two three", CLAUDE) > 0


def test_every_count_can_be_forgotten(shared):
    ours = counter("o200k_base", Tiles(85, 170))
    count_request([user("forget me")] * 10, (), ours)
    tm.count("something that was never said before", "demo/claude")
    assert len(counter("o200k_base")._memory) > 0
    tm.clear_cache()
    assert len(counter("o200k_base")._memory) == 0
    assert counter("o200k_base", Tiles(85, 170)) is not ours


def command(*arguments, given=b"", home):
    return subprocess.run(
        [sys.executable, "-m", "tokmagic.cli", "count", *map(str, arguments)],
        input=given, capture_output=True, check=False, env={"TOKMAGIC_HOME": str(home), "PATH": ""},
    )  # fmt: skip


def test_the_command_counts_files_and_adds_them_up(tmp_path):
    (tmp_path / "a.txt").write_text("one two three")
    (tmp_path / "b.txt").write_text("\ufeff" + "word " * 200_000)
    done = command(tmp_path / "a.txt", tmp_path / "b.txt", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    head, first, second, total = (line.split() for line in done.stdout.decode().splitlines())
    assert head == ["tokens", "o200k_base", "price", "input", "for", "demo/claude"]
    assert first == ["3", "exact", "$0.000009", "play", str(tmp_path / "a.txt")]
    assert second[0] == f"{counter('o200k_base').count('word ' * 200_000):,}"
    assert total[0] == f"{3 + int(second[0].replace(',', '')):,}"
    assert total[-1] == "total"


def test_the_command_counts_standard_input_and_says_how_far_off_it_may_be(tmp_path):
    done = command("-", "--model", CLAUDE, given="Grüße aus Köln".encode(), home=tmp_path)
    tokens, margin, price, name = done.stdout.decode().splitlines()[1].split()
    assert (name, price[:2], margin[0]) == ("-", "≈$", "±")
    assert 0 < int(margin[1:]) <= int(tokens)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"abc\0def", "bytes of zero"), (b"\xff\xfe\x00", "no text in UTF-8"), (None, "cannot be read")],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path, content, says):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    done = command(tmp_path / "x", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_an_unknown_model_is_refused_in_one_line(tmp_path):
    done = command("-", "--model", "demo/cloude", home=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
