"""Loading the extension in a started IPython, against jupyter_ai_magics in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from .measure import in_turn, ms, spread, times

PROGRAM = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
began = time.perf_counter()
shell.run_line_magic("load_ext", {name!r})
print(time.perf_counter() - began)
"""
#: A Python that has jupyter_ai_magics; ``make bench`` sets it.
PEER = "TOKMAGIC_BENCH_PEER"


def seconds(python: str, name: str) -> float:
    """How long the extension takes to load, in a fresh process that may keep its bytecode, as a user's does."""
    env = {variable: value for variable, value in os.environ.items() if variable != "PYTHONDONTWRITEBYTECODE"}
    command = [python, "-c", PROGRAM.format(name=name)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def run() -> None:
    """Print ours, the peer's, and the ratio."""
    python = os.environ.get(PEER, "")
    if not Path(python).is_file():
        print(f"load_ext: no peer to compare with; {PEER} names no Python")
        return
    pair = in_turn("load", lambda: seconds(sys.executable, "tokmagic"), lambda: seconds(python, "jupyter_ai_magics"), 9)
    print(f"%load_ext tokmagic:           {spread(pair.ours, ms)}")
    print(f"%load_ext jupyter_ai_magics:  {spread(pair.peer, ms)}")
    print(f"          ratio peer / ours:  {median(pair.ratios):.0f}x ({times(min(pair.ratios))} at least)")
