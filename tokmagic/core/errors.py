"""Every error tokmagic raises, in one tree. Each says what was refused, the numbers, and the way out.

TokmagicError
├── ConfigurationError        a setting, option or limit that cannot be used
│   ├── UnknownModel          no such model; the message names the nearest ones
│   └── MissingKey            the provider's key is not set; the message names the variable
├── InvalidPrompt             an empty prompt, an undefined {{name}}, a conversation no provider accepts
├── RequestTooLarge           cannot be made to fit, or can never pass a per-minute limit
├── BudgetExceeded            a limit that refuses is used up
├── LedgerError               the book cannot be read or written; nothing is sent
├── ReplayError               the replay store cannot be read or written; calls go on without it
└── ProviderError             the provider refused or failed
    ├── AuthenticationFailed  401, 403
    ├── QuotaExceeded         402, insufficient quota, spend limit: waiting does not help
    ├── RateLimited           429: waiting helps
    ├── ContextLengthExceeded the provider counted more than its window
    ├── RequestRejected       any other 4xx
    ├── Overloaded            503 or 529, and the provider says that it is overloaded: the request did not run
    ├── ServerFailed          any other 5xx, and 408
    ├── ConnectionFailed      no connection was made: the request did not run
    ├── StreamBroken          the reply began and did not end
    └── MalformedReply        a success status over something that is no reply

Interrupted is a KeyboardInterrupt: a cell that is stopped ends as one, in one line, with the partial reply on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from .rates import RateState


class OneLine:
    """Shown by IPython as one line; still an ordinary exception to ``except`` and to *Run All*."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class TokmagicError(OneLine, Exception):
    """Above every error of ours."""


class ConfigurationError(TokmagicError):
    """A setting, option or limit that cannot be used."""


class UnknownModel(ConfigurationError):
    """No model of that name, or several."""


class MissingKey(ConfigurationError):
    """The provider's key is not set."""


class InvalidPrompt(TokmagicError):
    """A prompt that cannot be sent as it stands."""


class RequestTooLarge(TokmagicError):
    """The request cannot be made to fit.

    Args:
        tokens: what it would take, in tokens.
        allowed: what there is, in tokens.
    """

    def __init__(self, message: str, *, tokens: int, allowed: int) -> None:
        super().__init__(message)
        self.tokens = tokens
        self.allowed = allowed


class BudgetExceeded(TokmagicError):
    """A limit that refuses has no room for the worst case of this call. Nothing was sent.

    Args:
        limit: the limit's own words, such as ``5 usd/day``.
        needed: the call's ceiling, in the limit's unit (nano-dollars for money).
        left: what the limit has left, in the same unit.
    """

    def __init__(self, message: str, *, limit: str, needed: int | None, left: int) -> None:
        super().__init__(message)
        self.limit = limit
        self.needed = needed
        self.left = left


class LedgerError(TokmagicError):
    """The book cannot be read or written. Without the book nothing is sent."""


class ReplayError(TokmagicError):
    """The replay store cannot be read or written. Calls go on without it."""


class ProviderError(TokmagicError):
    """The provider refused or failed.

    Args:
        message: one line, keys already redacted.
        provider: its name, such as ``anthropic``.
        status: the HTTP status, or None if none was received.
        code: the provider's own word for it, such as ``insufficient_quota``.
        request_id: the provider's id of the request.
        retry_after: seconds it asked to wait.
        rates: the limits it stated with the refusal.
    """

    #: Whether trying the same request again can succeed.
    retryable: ClassVar[bool] = False
    #: Whether the request may have run, and so may be billed, although it failed.
    may_have_run: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        rates: tuple[RateState, ...] = (),
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.rates = rates

    def __str__(self) -> str:
        tail = f" (request {self.request_id})" if self.request_id else ""
        return f"{super().__str__()}{tail}"


class AuthenticationFailed(ProviderError):
    """401 or 403: the key is wrong, expired or not allowed this model."""


class QuotaExceeded(ProviderError):
    """The account has no credit or met its spend limit; waiting does not help."""


class RateLimited(ProviderError):
    """429: too much in this minute; waiting helps."""

    retryable = True


class ContextLengthExceeded(ProviderError):
    """The provider counted more tokens than its window takes."""


class RequestRejected(ProviderError):
    """Any other refusal of the request as it was written (4xx)."""


class Overloaded(ProviderError):
    """503 or 529 in the provider's own words: it has no room at the moment, and the request did not run."""

    retryable = True


class ServerFailed(ProviderError):
    """Any other failure of the provider (5xx, 408), or of a proxy before it. It may have run, so it stays booked."""

    retryable = True
    may_have_run = True


class ConnectionFailed(ProviderError):
    """No connection was made; the request did not run."""

    retryable = True


class StreamBroken(ProviderError):
    """The reply began and did not end: cut off, an error in mid-stream, or silence past the deadline."""

    may_have_run = True


class MalformedReply(ProviderError):
    """A success status over a body that is no reply, such as a proxy's HTML page."""

    may_have_run = True


class Interrupted(OneLine, KeyboardInterrupt):
    """The call was stopped by hand. What had arrived is on ``reply`` and is paid for (``at least``)."""

    def __init__(self, message: str, reply: Any = None) -> None:
        super().__init__(message)
        self.reply = reply
