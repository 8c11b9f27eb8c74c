"""Metrics of every entry that ends, as OpenTelemetry's conventions for generative AI name them.

Tokens by kind, how long a call took and when its first piece came are theirs; the cost and the seconds waited for a
rate limit, for which they have no name, are ``tokmagic.*``. What is not known is not recorded: no tokens of an entry
whose outcome is unknown, and no cost without a price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.hooks import on_entry

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter, MeterProvider

Attributes: TypeAlias = dict[str, str | bool]

#: Buckets that the conventions advise, in tokens and in seconds.
TOKENS = tuple(4**power for power in range(14))
SECONDS = tuple(0.01 * 2**power for power in range(14))
#: The conventions' names of services that we call otherwise.
PROVIDERS: Mapping[str, str] = {"mistral": "mistral_ai"}


def export_metrics(provider: MeterProvider | None = None) -> Callable[[], None]:
    """Record metrics of every entry that ends in this process from now on.

    Args:
        provider: records them; None takes OpenTelemetry's global one.

    Returns:
        What ends it.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry.metrics import get_meter
    except ImportError:
        raise ConfigurationError("Metrics need OpenTelemetry: pip install 'tokmagic[otel]'.") from None
    return on_entry(Recorder(get_meter("tokmagic", meter_provider=provider)).record)


class Recorder:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._cost = meter.create_counter("tokmagic.client.cost", "{USD}", "What calls cost, in US dollars.")
        self._waited = meter.create_histogram(
            "tokmagic.client.wait.duration",
            "s",
            "Time waited for a rate limit before an attempt.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    def record(self, entry: Entry) -> None:
        """Record what is known of an entry that ended."""
        about = attributes(entry)
        failed: Attributes = {} if entry.state == "settled" else {"error.type": entry.state}
        if entry.state == "settled":
            self._tokens.record(entry.usage.input_tokens, {**about, "gen_ai.token.type": "input"})
            self._tokens.record(entry.usage.output_tokens, {**about, "gen_ai.token.type": "output"})
        if entry.duration is not None:
            self._duration.record(entry.duration, {**about, **failed})
        if entry.first_token is not None:
            self._first.record(entry.first_token, about)
        if entry.nanousd is not None and entry.state != "released":
            self._cost.add(float(entry.cost), {**about, "tokmagic.play": entry.play})
        if entry.waited:
            self._waited.record(entry.waited, about)


def attributes(entry: Entry) -> Attributes:
    """What an entry was about, in the conventions' words."""
    service, _, model = entry.model.partition("/")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(service, service),
        "gen_ai.request.model": model,
    }
