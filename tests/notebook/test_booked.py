"""What the words of ``%tokens`` about the book show and do, in a real kernel."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

HANG = """
from dataclasses import replace
from tokmagic.parts import shared_parts
import tokmagic as tm
ledger = shared_parts().ledger
entry = tm.record("demo/claude", tm.Usage(input_tokens=1000, output_tokens=100))
hangs = replace(entry, id="feedc0de" + "0" * 24, call="x", state="held", settled_at=None)
ledger.reserve(hangs, (), "x")
ledger.settle(replace(hangs, state="unsettled"))
"""


def text_of(kernel: Any, line: str) -> str:
    return str(kernel.run(line).data[-1]["text/plain"])


def test_a_call_that_hangs_is_marked_in_the_history_and_can_be_released_once(kernel: Any) -> None:
    kernel.run(HANG)
    first = text_of(kernel, "%tokens history 2").splitlines()[1]
    assert first.startswith("feedc0de ")
    assert first.endswith("! unsettled, at its ceiling: %tokens release feedc0de")
    released = text_of(kernel, "%tokens release feedc0de")
    assert re.fullmatch(
        r"Released feedc0de \(demo/claude\): \$[\d.]+ play and 1,100 tokens came back to the limits\.", released
    )
    assert text_of(kernel, "%tokens history 1").endswith("released")
    assert "No open entry" in kernel.run("%tokens release feedc0de").error["evalue"]
    assert "needs an id" in kernel.run("%tokens release").error["evalue"]


def test_a_call_under_way_shows_the_most_it_can_cost(kernel: Any) -> None:
    kernel.run(HANG.replace('ledger.settle(replace(hangs, state="unsettled"))', "").replace("feedc0de", "feedc0fe"))
    line = text_of(kernel, "%tokens history 1").splitlines()[1]
    assert re.search(r"^feedc0fe .* at most \$[\d.]+ play +held$", line)


def test_the_book_is_exported_whole_in_each_format(kernel: Any, tmp_path: Path) -> None:
    kernel.run("tm = __import__('tokmagic'); tm.record('demo/claude', tm.Usage(input_tokens=7), cost=0.25)")
    for suffix in ("csv", "json", "parquet"):
        shown = text_of(kernel, f"%tokens export '{tmp_path}/book.{suffix}'")
        assert re.fullmatch(rf"[\d,]+ entries written to {re.escape(str(tmp_path))}/book\.{suffix}\.", shown)
    rows = json.loads((tmp_path / "book.json").read_text())
    assert rows[0]["kind"] == "record"
    assert rows[0]["usd"] == 0.25
    assert len(list(csv.DictReader((tmp_path / "book.csv").read_text().splitlines()))) == len(rows)
    assert ".csv, .json, .parquet" in kernel.run("%tokens export book.xlsx").error["evalue"]


def test_usage_is_reported_by_what_is_asked_and_since_when(kernel: Any) -> None:
    kernel.run("tm = __import__('tokmagic'); tm.record('demo/small', tm.Usage(input_tokens=7))")
    assert re.search(r"^demo/small +\d", text_of(kernel, "%tokens report"), re.MULTILINE)
    assert text_of(kernel, "%tokens report day today").splitlines()[0].startswith("day ")
    assert text_of(kernel, "%tokens report 1h").splitlines()[0].startswith("model ")
    assert text_of(kernel, "%tokens report 2026-01-31").splitlines()[0].startswith("model ")
    assert "'lately' is no moment. A moment is a date" in kernel.run("%tokens report model lately").error["evalue"]
    assert "no group (model, cell, day, notebook, session)" in kernel.run("%tokens report bogus").error["evalue"]
    assert kernel.run("%tokens report mdoel").error["evalue"].endswith("Did you mean model?")
    assert text_of(kernel, "%tokens report day 2999-01-01") == "There is no call in the book since 2999-01-01."


def test_the_history_of_what_is_no_thread_names_the_nearest(kernel: Any) -> None:
    kernel.run("%%llm --thread rivers\nHello.")
    assert kernel.run("%tokens history rivres").error["evalue"].endswith("not 'rivres'. Did you mean rivers?")
    assert "<table>" in kernel.run("display(tm.usage(by='model'))").data[-1]["text/html"]


def test_models_show_limits_cached_prices_and_keys(kernel: Any) -> None:
    head, *lines = text_of(kernel, "%tokens models demo").splitlines()
    assert head.split()[-3:] == ["out", "limits", "key"]
    assert "cached" in head
    assert all(line.endswith("yes") for line in lines)
    assert "requests/minute" in lines[0]
    assert "No model's name contains 'zzzz'" in kernel.run("%tokens models zzzz").error["evalue"]


PLAIN = """
import asyncio, threading, tokmagic as tm
client, may_go_on = tm.Client("demo/claude", max_tokens=9), asyncio.Event()
async def late():
    await may_go_on.wait()
    async with tm.AsyncClient("demo/claude", max_tokens=9) as mine:
        await mine.send("Good night")
task = asyncio.ensure_future(late())
client.send("Good morning")
"""


def test_a_call_in_plain_python_is_booked_under_the_cell_that_began_it(kernel: Any) -> None:
    first = kernel.run(PLAIN).reply["execution_count"]
    assert f"cell {first} " in text_of(kernel, "%tokens history 1")
    second = kernel.run("may_go_on.set(); await task").reply["execution_count"]
    assert f"cell {first} " in text_of(kernel, "%tokens history 1")
    third = kernel.run("x = threading.Thread(target=client.send, args=['Hello']); x.start(); x.join()")
    assert f"cell {third.reply['execution_count']} " in text_of(kernel, "%tokens history 1")
    counted = text_of(kernel, "%tokens report cell")
    assert re.search(rf"cell {first} +2 ", counted)
    assert not re.search(rf"cell {second} ", counted)


MADE = """
import openai
server = shared_parts().demo_server()
with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.token) as client:
    client.chat.completions.create(model="chat", max_tokens=9, messages=[{"role": "user", "content": "Hello"}])
"""


def test_every_client_made_while_the_guard_is_on_is_booked_under_its_cell_and_notebook(kernel: Any) -> None:
    kernel.run("import os; from tokmagic.parts import shared_parts; os.environ['JPY_SESSION_NAME'] = 'x/rivers.ipynb'")
    assert text_of(kernel, "%tokens guard").startswith("Off")
    assert text_of(kernel, "%tokens guard on demo").startswith("On")
    kernel.run(MADE)
    booked = text_of(kernel, "%tokens history 1").splitlines()[1]
    assert re.search(r"cell \d+ +demo/chat", booked)
    assert re.search(r"^\w+ rivers\.ipynb +cell \d+ +1 ", text_of(kernel, "%tokens report cell"), re.MULTILINE)
    assert re.search(r"^rivers\.ipynb +1 ", text_of(kernel, "%tokens report notebook"), re.MULTILINE)
    assert text_of(kernel, "%tokens guard off").startswith("Off")
    kernel.run(MADE)
    assert text_of(kernel, "%tokens history 1").splitlines()[1] == booked
    assert "takes on or off" in kernel.run("%tokens guard maybe").error["evalue"]
    kernel.run("del os.environ['JPY_SESSION_NAME']")
