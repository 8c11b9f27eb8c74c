"""The kernel's end of the panel: whole snapshots, pushed over a comm to the sidebar and to inline widgets.

Every message stands alone, so a display that missed the earlier ones loses nothing. Nothing is pushed while a call runs
more often than ``PUSHES_PER_SECOND``, nor twice the same. A display may only ask for the state; nothing it sends
changes anything. Messages of displays may be delivered on another thread than the cell's, so a lock keeps their order.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tokmagic.core.errors import TokmagicError
from tokmagic.core.redaction import redact

if TYPE_CHECKING:
    from tokmagic.sync import Client

#: The comm's target, under which the sidebar finds it.
TARGET = "tokmagic.gauge"
#: A snapshot asks the book, so a running cell asks for no more than this.
PUSHES_PER_SECOND = 4.0
#: Seconds after which a comm that a front end closed is opened again.
REOPEN = 2.0
#: What a display asks for the state with.
HELLO = "hello"
#: The state before the first call: loaded, and nothing looked up yet. The version is the snapshot's.
READY: dict[str, Any] = {
    "tokmagic": 1,
    "sequence": 0,
    "epoch": "",
    "at": 0.0,
    "stale_at": None,
    "headline": None,
    "rows": [],
    "columns": [],
    "cells": [],
}

State = dict[str, Any]


class Channel(Protocol):
    """The part of a comm that is used."""

    def send(self, data: State) -> None:
        """Send to every front end."""

    def on_msg(self, callback: Callable[[Any], None]) -> None:
        """Call back with each message of a front end."""

    def on_close(self, callback: Callable[[Any], None]) -> None:
        """Call back when a front end closed it."""

    def close(self) -> None:
        """End it."""


class Panel:
    """Pushes the state of this kernel to its displays.

    Args:
        state: the state now.
        connect: opens a comm with its first message.
        clock: seconds, rising.
    """

    def __init__(
        self,
        state: Callable[[], State],
        connect: Callable[[State], Channel],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._connect = connect
        self._clock = clock
        self._lock = threading.RLock()
        self._channel: Channel | None = None
        self._opened_at = float("-inf")
        self._looked_at = float("-inf")
        self._sent: State = {}
        self._watchers: list[Callable[[State], None]] = []

    def open(self, first: State) -> None:
        """Open the comm with that state."""
        with self._lock:
            self._opened_at, self._sent = self._clock(), first
            self._channel = channel = self._connect(first)
            channel.on_msg(self._answer)
            channel.on_close(lambda _: self._closed(channel))

    def watch(self, send: Callable[[State], None]) -> None:
        """Push to ``send`` too, from now on."""
        self._watchers.append(send)

    def pulse(self) -> None:
        """Push the state, if the last look at it is long enough ago."""
        with self._lock:
            if self._clock() - self._looked_at >= 1 / PUSHES_PER_SECOND:
                self.push()

    def push(self) -> None:
        """Push the state now, if it is not what was pushed last."""
        with self._lock:
            state = self._look()
            if _meaning(state) != _meaning(self._sent):
                self._send(state)

    def tell(self) -> None:
        """Give the state to every display, so that all that are in sight show the same."""
        with self._lock:
            self._send(self._look())

    def close(self) -> None:
        """Close the comm and push no more."""
        with self._lock:
            self._watchers.clear()
            if self._channel is not None:
                self._channel.close()
                self._channel = None

    def _look(self) -> State:
        state = self._state()
        self._looked_at = self._clock()
        return state

    def _send(self, state: State) -> None:
        for send in self._watchers:
            send(state)
        if self._channel is not None:
            self._channel.send(state)
            self._sent = state
        elif self._clock() - self._opened_at >= REOPEN:
            self.open(state)

    def _answer(self, message: Any) -> None:
        if message["content"]["data"].get("type") == HELLO:
            self.tell()

    def _closed(self, channel: Channel) -> None:
        with self._lock:
            if self._channel is channel:
                self._channel, self._sent = None, {}


def connect(first: State) -> Channel:
    """Open a comm of this kernel to every front end."""
    from comm import create_comm

    channel: Channel = create_comm(target_name=TARGET, data=first)
    return channel


def state_of(client: Callable[[], Client]) -> State:
    """The client's state as a display is sent it; where it cannot be told, one row that says why."""
    from tokmagic.core.shown import as_json
    from tokmagic.core.snapshot import Row

    try:
        return as_json(client().snapshot())
    except TokmagicError as error:
        from dataclasses import asdict

        row = Row("trouble", "Not known", redact(str(error)), tone="bad")
        return {**READY, "rows": [asdict(row)]}


def in_use() -> bool:
    """Whether anything of this process has asked for the book yet, so that a look at it loads nothing."""
    return "tokmagic.parts" in sys.modules


def _meaning(state: State) -> State:
    """The state without what differs between two looks at the same thing."""
    return {name: value for name, value in state.items() if name not in ("sequence", "at", "stale_at")}
