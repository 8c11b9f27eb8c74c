"""What a refusal means: from a status, a body and headers to one typed error, for both families of services.

The body is judged before the status, because services answer the same failure with different statuses: an exhausted
quota comes as 400, 402 or 429, an error may come with status 200, and a proxy may send HTML with any status.

A 503 or 529 is a refusal, which costs nothing, only where the service itself says that it is overloaded. Behind any
other failure of a server, and behind a proxy's page, the request may have run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokmagic.core.errors import (
    AuthenticationFailed,
    ContextLengthExceeded,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from tokmagic.core.redaction import redact

from .ratelimits import read_message, read_rates, retry_after
from .wire import parse_json

MAX_MESSAGE = 300
#: How what is said of an HTML page begins.
PAGE = "an HTML page instead of a reply"
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached", "insufficient_balance"})
_QUOTA_WORDS = re.compile(
    r"credit balance|insufficient (?:balance|credit|quota)|usage limits?\b|spend(?:ing)? limit", re.I
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "model_context_window_exceeded"})
_CONTEXT_WORDS = re.compile(
    r"prompt is too long|maximum context length|exceeds? (?:the )?(?:model's )?(?:available )?context|"
    r"input is too long|context window",
    re.I,
)
_KEY_WORDS = re.compile(
    r"api[ _-]key (?:is )?(?:not valid|invalid|expired)|(?:invalid|incorrect|expired) api[ _-]key", re.I
)
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: QuotaExceeded,
    403: AuthenticationFailed,
    408: ServerFailed,
    429: RateLimited,
}
_OVERLOADED = frozenset({503, 529})
_OVERLOADED_CODES = frozenset({"overloaded_error", "overloaded", "server_overloaded", "engine_overloaded", "slow_down"})
_OVERLOADED_WORDS = re.compile(r"overloaded|(?:at|over|no|insufficient) capacity|slow down", re.I)
_BY_WORD: Mapping[str, type[ProviderError]] = {
    "authentication_error": AuthenticationFailed,
    "permission_error": AuthenticationFailed,
    "invalid_api_key": AuthenticationFailed,
    "rate_limit_error": RateLimited,
    "rate_limit_exceeded": RateLimited,
    "overloaded_error": Overloaded,
    "api_error": ServerFailed,
    "timeout_error": ServerFailed,
    "server_error": ServerFailed,
    "internal_error": ServerFailed,
    "internal_server_error": ServerFailed,
    "invalid_request_error": RequestRejected,
    "not_found_error": RequestRejected,
    "request_too_large": RequestRejected,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What an error body says: ``words`` are its type and its codes, the most particular last."""

    message: str = ""
    words: tuple[str, ...] = ()
    request_id: str | None = None

    @property
    def code(self) -> str | None:
        """The most particular word for it."""
        return self.words[-1] if self.words else None


def failure(status: int | None, body: Any, headers: Mapping[str, str]) -> ProviderError:
    """The typed error that a status, a body (parsed or as text) and headers stand for."""
    lower = {name.lower(): value for name, value in headers.items()}
    said = read_failure(body)
    return _kind(status, said)(
        one_line(said.message) or f"status {status} without a message",
        status=status,
        code=said.code,
        request_id=lower.get("request-id") or lower.get("x-request-id") or said.request_id,
        retry_after=retry_after(lower, said.message),
        rates=read_rates(lower) or read_message(said.message),
    )


def read_failure(body: Any) -> Failure:
    """What a body says about its error: both families' shapes, an inner error object by itself, plain text or HTML."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        return _read_text(body)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return Failure()
    inner = body.get("error")
    if isinstance(inner, str):
        return Failure(inner)
    error = inner if isinstance(inner, Mapping) else body
    details = error.get("details")
    found = (error.get("type"), error.get("code"), details.get("error_code") if isinstance(details, Mapping) else None)
    request_id = body.get("request_id")
    message = error.get("message", body.get("message", body.get("detail")))
    return Failure(
        message if isinstance(message, str) else "",
        tuple(str(word) for word in found if isinstance(word, str | int) and word != "error"),
        request_id if isinstance(request_id, str) else None,
    )


def one_line(text: str) -> str:
    """A foreign message for people: one line, no keys, of bounded length."""
    line = redact(" ".join(text.split()))
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _read_text(text: str) -> Failure:
    try:
        value = parse_json(text)
    except ValueError:
        value = None
    if isinstance(value, Mapping | list):
        return read_failure(value)
    return Failure(page_of(text) or text)


def page_of(text: str) -> str:
    """What to say of a text that is an HTML page, such as a proxy's; empty where it is none."""
    if not re.match(r"\s*<(?:!doctype|html|\?xml)", text, re.I):
        return ""
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
    return f"{PAGE}{f': {title[1].strip()}' if title else ''}"


def _says_overloaded(said: Failure) -> bool:
    """Whether an error with a type or a code of its own, and so no proxy's page, speaks of overload."""
    return bool(said.words) and bool(
        _OVERLOADED_CODES.intersection(said.words) or _OVERLOADED_WORDS.search(said.message)
    )


def _kind(status: int | None, said: Failure) -> type[ProviderError]:
    found = _by_body(status, said)
    if found is not None:
        return found
    if status is not None and status >= 400:
        return _BY_STATUS.get(status, ServerFailed if status >= 500 else RequestRejected)
    return next((_BY_WORD[word] for word in reversed(said.words) if word in _BY_WORD), MalformedReply)


def _by_body(status: int | None, said: Failure) -> type[ProviderError] | None:
    """What the body tells, whatever its status; None where that is nothing."""
    refused = status is None or status < 500
    if refused and (_QUOTA_CODES.intersection(said.words) or "spend_limit" in (said.code or "")):
        return QuotaExceeded
    if status == 400 and _KEY_WORDS.search(said.message):
        return AuthenticationFailed
    if refused and status not in (401, 403, 429):
        if _CONTEXT_CODES.intersection(said.words) or _CONTEXT_WORDS.search(said.message):
            return ContextLengthExceeded
        if _QUOTA_WORDS.search(said.message):
            return QuotaExceeded
    return Overloaded if status in _OVERLOADED and _says_overloaded(said) else None
