"""What an attempt of a guarded client goes through, written once: steps that a thread or an event loop performs.

Pass the gate, wait its turn, send, follow the reply, settle. The steps know nothing of sleeping or sending; ``run``
performs them in the caller's thread, where Ctrl-C reaches a wait at once and a step of the book when that is done, and
``run_async`` in the caller's event loop, which goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import httpx2
from anyio import CancelScope

from tokmagic.corridor.shield import Interrupts, to_the_end, uninterrupted, without_interrupts
from tokmagic.guarding.attempts import Attempt
from tokmagic.guarding.desks import Asked, Call, Desk
from tokmagic.queues.bells import Bell, LoopBell, ThreadBell

#: The call whose attempts are made here, so that the retries of an SDK are booked as one call.
_call: ContextVar[Call | None] = ContextVar("tokmagic_guarded_call", default=None)


@dataclass(frozen=True, slots=True)
class Book:
    """A step: do this with the book, to its end."""

    act: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A step: let so many seconds pass, or less if the bell rings."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """A step: send the request; its result is the response."""


@dataclass(frozen=True, slots=True)
class Read:
    """A step: read the response to its end."""

    response: httpx2.Response


@dataclass(frozen=True, slots=True)
class Close:
    """A step: close the response, whose connection nobody else would give back."""

    response: httpx2.Response


Step: TypeAlias = Book | Sleep | Send | Read | Close
Steps: TypeAlias = Generator[Step, Any, httpx2.Response]


def steps(desk: Desk, asked: Asked, follow: Callable[[httpx2.Response, Attempt], None], bell: Bell) -> Steps:
    """What one attempt goes through; ``follow`` lets a reply that is still coming be heard, ``bell`` ends a sleep."""
    attempt: Attempt | None = yield Book(partial(_call_of(desk, asked).attempt, asked))
    response: httpx2.Response
    if attempt is None:
        response = yield Send()
        return response
    yield from _turn(attempt, bell)
    try:
        response = yield from _begun(attempt)
    except BaseException as error:
        attempt.lost(error)
        yield Book(attempt.close)
        raise
    if response.is_closed:
        attempt.complete(response.content)
        yield Book(attempt.close)
    else:
        follow(response, attempt)
    return response


def _begun(attempt: Attempt) -> Steps:
    """Send it and make known what the start of its reply states; a failure is read to its end."""
    response: httpx2.Response = yield Send()
    try:
        attempt.answered(response.status_code, response.headers)
        if attempt.has_news():
            yield Book(attempt.tell)
        attempt.followed()
        if response.is_error and not response.is_closed:
            yield Read(response)
    except BaseException:
        yield Close(response)
        raise
    return response


def _call_of(desk: Desk, asked: Asked) -> Call:
    """The call that the request belongs to: the one made here last, where it is sent again."""
    call = _call.get()
    if call is None or call.desk is not desk or not asked.retries:
        call = Call(desk)
        _call.set(call)
    return call


def _turn(attempt: Attempt, bell: Bell) -> Generator[Step, Any, None]:
    """The way until its worst case is held: shown, through the gate, then in line for the book."""
    admitted = False
    try:
        yield Book(attempt.begin)
        if seconds := attempt.at_the_gate(bell):
            yield Book(partial(attempt.queues, seconds))
        while seconds:
            with attempt.pause():
                yield Sleep(seconds)
            seconds = attempt.at_the_gate(bell)
        attempt.in_line(bell)
        while seconds := (yield Book(partial(attempt.ask, bell))):
            with attempt.pause():
                yield Sleep(seconds)
        admitted = True
    finally:
        attempt.out_of_line(bell)
        if not admitted:
            yield Book(attempt.leave)


def run(walk: Steps, send: Callable[[], httpx2.Response], bell: ThreadBell) -> httpx2.Response:
    """Perform the steps in this thread, whose bell it is. Ctrl-C ends a step, and never comes between two."""
    with without_interrupts() as interrupts:
        try:
            step = next(walk)
            while True:
                try:
                    result = _performed(step, send, bell, interrupts)
                except BaseException as error:  # noqa: BLE001 - handed to the steps, which raise it again
                    step = walk.throw(error)
                else:
                    step = walk.send(result)
        except StopIteration as end:
            return _response(end)


def _performed(step: Step, send: Callable[[], httpx2.Response], bell: ThreadBell, interrupts: Interrupts) -> Any:
    match step:
        case Book(act):
            done = act()
            interrupts.deliver()
            return done
        case Sleep(seconds):
            return interrupts.let_through(partial(bell.sleep, seconds))
        case Read(response):
            return interrupts.let_through(response.read)
        case Close(response):
            return response.close()
        case Send():
            return interrupts.let_through(send)


async def run_async(walk: Steps, send: Callable[[], Awaitable[httpx2.Response]], bell: LoopBell) -> httpx2.Response:
    """Perform the steps in this event loop, whose bell it is and which goes on meanwhile."""
    try:
        step = next(walk)
        while True:
            try:
                result = await _performed_async(step, send, bell)
            except BaseException as error:  # noqa: BLE001 - handed to the steps, which raise it again
                step = walk.throw(error)
            else:
                step = walk.send(result)
    except StopIteration as end:
        return _response(end)


async def _performed_async(step: Step, send: Callable[[], Awaitable[httpx2.Response]], bell: LoopBell) -> Any:
    match step:
        case Book(act):
            done = await to_the_end(act)
            await asyncio.sleep(0)  # a cancellation that came meanwhile is delivered here
            return done
        case Sleep(seconds):
            return await bell.sleep(seconds)
        case Read(response):
            return await response.aread()
        case Close(response):
            with CancelScope(shield=True):
                return await response.aclose()
        case Send():
            return await send()


def hear(response: httpx2.Response, attempt: Attempt) -> None:
    """Let the attempt hear the reply that a thread will read."""
    response.stream = Heard(response.stream, attempt)


def hear_async(response: httpx2.Response, attempt: Attempt) -> None:
    """Let the attempt hear the reply that an event loop will read."""
    response.stream = HeardAsync(response.stream, attempt)


def _response(end: StopIteration) -> httpx2.Response:
    response: httpx2.Response = end.value
    return response


class Heard(httpx2.SyncByteStream):
    """The body of a reply on its way to its reader; the attempt hears it too and ends with it."""

    def __init__(self, body: Any, attempt: Attempt) -> None:
        self._body = body
        self._attempt = attempt

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._body:
                self._attempt.heard(chunk)
                if self._attempt.has_news():
                    uninterrupted(self._attempt.tell)
                yield chunk
        except httpx2.HTTPError as error:
            self._attempt.lost(error)
            raise
        self._attempt.complete()

    def close(self) -> None:
        """Close the connection and settle."""
        try:
            self._body.close()
        finally:
            uninterrupted(self._attempt.close)


class HeardAsync(httpx2.AsyncByteStream):
    """The same in an event loop."""

    def __init__(self, body: Any, attempt: Attempt) -> None:
        self._body = body
        self._attempt = attempt

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._body:
                self._attempt.heard(chunk)
                if self._attempt.has_news():
                    await to_the_end(self._attempt.tell)
                yield chunk
        except httpx2.HTTPError as error:
            self._attempt.lost(error)
            raise
        self._attempt.complete()

    async def aclose(self) -> None:
        """Close the connection and settle."""
        try:
            await self._body.aclose()
        finally:
            await to_the_end(self._attempt.close)
