"""How full the provider's limits are used and how many 429s that takes, against others, in invented time.

Ours runs here; the others run in an environment of their own, on the same calls.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.clock import run as simulate
from tests.simulation.kernels import Ways, kernels
from tests.simulation.runs import drive
from tests.simulation.service import LOADS, calls

from .load import PEER

SEED = 0
WAYS = {
    "tokmagic": Ways(),
    "tokmagic, 20 % off": Ways(error=0.2, margin=0.25),
    "tokmagic, limits unknown": Ways(known=False),
}


def ours(name: str, count: int, ways: Ways) -> str:
    """One run of ours in one line."""
    load = calls(name, SEED)
    return simulate(drive(load, lambda service: kernels(service, count, ways, SEED))).line(load)


def theirs(python: str) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """The peers' lines, by load and number of kernels."""
    command = [python, "-W", "ignore", "-m", "tests.simulation.peers"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for line in done.stdout.splitlines():
        if line.count("\t") == 3:
            load, count, peer, came = line.split("\t")
            lines.setdefault((load, count), []).append((peer, came))
    return lines


def run() -> None:
    """Print a table for each load and number of kernels."""
    python = os.environ.get(PEER, "")
    peers = theirs(python) if Path(python).is_file() else {}
    if not peers:
        print(f"pacing: no peers to compare with; {PEER} names no Python")
    print("pacing: 500 calls, 24 at once; 50 requests, 40k input and 8k output tokens a minute; invented time")
    for name in LOADS:
        for count in (1, 3):
            print(f"  {name}, {count} kernel{'s' if count > 1 else ''}")
            came = [(label, ours(name, count, ways)) for label, ways in WAYS.items()]
            for label, line in (*came, *peers.get((name, str(count)), [])):
                print(f"    {label:<25} {line}")


if __name__ == "__main__":
    sys.exit(run())
