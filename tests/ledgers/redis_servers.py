"""Redis servers of our own, on the loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager


def start_redis(port: int, folder: str, *options: str) -> subprocess.Popen[bytes]:
    """A server on the loopback that answers, with nothing in it but what lies in its folder."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is missing: run make test as root, or apt-get install redis-server")
    where = ("--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", "")
    server = subprocess.Popen([program, *where, *options], stdout=subprocess.DEVNULL)
    for _ in range(1000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        if server.poll() is not None:
            raise ChildProcessError(f"redis-server ended at once, with {server.returncode}, when asked for {options}")
        time.sleep(0.01)
    raise TimeoutError("redis-server did not answer within 10 s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a server with nothing in it, which ends with the block."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = start_redis(port, folder)
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()
