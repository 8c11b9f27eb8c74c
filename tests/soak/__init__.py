"""How much of a large proof runs: a share in ``make test``, all of it in ``make soak``.

A proof over seeds is a function of a range of them that says what happened and raises at the first that fails: a test
runs a share, ``proofs.py`` says how large it is in full. Any other takes its size from ``share``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

SOAK = os.environ.get("TOKMAGIC_SOAK") == "1"


def share(full: int, part: int) -> int:
    """``full`` repeats in a soak, else ``part``."""
    return full if SOAK else part


@contextmanager
def naming(seed: int) -> Iterator[None]:
    """Whatever fails within names the seed it failed with."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with seed {seed}")
        raise


def each(check: Callable[[int], Mapping[str, int]], seeds: range) -> Counter[str]:
    """What happened in all seeds, checked one by one."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        with naming(seed):
            counts.update(check(seed))
    return counts
