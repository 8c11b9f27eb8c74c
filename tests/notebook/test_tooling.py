"""Tools of a cell in a real kernel: only those it names run, and where it asks, only on yes."""

from __future__ import annotations

from typing import Any

import pytest

from tokmagic.core.replies import RECEIPT_MIME

ASK = "\nuse the add tool with a=2 and b=3"


@pytest.fixture
def tools(kernel: Any) -> Any:
    kernel.run(
        "import threading\n"
        "ran = []\n"
        "def add(a: int, b: int) -> int:\n"
        "    'Add.'\n"
        "    ran.append(threading.current_thread() is threading.main_thread())\n"
        "    print('adding')\n"
        "    return a + b\n"
        "loud = lambda *words: None\n"
        "loud.__name__ = 'loud'\n"
        "async def wait(seconds: float) -> str:\n"
        "    ran.append(threading.current_thread() is threading.main_thread())\n"
        "    return 'waited'"
    )
    return kernel


def lines(cell: Any) -> str:
    return "\n".join(data.get("text/plain", "") for data in cell.data)


def test_a_tool_that_the_cell_names_runs_in_the_cells_own_thread(tools: Any) -> None:
    cell = tools.run(f"%%llm answer << --tools add{ASK}")
    assert cell.reply["status"] == "ok"
    assert "returned: 5" in tools.value("answer.text")
    assert tools.value("ran") == "[True]"
    assert cell.text == "adding\n"
    assert 'add {"a":2,"b":3}: 5' in lines(cell)
    assert cell.data[-1][RECEIPT_MIME]["badges"] == ["2 calls"]
    assert tools.value("answer.receipt.calls") == "2"


def test_asynchronous_tools_run_beside_the_cell(tools: Any) -> None:
    tools.run("%%llm --tools wait,add\nuse the wait tool with seconds=0.5 and use the add tool with a=1 and b=1")
    assert tools.value("ran") in ("[False, True]", "[True, False]")


def test_a_tool_that_the_cell_does_not_name_never_runs(tools: Any) -> None:
    tools.run(f"%%llm{ASK}")
    tools.run(f"%%llm --tools wait{ASK}")
    assert tools.value("ran") == "[]"
    assert tools.value("_llm.tool_calls") == "()"


def test_a_call_that_is_confirmed_runs_and_another_does_not(tools: Any) -> None:
    asked = f"%%llm --tools add --confirm-tools --fresh{ASK}"
    assert tools.run(asked, answer="n").reply["status"] == "ok"
    assert tools.value("ran") == "[]"
    assert "did not allow" in tools.value("_llm.text")
    tools.run(asked, answer="y")
    assert tools.value("ran") == "[True]"


def test_where_nobody_can_be_asked_no_tool_runs(tools: Any) -> None:
    cell = tools.run(f"%%llm --tools add --confirm-tools --fresh{ASK}")
    assert tools.value("ran") == "[]"
    assert "nobody can be asked here, so add is not run" in cell.text


def test_a_message_from_the_front_end_allows_no_tool(tools: Any) -> None:
    tools.run(f"%%llm --tools add --confirm-tools --fresh{ASK}")
    comm = tools.value("next(iter(get_ipython().kernel.comm_manager.comms))").strip("'")
    for kind in ("approve", "confirm", "run_tool", "tools"):
        content = {"comm_id": comm, "data": {"type": kind, "tool": "add", "arguments": {"a": 2, "b": 3}}}
        tools.client.shell_channel.send(tools.client.session.msg("comm_msg", content))
    assert tools.value("ran") == "[]"
    tools.run(f"%%llm --tools add --confirm-tools --fresh{ASK}")
    assert tools.value("ran") == "[]"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--tools nothing", "--tools nothing: no function nothing is defined here."),
        ("--tools ran", "--tools ran: no function ran is defined here."),
        ("--tools loud", "The tool loud takes words without names"),
        ("--tools add,add", "Two tools are named add"),
    ],
)
def test_what_is_no_tool_is_refused_in_one_line(tools: Any, option: str, message: str) -> None:
    error = tools.run(f"%%llm {option}{ASK}").error
    assert error["ename"] == "ConfigurationError"
    assert message in error["evalue"]
    assert len(error["traceback"]) == 1


def test_a_run_that_meets_its_bound_says_so_beside_the_answer(tools: Any) -> None:
    cell = tools.run(f"%%llm --tools add --max-iterations 1{ASK}")
    assert "ended before the model was done: max_iterations" in cell.data[-1][RECEIPT_MIME]["badges"]
    assert tools.value("ran") == "[]"


def test_an_interrupt_in_a_tool_binds_what_was_paid(tools: Any) -> None:
    tools.run("def hang() -> None:\n    print('hanging', flush=True)\n    threading.Event().wait(30)")
    cell = tools.run("%%llm answer << --tools hang --fresh\nuse the hang tool", interrupt_on="stream")
    assert cell.error["ename"] == "Interrupted"
    assert tools.value("answer.stopped") == "True"
    assert tools.value("answer.receipt.calls") == "1"
