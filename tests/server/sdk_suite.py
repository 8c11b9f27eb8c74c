"""The official SDKs' own resource tests against the embedded server.

Run as ``python -m tests.server.sdk_suite PYTHON FOLDER``: FOLDER holds an unpacked source distribution of ``openai`` or
``anthropic``, PYTHON has it and its test requirements installed. The tests send dummy values, so a lenient door stands
in front of the server: it puts in a model that there is where a dummy is named, adds what every call needs, takes out
what refers to something stored, what Chat Completions takes only for sound and search, what Messages takes only with
the header of a beta, and makes the batch or the file that a dummy id stands for.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokmagic import catalog
from tokmagic.server.app import App
from tokmagic.server.demo import DemoEngine
from tokmagic.server.door import Door
from tokmagic.tokenizers import counter

SUITES = {
    "openai": (
        "tests/api_resources/test_responses.py",
        "tests/api_resources/responses/test_input_tokens.py",
        "tests/api_resources/chat/test_completions.py",
        "tests/api_resources/test_models.py",
        "tests/api_resources/test_batches.py",
        "tests/api_resources/test_files.py",
    ),
    "anthropic": (
        "tests/api_resources/test_messages.py",
        "tests/api_resources/messages/test_batches.py",
        "tests/api_resources/test_models.py",
        "tests/api_resources/beta/test_messages.py",
        "tests/api_resources/beta/messages/test_batches.py",
        "tests/api_resources/beta/test_models.py",
    ),
}
NEEDED: dict[str, dict[str, Any]] = {
    "/v1/responses": {"model": "gpt", "input": "Hi"},
    "/v1/responses/input_tokens": {"model": "gpt", "input": "Hi"},
    "/v1/responses/compact": {"model": "gpt", "input": [{"role": "assistant", "content": "Hi"}]},
    "/v1/chat/completions": {"model": "chat"},
    "/v1/messages": {"model": "claude"},
    "/v1/messages/count_tokens": {"model": "claude"},
    "/v1/batches": {},
}
STORED = re.compile(r"/v1/(messages/batches|batches|files)/[^/]+(/.*|)")
ASKED = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
URL = "/v1/chat/completions"
ROW = json.dumps({"custom_id": "a", "method": "POST", "url": URL, "body": {**ASKED, "model": "chat"}})
LEFT_OUT = frozenset(
    {
        *("previous_response_id", "conversation", "prompt", "background", "background_options"),
        *("audio", "functions", "function_call", "web_search_options", "context_management"),
        *("billing_policy", "compaction", "fallback_credit_token", "fallbacks"),
    }
)


class Lenient:
    """ASGI middleware that makes dummy values of requests into such as the server takes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body changed."""
        path = scope.get("path", "")
        if stored := STORED.fullmatch(path):
            kind, rest = stored.groups()
            path = f"/v1/{kind}/{await self._made(kind, ended=scope['method'] == 'DELETE')}{rest}"
            scope = {**scope, "path": path}
        if path.startswith("/v1/models/") and scope["method"] == "GET":
            scope = {**scope, "path": "/v1/models/claude"}
        if path not in NEEDED or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        batched = path == "/v1/batches"
        changes = {"input_file_id": await self._made("files"), "endpoint": URL} if batched else {}
        sent = [{"type": "http.request", "body": lenient(path, body + message["body"], changes), "more_body": False}]

        async def changed() -> Message:
            return sent.pop() if sent else await receive()

        await self._app(scope, changed, send)

    async def _made(self, kind: str, *, ended: bool = False) -> str:
        """The id of a new batch or file; of a batch that has ended, where that is asked for."""
        transport = httpx2.ASGITransport(self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            if kind == "messages/batches":
                made = await client.post(f"/v1/{kind}", json={"requests": [{"custom_id": "a", "params": ASKED}]})
            else:
                files, purpose = {"file": ("rows.jsonl", ROW)}, {"purpose": "batch"}
                made = await client.post("/v1/files", files=files, data=purpose)
            if kind == "batches":
                fields = {"input_file_id": made.json()["id"], "endpoint": URL, "completion_window": "24h"}
                made = await client.post("/v1/batches", json=fields)
            id = str(made.json()["id"])
            while ended and (await client.get(f"/v1/{kind}/{id}")).json().get("processing_status") == "in_progress":
                await asyncio.sleep(0)
            return id


def lenient(path: str, body: bytes, changes: dict[str, str]) -> bytes:
    """The body with a model that there is and nothing that the server does not have."""
    given = json.loads(body or b"{}")
    kept = {name: value for name, value in given.items() if name not in LEFT_OUT and value is not None}
    kept = {name: value for name, value in kept.items() if not (name.startswith("max_") and value == 0)}
    real = {"model": NEEDED[path]["model"]} if "model" in NEEDED[path] else {}
    merged = {**NEEDED[path], **kept, **real, **changes}
    if path == "/v1/responses/compact":
        merged |= NEEDED[path]
    return json.dumps(merged).encode()


def serve() -> tuple[uvicorn.Server, str]:
    """A server without limits that lets everybody in, and its address."""
    listener = Door().listen()
    models = [replace(model, rates=()) for model in catalog.demo_models().values()]
    app = Lenient(App(models, counter, DemoEngine(), lambda: 0.0).asgi())
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True).start()
    return server, f"http://127.0.0.1:{listener.getsockname()[1]}"


def main(python: str, folder: str) -> None:
    """Run the suite of an SDK and print how each of its tests ended."""
    sdk = "openai" if "openai" in Path(folder).name else "anthropic"
    server, url = serve()
    base = f"{url}/v1" if sdk == "openai" else url
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-q", "-rA", "--tb=line", *SUITES[sdk]]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "TEST_API_BASE_URL": base}, capture_output=True, text=True, check=False
    )
    server.should_exit = True
    for line in sorted(set(re.findall(r"^(?:PASSED|FAILED|ERROR|SKIPPED) .*$", done.stdout, re.M))):
        print(line)
    print(done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
