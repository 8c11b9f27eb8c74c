"""One job of a soak: a block of a proof's seeds, or a file of tests at full size."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from .proofs import PROOFS, Proof

#: What the files of tests go by among the proofs.
FILES = "files"


@dataclass(frozen=True)
class Outcome:
    """What came of one job; ``seconds`` of CPU."""

    counts: Counter[str]
    seconds: float
    failure: str = ""


def run_block(name: str, seeds: range) -> Outcome:
    """Run one block of a proof in this process."""
    run, began = proof_of(name).run, cpu()
    try:
        return Outcome(run(seeds), cpu() - began)
    except Exception as error:  # noqa: BLE001 - it is told, counted, and fails the soak
        again = f"again: make soak SOAK={name}:{seeds.start}-{seeds.stop - 1}"
        return Outcome(Counter(), cpu() - began, "".join((*traceback.format_exception(error), again)))


def run_file(path: Path) -> Outcome:
    """Run one file of tests at full size."""
    began = cpu()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(path)]
    done = subprocess.run(
        command, env={**os.environ, "TOKMAGIC_SOAK": "1"}, capture_output=True, text=True, check=False
    )
    found = re.findall(r"(\d+) (passed|failed|errors?)\b", done.stdout)
    counts = Counter({what: int(number) for number, what in found})
    return Outcome(counts, cpu() - began, done.stdout + done.stderr if done.returncode else "")


def cpu() -> float:
    """Seconds of CPU this process and its ended children have used."""
    return sum(os.times()[:4])


def proof_of(name: str) -> Proof:
    """The proof of that name."""
    for proof in PROOFS:
        if proof.name == name:
            return proof
    raise SystemExit(f"no proof {name}: use some of {', '.join(proof.name for proof in PROOFS)}, {FILES}")
