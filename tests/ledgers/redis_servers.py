"""Redis servers of our own, on the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

#: What a server says as soon as it answers.
READY = b"Ready to accept connections"


def start_redis(port: int, folder: str, *options: str) -> subprocess.Popen[bytes]:
    """A server on the loopback that answers, with nothing in it but what lies in its folder."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is missing: run make test as root, or apt-get install redis-server")
    where = ("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "")
    server = subprocess.Popen([program, *where, *options], stdout=subprocess.PIPE)
    # Not by trying to connect: from the loopback, that may meet itself on a port where nobody listens yet.
    with server.stdout as log:  # type: ignore[union-attr]
        if any(READY in line for line in log):
            return server
    raise ChildProcessError(f"redis-server ended at once, with {server.wait()}, when asked for {where} and {options}")


def _on_a_port(folder: str, tries: int = 5) -> tuple[subprocess.Popen[bytes], int]:
    """A server and its port; one that another program took meanwhile is left to it."""
    port = free_port()
    try:
        return start_redis(port, folder), port
    except ChildProcessError:
        if tries == 1:
            raise
    return _on_a_port(folder, tries - 1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a server with nothing in it, which ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        server, port = _on_a_port(folder)
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()
