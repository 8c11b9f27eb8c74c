"""Run every bench, or those named: ``python -m tests.bench [NAME ...]``."""

from __future__ import annotations

import platform
import sys
from importlib import import_module

#: In the order in which they are printed; each is a module with a ``run``.
NAMES = (
    *("load", "calls", "iopub", "counting", "cutting", "fitting", "books", "tools", "compaction", "serving", "pacing"),
)


def main(names: list[str]) -> str | None:
    """Print all, with what they were measured on; what is wrong with the names, if anything is."""
    unknown = set(names).difference(NAMES)
    if unknown:
        return f"no bench {', '.join(sorted(unknown))}: use some of {', '.join(NAMES)}"
    print(
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; medians (lowest to highest)\n"
    )
    for name in names or NAMES:
        import_module(f"tests.bench.{name}").run()
        print(flush=True)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
