"""A model as a value: how much it reads and writes, how its tokens are counted, what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeAlias

from .images import COMMON, ImageRule
from .limits import Limit
from .messages import NOTHING
from .prices import Price

Protocol: TypeAlias = Literal["messages", "responses", "chat"]
ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Service:
    """A provider as data: where it is, which protocol it speaks, which variable holds its key.

    Attributes:
        name: the provider's name in tokmagic.
        protocol: the wire protocol it speaks.
        key_variable: holds its key; empty where no key is needed.
        token_variable: holds a token that stands in for the key and is sent as a bearer, such as Entra's.
        key_prefixes: what its keys begin with; empty where they have no mark of their own.
        base_url: where it is; empty for the SDK's own place.
        url_variable: the environment variable that names another place.
        open: takes model names that are not in the catalogue, such as a local server's.
        catalogue: the provider under whose name its models are listed, where that is another.
        models: a pattern of those ids of the catalogue that it serves.
        deployments: names of one's own for its models.
        limit_field: the name a Chat service gives the bound of an answer.
        usage_option: whether a Chat service has to be asked to state the usage of a stream.
        azure: Azure's arrangement of paths and keys; ``api_version`` is the one it is spoken to in.
        embedded: this process's own server, which no proxy may come between.
    """

    name: str
    protocol: Protocol
    key_variable: str = ""
    token_variable: str = ""
    key_prefixes: tuple[str, ...] = ()
    base_url: str = ""
    url_variable: str = ""
    open: bool = False
    catalogue: str = ""
    models: str = "*"
    deployments: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    limit_field: str = "max_tokens"
    usage_option: bool = True
    azure: bool = False
    api_version: str = ""
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
        retires: the day from which the provider serves it no more, where one is announced.
        cache_minimum: tokens from which on its service caches a beginning that is marked; None where none is marked.
        compacts: whether its service summarises a conversation on demand.
        compacts_by_itself: whether it does so on the way to an answer, from a number of tokens on.
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
    retires: date | None = None
    cache_minimum: int | None = None
    compacts: bool = False
    compacts_by_itself: bool = False

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
