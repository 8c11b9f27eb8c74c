"""What tokens cost, as values: a rate card per model, and the arithmetic from usage to money.

Rates are integer nano-dollars per **million** tokens, so a product stays an integer and is rounded up once, at the end.
Some models charge a dearer card above a number of input tokens: a price is a tuple of tiers, the cheapest first. How a
call was served (``batch``, ``flex``, ``priority``) may choose other tiers: its cost follows what the provider reported,
its ceiling the dearest that it may still turn out to be. A token of sound has a price of its own, unknown unless it is
stated: a call with sound in it is bounded as if all that it reads were sound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TypeAlias

from .errors import ConfigurationError
from .money import Cost, Quality, nanousd, worst
from .usage import Usage

MILLION = 1_000_000
#: The dearest rate there may be: a million dollars per million tokens.
MAX_RATE = 10**15
#: What providers call the ordinary way to serve a call, or say where they leave it open.
ORDINARY = frozenset({"", "auto", "default", "standard"})


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind; ``audio`` is a token of sound, None where its price is unknown."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    audio: int | None = None

    @property
    def more_for_sound(self) -> int | None:
        """What a token costs more if it is of sound, 0 or more; None where that is unknown."""
        return max(0, self.audio - self.input) if self.audio is not None else None

    @property
    def dearest_input(self) -> int:
        """The most one input token can cost, whatever the cache does."""
        return max(self.input, self.cache_read, self.cache_write, self.cache_write_1h)


#: Cards with the number of input tokens each begins at, rising; the first begins at 0.
Tiers: TypeAlias = tuple[tuple[int, Rates], ...]
_NO_TIERS: Mapping[str, Tiers] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price.

    Attributes:
        tiers: of a call served in the ordinary way.
        others: of other hours of the day, which a call that begins now may still meet: only its ceiling reads them.
        source: where it comes from.
        play: whether it is the demo models' play money.
        served: of calls served in another way, by the provider's word for it.
    """

    tiers: Tiers
    others: tuple[Tiers, ...] = ()
    source: str = ""
    play: bool = False
    served: Mapping[str, Tiers] = field(default_factory=lambda: _NO_TIERS, hash=False)

    def rates(self, input_tokens: int, served: str = "") -> Rates:
        """The card that applies to a call of that many input tokens, served in that way."""
        return reached(self.served.get(served, self.tiers), input_tokens)[-1]

    def dearest(self, input_tokens: int) -> tuple[int, int]:
        """The most that one input and one output token can cost in a call of at most so many input tokens."""
        cards = [rates for tiers in _ways(self) for rates in reached(tiers, input_tokens)]
        return max(rates.dearest_input for rates in cards), max(rates.output for rates in cards)


def reached(tiers: Tiers, input_tokens: int) -> list[Rates]:
    """The cards that begin at or below that many input tokens."""
    return [rates for start, rates in tiers if input_tokens >= start]


def cost(
    price: Price | None, usage: Usage, quality: Quality = "exact", served: str = "", heard_tokens: int = 0
) -> Cost:
    """The price of ``usage``, rounded up to a nano-dollar; unknown where there is no price.

    A call that was ``served`` in a way without a card of its own is priced as an ordinary one, and is ``estimated``.
    So is one of whose input ``heard_tokens`` were sound and others came from a cache: which ones did is not said.
    """
    if price is None:
        return Cost(None, "unknown")
    if served not in ORDINARY and served not in price.served:
        quality = worst(quality, "estimated")
    rates = price.rates(usage.input_tokens, served)
    more = rates.more_for_sound if heard_tokens else 0
    if more is None:
        return Cost(None, "unknown")
    if more and usage.uncached_input_tokens < usage.input_tokens:
        quality = worst(quality, "estimated")
    total = (
        usage.uncached_input_tokens * rates.input
        + usage.cache_read_tokens * rates.cache_read
        + usage.cache_write_tokens * rates.cache_write
        + usage.cache_write_1h_tokens * rates.cache_write_1h
        + usage.output_tokens * rates.output
        + heard_tokens * more
    )
    return Cost(-(-total // MILLION), quality, price.play)


def ceiling(price: Price | None, input_tokens: int, output_tokens: int) -> int | None:
    """The most a call of at most so many tokens can cost, in nano-dollars: the dearest tier and cache price."""
    if price is None:
        return None
    dearest_in, dearest_out = price.dearest(input_tokens)
    return -(-(input_tokens * dearest_in + output_tokens * dearest_out) // MILLION)


def for_sound(price: Price | None) -> Price | None:
    """The price of a call that reads sound, nobody knows how much: every token of its input costs as if it were sound.

    None where that is unknown.
    """
    if price is None or any(rates.audio is None for tiers in _ways(price) for _, rates in tiers):
        return None
    return replace(
        price,
        tiers=_heard(price.tiers),
        others=tuple(map(_heard, price.others)),
        served={way: _heard(tiers) for way, tiers in price.served.items()},
    )


def _ways(price: Price) -> tuple[Tiers, ...]:
    return (price.tiers, *price.others, *price.served.values())


def _heard(tiers: Tiers) -> Tiers:
    return tuple((start, _dearer(rates, rates.more_for_sound or 0)) for start, rates in tiers)


def _dearer(rates: Rates, more: int) -> Rates:
    return Rates(
        input=rates.input + more,
        output=rates.output,
        cache_read=rates.cache_read + more,
        cache_write=rates.cache_write + more,
        cache_write_1h=rates.cache_write_1h + more,
        audio=rates.input + more,
    )


def price_of(dollars: Mapping[str, object], source: str = "") -> Price:
    """A price from US dollars per million tokens by kind; cached tokens cost what input costs, where nothing is said.

    Sound costs what ``audio`` says. Where that is left out its price is unknown, unless input is free.

    Args:
        dollars: ``input`` and ``output``, and if need be ``cache_read``, ``cache_write``, ``cache_write_1h`` and
            ``audio``, each a number or its digits.
        source: where it comes from.

    Raises:
        ConfigurationError: a kind is missing or unknown, or its price is no finite number of 0 or more.
    """
    known = tuple(kind.name for kind in fields(Rates))
    unknown = [kind for kind in dollars if kind not in known]
    if unknown or "input" not in dollars or "output" not in dollars:
        wrong = f"{unknown[0]!r} is not a kind of token" if unknown else "input and output are needed"
        raise ConfigurationError(f"{wrong}: a price has dollars per million tokens for {', '.join(known)}.")
    rates = {kind: _rate(kind, dollars[kind]) for kind in known if kind in dollars}
    rates.setdefault("cache_read", rates["input"])
    rates.setdefault("cache_write", rates["input"])
    rates.setdefault("cache_write_1h", rates["cache_write"])
    if rates["input"] == 0:
        rates.setdefault("audio", 0)
    return Price(((0, Rates(**rates)),), source=source)


def _rate(kind: str, dollars: object) -> int:
    try:
        rate = nanousd(str(dollars))
    except (ArithmeticError, ValueError):
        rate = -1
    if not 0 <= rate <= MAX_RATE or isinstance(dollars, bool):
        raise ConfigurationError(f"{kind} = {dollars!r} is no price: write dollars per million tokens, such as 3.00.")
    return rate


def affordable_output(price: Price, input_tokens: int, left: int) -> int | None:
    """The most output tokens with which a call's ceiling is within ``left`` nano-dollars; None where they cost nothing.

    Negative where not even the input is within it.
    """
    dearest_in, dearest_out = price.dearest(input_tokens)
    free = left * MILLION - input_tokens * dearest_in
    if dearest_out == 0 and free >= 0:
        return None
    return free // dearest_out if dearest_out else -1
