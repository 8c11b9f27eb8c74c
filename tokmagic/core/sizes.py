"""How long an answer should be, from what the model can write: defaults that surprise nobody.

A bound near the model's own limit holds a budget's money for an answer nobody reads and fills a per-minute limit that
counts the bound. So the default is a quarter of what the model writes and of its window, up to ``NORMAL``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from .errors import ConfigurationError
from .models import Model

#: Tokens of a long answer, and of one that is asked for with the extended output switched on.
NORMAL, EXTENDED = 16_000, 128_000
#: Tokens of an answer where it is not known how much the model writes.
UNKNOWN_MODEL = 4_096
#: The least a provider takes as a budget for thinking, in tokens.
LEAST_THINKING = 1_024
#: The header in which a service of the Messages protocol is told of a switch.
BETA_HEADER = "anthropic-beta"


@dataclass(frozen=True, slots=True)
class SafeLimits:
    """Sensible sizes for a model, in tokens.

    Attributes:
        max_tokens: the default bound of an answer, its thinking included.
        thinking_budget: of these, for thinking: half; None where the model takes no budget, or half is too little.
        extended_max_tokens: the bound with the extended output switched on; None where there is no such switch.
        max_input_tokens: what is left of the window for the input; None where the window is unknown.
        max_output_tokens: the longest answer the model writes; None if unknown.
        context_window: input and output together; None if unknown.
    """

    max_tokens: int
    thinking_budget: int | None
    extended_max_tokens: int | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    context_window: int | None


class Extended(NamedTuple):
    """A model with its extended output switched on.

    ``model`` writes as much as that allows, ``max_tokens`` is the default bound of its answers, and ``beta``, unless it
    is empty, has to be named in the request (see ``with_beta``).
    """

    model: Model
    max_tokens: int
    beta: str


def safe_limits(model: Model) -> SafeLimits:
    """Sensible sizes for the model."""
    max_tokens, window = default_max_tokens(model), model.context_window
    half = max_tokens // 2
    return SafeLimits(
        max_tokens=max_tokens,
        thinking_budget=half if model.thinking_budget and half >= LEAST_THINKING else None,
        extended_max_tokens=extended_max_tokens(model),
        max_input_tokens=window - max_tokens if window is not None else None,
        max_output_tokens=model.max_output_tokens,
        context_window=window,
    )


def default_max_tokens(model: Model) -> int:
    """The bound of an answer where none is asked for: 1 token or more."""
    quarters = [size // 4 for size in (model.max_output_tokens, model.context_window) if size is not None]
    most = NORMAL if model.max_output_tokens is not None else UNKNOWN_MODEL
    return max(1, min([most, *quarters]))


def extended_max_tokens(model: Model) -> int | None:
    """The bound of an answer with the extended output switched on; None for a model that writes no more than usual.

    It is the model's own limit, ``EXTENDED`` at most, and leaves half of the window to the input.
    """
    longest = max(model.extended_output_tokens or 0, model.max_output_tokens or 0)
    half = model.context_window // 2 if model.context_window is not None else EXTENDED
    most = min(longest, EXTENDED, half)
    return most if most > NORMAL else None


def extended_output(model: Model) -> Extended:
    """The model with its extended output switched on.

    Raises:
        ConfigurationError: it has none.
    """
    most = extended_max_tokens(model)
    if most is None:
        raise ConfigurationError(
            f"{model.name} has no extended output: leave extended_output out, or choose a model that writes more than "
            f"{NORMAL:,} tokens."
        )
    longest = max(model.extended_output_tokens or 0, model.max_output_tokens or 0)
    return Extended(replace(model, max_output_tokens=longest), most, model.extended_output_beta)


def with_beta(headers: Mapping[str, str], beta: str) -> dict[str, str]:
    """The headers with one more beta feature named; those that are named already stay."""
    named = [value for name, value in headers.items() if name.lower() == BETA_HEADER]
    others = {name: value for name, value in headers.items() if name.lower() != BETA_HEADER}
    betas = dict.fromkeys(part.strip() for value in (*named, beta) for part in value.split(",") if part.strip())
    return others | ({BETA_HEADER: ",".join(betas)} if betas else {})
