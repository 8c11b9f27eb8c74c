"""A model as a value: how much it reads and writes, how its tokens are counted, what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .images import COMMON, ImageRule
from .limits import Limit
from .prices import Price

Protocol: TypeAlias = Literal["messages", "responses", "chat"]
ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Service:
    """A provider as data: where it is, which protocol it speaks, which variable holds its key.

    ``key_variable`` is empty where no key is needed; ``open`` services take model names that are not in the catalogue,
    such as a local server's. ``limit_field`` is the name a Chat service gives the bound of an answer. ``embedded`` is
    this process's own server, which no proxy may come between.
    """

    name: str
    protocol: Protocol
    key_variable: str = ""
    base_url: str = ""
    open: bool = False
    limit_field: str = "max_tokens"
    embedded: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider.

    Attributes:
        provider: the provider's name in tokmagic, such as ``anthropic``.
        id: the provider's own name of the model.
        protocol: the wire protocol it speaks.
        context_window: tokens of input and output together; None if unknown.
        max_output_tokens: the longest answer, in tokens; None if unknown.
        tokenizer: name of the tokenizer, or ``estimate`` where none is public.
        price: None if unknown; a money limit then refuses.
        images: what an image takes.
        rates: the provider's per-minute limits, where they are known beforehand.
        listed: the name it has in the catalogue, where ``id`` is another name for the same model.
        thinks_unseen: whether it thinks, at a price, without showing all of that.
        thinking_budget: whether it takes a budget for thinking, in tokens.
        extended_output_tokens: the longest answer with the provider's own switch for that; None if it has none.
        extended_output_beta: the switch: what the header of beta features has to name.
        compacts: whether its service summarises a conversation on demand.
    """

    provider: str
    id: str
    protocol: Protocol
    context_window: int | None = None
    max_output_tokens: int | None = None
    tokenizer: str = ESTIMATE
    images: ImageRule = COMMON
    price: Price | None = None
    rates: tuple[Limit, ...] = ()
    listed: str = ""
    thinks_unseen: bool = False
    thinking_budget: bool = False
    extended_output_tokens: int | None = None
    extended_output_beta: str = ""
    compacts: bool = False

    @property
    def name(self) -> str:
        """``provider/id``."""
        return f"{self.provider}/{self.id}"

    @property
    def names(self) -> frozenset[str]:
        """Its name and the one it is listed under: what is said of either is said of it."""
        return frozenset({self.name, self.listed or self.name})

    @property
    def play(self) -> bool:
        """Whether it is paid in play money."""
        return self.price is not None and self.price.play
