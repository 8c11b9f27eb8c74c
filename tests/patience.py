"""How long a test waits for what must come: long enough for a slow machine that has much else to do."""

from __future__ import annotations

#: In seconds.
PATIENCE = 120.0
