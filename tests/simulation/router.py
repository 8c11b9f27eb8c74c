"""litellm's router before the simulated service, with its usage-based routing and as many retries as the other peers.

It knows requests and all tokens per minute; a kernel's router is given its share of both.
"""

from __future__ import annotations

import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import httpx
import litellm

from .service import Call, Refused, Service

litellm.suppress_debug_info = True


class Engine(litellm.CustomLLM):
    """A provider of litellm's that answers from the simulated service; the prompt is the call's number."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.sent: dict[str, Call] = {}
        self._service = service

    async def acompletion(self, *_: Any, messages: Any, **__: Any) -> Any:
        call = self.sent[messages[0]["content"]]
        try:
            await self._service.send(call, _nothing, _nothing)
        except Refused as refused:
            request = httpx.Request("POST", "http://service")
            reply = httpx.Response(429, headers={"retry-after": str(refused.retry_after)}, request=request)
            raise litellm.RateLimitError("429", llm_provider="simulated", model="m", response=reply) from None
        reply = litellm.ModelResponse(model="m")
        total = call.input_tokens + call.output_tokens
        reply.usage = litellm.Usage(
            prompt_tokens=call.input_tokens, completion_tokens=call.output_tokens, total_tokens=total
        )
        return reply


async def _nothing(_: object) -> None:
    pass


class Router:
    """One kernel's router."""

    def __init__(self, service: Service, amounts: dict[str, int], retries: int, number: int) -> None:
        provider = f"simulated{number}"
        self._engine = Engine(service)
        litellm.custom_provider_map = [
            *(known for known in litellm.custom_provider_map if known["provider"] != provider),
            {"provider": provider, "custom_handler": self._engine},
        ]
        tokens = amounts["input_tokens"] + amounts["output_tokens"]
        params = {"model": f"{provider}/m", "rpm": amounts["requests"], "tpm": tokens}
        self._router = litellm.Router(
            model_list=[{"model_name": "m", "litellm_params": params}],
            routing_strategy="usage-based-routing-v2",
            num_retries=retries,
        )

    async def send(self, call: Call) -> bool:
        self._engine.sent[str(call.number)] = call
        try:
            await self._router.acompletion(model="m", messages=[{"role": "user", "content": str(call.number)}])
        except litellm.RateLimitError:
            return False
        return True
