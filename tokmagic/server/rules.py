"""What a model allows, in the words of either family: is it known, does the request fit, is there room this minute."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tokmagic.codecs import WireError
from tokmagic.codecs.ratelimits import duration
from tokmagic.core.messages import Request
from tokmagic.core.models import Model, Protocol
from tokmagic.core.units import Unit

from .rates import Shortage

_INVALID = "invalid_request_error"


def unknown_model(protocol: Protocol, name: str, served: Iterable[str]) -> WireError:
    """There is no such model on this route; those that it has are named."""
    there = f"Served here: {', '.join(served) or 'none'}."
    if protocol == "messages":
        return WireError(404, "not_found_error", f"model: {name}. {there}")
    message = f"The model `{name}` does not exist or you do not have access to it. {there}"
    return WireError(404, _INVALID, message, code="model_not_found")


def input_room(request: Request, model: Model) -> int:
    """Tokens that the input may take beside the answer."""
    return (model.context_window or 2**31) - max(1, request.max_tokens)


def fitted(request: Request, model: Model, input_tokens: int) -> Request:
    """The request with its answer's bound made explicit.

    Raises:
        WireError: the bound, the prompt or both together are more than the model takes.
    """
    window = model.context_window or 2**31
    longest = model.max_output_tokens or window
    if request.max_tokens > longest:
        raise _answer_too_long(request, model, longest)
    if input_tokens > input_room(request, model):
        raise _too_long(model, input_tokens, request.max_tokens, window)
    return replace(request, max_tokens=request.max_tokens or min(longest, window - input_tokens))


def _answer_too_long(request: Request, model: Model, longest: int) -> WireError:
    asked = request.max_tokens
    if model.protocol == "messages":
        return WireError(
            400,
            _INVALID,
            f"max_tokens: {asked} > {longest}, which is the maximum allowed number of output tokens for {model.id}",
        )
    message = (
        f"max_tokens is too large: {asked}. This model supports at most {longest} completion tokens, "
        f"whereas you provided {asked}."
    )
    param = "max_output_tokens" if model.protocol == "responses" else "max_tokens"
    return WireError(400, _INVALID, message, param=param, code="invalid_value")


def _too_long(model: Model, prompt: int, answer: int, window: int) -> WireError:
    if model.protocol == "messages":
        if prompt >= window:
            return WireError(400, _INVALID, f"prompt is too long: {prompt} tokens > {window} maximum")
        message = (
            f"input length and `max_tokens` exceed context limit: {prompt} + {answer} > {window}, "
            "decrease input length or `max_tokens` and try again"
        )
        return WireError(400, _INVALID, message)
    if model.protocol == "responses":
        message = (
            f"Your input exceeds the context window of this model: {prompt} tokens and an answer of {answer} of "
            f"{window}. Please adjust your input and try again."
        )
        return WireError(400, _INVALID, message, param="input", code="context_length_exceeded")
    message = (
        f"This model's maximum context length is {window} tokens. However, you requested {prompt + answer} tokens "
        f"({prompt} in the messages, {answer} in the completion). Please reduce the length of the "
        "messages or completion."
    )
    return WireError(400, _INVALID, message, param="messages", code="context_length_exceeded")


def needs(request: Request, protocol: Protocol, input_tokens: int) -> Mapping[Unit, int]:
    """What a call takes from the per-minute limits before it runs.

    Anthropic counts output when it is produced, so one token of room is enough; OpenAI counts the larger of the
    bound that was sent and the prompt.
    """
    if protocol == "messages":
        return {"requests": 1, "input_tokens": input_tokens, "output_tokens": 1, "tokens": input_tokens + 1}
    return {"requests": 1, "tokens": max(request.max_tokens, input_tokens)}


def owed(protocol: Protocol, produced: int) -> Mapping[Unit, int]:
    """What a call owes the limits for so many more tokens of its answer."""
    return {"output_tokens": produced, "tokens": produced} if protocol == "messages" else {}


def rate_limited(protocol: Protocol, model: Model, short: Shortage) -> WireError:
    """The refusal for want of room in this minute."""
    limit = short.limit
    if protocol == "messages":
        unit = limit.unit.replace("_", " ")
        message = f"This request would exceed your rate limit of {limit.amount:,} {unit} per minute."
        return WireError(429, "rate_limit_error", message)
    kind, letters = ("requests", "RPM") if limit.unit == "requests" else ("tokens", "TPM")
    message = (
        f"Rate limit reached for {model.id} on {kind} per min ({letters}): Limit {limit.amount}, "
        f"Used {limit.amount - max(0, int(short.room))}, Requested {short.needed}. "
        f"Please try again in {duration(short.seconds)}."
    )
    return WireError(429, kind, message, code="rate_limit_exceeded")


def retry_headers(protocol: Protocol, short: Shortage) -> dict[str, str]:
    """The headers that say when to come again: whole seconds, and OpenAI's milliseconds."""
    seconds = {"retry-after": str(max(1, math.ceil(short.seconds)))}
    exact = {} if protocol == "messages" else {"retry-after-ms": str(max(1, math.ceil(short.seconds * 1000)))}
    return seconds | exact
