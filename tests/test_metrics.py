"""Metrics as the real OpenTelemetry SDK collects them."""

import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

import tokmagic as tm
from tokmagic import hooks
from tokmagic.core.book import Entry
from tokmagic.core.usage import Usage
from tokmagic.metrics import PROVIDERS, attributes, export_metrics

CALL = Entry(
    id="e",
    call="c",
    at=0.0,
    model="anthropic/claude-x",
    state="settled",
    usage=Usage(input_tokens=100, output_tokens=20),
    nanousd=1_500_000_000,
    quality="exact",
    duration=2.5,
    first_token=0.5,
    waited=3.0,
)


@pytest.fixture
def collected():
    """Ends entries and gives the points of what was recorded, by metric."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    end = export_metrics(provider)

    def collect(*entries):
        for entry in entries:
            hooks.ended(entry)
        data = reader.get_metrics_data()
        scopes = [] if data is None else [scope for found in data.resource_metrics for scope in found.scope_metrics]
        return {metric.name: metric.data.data_points for scope in scopes for metric in scope.metrics}

    yield collect
    end()
    provider.shutdown()


def test_tokens_time_and_cost_of_a_call_are_recorded_under_the_conventions_names(collected):
    found = collected(CALL)
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in found["gen_ai.client.token.usage"]}
    assert tokens == {"input": 100, "output": 20}
    assert found["gen_ai.client.operation.duration"][0].sum == 2.5
    assert found["gen_ai.client.operation.time_to_first_chunk"][0].sum == 0.5
    assert found["tokmagic.client.cost"][0].value == 1.5
    assert found["tokmagic.client.wait.duration"][0].sum == 3.0
    assert dict(found["gen_ai.client.operation.duration"][0].attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-x",
    }


def test_names_and_buckets_are_the_conventions_own(collected):
    found = collected(CALL)
    assert {name for name in found if name.startswith("gen_ai.")} == {
        gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK,
    }
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert set(attributes(CALL)) | {"gen_ai.token.type"} <= known
    assert set(PROVIDERS.values()) <= {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
    assert found["gen_ai.client.token.usage"][0].explicit_bounds[-1] == 67_108_864
    assert found["gen_ai.client.operation.duration"][0].explicit_bounds[-1] == pytest.approx(81.92)


def test_what_is_not_known_is_not_recorded(collected):
    lost = replace(CALL, state="unsettled", first_token=None, waited=0.0)
    found = collected(lost, replace(CALL, state="released", waited=0.0), replace(CALL, nanousd=None))
    assert sum(point.sum for point in found["gen_ai.client.token.usage"]) == 120
    assert [point.value for point in found["tokmagic.client.cost"]] == [1.5]
    errors = {point.attributes.get("error.type") for point in found["gen_ai.client.operation.duration"]}
    assert errors == {"unsettled", "released", None}


def test_calls_of_this_process_are_recorded_until_it_is_ended(collected, parts):
    tm.Client("demo/claude", parts=parts).send("Hello")
    (point,) = collected()["tokmagic.client.cost"]
    assert point.attributes["tokmagic.play"] is True
    assert point.attributes["gen_ai.provider.name"] == "demo"


def test_without_opentelemetry_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(tm.ConfigurationError, match=r"pip install 'tokmagic\[otel\]'"):
        tm.export_metrics()
