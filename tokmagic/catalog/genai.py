"""Prices and windows from genai-prices, bundled with that package and read offline, as core values.

genai-prices states dollars per million tokens and lets dearer tiers start *above* a number of input tokens; ours start
*at* one more. Where it knows no price for a cache, tokens there cost what input costs. Sound that comes from a cache is
taken to cost what it costs anew, unless the cache makes it dearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from tokmagic.core.money import nanousd
from tokmagic.core.prices import Price, Rates, Tiers

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices


#: What genai-prices calls the ways to be served that a reply reports.
SERVED_BY = frozenset({"processing", "service_tier"})


@dataclass(frozen=True, slots=True)
class Found:
    """What the data says of one model; ``id`` is its own name there, of which others may be aliases."""

    id: str
    price: Price | None
    context_window: int | None


def find(provider: str, id: str, now: datetime) -> Found | None:
    """The provider's model of that id, or None; prices change on the minute at most."""
    return _find(provider, id, now.replace(second=0, microsecond=0))


@lru_cache(maxsize=1_024)
def _find(provider: str, id: str, now: datetime) -> Found | None:
    info = _info(provider, id)
    if info is None:
        return None
    current = _tiers(info.get_prices(now))
    others = tuple(tiers for card in _by_hour(info) if (tiers := _tiers(card)))
    source = f"genai-prices: {provider}/{info.id}"
    price = Price(current, others, source, served=_served(info, now)) if current else None
    return Found(info.id, price, info.context_window)


def ids(provider: str) -> tuple[str, ...]:
    """The ids of the provider's models."""
    found = _providers().get(provider)
    return tuple(info.id for info in found.models) if found is not None else ()


@cache
def _info(provider: str, id: str) -> ModelInfo | None:
    found = _providers().get(provider)
    return (
        next((info for info in found.models if info.id == id or info.is_match(id)), None) if found is not None else None
    )


@cache
def _providers() -> dict[str, Provider]:
    from genai_prices.data_snapshot import get_snapshot

    return {provider.id: provider for provider in get_snapshot().providers}


def _by_hour(info: ModelInfo) -> list[ModelPrice]:
    from genai_prices.types import TimeOfDateConstraint

    cards = info.prices if isinstance(info.prices, list) else []
    return [card.prices for card in cards if isinstance(card.constraint, TimeOfDateConstraint)]


def _served(info: ModelInfo, now: datetime) -> dict[str, Tiers]:
    """The tiers of other ways to be served, by the word a reply has for them.

    A way that only an option of the request can choose and the corridor does not offer, such as a fast mode, is none.
    """
    ways = {way for variant in info.price_variants or () for way in variant.when.items() if way[0] in SERVED_BY}
    return {word: tiers for key, word in sorted(ways) if (tiers := _tiers(info.get_prices(now, {key: word})))}


def _tiers(card: ModelPrice) -> Tiers:
    if card.input_mtok is None or card.output_mtok is None:
        return ()
    kinds = (card.input_mtok, card.output_mtok, card.cache_read_mtok, card.cache_write_mtok, card.cache_write_1h_mtok)
    tiers = [tier for kind in kinds if kind is not None and not isinstance(kind, Decimal) for tier in kind.tiers]
    return tuple((start, _rates(card, start)) for start in sorted({0, *(tier.start + 1 for tier in tiers)}))


def _rates(card: ModelPrice, start: int) -> Rates:
    plain = _at(card.input_mtok, start, 0)
    read, write = _at(card.cache_read_mtok, start, plain), _at(card.cache_write_mtok, start, plain)
    return Rates(
        input=plain,
        output=max(_at(card.output_mtok, start, 0), _at(card.output_reasoning_mtok, start, 0)),
        cache_read=read,
        cache_write=write,
        cache_write_1h=_at(card.cache_write_1h_mtok, start, write),
        audio=_audio(card, start, plain - read),
    )


def _audio(card: ModelPrice, start: int, saved: int) -> int | None:
    if card.input_audio_mtok is None:
        return None
    return max(_at(card.input_audio_mtok, start, 0), _at(card.cache_audio_read_mtok, start, 0) + saved)


def _at(price: Decimal | TieredPrices | None, start: int, default: int) -> int:
    if price is None:
        return default
    if isinstance(price, Decimal):
        return nanousd(price)
    reached = [tier.price for tier in price.tiers if tier.start + 1 <= start]
    return nanousd(reached[-1] if reached else price.base)
