"""Real JupyterLab and Notebook 7 servers in a real Chromium.

Where no browser can be had these tests cannot run, and the last lines of the run say so; with ``CI=true`` that fails.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.patience import PATIENCE

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "tokmagic" / "labextension" / "install.json"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
#: What must come is waited for, here as well as where a test says nothing else.
expect.set_options(timeout=PATIENCE * 1000)
DEMANDED = os.environ.get("CI") == "true"
#: Tokens per second of the demo models, so that an answer can be watched.
PACE = 60


def missing() -> str:
    """What these tests lack, and how to get it; "" if they can run."""
    if BROWSER is None:
        return "no Chromium: as root, apt-get install chromium, then make test"
    return "" if BUILT.exists() else "the front end is not built: make test builds it"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Last, because Playwright keeps the thread's event loop to itself; not at all, where they cannot run."""
    ours = [item for item in items if HERE in item.path.parents]
    items[:] = [item for item in items if HERE not in item.path.parents]
    if missing() and not DEMANDED:
        config.stash[NOT_RUN] = len(ours)
        config.hook.pytest_deselected(items=ours)
    else:
        items.extend(ours)


NOT_RUN = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what did not run."""
    if count := config.stash.get(NOT_RUN, 0):
        terminalreporter.write_sep("!", "NOT ALL TESTS RAN", red=True, bold=True)
        terminalreporter.write_line(f"{count} browser tests in tests/browser did not run: {missing()}.")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's browser, without what containers lack."""
    if why := missing():
        pytest.fail(f"The browser tests cannot run: {why}.")
    args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    return {**browser_type_launch_args, "executable_path": BROWSER, "args": args}


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """A window of a usual size."""
    return {**browser_context_args, "viewport": {"width": 1400, "height": 900}}


@dataclass(frozen=True)
class Server:
    """A running server: ``kind`` is ``lab`` or ``notebook``, ``root`` the folder of its notebooks."""

    kind: str
    url: str
    root: Path

    def address(self, name: str) -> str:
        """Where a notebook is opened."""
        fresh = f"lab/workspaces/w{time.time_ns()}/tree/{name}?reset"
        return f"{self.url}/{fresh if self.kind == 'lab' else f'notebooks/{name}'}"


CLASSES = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Starts a server of a kind on first use."""
    running: dict[str, tuple[Server, subprocess.Popen[bytes]]] = {}

    def started(kind: str) -> Server:
        if kind not in running:
            running[kind] = launch(kind, tmp_path_factory.mktemp(kind))
        return running[kind][0]

    yield started
    for _, process in running.values():
        os.killpg(process.pid, signal.SIGTERM)
    for _, process in running.values():
        process.wait(PATIENCE)


def launch(kind: str, folder: Path) -> tuple[Server, subprocess.Popen[bytes]]:
    """A server with nothing of the user's: its own settings, its own book, no keys."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root, settings = folder / "root", folder / "config" / "labconfig"
    root.mkdir()
    settings.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(quiet))
    command = [
        sys.executable, "-m", "jupyter", kind, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={root}",
        f"--{CLASSES[kind]}.expose_app_in_browser=True",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log, start_new_session=True)
    server = Server(kind, f"http://127.0.0.1:{port}", root)
    wait_until_up(server, process, folder / "log")
    return server, process


def environment(folder: Path) -> dict[str, str]:
    """The server's environment."""
    foreign = ("_API_KEY", "_TOKEN", "_proxy", "_PROXY")
    kept = {name: value for name, value in os.environ.items() if not name.endswith(foreign)}
    ours = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "TOKMAGIC_HOME": "home",
    }
    private = {name: str(folder / value) for name, value in ours.items()}
    private["TOKMAGIC_REPLAY_MEGABYTES"] = "0"
    return {**kept, **private, "TOKMAGIC_MODEL": "demo/claude", "TOKMAGIC_DEMO_PACE": str(PACE)}


def wait_until_up(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it answers."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(log.read_text())


class Desk:
    """A person at a browser: opens notebooks, runs cells, looks at the panel."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        page.set_default_timeout(PATIENCE * 1000)

    @property
    def panel(self) -> Locator:
        """The sidebar's panel."""
        return self.page.locator("#tokmagic-panel")

    def row(self, key: str) -> Locator:
        """A row of the panel by its key."""
        return self.panel.locator(f'.tokmagic-row[data-key="{key}"]')

    @property
    def status(self) -> Locator:
        """The item in the status bar."""
        return self.page.locator("#tokmagic-status")

    def write(self, name: str, *cells: str) -> None:
        """Put a notebook of code cells where the server finds it."""
        (self.server.root / name).write_text(json.dumps(notebook(*cells)))

    def open(self, name: str, *, idle: bool = True, panel: bool = True) -> None:
        """Open a notebook as a fresh page, with its kernel ready, and the panel beside it."""
        self.page.goto(self.server.address(name))
        self.page.wait_for_selector(".jp-Notebook")
        self.page.wait_for_function("() => window.jupyterapp?.shell")
        self.page.evaluate(f"() => {{ window.kernel = {KERNEL} }}")
        self.page.wait_for_function(IDLE if idle else "() => !!window.kernel()")
        if panel:
            self.command("tokmagic:open")
            expect(self.panel).to_be_visible()

    def switch(self, name: str) -> None:
        """Bring another notebook to the front of the same page."""
        self.page.evaluate("path => jupyterapp.commands.execute('docmanager:open', { path })", name)
        self.page.wait_for_function(
            f"path => jupyterapp.shell.currentWidget?.context?.path === path && ({IDLE})()", arg=name
        )

    def command(self, name: str) -> None:
        """Execute a command as soon as there is one of that name, and do not wait for its end."""
        self.page.wait_for_function("name => jupyterapp.commands.hasCommand(name)", arg=name)
        self.page.evaluate("name => { void jupyterapp.commands.execute(name) }", name)

    def run_all(self) -> None:
        """Run every cell."""
        self.command("notebook:run-all-cells")

    def execute(self, code: str) -> None:
        """Run code in the kernel, outside of any cell."""
        self.page.evaluate("code => { window.kernel().requestExecute({ code }) }", code)

    def wait_idle(self) -> None:
        """Until nothing runs."""
        self.page.wait_for_function(IDLE)


#: The kernel of the notebook in front.
KERNEL = """() => [...jupyterapp.shell.widgets('main')]
  .find(widget => widget.isVisible && widget.sessionContext)?.sessionContext.session?.kernel"""
IDLE = "() => window.kernel()?.status === 'idle'"


def notebook(*cells: str) -> dict[str, Any]:
    """A notebook of code cells."""
    kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernelspec},
        "cells": [{**blank, "id": f"c{place}", "source": source} for place, source in enumerate(cells)],
    }


@pytest.fixture(params=["lab", "notebook"])
def desk(request: pytest.FixtureRequest, page: Page, start: Callable[[str], Server]) -> Desk:
    """At JupyterLab, and at Notebook 7."""
    return Desk(page, start(request.param))


@pytest.fixture
def lab_desk(page: Page, start: Callable[[str], Server]) -> Desk:
    """At JupyterLab, for what Notebook 7 has not: several notebooks on a page, a status bar."""
    return Desk(page, start("lab"))
