"""What is known of each model, as core values: prices from genai-prices, our own facts in data files beside it.

``lookup`` finds the one model a name stands for or refuses with the nearest names. The demo models need no price data,
so genai-prices (130 ms to import) is loaded only when a real model is asked for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, replace
from datetime import date, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tokmagic.core.batches import SERVED
from tokmagic.core.errors import UnknownModel
from tokmagic.core.images import ImageRule, Patches, Tiles
from tokmagic.core.limits import covers
from tokmagic.core.models import ESTIMATE, Model, Service
from tokmagic.core.money import nanousd
from tokmagic.core.prices import Price, Rates
from tokmagic.core.words import parse_limit

from . import genai

NO_PRICES: Mapping[str, Price] = MappingProxyType({})
#: Behind the name of a service that speaks Responses: the same model by Chat Completions.
CHAT = "-chat"
DEMO = Service("demo", "messages", embedded=True)


def lookup(name: str, services: Mapping[str, Service], now: datetime, prices: Mapping[str, Price] = NO_PRICES) -> Model:
    """The model a name stands for.

    Args:
        name: ``provider/model``, or a bare model name that only one provider has; ``provider-chat/model`` is the model
            of a provider that speaks Responses, by Chat Completions.
        services: the providers there are.
        now: prices may depend on the day and hour; with its zone.
        prices: the user's own, by pattern over ``provider/model`` names; the last that covers a model wins. A model
            that is named there in full need not be in the catalogue.

    Raises:
        UnknownModel: nothing of that name, or several; the message names the candidates.
    """
    provider, _, id = name.partition("/")
    base = services.get(provider.removesuffix(CHAT))
    if provider not in services and base is not None and base.protocol == "responses":
        return replace(lookup(f"{base.name}/{id}", services, now, prices), protocol="chat")
    if provider == DEMO.name and id in demo_models():
        return demo_models()[id]
    if provider in services and id:
        found = _known(services[provider], id, now)
        if found is None and (services[provider].open or name in prices):
            found = _described(services[provider], id, id, None, None)
        if found is not None:
            return _priced(found, prices)
    elif name and provider != DEMO.name:
        return _priced(_bare(name, services, now), prices)
    raise UnknownModel(f"Unknown model {name!r}.{_nearest(name, services)} %tokens models lists them.")


def names(services: Iterable[Service]) -> tuple[str, ...]:
    """Every ``provider/model`` name in the catalogue."""
    known = (f"{service.name}/{id}" for service in services for id in _ids(service))
    return (*(model.name for model in demo_models().values()), *known)


def default_model(provider: str) -> str | None:
    """The model to use where only a provider's key is known, or None."""
    id = _data()["defaults"].get(provider)
    return f"{provider}/{id}" if id else None


def _priced(model: Model, prices: Mapping[str, Price]) -> Model:
    own = [price for pattern, price in prices.items() if any(covers(pattern, name) for name in model.names)]
    return replace(model, price=own[-1]) if own else model


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
        audio=nanousd(row["input"]),
    )
    return Model(
        provider=DEMO.name,
        id=id,
        protocol=row["protocol"],
        context_window=row["context_window"],
        max_output_tokens=row["max_output_tokens"],
        tokenizer=row["tokenizer"],
        price=Price(((0, rates),), source="play money", play=True, served={SERVED: ((0, _half(rates)),)}),
        compacts=row.get("compacts", False),
        compacts_by_itself=row.get("compacts_by_itself", False),
        rates=tuple(parse_limit(f"{words} for {DEMO.name}/{id}", source="provider") for words in row["rates"]),
    )


def _half(rates: Rates) -> Rates:
    """What a batch costs: half of the ordinary price, as at the real services."""
    return Rates(*(-(-rate // 2) for rate in astuple(rates)))


def _bare(name: str, services: Mapping[str, Service], now: datetime) -> Model:
    """The only model of that bare name; a provider nobody knows and a model are no name of another model."""
    served = (service for service in services.values() if not service.azure or name in service.deployments)
    known = (_known(service, name, now) for service in served)
    found = [model for model in known if model is not None and len({one.count("/") for one in model.names}) == 1]
    if name in demo_models():
        found.append(demo_models()[name])
    if len(found) == 1:
        return found[0]
    if found:
        candidates = ", ".join(sorted(model.name for model in found))
        raise UnknownModel(f"{name!r} is offered by several providers: say which of {candidates}.")
    if "/" in name:
        raise UnknownModel(_no_provider(name, services))
    raise UnknownModel(f"Unknown model {name!r}.{_nearest(name, services)} %tokens models lists them.")


def _no_provider(name: str, services: Mapping[str, Service]) -> str:
    provider, _, id = name.partition("/")
    known = (DEMO.name, *services)
    near = [f"{one}/{id}" for one in get_close_matches(provider, known, 3, 0.7)]
    near += [full for full in names(services.values()) if full.partition("/")[2] == name]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Use one of {', '.join(known)}."
    return f"Unknown provider {provider!r} in {name!r}. {hint}"


def _ids(service: Service) -> Iterable[str]:
    """What it serves, by the names one uses for it: where one deploys models oneself, those that one deployed."""
    if service.azure:
        return service.deployments
    return (id for id in genai.ids(service.catalogue or service.name) if fnmatchcase(id, service.models))


def _known(service: Service, id: str, now: datetime) -> Model | None:
    model = service.deployments.get(id, id)
    found = genai.find(service.catalogue or service.name, model, now)
    if found is None or not fnmatchcase(found.id, service.models):
        return None
    return _described(service, id, found.id, found.price, found.context_window)


def _described(service: Service, id: str, listed: str, price: Price | None, window: int | None) -> Model:
    """A model of the service; what is known of it goes by the id typed or by the one it is listed under."""
    known: dict[str, Any] = {"context_window": window, "tokenizer": ESTIMATE}
    return Model(
        provider=service.name,
        id=id,
        protocol=service.protocol,
        price=price,
        listed=f"{service.name}/{listed}" if listed != id else "",
        retires=_retires(service.name, id),
        **(known | dict(_facts(service.catalogue or service.name, id, listed))),
    )


@lru_cache(maxsize=1_024)
def _facts(provider: str, id: str, listed: str) -> Mapping[str, Any]:
    facts: dict[str, Any] = {}
    for row in _data()["facts"]:
        if any(fnmatchcase(f"{provider}/{name}".lower(), row["match"]) for name in (id, listed)):
            facts |= {name: value for name, value in row.items() if name != "match"}
    if "images" in facts:
        facts["images"] = _image_rule(facts["images"])
    return MappingProxyType(facts)


@lru_cache(maxsize=1_024)
def _retires(provider: str, id: str) -> date | None:
    days = _data()["retires"].get(provider, {})
    return next((day for pattern, day in days.items() if fnmatchcase(id, pattern)), None)


def _image_rule(row: Mapping[str, int]) -> ImageRule:
    return Tiles(**row) if "base" in row else Patches(**row)


def _nearest(name: str, services: Mapping[str, Service]) -> str:
    known = names(services.values())
    bare = {full.partition("/")[2]: full for full in reversed(known)}
    near = get_close_matches(name, known, 3, 0.5) or [bare[id] for id in get_close_matches(name, bare, 3, 0.5)]
    return f" Did you mean {' or '.join(near)}?" if near else ""


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("models.toml").read_text("utf-8"))
