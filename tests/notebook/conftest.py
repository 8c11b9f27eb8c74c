"""A real kernel behind the Jupyter protocol, as a front end sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]


class Cell:
    """What one execution sent: every message, and the outputs a front end would then show."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.reply: dict[str, Any] = {}
        self._outputs: list[dict[str, Any]] = []
        self._clear_next = False

    def take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        kind, content = message["msg_type"], message["content"]
        if kind == "clear_output":
            self._clear_next = True
        elif kind == "update_display_data":
            for output in self._outputs:
                if output.get("transient") == content["transient"]:
                    output["data"] = content["data"]
        elif kind in ("display_data", "stream", "error"):
            if self._clear_next:
                self._outputs, self._clear_next = [], False
            self._outputs.append({"type": kind, **content})

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return self._outputs

    @property
    def data(self) -> list[dict[str, Any]]:
        return [output["data"] for output in self._outputs if output["type"] == "display_data"]

    @property
    def error(self) -> dict[str, Any]:
        (found,) = [output for output in self._outputs if output["type"] == "error"]
        return found

    @property
    def text(self) -> str:
        return "".join(output.get("text", "") for output in self._outputs)


class Kernel:
    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self.client = client

    def run(self, code: str, *, answer: str | None = None, interrupt_on: str = "") -> Cell:
        """Execute; ``answer`` is typed when it asks; ■ is pressed at the first message of type ``interrupt_on``."""
        cell = Cell()
        sent = self.client.execute(code, allow_stdin=answer is not None)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != sent:
                continue
            cell.take(message)
            if message["msg_type"] == interrupt_on:
                interrupt_on = ""
                self.manager.interrupt_kernel()
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            if answer is not None and message["msg_type"] == "execute_input":
                self.client.get_stdin_msg(timeout=PATIENCE)
                self.client.input(answer)
        cell.reply = self._reply_to(sent)
        return cell

    def value(self, expression: str) -> str:
        """The ``repr`` of an expression in the kernel."""
        sent = self.client.execute("", user_expressions={"value": expression}, store_history=False)
        found: str = self._reply_to(sent)["user_expressions"]["value"]["data"]["text/plain"]
        return found

    def _reply_to(self, sent: str) -> dict[str, Any]:
        """The answer to one request; a kernel that was slow to start has older ones waiting."""
        while (reply := self.client.get_shell_msg(timeout=PATIENCE))["parent_header"].get("msg_id") != sent:
            pass
        content: dict[str, Any] = reply["content"]
        return content


@pytest.fixture(scope="session")
def environment() -> Callable[[Path], dict[str, str]]:
    """The environment of a process with a book of its own, and no keys."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_TOKEN"))}
    ours = {"PYTHONPATH": str(ROOT), "TOKMAGIC_MODEL": "demo/claude", "TOKMAGIC_DEMO_PACE": "2000"}
    ours["TOKMAGIC_REPLAY_MEGABYTES"] = "0"
    return lambda home: {**kept, **ours, "TOKMAGIC_HOME": str(home)}


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory, environment: Callable[[Path], dict[str, str]]) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=environment(folder), cwd=str(folder))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    running = Kernel(manager, client)
    assert running.run("%load_ext tokmagic").reply["status"] == "ok"
    yield running
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    manager.cleanup_resources()
