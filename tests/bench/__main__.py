"""Run every bench: ``python -m tests.bench``."""

from __future__ import annotations

import platform
import sys

from tests.bench import books, calls, compaction, counting, cutting, fitting, iopub, load, pacing, serving


def main() -> None:
    """Print all, with what they were measured on."""
    print(
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; medians (lowest to highest)\n"
    )
    for bench in (load, calls, iopub, books, counting, cutting, fitting, compaction, pacing, serving):
        bench.run()
        print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
