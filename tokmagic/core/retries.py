"""When to try again, as arithmetic. Whether a failure may be repeated at all is a property of its error class."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ProviderError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most ``attempts`` HTTP requests; pauses double from ``base`` seconds and never pass ``longest``."""

    attempts: int = 4
    base: float = 0.5
    longest: float = 30.0

    def pause(self, error: ProviderError, attempt: int, jitter: float) -> float | None:
        """Seconds before attempt ``attempt + 1``, or None when the error is final.

        What the provider asks for is obeyed up to ``longest``; a longer request is final, so that nobody waits unseen.
        ``jitter`` in [0, 1) spreads clients that failed together over up to twice the pause.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        asked = error.retry_after
        if asked is not None and asked > self.longest:
            return None
        pause = asked if asked is not None else min(self.longest, self.base * 2 ** (attempt - 1))
        return pause * (1 + jitter * (0.25 if asked is not None else 1.0))
