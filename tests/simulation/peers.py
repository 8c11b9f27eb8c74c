"""Others under the same calls, the same provider and the same invented time: ``python -m tests.simulation.peers``.

Each stands in front of the provider's own SDK, which tries again as it does by itself, ten times. Each is told the
provider's limits, the true input of a call and, for its output, the true mean of the load. Several kernels get a share
of the limits each, because none of these shares a count between processes by itself.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anthropic
import httpx2

from .clock import run
from .runs import Run, Sender, drive
from .service import LOADS, PER_MINUTE, Call, Refused, Service, calls

RETRIES = 10
Needs = dict[str, int]


class _Transport(httpx2.AsyncBaseTransport):
    """The SDK's way to the simulated service: the call travels by its number in a header."""

    def __init__(self, service: Service, sent: dict[int, Call]) -> None:
        self._service = service
        self._sent = sent

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = self._sent[int(request.headers["x-call"])]
        try:
            await self._service.send(call, _nothing, _nothing)
        except Refused as refused:
            error = {"type": "error", "error": {"type": "rate_limit_error", "message": "429"}}
            headers = refused.headers | {"retry-after": str(refused.retry_after)}
            return httpx2.Response(429, json=error, headers=headers)
        usage = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens}
        said = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
        return httpx2.Response(200, json=said | {"stop_reason": "end_turn", "stop_sequence": None})


async def _nothing(_: object) -> None:
    pass


class SDK:
    """The SDK alone."""

    def __init__(self, service: Service, retries: int) -> None:
        self._sent: dict[int, Call] = {}
        http = httpx2.AsyncClient(transport=_Transport(service, self._sent))
        self._sdk = anthropic.AsyncAnthropic(api_key="none", max_retries=retries, http_client=http)

    async def send(self, call: Call) -> bool:
        self._sent[call.number] = call
        message: Any = {"role": "user", "content": "Hi"}
        try:
            await self._sdk.messages.create(
                model="m", max_tokens=call.max_tokens, messages=[message], extra_headers={"x-call": str(call.number)}
            )
        except anthropic.RateLimitError:
            return False
        return True


class Limited:
    """A limiter in front of the SDK."""

    def __init__(self, sdk: SDK, output: int, acquire: Callable[[Needs], Awaitable[None]]) -> None:
        self._sdk = sdk
        self._output = output
        self._acquire = acquire

    async def send(self, call: Call) -> bool:
        await self._acquire({"requests": 1, "input_tokens": call.input_tokens, "output_tokens": self._output})
        return await self._sdk.send(call)


def aiolimiter(amounts: Needs) -> Callable[[Needs], Awaitable[None]]:
    """A leaky bucket for each limit."""
    from aiolimiter import AsyncLimiter

    limiters = {unit: AsyncLimiter(amount, 60) for unit, amount in amounts.items()}

    async def acquire(needs: Needs) -> None:
        for unit, needed in needs.items():
            await limiters[unit].acquire(min(needed, amounts[unit]))

    return acquire


def pyrate_limiter(amounts: Needs) -> Callable[[Needs], Awaitable[None]]:
    """A token bucket for each limit."""
    import pyrate_limiter as pyrate

    pyrate.clocks.monotonic_ns = time.monotonic_ns
    limiters = {
        unit: pyrate.Limiter(pyrate.StateBucket([pyrate.Rate(n, 60_000)], pyrate.TokenBucket()))
        for unit, n in amounts.items()
    }

    async def acquire(needs: Needs) -> None:
        for unit, needed in needs.items():
            await limiters[unit].try_acquire_async("all", min(needed, amounts[unit]))

    return acquire


def limits(amounts: Needs) -> Callable[[Needs], Awaitable[None]]:
    """A moving window for each limit; whoever is refused sleeps until the window says it has room."""
    from limits import RateLimitItemPerMinute
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter = MovingWindowRateLimiter(MemoryStorage())
    items = {unit: RateLimitItemPerMinute(amount, namespace=unit) for unit, amount in amounts.items()}

    async def acquire(needs: Needs) -> None:
        for unit, needed in needs.items():
            while not await limiter.hit(items[unit], cost=min(needed, amounts[unit])):
                stats = await limiter.get_window_stats(items[unit])
                await asyncio.sleep(max(0.05, stats.reset_time - time.time()))

    return acquire


class Cookbook:
    """The parallel request processor of OpenAI's cookbook, after its description.

    One loop looks at the head of its queue (here every 50 ms, there every 1), sends it when each capacity suffices,
    puts refused calls back up to five times, and sends nothing for 15 seconds after a refusal. It uses no SDK.
    """

    LOOK = 0.05
    COOL = 15.0
    ATTEMPTS = 5

    def __init__(self, service: Service, output: int, amounts: Needs) -> None:
        self._service = service
        self._output = output
        self._amounts = amounts
        self._capacity = {unit: float(amount) for unit, amount in amounts.items()}
        self._at = self._refused_at = -self.COOL
        self._queue: deque[tuple[Call, int, asyncio.Future[bool]]] = deque()
        self._loop: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def send(self, call: Call) -> bool:
        done = asyncio.get_running_loop().create_future()
        self._queue.append((call, self.ATTEMPTS, done))
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._process())
        return await done

    async def _process(self) -> None:
        while self._queue:
            call, attempts, done = self._queue[0]
            needs = {"requests": 1, "input_tokens": call.input_tokens, "output_tokens": self._output}
            if self._take({unit: min(needed, self._amounts[unit]) for unit, needed in needs.items()}):
                self._queue.popleft()
                task = asyncio.create_task(self._attempt(call, attempts - 1, done))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await asyncio.sleep(max(self.LOOK, self._refused_at + self.COOL - time.time()))

    def _take(self, needs: Needs) -> bool:
        now = time.time()
        for unit, amount in self._amounts.items():
            self._capacity[unit] = min(amount, self._capacity[unit] + (now - self._at) * amount / 60)
        self._at = now
        if any(self._capacity[unit] < needed for unit, needed in needs.items()):
            return False
        for unit, needed in needs.items():
            self._capacity[unit] -= needed
        return True

    async def _attempt(self, call: Call, left: int, done: asyncio.Future[bool]) -> None:
        try:
            await self._service.send(call, _nothing, _nothing)
        except Refused:
            self._refused_at = time.time()
            if not left:
                done.set_result(False)
                return
            self._queue.append((call, left, done))
            if self._loop is None or self._loop.done():
                self._loop = asyncio.create_task(self._process())
        else:
            done.set_result(True)


LIMITERS: dict[str, Callable[[Needs], Callable[[Needs], Awaitable[None]]]] = {
    "aiolimiter": aiolimiter,
    "pyrate-limiter": pyrate_limiter,
    "limits": limits,
}
PEERS = ("SDK", "SDK, 2 retries", *LIMITERS, "cookbook", "litellm router")


async def peers(name: str, service: Service, count: int, output: int) -> Sequence[Sender]:
    """So many kernels of that peer."""
    amounts = {unit: amount // count for unit, amount in PER_MINUTE.items()}
    if name == "cookbook":
        return [Cookbook(service, output, amounts) for _ in range(count)]
    if name == "litellm router":
        from .router import Router

        return [Router(service, amounts, RETRIES, number) for number in range(count)]
    retries = 2 if name == "SDK, 2 retries" else RETRIES
    sdks = [SDK(service, retries) for _ in range(count)]
    if name not in LIMITERS:
        return sdks
    return [Limited(sdk, output, LIMITERS[name](amounts)) for sdk in sdks]


def measured(name: str, load: list[Call], count: int) -> Run:
    """One run of one peer."""
    output = sum(call.output_tokens for call in load) // len(load)
    return run(drive(load, lambda service: peers(name, service, count, output)), patch=True)


def main(seed: int = 0) -> None:
    """Print one line for each peer, load and number of kernels."""
    for name in LOADS:
        load = calls(name, seed)
        for count in (1, 3):
            for peer in sys.argv[1:] or PEERS:
                line = measured(peer, load, count).line(load)
                print(f"{name}\t{count}\t{peer}\t{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
