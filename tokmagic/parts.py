"""The concrete parts, built from settings on first use and kept for the life of the process.

Nothing here is made before it is needed: the book opens at the first reservation, an SDK loads at the first call to its
service, the embedded server starts with the first call to a demo model.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from tokmagic import catalog, tokenizers
from tokmagic.config import Settings, load_settings
from tokmagic.core.accounts import accounts_for
from tokmagic.core.asking import Answers
from tokmagic.core.checks import require
from tokmagic.core.counters import Counter
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.limits import Limit
from tokmagic.core.models import Model, Service
from tokmagic.core.redaction import Secret
from tokmagic.core.snapshot import Snapshot
from tokmagic.core.units import Scope
from tokmagic.gauge import Gauge
from tokmagic.keys import has_key, key_of
from tokmagic.learning import Learning
from tokmagic.ledgers import Ledger
from tokmagic.ledgers.registry import open_ledger
from tokmagic.queues.lanes import Lane, Lanes
from tokmagic.replay import MEGABYTE, ReplayStore

if TYPE_CHECKING:
    from tokmagic.providers import Provider


class RunningServer(Protocol):
    """What is used of the embedded server."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def token(self) -> str:
        """What it asks for."""

    def close(self) -> None:
        """Stop it."""


class Parts:
    """What the corridor works with.

    Args:
        settings: of this process.
        clock: seconds of the epoch.
        server: an embedded server that runs already; None starts one with the first call to a demo model.
    """

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] = time.time, server: RunningServer | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.epoch = uuid.uuid4().hex[:12]
        self.gauge = Gauge(self.epoch, clock)
        self.learning = Learning(lambda: self.ledger, clock)
        #: Names of models that calls were planned for: what that takes has been read.
        self.planned: set[str] = set()
        self._lock = threading.RLock()
        self._book_lock = threading.Lock()
        self._notice_said = False
        self._ledger: Ledger | None = None
        self._given = server
        self._started: RunningServer | None = None
        self.answers = Answers()
        self.replays = ReplayStore(settings.home / "answers.sqlite", int(settings.replay_megabytes * MEGABYTE), clock)
        self._lanes = Lanes()
        self._providers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Provider]] = WeakKeyDictionary()

    @property
    def ledger(self) -> Ledger:
        """The book. It waits for nothing else: a call is settled while an SDK still loads."""
        with self._book_lock:
            if self._ledger is None:
                self._ledger = open_ledger(self.settings.ledger, clock=self.clock)
            return self._ledger

    def now(self) -> datetime:
        """This moment in the user's zone."""
        return datetime.fromtimestamp(self.clock()).astimezone()

    def services(self) -> dict[str, Service]:
        """Every service by name, the embedded one not among them."""
        return dict(self.settings.services)

    def model(self, name: str) -> Model:
        """The model of that name; demo models load no provider.

        Raises:
            ConfigurationError: no name, or none of a model that is known.
        """
        require(str, "model", name, "a name such as demo/claude")
        if name.startswith("demo/") and name[5:] in catalog.demo_models():
            return catalog.demo_models()[name[5:]]
        return catalog.lookup(name, self.services(), self.now(), self.settings.prices)

    def models(self, pattern: str = "") -> tuple[Model, ...]:
        """The models in the catalogue whose name contains ``pattern``."""
        services = self.services()
        found = (name for name in catalog.names(services.values()) if pattern.lower() in name.lower())
        return tuple(catalog.lookup(name, services, self.now(), self.settings.prices) for name in found)

    def default_model(self) -> tuple[str, str]:
        """The configured model, else that of the first service whose key is set, else a demo; and why, if guessed."""
        if self.settings.model:
            return self.settings.model, ""
        for service in self.services().values():
            found = catalog.default_model(service.name)
            if found is not None and has_key(service):
                return found, f"No model named: {found} is used, because {service.key_variable} is set."
        return "demo/claude", "No model named and no key set: demo/claude is used (an embedded demo, play money)."

    def default_notice(self) -> str:
        """Why the default model was chosen; said once, then empty."""
        with self._lock:
            said, self._notice_said = self._notice_said, True
        return "" if said else self.default_model()[1]

    def counter(self, model: Model) -> Counter:
        """The model's tokenizer."""
        chosen = self.settings.tokenizer_of(model.names)
        if chosen is not None:
            return tokenizers.chosen_counter(chosen, model.images)
        return tokenizers.counter(model.tokenizer, model.images)

    def provider(self, model: Model, loop: asyncio.AbstractEventLoop) -> Provider:
        """What sends to the model's service from that event loop."""
        with self._lock:
            service, key = self._service(model)
            kept, line = self._providers.setdefault(loop, {}), self._line(model)
            if line not in kept:
                kept[line] = self._connect(service, key)
            return kept[line]

    def connected(self, model: Model, loop: asyncio.AbstractEventLoop) -> Provider | None:
        """The same where it is there already; takes no time."""
        return self._providers.get(loop, {}).get(self._line(model))

    def lane(self, model: Model, key: str = "") -> Lane:
        """Where calls of the model wait their turn, under the key of that fingerprint or this process's own."""
        return self._lanes.lane(f"{model.name} {key or self._fingerprint(model)}")

    def require_key(self, model: Model) -> None:
        """Refuse a model whose key is not set, before anything is reserved.

        Raises:
            MissingKey: naming the variable, and the models that need no key.
        """
        if model.provider != catalog.DEMO.name:
            key_of(self.services()[model.provider])

    def scopes(self, model: Model, notebook: str) -> dict[Scope, str]:
        """Who calls, scope by scope."""
        return {
            "session": self.epoch,
            "notebook": notebook or self.epoch,
            "key": self._fingerprint(model),
            "user": self.settings.user,
            "team": self.settings.team,
        }

    def known(self, limit: Limit) -> Limit:
        """The limit, if this process can keep it.

        Raises:
            ConfigurationError: it is a team's, and no team is configured.
        """
        if limit.scope == "team" and not self.settings.team:
            raise ConfigurationError(f"{limit} by team: no team is configured; set TOKMAGIC_TEAM to its name.")
        return limit

    def snapshot(self, model: Model, notebook: str, limits: Sequence[Limit]) -> Snapshot:
        """What displays draw of these limits and of those that are known of the model's provider."""
        now, scopes = self.now(), self.scopes(model, notebook)
        self.learning.look()
        accounts = accounts_for([*limits, *self.learning.limits(model, scopes["key"])], model, scopes, now)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        return self.gauge.snapshot(
            self.ledger.levels([account for account in accounts if account.limit.window != "call"]),
            self.ledger.totals(session=self.epoch),
            self.ledger.totals(since=midnight),
        )

    def demo_server(self) -> RunningServer:
        """The embedded server, started on first use."""
        with self._lock:
            if self._given is not None:
                return self._given
            if self._started is None:
                from tokmagic.server import start_server

                pace = self.settings.demo_pace or None
                self._started = start_server(catalog.demo_models().values(), tokenizers.counter, pace=pace)
            return self._started

    async def disconnect(self) -> None:
        """Close the connections of the running event loop."""
        with self._lock:
            kept = self._providers.pop(asyncio.get_running_loop(), {})
        for provider in kept.values():
            await provider.aclose()

    def close(self) -> None:
        """Stop the server that was started here and close the book. Both open again when they are needed."""
        with self._lock:
            if self._started is not None:
                self._started.close()
                self._started = None
        with self._book_lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None

    def _connect(self, service: Service, key: Secret) -> Provider:
        from tokmagic.providers.registry import PROVIDERS

        return PROVIDERS[service.protocol](service, key, self.settings.timeout)

    def _line(self, model: Model) -> str:
        """What a connection is known by: another key, or a server that was started anew, needs another."""
        server = self._given or self._started if model.provider == catalog.DEMO.name else None
        where = server.url if server is not None else ""
        return f"{model.provider}/{model.protocol}/{self._fingerprint(model)}/{where}"

    def _service(self, model: Model) -> tuple[Service, Secret]:
        if model.provider != catalog.DEMO.name:
            service = self.services()[model.provider]
            return replace(service, protocol=model.protocol), key_of(service)
        server = self.demo_server()
        url = server.url if model.protocol == "messages" else f"{server.url}/v1"
        return replace(catalog.DEMO, protocol=model.protocol, base_url=url), Secret(server.token)

    def _fingerprint(self, model: Model) -> str:
        if model.provider == catalog.DEMO.name:
            return f"demo:{self.epoch}"
        service = self.services()[model.provider]
        key = key_of(service) if has_key(service) else Secret("")
        return key.fingerprint(model.provider)


_shared: tuple[int, Parts] | None = None
_shared_lock = threading.Lock()


def shared_parts() -> Parts:
    """The parts of this process, made from its settings on first use; a forked child makes its own."""
    global _shared  # noqa: PLW0603 - one book per process
    with _shared_lock:
        if _shared is None or _shared[0] != os.getpid():
            _shared = (os.getpid(), Parts(load_settings()))
            atexit.register(_shared[1].close)
        return _shared[1]
