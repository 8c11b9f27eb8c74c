"""What a request of somebody else's client asks for, read from its path and body before it is sent. Pure.

It is one of three things: free, a call of a model, or something else that may cost. Of a call it says what bounds it:
the messages where our codec reads them, the bound of the answer times the answers asked for, and whatever in the body
could make it cost more than both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from tokmagic.core.bounds import run_by_client
from tokmagic.core.messages import Request
from tokmagic.core.models import Protocol

from . import WireError
from .registry import CODECS

Kind: TypeAlias = Literal["free", "call", "other"]

#: Where each protocol sends its calls.
PATHS: Mapping[str, Protocol] = {
    "/messages": "messages",
    "/chat/completions": "chat",
    "/responses": "responses",
}
#: Ends of paths that a POST to costs nothing.
FREE = ("/count_tokens", "/input_tokens", "/cancel", "/files", "/moderations")
#: Under which name each protocol bounds an answer.
BOUNDS: Mapping[Protocol, tuple[str, ...]] = {
    "messages": ("max_tokens",),
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
}
#: Fields through which a call can read, write or cost more than its messages and its bound say.
UNBOUNDED = frozenset(
    {
        *("mcp_servers", "container", "context_management", "compaction", "fallbacks", "speed", "inference_geo"),
        *("web_search_options", "prediction", "audio", "modalities", "background", "service_tier"),
    }
)
#: Values of these fields that change nothing.
HARMLESS = (None, False, "auto", "default", "standard", "standard_only", "global", ["text"])


@dataclass(frozen=True, slots=True)
class Sent:
    """What one request asks for.

    Attributes:
        kind: ``free``, a ``call`` of a model, or something ``other`` whose cost is not known.
        protocol: of a call.
        model: the provider's own id; of something other its path, where the body names none.
        request: as core reads it, its ``max_tokens`` the bound of all answers together (0 where the body names none);
            None where our codec does not read it.
        max_tokens: the same bound; None where the body names none.
        unbounded: what in the body could make it cost more than its messages and its bound say.
    """

    kind: Kind
    protocol: Protocol = "chat"
    model: str = ""
    request: Request | None = None
    max_tokens: int | None = None
    unbounded: tuple[str, ...] = ()


def read_sent(method: str, path: str, body: Any) -> Sent:
    """What a request asks for; ``path`` may hold a query, and ``body`` is parsed JSON or whatever else was sent."""
    path = path.partition("?")[0].rstrip("/")
    if method.upper() != "POST" or path.endswith(FREE):
        return Sent("free")
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    model = fields.get("model")
    name = model if isinstance(model, str) and model else path.strip("/")
    protocol = next((protocol for end, protocol in PATHS.items() if path.endswith(end)), None)
    if protocol is None:
        return Sent("other", model=name, unbounded=(f"{method.upper()} {path}",))
    return _call(protocol, name, fields)


def _call(protocol: Protocol, model: str, body: Mapping[str, Any]) -> Sent:
    answers, bound = _answers(body), _bound(protocol, body)
    most = None if bound is None else bound * answers
    request = _request(protocol, body)
    return Sent(
        kind="call",
        protocol=protocol,
        model=model,
        request=replace(request, max_tokens=most or 0) if request is not None else None,
        max_tokens=most,
        unbounded=(
            *_unbounded(body),
            *(("a sound that is not read here",) if request is None and _sounds(body) else ()),
        ),
    )


def _request(protocol: Protocol, body: Mapping[str, Any]) -> Request | None:
    try:
        return CODECS[protocol].decode_request({name: value for name, value in body.items() if name != "n"})
    except WireError:
        return None


def _sounds(body: Any) -> bool:
    """Whether there is a sound anywhere in it, be it one that the service has kept of an answer."""
    if isinstance(body, Mapping):
        spoken = body.get("role") == "assistant" and isinstance(body.get("audio"), Mapping)
        return spoken or body.get("type") == "input_audio" or any(map(_sounds, body.values()))
    return isinstance(body, list) and any(map(_sounds, body))


def _answers(body: Mapping[str, Any]) -> int:
    """How many answers are asked for; each may be as long as the bound."""
    asked = [body.get(name) for name in ("n", "best_of")]
    return max([1, *(number for number in asked if isinstance(number, int))])


def _bound(protocol: Protocol, body: Mapping[str, Any]) -> int | None:
    values = (body.get(name) for name in BOUNDS[protocol])
    return next((value for value in values if isinstance(value, int) and value > 0), None)


def _unbounded(body: Mapping[str, Any]) -> Iterable[str]:
    yield from sorted(name for name in UNBOUNDED.intersection(body) if body[name] not in HARMLESS)
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = str(tool.get("type") or "custom") if isinstance(tool, Mapping) else str(tool)
        if not run_by_client(kind):
            yield f"the tool {kind}"
