"""Run the large proofs at full size on all cores: ``python -m tests.soak [NAME[:FIRST-LAST] ...]``.

First the proofs over seeds, block by block; then every file of tests that takes its size from ``share``. Each job has a
process to itself. What fails is told at once with its seeds and how to run them again, and the others go on.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from .proofs import PROOFS
from .running import FILES, Outcome, proof_of, run_block, run_file

TESTS = Path(__file__).parents[1]
#: Seconds between two lines of progress.
EVERY = 15.0


@dataclass
class Tally:
    """What has come of one proof so far."""

    name: str
    size: int
    shows: str
    seen: int = 0
    done: int = 0
    failures: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, seeds: int, outcome: Outcome) -> None:
        self.counts.update(outcome.counts)
        self.seconds += outcome.seconds
        self.seen += seeds
        self.done += 0 if outcome.failure else seeds
        self.failures += bool(outcome.failure)

    def __str__(self) -> str:
        counts = ", ".join(f"{number:,} {what}" for what, number in sorted(self.counts.items()))
        failed = f"{self.failures:,} FAILED" if self.failures else f"0 {self.shows}"
        return f"{self.name}: {self.done:,} of {self.size:,}, {failed}; {self.seconds / 60:.1f} min of CPU; {counts}"


def sized_files() -> list[Path]:
    """The files of tests whose size ``share`` says."""
    return sorted(path for path in TESTS.rglob("test_*.py") if "soak import share" in path.read_text())


Job = tuple[Tally, int, Callable[..., Outcome], tuple[object, ...]]


def jobs(word: str) -> list[Job]:
    """The jobs a word of the command line asks for."""
    name, _, asked = word.partition(":")
    if name == FILES:
        paths = sized_files()
        tally = Tally(FILES, len(paths), "with a test that failed")
        return [(tally, 1, run_file, (path,)) for path in paths]
    proof = proof_of(name)
    first, _, last = asked.partition("-")
    seeds = range(int(first), int(last or first) + 1) if asked else range(proof.size)
    tally = Tally(name, len(seeds), proof.shows)
    starts = range(seeds.start, seeds.stop, proof.block)
    blocks = [range(start, min(start + proof.block, seeds.stop)) for start in starts]
    return [(tally, len(block), run_block, (name, block)) for block in blocks]


def run_jobs(wanted: list[Job]) -> None:
    """Run them all, as many at once as there are cores; say how far they are, and when a proof is through."""
    told = time.monotonic()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run, *arguments): (tally, size) for tally, size, run, arguments in wanted}
        for future in as_completed(futures):
            (tally, size), outcome = futures[future], future.result()
            tally.take(size, outcome)
            if outcome.failure:
                print(outcome.failure, flush=True)
            if time.monotonic() - told > EVERY or tally.seen == tally.size:
                told = time.monotonic()
                print(f"... {tally}", flush=True)


def main(words: list[str]) -> int:
    """Run the proofs that are named, or all; 1 where anything failed."""
    wanted = [job for word in words or [*(proof.name for proof in PROOFS), FILES] for job in jobs(word)]
    run_jobs(wanted)
    tallies = list({id(tally): tally for tally, *_ in wanted}.values())
    print("", *tallies, sep="\n")
    return int(any(tally.failures for tally in tallies))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
