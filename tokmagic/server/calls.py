"""A request on its way to an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokmagic.codecs import Codec
from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request
from tokmagic.core.models import Model


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was checked and counted; ``count`` counts another, and ``codec`` writes the reply."""

    request: Request
    model: Model
    codec: Codec
    counter: Counter
    input_tokens: int
    count: Callable[[Request, Counter], int]
