"""The embedded server in a process of its own: prints its URL and token, and stops when its input closes."""

from __future__ import annotations

import sys
from dataclasses import replace

from tokmagic import catalog, tokenizers
from tokmagic.server import start_server
from tokmagic.server.engine import Engine


def serve(engine: Engine | None = None) -> None:
    """Serve until told to stop."""
    unlimited = [replace(model, rates=()) for model in catalog.demo_models().values()]
    server = start_server(unlimited, tokenizers.counter, engine=engine)
    print(server.url, server.token, flush=True)
    sys.stdin.read()
    server.close()


if __name__ == "__main__":
    serve()
