"""A Redis book as many machines see it: each waits for every answer, and what they do besides costs the server nothing.

Two cores that run the clients as well say little about the server. So one real call is recorded on its way, and then
made over and over from as many connections, each time as another call.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

from tokmagic.core.accounts import account_of
from tokmagic.core.book import Entry
from tokmagic.core.limits import Admitted, Amounts, Charge
from tokmagic.core.units import Scope
from tokmagic.core.words import parse_limit
from tokmagic.ledgers.redis import RedisLedger

WORDS = ("1000000 usd/day", "1000000000 tokens/session", f"{10**9} requests/minute", f"{10**9} input tokens/minute")
SCOPES: dict[Scope, str] = {"session": "s", "user": "u", "key": "k", "notebook": "n"}
CHARGE = Charge(*[Amounts(1, 100, 100, 200, 5)] * 2)


def call(ledger: RedisLedger) -> str:
    """Reserve a call on four limits and settle it; the id of its entry."""
    accounts = [account_of(parse_limit(words), False, SCOPES, datetime.now(UTC)) for words in WORDS]
    id, now = uuid4().hex, time.time()
    entry = Entry(id, id, now, "demo/claude", lease_until=now + 600, charge=CHARGE, **SCOPES)
    assert isinstance(ledger.reserve(entry, accounts, id), Admitted)
    ledger.settle(replace(entry, used=CHARGE, nanousd=5, quality="exact"))
    return id


def recorded(where: str) -> tuple[bytes, bytes, bytes]:
    """A call's reservation and its settlement, as they are sent to the server, and the id of its entry."""
    sent: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_relay, args=(listener, _place(where), sent))
        thread.start()
        ledger = RedisLedger(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        call(ledger)
        id = call(ledger)
        ledger.close()
        thread.join()
    return sent[-2], sent[-1], id.encode()


def _relay(listener: socket.socket, there: tuple[str, int], sent: list[bytes]) -> None:
    client, _ = listener.accept()
    with client, socket.create_connection(there) as server:
        while asked := client.recv(1 << 16):
            sent.append(asked)
            server.sendall(asked)
            client.sendall(server.recv(1 << 16))


def _place(where: str) -> tuple[str, int]:
    parts = urlsplit(where)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def repeated(where: str, machines: int, seconds: float) -> float:
    """How many pairs a second the server carries out for so many machines, one at a time for each."""
    reserve, settle, id = recorded(where)
    numbers, made, waiting = count(1), 0, selectors.DefaultSelector()
    under_way: dict[socket.socket, bytes] = {}

    def begin(machine: socket.socket) -> None:
        under_way[machine] = b"%0*x" % (len(id), next(numbers))
        machine.sendall(reserve.replace(id, under_way[machine]))

    def go_on(machine: socket.socket) -> int:
        answer = machine.recv(1 << 16).partition(b"\n")[2][:1]
        if answer == b"a":
            machine.sendall(settle.replace(id, under_way[machine]))
            return 0
        assert answer == b"d"
        begin(machine)
        return 1

    for _ in range(machines):
        machine = socket.create_connection(_place(where))
        machine.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(machine, selectors.EVENT_READ, machine)
        begin(machine)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        made += sum(go_on(key.data) for key, _ in waiting.select())
    for machine in under_way:
        machine.close()
    waiting.close()
    return made / seconds
