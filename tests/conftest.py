"""Parts of their own for each test: a private book, the embedded server at full speed, nothing of the user's."""

import asyncio
import os
from dataclasses import replace

import pytest
from hypothesis import settings

from tests.scripted import Scripted
from tokmagic import catalog, surroundings, tokenizers
from tokmagic import parts as parts_module
from tokmagic.config import load_settings
from tokmagic.parts import Parts
from tokmagic.server import start_server
from tokmagic.sync import portal

# No test is timed: the first example of one may load an encoder, on a machine that has much to do.
settings.register_profile("tokmagic", deadline=None)
settings.load_profile("tokmagic")


@pytest.fixture(autouse=True)
def private_home(tmp_path, monkeypatch):
    """No test reads or writes the user's own book, keys or settings, or finds what another left in this process."""
    for name in list(os.environ):
        if name.startswith("TOKMAGIC_") or name.endswith(("_API_KEY", "_AD_TOKEN", "_BASE_URL", "_ENDPOINT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("TOKMAGIC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(parts_module, "_shared", None)
    yield
    if parts_module._shared is not None:
        _, left = parts_module._shared
        portal().call(left.disconnect)
        left.close()


@pytest.fixture(scope="session")
def server():
    """One embedded server for all tests, answering at once and as often as it is asked."""
    unlimited = [replace(model, rates=()) for model in catalog.demo_models().values()]
    with start_server(unlimited, tokenizers.counter) as running:
        yield running


@pytest.fixture(scope="session")
def runner():
    """One event loop for all tests of the asynchronous client."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture
def make_parts(private_home, runner):
    """Parts with a fresh book; ``pace`` in tokens per second, 0 answers at once."""
    made = []

    def make(pace=0.0, kind=Parts, **options):
        made.append(kind(replace(load_settings(), demo_pace=pace), **options))
        return made[-1]

    yield make
    for parts in made:
        runner.run(parts.disconnect())
        portal().call(parts.disconnect)
        parts.close()


@pytest.fixture
def scripted(make_parts):
    """Parts whose service gives these answers, one after the other."""

    def script(*answers):
        parts = make_parts(kind=Scripted)
        parts.script = list(answers)
        return parts

    return script


@pytest.fixture
def parts(make_parts, server):
    """Parts with a fresh book and the server that answers at once."""
    return make_parts(server=server)


@pytest.fixture
def around():
    """Puts a notebook around all calls of the test: what it says of itself is given."""
    yield lambda **said: surroundings.enter(surroundings.Notebook(**said))
    surroundings.enter(surroundings.NONE)
