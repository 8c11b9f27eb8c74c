"""Starts and stops the embedded server: uvicorn in a daemon thread, on a loopback port that the system picks.

More connections than a door takes are closed as they come, before anything is read of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from tokmagic.core.counters import Counter
from tokmagic.core.errors import TokmagicError
from tokmagic.core.models import Model

from .app import KEEP_ALIVE_SECONDS, App
from .demo import DemoEngine
from .door import LOOPBACK_DOOR, Door
from .engine import USUAL_TERMS, Engine, Terms
from .faults import NO_FAULTS, FaultPlan
from .guard import Guard

START_SECONDS = 20.0
STOP_SECONDS = 10.0
#: How long a connection may lie idle: longer than the SDKs keep one, so that none is closed with a call on its way.
IDLE_SECONDS = 60


@dataclass(slots=True)
class EmbeddedServer:
    """A running server; a context manager that closes it.

    Attributes:
        url: its address, such as ``http://127.0.0.1:40123``; Anthropic's SDK takes it as it is, OpenAI's with ``/v1``.
        token: the key that opens it, made anew for each server.
    """

    url: str
    token: str = field(repr=False)
    _server: uvicorn.Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)
    _ended: threading.Event = field(repr=False)

    def close(self) -> None:
        """Stop at once, running answers included, and wait until the port is free. Closing twice is a no-op."""
        self._server.should_exit = self._server.force_exit = True
        if self._ended.wait(STOP_SECONDS):
            self._thread.join()

    def wait(self) -> None:
        """Return when it has stopped."""
        # Not by joining a thread that runs: Ctrl-C in a join lets Python take it for ended, so that nobody waits again.
        self._ended.wait()

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(uvicorn.Server):
    """Says when it is ready to be asked, or has given up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()


def start_server(
    models: Iterable[Model],
    counter: Callable[[str], Counter],
    *,
    pace: float | None = None,
    clock: Callable[[], float] = time.time,
    engine: Engine | None = None,
    door: Door = LOOPBACK_DOOR,
    faults: FaultPlan = NO_FAULTS,
    keep_alive: float = KEEP_ALIVE_SECONDS,
    terms: Terms = USUAL_TERMS,
) -> EmbeddedServer:
    """Serve the models, on loopback unless the door is elsewhere.

    Args:
        models: each is served on the route of its own protocol, under its ``id``.
        counter: gives a tokenizer's counter by its name.
        pace: tokens a second that the demo engine writes, or None for no pause at all.
        clock: seconds of the epoch, for the per-minute limits.
        engine: what answers; the demo engine if None.
        door: where to listen and whom to let in.
        faults: what goes wrong on purpose.
        keep_alive: seconds of silence in a stream that are covered by a sign of life.
        terms: what the engine asks of the server.

    Raises:
        ConfigurationError: the port is in use.
        TokmagicError: it did not start.
    """
    listener, token = door.listen(), door.key()
    names = door.names(listener.getsockname()[1])
    app = App(models, counter, engine or DemoEngine(pace), clock, faults, keep_alive, terms).asgi()
    guard = Guard(app, token=token, names=names, max_body=door.max_body, max_running=door.max_running)
    server = _Server(_config(guard, 2 * door.max_running))
    ended = threading.Event()
    work = (server, listener, terms.ended, ended)
    thread = threading.Thread(target=_run, args=work, name="tokmagic-server", daemon=True)
    thread.start()
    if not server.settled.wait(START_SECONDS) or not server.started:
        raise TokmagicError(f"The embedded server did not start within {START_SECONDS:.0f} s on port {names.port}.")
    return EmbeddedServer(names.url, token, server, thread, ended)


def _config(app: Guard, connections: int) -> uvicorn.Config:
    class Bounded(H11Protocol):
        """Closes what comes beyond the bound."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > connections:
                transport.abort()

    return uvicorn.Config(
        app,
        http=Bounded,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_SECONDS,
    )


def _run(server: _Server, listener: socket.socket, end: Callable[[], None], ended: threading.Event) -> None:
    with ExitStack() as last:
        for act in (ended.set, end, server.settled.set, listener.close):
            last.callback(act)
        server.run(sockets=[listener])
