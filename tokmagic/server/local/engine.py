"""The engine over loaded models: token by token as an answer is written, in a thread of its own or in a batch.

Whoever is served holds its turn until its work has really ended, so that two answers only run at once in a batch.
A reader that goes away ends its answer at the next token; one that goes while it waits leaves the line.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from secrets import randbits
from typing import Any

import anyio

from tokmagic.core.counters import Counter
from tokmagic.core.messages import Request

from ..asks import asks_of
from ..engine import Output
from .asking import said, seed, settings
from .batching import Batches
from .loading import Loaded, ends_of
from .prompting import Prompt, prompt_of
from .reading import Reader
from .turns import Turns


class LocalEngine:
    """Writes answers with the models of those names; see ``Engine``."""

    def __init__(self, models: Iterable[Loaded], *, batching: bool = False) -> None:
        """Serve these models; with ``batching``, those that read text write several answers together.

        Raises:
            ConfigurationError: a model cannot be batched.
        """
        self._models = {model.name: model for model in models}
        alike = [model for model in self._models.values() if batching and model.processor is None]
        self._batches = {model.name: Batches(model) for model in alike}
        self._turns = Turns()

    def count(self, request: Request, counter: Counter) -> int:
        """Tokens of the input as the model reads it, template and all; checks what is asked.

        Raises:
            WireError: the model's template does not take it, or it asks for what a local model does not do.
        """
        settings(request)
        seed(request)
        model = self._models[request.model]
        return len(prompt_of(model, said(request, model.takes)).ids)

    async def generate(self, request: Request, counter: Counter) -> AsyncGenerator[Sequence[Output]]:
        """See ``Engine``."""
        model = self._models[request.model]
        prompt = await asyncio.to_thread(prompt_of, model, said(request, model.takes))
        reader = Reader(thinking=prompt.opens_thought, tools=bool(asks_of(request).tools))
        texts = _Texts(model)
        batches = self._batches.get(model.name)
        way = batches.way(request, prompt) if batches is not None else None
        async with self._turns.turn(None if way is None else (model.name, way)):
            written = (
                _tokens(model, request, prompt)
                if batches is None or way is None
                else batches.tokens(way, request, prompt)
            )
            async with aclosing(written) as ready:
                async for tokens in ready:
                    yield [output for token in tokens for output in reader.read(texts.after(token), 1)]
        yield [*reader.read(texts.rest(), 0), *reader.end()]

    def close(self) -> None:
        """End what is still written."""
        for batches in self._batches.values():
            batches.close()


class _Texts:
    """The text of a growing row of tokens: a character that several tokens make comes with the last of them."""

    def __init__(self, model: Loaded) -> None:
        self._model = model
        self._ids: list[int] = []
        self._told = 0

    def after(self, token: int) -> str:
        """What this token adds."""
        if token in self._model.silent:
            return ""
        self._ids.append(token)
        before, text = self._decoded(self._ids[: self._told]), self._decoded(self._ids)
        if len(text) <= len(before) or text.endswith("\ufffd"):
            return ""
        self._ids, self._told = self._ids[self._told :], len(self._ids) - self._told
        return text[len(before) :]

    def rest(self) -> str:
        """What the last tokens begin and do not end."""
        return self._decoded(self._ids)[len(self._decoded(self._ids[: self._told])) :]

    def _decoded(self, ids: list[int]) -> str:
        with self._model.lock:
            text: str = self._model.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


async def _tokens(model: Loaded, request: Request, prompt: Prompt) -> AsyncGenerator[list[int]]:
    """The tokens of the answer in batches of what is ready; the thread that writes them has ended when this has."""
    loop, gone = asyncio.get_running_loop(), threading.Event()
    news: asyncio.Queue[int | None] = asyncio.Queue()

    def tell(token: int | None) -> None:
        loop.call_soon_threadsafe(news.put_nowait, token)

    thread = loop.run_in_executor(None, _write, model, request, prompt, tell, gone)
    try:
        batch: list[int | None] = []
        while None not in batch:
            batch = [await news.get()]
            while not news.empty():
                batch.append(news.get_nowait())
            if tokens := [token for token in batch if token is not None]:
                yield tokens
        await thread
    finally:
        gone.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([thread])


def _write(
    model: Loaded, request: Request, prompt: Prompt, tell: Callable[[int | None], None], gone: threading.Event
) -> None:
    """Write an answer, one token beyond its bound where it has more to say, and tell its end."""
    import torch

    try:
        chosen = seed(request)
        torch.manual_seed(randbits(63) if chosen is None else chosen)
        ids = torch.tensor([prompt.ids], device=model.model.device)
        with suppress(_Gone):
            model.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                streamer=_Teller(tell, gone),
                max_new_tokens=request.max_tokens + 1,
                num_beams=1,
                num_return_sequences=1,
                eos_token_id=ends_of(model),
                **_placed(prompt, model.model),
                **settings(request),
            )
    finally:
        tell(None)


def _placed(prompt: Prompt, model: Any) -> dict[str, Any]:
    """What is shown, where the model is and in its numbers."""
    return {
        name: tensor.to(model.device, model.dtype) if tensor.is_floating_point() else tensor.to(model.device)
        for name, tensor in prompt.shown.items()
    }


class _Gone(Exception):
    """Nobody reads any more."""


class _Teller:
    """What ``generate`` takes for a streamer: it is given the prompt first, then token after token."""

    def __init__(self, tell: Callable[[int | None], None], gone: threading.Event) -> None:
        self._tell = tell
        self._gone = gone
        self._begun = False

    def put(self, value: Any) -> None:
        """Pass tokens on."""
        if self._gone.is_set():
            raise _Gone
        for token in value.flatten().tolist() if self._begun else ():
            self._tell(token)
        self._begun = True

    def end(self) -> None:
        """The answer has ended; its thread says so itself."""
