"""What is known of each model, as core values: prices from genai-prices, our own facts in data files beside it.

``lookup`` finds the one model a name stands for or refuses with the nearest names. The demo models need no price data,
so genai-prices (130 ms to import) is loaded only when a real model is asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from tokmagic.core.errors import UnknownModel
from tokmagic.core.models import ESTIMATE, Model, Service
from tokmagic.core.money import nanousd
from tokmagic.core.prices import Price, Rates
from tokmagic.core.words import parse_limit

from . import genai

DEMO = Service("demo", "messages", embedded=True)


def lookup(name: str, services: Mapping[str, Service], now: datetime) -> Model:
    """The model a name stands for.

    Args:
        name: ``provider/model``, or a bare model name that only one provider has.
        services: the providers there are.
        now: prices may depend on the day and hour; with its zone.

    Raises:
        UnknownModel: nothing of that name, or several; the message names the candidates.
    """
    provider, _, id = name.partition("/")
    if provider == DEMO.name and id in demo_models():
        return demo_models()[id]
    if provider in services and id:
        found = _known(services[provider], id, now)
        if found is not None:
            return found
        if services[provider].open:
            return _described(services[provider], id, None, None)
    elif name and provider != DEMO.name:
        return _bare(name, services, now)
    raise UnknownModel(f"Unknown model {name!r}.{_nearest(name, services)} %tokens models lists them.")


def names(services: Iterable[Service]) -> tuple[str, ...]:
    """Every ``provider/model`` name in the catalogue."""
    known = (f"{service.name}/{id}" for service in services for id in genai.ids(service.name))
    return (*(model.name for model in demo_models().values()), *known)


def default_model(provider: str) -> str | None:
    """The model to use where only a provider's key is known, or None."""
    id = _data()["defaults"].get(provider)
    return f"{provider}/{id}" if id else None


@cache
def demo_models() -> Mapping[str, Model]:
    """The embedded server's models by id: a real window, real limits, play-money prices."""
    return {id: _demo_model(id, row) for id, row in _data()["demo"].items()}


def _demo_model(id: str, row: Mapping[str, Any]) -> Model:
    rates = Rates(
        input=nanousd(row["input"]),
        output=nanousd(row["output"]),
        cache_read=nanousd(row["cache_read"]),
        cache_write=nanousd(row["cache_write"]),
        cache_write_1h=nanousd(row["cache_write"]),
    )
    return Model(
        provider=DEMO.name,
        id=id,
        protocol=row["protocol"],
        context_window=row["context_window"],
        max_output_tokens=row["max_output_tokens"],
        tokenizer=row["tokenizer"],
        price=Price(((0, rates),), source="play money", play=True),
        rates=tuple(parse_limit(f"{words} for {DEMO.name}/{id}", source="provider") for words in row["rates"]),
    )


def _bare(name: str, services: Mapping[str, Service], now: datetime) -> Model:
    found = [model for service in services.values() if (model := _known(service, name, now)) is not None]
    if name in demo_models():
        found.append(demo_models()[name])
    if len(found) == 1:
        return found[0]
    if found:
        candidates = ", ".join(sorted(model.name for model in found))
        raise UnknownModel(f"{name!r} is offered by several providers: say which of {candidates}.")
    raise UnknownModel(f"Unknown model {name!r}.{_nearest(name, services)} %tokens models lists them.")


def _known(service: Service, id: str, now: datetime) -> Model | None:
    found = genai.find(service.name, id, now)
    return _described(service, id, found.price, found.context_window) if found is not None else None


def _described(service: Service, id: str, price: Price | None, window: int | None) -> Model:
    facts: dict[str, Any] = {}
    for row in _data()["facts"]:
        if fnmatchcase(f"{service.name}/{id}", row["match"]):
            facts = {**facts, **row}
    return Model(
        provider=service.name,
        id=id,
        protocol=service.protocol,
        context_window=facts.get("context_window", window),
        max_output_tokens=facts.get("max_output_tokens"),
        tokenizer=facts.get("tokenizer", ESTIMATE),
        price=price,
    )


def _nearest(name: str, services: Mapping[str, Service]) -> str:
    known = names(services.values())
    bare = {full.partition("/")[2]: full for full in reversed(known)}
    near = get_close_matches(name, known, 3, 0.5) or [bare[id] for id in get_close_matches(name, bare, 3, 0.5)]
    return f" Did you mean {' or '.join(near)}?" if near else ""


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("models.toml").read_text("utf-8"))
