"""When to try again, as arithmetic. Whether a failure may be repeated at all is a property of its error class."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ProviderError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most ``attempts`` HTTP requests; pauses double from ``base`` seconds and never pass ``longest``."""

    attempts: int = 4
    base: float = 0.5
    longest: float = 60.0

    def pause(self, error: ProviderError, attempt: int, jitter: float) -> float | None:
        """Seconds before attempt ``attempt + 1``, or None when the error is final.

        What the provider asks for is obeyed up to ``longest``; a longer request is final, so that nobody waits unseen.
        ``jitter`` in [0, 1) spreads clients that failed together: over up to twice the pause, or over a quarter of what
        was asked for, and never over less than the doubling pause, so that fifty told ``20ms`` do not return at once.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        asked = error.retry_after
        if asked is not None and asked > self.longest:
            return None
        doubling: float = min(self.longest, self.base * 2 ** (attempt - 1))
        if asked is None:
            return doubling * (1 + jitter)
        return asked + jitter * max(0.25 * asked, doubling)
