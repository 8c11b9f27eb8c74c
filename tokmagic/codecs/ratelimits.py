"""The rate-limit headers of both families, written from the same values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tokmagic.core.limits import Unit


@dataclass(frozen=True, slots=True)
class RateState:
    """How full one per-minute limit is: ``limit`` and ``remaining`` in the unit, full again in ``reset`` seconds."""

    unit: Unit
    limit: int
    remaining: int
    reset: float


def anthropic_headers(states: Iterable[RateState], now: float) -> dict[str, str]:
    """Anthropic's family: tokens rounded to thousands, resets as RFC 3339 times from ``now`` (seconds of the epoch).

    The plain ``tokens`` headers show the token limit with the least left of it.
    """
    states = tuple(states)
    headers: dict[str, str] = {}
    for state in states:
        headers |= _anthropic(state.unit.replace("_", "-"), state, now)
    counted = [state for state in states if state.unit != "requests"]
    if counted:
        headers |= _anthropic("tokens", min(counted, key=lambda state: state.remaining), now)
    return headers


def _anthropic(name: str, state: RateState, now: float) -> dict[str, str]:
    rounded = state.remaining if state.unit == "requests" else round(state.remaining, -3)
    reset = datetime.fromtimestamp(0, UTC) + timedelta(seconds=-(-(now + state.reset) // 1))
    return {
        f"anthropic-ratelimit-{name}-limit": str(state.limit),
        f"anthropic-ratelimit-{name}-remaining": str(rounded),
        f"anthropic-ratelimit-{name}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def openai_headers(states: Iterable[RateState]) -> dict[str, str]:
    """OpenAI's family: requests and tokens, resets as durations."""
    headers: dict[str, str] = {}
    for state in states:
        headers[f"x-ratelimit-limit-{state.unit}"] = str(state.limit)
        headers[f"x-ratelimit-remaining-{state.unit}"] = str(state.remaining)
        headers[f"x-ratelimit-reset-{state.unit}"] = duration(state.reset)
    return headers


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: ``20ms``, ``1s``, ``6m0s``, ``1.5s``; rounded up to a millisecond."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"
