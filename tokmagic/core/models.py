"""A model as a value: how much it reads and writes, how its tokens are counted, what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

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
        rates: the provider's per-minute limits, where they are known beforehand.
    """

    provider: str
    id: str
    protocol: Protocol
    context_window: int | None = None
    max_output_tokens: int | None = None
    tokenizer: str = ESTIMATE
    price: Price | None = None
    rates: tuple[Limit, ...] = ()

    @property
    def name(self) -> str:
        """``provider/id``."""
        return f"{self.provider}/{self.id}"

    @property
    def play(self) -> bool:
        """Whether it is paid in play money."""
        return self.price is not None and self.price.play
