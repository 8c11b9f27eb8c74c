"""A long thread in a real kernel: it is compacted visibly, and what it replaced comes back."""

from __future__ import annotations

from typing import Any

import pytest

SEA = "The ships sail over the sea and the wind blows. " * 60
CELL = "%%llm --thread {name} --max-input-tokens 3000 --max-tokens 60"


def say(kernel: Any, name: str, words: str) -> Any:
    return kernel.run(f"{CELL.format(name=name)}\n{words} {SEA}")


@pytest.fixture
def long_thread(kernel: Any, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    for number in range(3):
        say(kernel, name, f"The code of harbour {number} is QX{number * 37}.")
    return name


def shown(cell: Any) -> str:
    return "\n".join(data.get("text/plain", "") for data in cell.data)


def test_a_long_thread_compacts_by_itself_and_its_footer_says_so(kernel: Any, long_thread: str) -> None:
    cells = [say(kernel, long_thread, f"Question {number}.") for number in range(2)]
    (compacted,) = [cell for cell in cells if "compacted: " in shown(cell)]
    footer = compacted.data[-1]
    assert "earlier messages replaced by the service" in shown(compacted)
    assert "%tokens undo brings them back" in shown(compacted)
    assert "tokens for $" in footer["text/plain"]
    assert "compacted: " in footer["text/html"]
    newest = kernel.run("%tokens history 3").data[-1]["text/plain"]
    assert "settled compaction" in newest
    assert "compacted: " in kernel.run("%tokens threads").data[-1]["text/plain"]


def test_a_thread_is_compacted_by_hand_and_undone(kernel: Any, long_thread: str) -> None:
    done = shown(kernel.run("%tokens compact the harbours"))
    assert "4 earlier messages replaced by the service" in done
    assert "QX37" in done
    turns = kernel.run(f"%tokens history {long_thread}").data[-1]["text/plain"].splitlines()
    assert [line.split()[-2:] for line in turns[2:]] == [["the", "summary"]] * 4 + [["for", "word"]] * 2
    back = shown(kernel.run("%tokens undo"))
    assert back == f"Thread {long_thread} has its 4 earlier messages back, word for word."
    again = kernel.run("%tokens undo").error
    assert "nothing to bring back" in again["evalue"]


def test_a_compaction_by_hand_says_of_which_thread_and_takes_no_misspelt_name_for_a_focus(
    kernel: Any, long_thread: str
) -> None:
    refused = kernel.run(f"%tokens compact {long_thread[:-1].upper()}")
    assert f"Did you mean {long_thread}?" in refused.error["evalue"]
    assert "compaction" not in kernel.run("%tokens history 1").data[-1]["text/plain"]
    said = shown(kernel.run("%tokens compact the harbours")).splitlines()
    assert said[0] == f"Thread {long_thread}, the one used last, with the focus on 'the harbours'"
    assert "(asked for, with the focus on 'the harbours')" in said[-1] + said[1]


def test_a_cell_says_when_it_compacts(kernel: Any, long_thread: str) -> None:
    off = kernel.run(f"{CELL.format(name=long_thread)} --compact off\nOff. {SEA}{SEA}")
    assert "Context truncated to fit" in shown(off)
    assert "compacted: " not in shown(off)
    now = kernel.run(f"{CELL.format(name=long_thread)} --compact now\nNow.")
    assert "compacted: " in now.data[-1]["text/plain"]


def test_words_about_threads_name_what_is_missing(kernel: Any, long_thread: str) -> None:
    unknown = kernel.run("%tokens undo nobody").error
    assert "no thread 'nobody'" in unknown["evalue"]
    kernel.run("saved = dict(get_ipython().magics_manager.registry['TokMagics'].threads)")
    kernel.run("get_ipython().magics_manager.registry['TokMagics'].threads.clear()")
    assert "no conversation yet" in kernel.run("%tokens compact").error["evalue"]
    kernel.run("get_ipython().magics_manager.registry['TokMagics'].threads.update(saved)")


def test_a_service_compacts_a_thread_as_it_answers_where_the_cell_asks_for_it(kernel: Any) -> None:
    cell = "%%llm -m demo/gpt --thread sealed --compact server --max-input-tokens 3000 --max-tokens 60\n{} " + SEA
    cells = [kernel.run(cell.format(f"The code of harbour {number} is QX{number * 37}.")) for number in range(4)]
    (compacted,) = [cell for cell in cells if "compacted: " in shown(cell)]
    assert "earlier messages replaced by the service as it answered" in shown(compacted)
    assert "at a price that is part of the answer's" in shown(compacted)
    assert "compacted: " in kernel.run("%tokens threads").data[-1]["text/plain"]
    assert "QX37" in kernel.run("%tokens history sealed").data[-1]["text/plain"]
    assert "word for word" in shown(kernel.run("%tokens undo sealed"))
    refused = kernel.run("%%llm -m demo/chat --thread sealed --new --compact server\nHello.")
    assert "compacts no conversation by itself" in refused.error["evalue"]
