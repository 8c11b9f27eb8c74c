"""Threshold compaction: a service that summarises on the way to its answer, from a number of input tokens on.

Its reply begins with the summary, which from then on stands for everything that was said before it. Such a call is two
in one, so its ceiling is that of both: the conversation is read twice, and the summary is written beside the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from .compaction import LONGEST, WINDOW_PERCENT, Compacting, threshold_of
from .errors import ConfigurationError
from .messages import CompactAt, Compaction, Message, Request
from .models import Model, Protocol
from .sizes import with_beta
from .summarising import SUMMARY_PROMPT, WORDS_PER_TOKEN, instructions

#: The least threshold that a service takes, in input tokens.
LEAST: Mapping[Protocol, int] = {"messages": 50_000, "responses": 1_000}
#: The beta features with which a Messages service compacts on demand, and by itself.
ON_DEMAND, BY_ITSELF = "compact-2026-09-04", "compact-2026-01-12"


def compact_at(model: Model, settings: Compacting, room: int | None) -> CompactAt:
    """What the service is asked for.

    Args:
        model: that answers, and summarises.
        settings: of the compaction; without a threshold the service compacts where tokmagic would.
        room: tokens that the input may take, what is more being cut; None where nothing bounds it.

    Raises:
        ConfigurationError: the service does not compact by itself, or not at that threshold.
    """
    least = LEAST.get(model.protocol)
    if least is None or not model.compacts_by_itself or model.max_output_tokens is None:
        over = " over Chat Completions" if model.protocol == "chat" else ""
        raise ConfigurationError(
            f"The service of {model.name} compacts no conversation by itself{over}: use compact=auto, or another model."
        )
    if settings.threshold is not None and settings.threshold < least:
        raise ConfigurationError(
            f"The service of {model.name} compacts from {least:,} tokens on at the earliest, not from "
            f"{settings.threshold:,}: raise the threshold, or use compact=auto."
        )
    if room is not None and room < least:
        raise ConfigurationError(
            f"The service of {model.name} compacts from {least:,} tokens on at the earliest, and its input may take "
            f"{room:,}: use compact=auto."
        )
    reachable = room * WINDOW_PERCENT // 100 if room is not None else None
    return CompactAt(max(least, threshold_of(model, settings, reachable)), _wish(model, settings))


def _wish(model: Model, settings: Compacting) -> str:
    if not settings.focus and settings.prompt == SUMMARY_PROMPT:
        return ""
    if model.protocol != "messages":
        raise ConfigurationError(
            f"The service of {model.name} takes no wishes of its summary: leave focus and prompt out."
        )
    return instructions(int(LONGEST * WORDS_PER_TOKEN), settings.focus, settings.prompt)


def with_betas(headers: Mapping[str, str], request: Request, model: Model) -> Mapping[str, str]:
    """The headers with the beta features that the request needs: to compact, and to send a summary back."""
    if model.protocol != "messages":
        return headers
    holds = _holds_block(request.messages)
    if request.compact_at is not None or (holds and model.compacts_by_itself):
        headers = with_beta(headers, BY_ITSELF)
    return with_beta(headers, ON_DEMAND) if holds and model.compacts else headers


def _holds_block(messages: tuple[Message, ...]) -> bool:
    parts = (part for message in messages for part in message.parts)
    return any(isinstance(part, Compaction) and part.provider == "anthropic" for part in parts)


def summary_bound(model: Model, request: Request, most_input: int) -> int:
    """The most tokens that a compaction on the way can write; 0 where the call cannot reach its threshold.

    ``most_input`` is what the request reads at most. A Responses service compacts in the middle of its answer, too, and
    none is known to keep its summary within ``max_tokens``.
    """
    asked = request.compact_at
    reach = most_input + (request.max_tokens if model.protocol == "responses" else 0)
    return 0 if asked is None or reach < asked.tokens else model.max_output_tokens or 0


def read_with_summary(model: Model, most_input: int, summary_tokens: int) -> int:
    """What a call reads at most whose service may compact on the way: all of it, then the summary with what stays."""
    if not summary_tokens:
        return most_input
    again = most_input + summary_tokens
    return most_input + (min(again, model.context_window) if model.context_window is not None else again)
