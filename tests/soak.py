"""How much of a large proof runs: a share in ``make test``, all of it in ``make soak``."""

from __future__ import annotations

import os

SOAK = os.environ.get("TOKMAGIC_SOAK") == "1"


def share(full: int, part: int) -> int:
    """``full`` repeats in a soak, else ``part``."""
    return full if SOAK else part
