"""Answers of one model written together, by the library's own continuous batching: each pass writes a token of all.

Requests join and leave between two passes. Only what a batch does exactly as the model alone is batched: a choice of
tokens by temperature, top_k and top_p, or of the likeliest one. A seed, a penalty, or anything else that the request or
the model's own folder sets, is for the model alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from secrets import token_hex
from typing import Any, Literal, TypeAlias

import anyio

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Request

from .asking import seed, settings
from .loading import Loaded, ends_of
from .prompting import Prompt

#: How the answers of a batch choose their tokens: one batch has one way.
Way: TypeAlias = Literal["likeliest", "sampled"]

PAGE = 256
#: Tokens that a batch keeps of its conversations together, where one alone needs no more.
ROOM = 32_768
#: Conversations in a batch, and tokens of their inputs in one pass.
MOST, MOST_READ = 64, 1_024
STOP_SECONDS = 3.0
#: What the library takes for a setting that nobody set.
_UNSET = {"temperature": 1.0, "top_k": 50, "top_p": 1.0}
#: Values that change nothing, beside 0 and false.
_NEUTRAL = {"length_penalty": 1, "num_beams": 1, "num_return_sequences": 1, "repetition_penalty": 1, "typical_p": 1}
#: What may be set otherwise beside the choice.
_BESIDE = frozenset(
    {"bos_token_id", "cache_implementation", "do_sample", "eos_token_id", "max_length", "max_new_tokens",
     "pad_token_id", "transformers_version", "use_cache", "_from_model_config", *_UNSET}
)  # fmt: skip
_COLDEST = 1e-6


class Batches:
    """The batches of one model: one for each way to choose, begun when it is first asked for.

    Raises:
        ConfigurationError: the model cannot be batched.
    """

    def __init__(self, model: Loaded) -> None:
        if model.window is None or "eager" in model.model.config._attn_implementation:
            why = "it does not say its window" if model.window is None else "its attention is written for one at a time"
            raise ConfigurationError(f"{model.name} cannot be batched: {why}. Serve it without --batching.")
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
        self._model = model
        self._managers: dict[Way, Any] = {}
        self._making = threading.Lock()
        self._try()

    def way(self, request: Request, prompt: Prompt) -> Way | None:
        """The batch that this request may join, or None if it is for the model alone."""
        if prompt.shown or seed(request) is not None:
            return None
        found = _settings(self._model, request)
        beyond = {name for name, value in found.items() if name not in _BESIDE and value != _NEUTRAL.get(name, 0)}
        if beyond:
            return None
        return "sampled" if found.get("do_sample") else "likeliest"

    async def tokens(self, way: Way, request: Request, prompt: Prompt) -> AsyncGenerator[list[int]]:
        """The tokens of an answer in batches of what is ready; it has left when this has ended.

        Raises:
            RuntimeError: the batch failed.
        """
        manager = await asyncio.to_thread(self._running, way)
        name, news, finished = token_hex(8), asyncio.Queue[Any](), False
        manager.register_result_handler(name, news.put_nowait)
        try:
            self._add(manager, way, name, request, prompt)
            told = 0
            while not finished:
                output = await news.get()
                while not news.empty():
                    output = news.get_nowait()
                finished = output.is_finished()
                if output.error is not None:
                    raise RuntimeError(f"The batch of {self._model.name} failed: {output.error}")
                yield output.generated_tokens[told:]
                told = len(output.generated_tokens)
        finally:
            if not finished:
                with anyio.CancelScope(shield=True):
                    await asyncio.to_thread(_leave, manager, name)

    def close(self) -> None:
        """End the batches, and what is in them."""
        for manager in self._managers.values():
            manager.stop(block=True, timeout=STOP_SECONDS, hard_stop=True)
        self._managers.clear()

    def _add(self, manager: Any, way: Way, name: str, request: Request, prompt: Prompt) -> None:
        joined = manager.add_request(
            prompt.ids,
            request_id=name,
            max_new_tokens=request.max_tokens + 1,
            streaming=True,
            eos_token_id=ends_of(self._model) or -1,
            **(_choice(self._model, request) if way == "sampled" else {}),
        )
        if joined is None:
            raise RuntimeError(f"The batch of {self._model.name} has ended.")

    def _running(self, way: Way) -> Any:
        """The batch of this way; one that failed is begun anew."""
        with self._making:
            manager = self._managers.get(way)
            if manager is None or not manager.is_running():
                manager = self._managers[way] = _begun(self._model, way)
        return manager

    def _try(self) -> None:
        """Write two short answers, so that a model that cannot be batched is refused before it is served."""
        try:
            manager = self._running("likeliest")
            asked = manager.add_requests([[0, 0], [0, 0, 0]], max_new_tokens=2)
            error = next((error for error in [_result(manager).error for _ in asked] if error), None)
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as failed:
            error = str(failed)
        if error is not None:
            self.close()
            why = " ".join(error.split())[:200]
            raise ConfigurationError(
                f"{self._model.name} cannot be batched by transformers: {why}. Serve it without --batching."
            )


def _begun(model: Loaded, way: Way) -> Any:
    from transformers import ContinuousBatchingConfig, GenerationConfig

    window = model.window or 0
    room = max(window, min(8 * window, ROOM))
    # These values are placeholders: each request brings its own, which only works for what is set here.
    sampled = {"do_sample": True, "temperature": 0.5, "top_k": 1, "top_p": 0.5} if way == "sampled" else {}
    manager = model.model.init_continuous_batching(
        generation_config=GenerationConfig(eos_token_id=-1, **sampled),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=PAGE,
            num_blocks=-(-room // PAGE) + 2,
            max_batch_tokens=MOST_READ,
            max_requests_per_batch=MOST,
            per_request_processors=True,
            auto_switch_to_flash=False,
        ),
    )
    manager.warmup()
    # The process ends when its last pass has: torch must not be at work in a thread that is left behind, and a thread
    # is left behind where the one that started it is, as the server's are.
    starting = threading.Thread(target=manager.start, daemon=False)
    starting.start()
    starting.join()
    return manager


def _result(manager: Any) -> Any:
    while (output := manager.get_result(timeout=0.5)) is None:
        if not manager.is_running():
            raise RuntimeError("its batch ended")
    return output


def _settings(model: Loaded, request: Request) -> Mapping[str, Any]:
    """How this request chooses: its own settings over those of the model's folder."""
    own = model.model.generation_config.to_diff_dict()
    return {name: value for name, value in {**own, **settings(request)}.items() if value is not None}


def _choice(model: Loaded, request: Request) -> dict[str, Any]:
    found = {**_UNSET, **_settings(model, request)}
    size = model.model.config.get_text_config().vocab_size
    return {
        "temperature": max(float(found["temperature"]), _COLDEST),
        "top_k": min(found["top_k"] or size, size),
        "top_p": float(found["top_p"]),
    }


def _leave(manager: Any, name: str) -> None:
    """Leave a batch, and wait until the pass that runs has ended; a batch that has ended has none."""
    manager.cancel_request(name)
    with suppress(RuntimeError), manager.pause():
        pass
    manager.output_router.result_handlers.pop(name, None)
