"""The rate-limit headers of both families, written from the same values and read back into them.

Reading believes nothing that makes no sense: a header that is no number, negative or beyond counting is passed over,
and the rest still counts. Times of day become durations by the reply's own ``Date``, so no clock is needed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tokmagic.core.limits import MAX_AMOUNT
from tokmagic.core.rates import RateState
from tokmagic.core.units import Unit

_ANTHROPIC: Mapping[str, Unit] = {
    "requests": "requests",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_OPENAI: tuple[Unit, ...] = ("requests", "tokens")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SAID = re.compile(
    r"(?:\((?P<short>[RT]PM)\)|(?P<long>requests|tokens) per min(?:ute)?)"
    r".{0,80}?Limit:? (?P<limit>\d+),? Used:? (?P<used>\d+)",
    re.S,
)
_TRY_AGAIN = re.compile(r"(?:try again|retry) in (\d[\d.]*(?:ms|[smhd])[\d.smhd]*)")
#: The longest pause that is believed to be meant, in seconds.
_YEAR = 366 * 86400.0


def read_rates(headers: Mapping[str, str]) -> tuple[RateState, ...]:
    """The limits that a reply's headers state, of whichever family.

    Anthropic's plain ``tokens`` repeats the tighter of input and output, and counts only where these are missing.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if not any("ratelimit" in name for name in lower):
        return ()
    sent = _moment(lower.get("date", ""))
    ours = [_stated(lower, f"anthropic-ratelimit-{name}-{{}}", unit, sent) for name, unit in _ANTHROPIC.items()]
    if not any(ours[1:]):
        ours.append(_stated(lower, "anthropic-ratelimit-tokens-{}", "tokens", sent))
    theirs = [_stated(lower, f"x-ratelimit-{{}}-{unit}", unit, sent) for unit in _OPENAI]
    return tuple(state for state in (*ours, *theirs) if state is not None)


def read_message(message: str) -> tuple[RateState, ...]:
    """The limit that a refusal names in its text: ``on tokens per min (TPM): Limit 1000, Used 900, Requested 200``."""
    said = _SAID.search(message)
    if said is None:
        return ()
    unit: Unit = "requests" if (said["short"] or said["long"])[0] in "Rr" else "tokens"
    limit, used = _whole(said["limit"]), _whole(said["used"])
    return (RateState(unit, limit, max(0, limit - used)),) if limit is not None and used is not None else ()


def retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds to wait, by ``retry-after-ms``, ``retry-after`` (seconds or a date) or else by the message."""
    lower = {name.lower(): value for name, value in headers.items()}
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(lower.get(name, ""))
        if seconds is not None:
            return seconds * scale
    at, sent = _moment(lower.get("retry-after", "")), _moment(lower.get("date", ""))
    if at is not None and sent is not None:
        return max(0.0, (at - sent).total_seconds())
    said = _TRY_AGAIN.search(message)
    return read_duration(said[1].rstrip(".")) if said else None


def read_duration(text: str) -> float | None:
    """Seconds of a duration as OpenAI writes it (``20ms``, ``6m0s``) or of a plain number; None for anything else."""
    plain = text.strip().lower()
    if not _DURATION.fullmatch(plain):
        return _number(plain)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PIECE.findall(plain))
    return seconds if seconds <= _YEAR else None


def _stated(headers: Mapping[str, str], form: str, unit: Unit, sent: datetime | None) -> RateState | None:
    limit, remaining = (_whole(headers.get(form.format(what), "")) for what in ("limit", "remaining"))
    if remaining is None or limit == 0:
        return None
    said = headers.get(form.format("reset"), "")
    reset, at = read_duration(said), _moment(said)
    if at is not None and sent is not None:
        reset = max(0.0, (at - sent).total_seconds())
    return RateState(unit, limit, remaining if limit is None else min(remaining, limit), reset)


def _whole(text: str) -> int | None:
    plain = text.strip()
    if not plain.isascii() or not plain.isdigit() or len(plain) > len(str(MAX_AMOUNT)):
        return None
    number = int(plain)
    return number if number <= MAX_AMOUNT else None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= _YEAR else None


def _moment(text: str) -> datetime | None:
    """A moment from RFC 3339 or an HTTP date."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text.strip())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None


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
    reset = datetime.fromtimestamp(0, UTC) + timedelta(seconds=-(-(now + (state.reset or 0.0)) // 1))
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
        headers[f"x-ratelimit-reset-{state.unit}"] = duration(state.reset or 0.0)
    return headers


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: ``20ms``, ``1s``, ``6m0s``, ``1.5s``; rounded up to a millisecond."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return (f"{minutes}m" if minutes else "") + f"{rest / 1000:g}s"
