"""Compaction on demand, on the Messages route: a request with ``compaction`` is answered with one signed block alone.

The block stands for the whole conversation that was sent. It opens only if it was sealed here, so one that was changed
on its way is refused, as the real service refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from tokmagic.codecs import Json, WireError
from tokmagic.codecs.anthropic_blocks import FAMILY, MESSAGES
from tokmagic.codecs.wire import Node, compact_json, inner
from tokmagic.core.messages import Compaction, Extras, Request
from tokmagic.core.replies import Answer
from tokmagic.core.summarising import SUMMARY_PROMPT, enclosed

from .calls import Call
from .seals import seal, unseal
from .thresholds import BETA as BY_ITSELF
from .thresholds import standing

#: What the ``anthropic-beta`` header has to name.
BETA = "compact-2026-09-04"


def is_on_demand(call: Call) -> bool:
    """Whether the call is one for a compaction."""
    return call.model.protocol == "messages" and call.request.extras.body.get("compaction") is not None


def checked(request: Request, headers: Mapping[str, str]) -> Request:
    """The request, if what it says of compaction is allowed, without what an earlier summary stands for.

    Raises:
        WireError: the feature is not switched on, is asked for in another way, or does not go with the rest; or a block
            that was not made here.
    """
    body, betas = request.extras.body, {beta.strip() for beta in headers.get("anthropic-beta", "").split(",")}
    if request.compact_at is not None and BY_ITSELF not in betas:
        raise MESSAGES.unknown(("context_management",))
    if body.get("compaction") is not None:
        if BETA not in betas:
            raise MESSAGES.unknown(("compaction",))
        _check(Node(body["compaction"], ("compaction",), MESSAGES))
        _check_company(request)
    for message in request.turns:
        for part in message.parts:
            if isinstance(part, Compaction):
                _verify(part)
    return standing(request)


def summary_call(call: Call) -> Call:
    """The call that writes the summary a request asks for: it reads what was sent, under the same bound."""
    asked = inner(call.request.extras.body, "compaction").get("instructions")
    wish = asked if isinstance(asked, str) and asked.strip() else SUMMARY_PROMPT
    said = enclosed(call.request.turns, wish)
    return replace(call, request=replace(call.request, messages=(said,), tools=(), extras=Extras(), stream=False))


def as_block(summary: Answer) -> Answer:
    """The answer whose only content is the block; one that was cut off has none that could be sent back."""
    whole = summary.stop_reason == "end" and summary.text.strip()
    content = summary.text if whole else None
    block: Json = {"type": "compaction", "content": content, "encrypted_content": None}
    signed = block | ({"signature": seal(content)} if content else {})
    part = Compaction(content or "", FAMILY, compact_json(signed))
    return replace(summary, parts=(part,), stop_reason="compaction" if whole else summary.stop_reason)


def _check(node: Node) -> None:
    node.only(frozenset({"type", "instructions"}))
    if node.field("type").text() != "summarize":
        node.field("type").refuse("Input should be 'summarize'")
    if (said := node.optional("instructions")) is not None:
        said.text()


def _check_company(request: Request) -> None:
    body = request.extras.body
    if body.get("context_management") is not None or request.compact_at is not None:
        raise MESSAGES.invalid(("compaction",), "cannot be combined with `context_management`")
    if request.stop:
        raise MESSAGES.invalid(("compaction",), "cannot be combined with `stop_sequences`")
    if inner(body, "tool_choice").get("type") in ("any", "tool"):
        raise MESSAGES.invalid(("compaction",), "cannot be combined with a `tool_choice` that forces a tool")


def _verify(part: Compaction) -> None:
    signature = json.loads(part.raw).get("signature")
    if signature is not None and unseal(str(signature)) != part.text:
        raise WireError(400, "invalid_request_error", "messages: Invalid `signature` in `compaction` block")
