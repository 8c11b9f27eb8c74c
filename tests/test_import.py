"""Loading is light: no SDK, no widgets, no tokenizer data, no connection, until something needs them."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "anthropic", "openai", "httpx", "httpx2", "ipywidgets", "anywidget", "tiktoken", "regex", "genai_prices",
    "pydantic", "starlette", "uvicorn", "anyio", "sqlite3", "tokmagic.client", "tokmagic.tokenizers.packed",
)  # fmt: skip

PROGRAM = """
import json, os, sys
seen = []
if {shell}:
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
before = set(sys.modules)
def hook(event, args):
    if event.startswith("socket.") or (event == "open" and str(args[0]).endswith((".xz", ".sqlite", ".bin"))):
        seen.append([event, str(args)])
sys.addaudithook(hook)
{load}
print(json.dumps({{"loaded": sorted(set(sys.modules) - before), "seen": seen}}))
os._exit(0) if not sys.stdout.flush() else None
"""


def load(statement, shell):
    program = PROGRAM.format(load=statement, shell=shell)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("statement", "shell"),
    [("import tokmagic", False), ("shell.run_line_magic('load_ext', 'tokmagic')", True)],
    ids=["import", "load_ext"],
)
def test_loading_brings_nothing_heavy_and_opens_nothing(statement, shell):
    found = load(statement, shell)
    assert "tokmagic" in found["loaded"]
    assert [name for name in HEAVY if name in found["loaded"]] == []
    assert found["seen"] == []


def test_the_hook_sees_what_it_should():
    found = load("import socket; socket.socket().bind(('127.0.0.1', 0)); import sqlite3", False)
    assert found["seen"]
    assert "sqlite3" in found["loaded"]
