"""A fault plan is read strictly, chooses the same requests every time, and does to an answer what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from tests.patience import PATIENCE
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.models import Model
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.faults import Fault, FaultPlan, Faults, parse_plan
from tokmagic.tokenizers import counter

ROUTES = {"/v1/messages": "claude", "/v1/responses": "gpt", "/v1/chat/completions": "chat"}


@contextmanager
def faulty(*faults: Fault, seed: int = 0) -> Iterator[EmbeddedServer]:
    protocols = {"claude": "messages", "gpt": "responses", "chat": "chat"}
    models = [Model("demo", name, kind, 200_000, 64_000, "o200k_base") for name, kind in protocols.items()]  # type: ignore[arg-type]
    with start_server(models, counter, faults=FaultPlan(faults, seed)) as server:
        yield server


def body_of(path: str, **fields: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
    if path == "/v1/responses":
        said = {"input": "Hi", "max_output_tokens": 50}
    return {"model": ROUTES[path], **said, **fields}


def ask(server: EmbeddedServer, path: str, timeout: float = PATIENCE, **fields: Any) -> httpx2.Response:
    headers = {"x-api-key": server.token}
    return httpx2.post(server.url + path, json=body_of(path, **fields), headers=headers, timeout=timeout)


def test_a_plan_in_toml_is_the_same_as_a_value() -> None:
    text = """
        seed = 7
        [[fault]]
        kind = "refuse"
        status = 429
        retry_after = 2.5
        nth = [1, 3]
        [[fault]]
        kind = "cut"
        after = 5
        route = "/v1/messages"
        model = "claude*"
        nth = 2
        probability = 0.5
    """
    refuse = Fault("refuse", status=429, retry_after=2.5, nth=(1, 3))
    cut = Fault("cut", after=5, route="/v1/messages", model="claude*", nth=(2,), probability=0.5)
    assert parse_plan(text, "plan.toml") == FaultPlan((refuse, cut), 7)
    assert parse_plan("", "plan.toml") == FaultPlan()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fault = ", "plan.toml is no TOML"),
        ("faults = []", "nothing else"),
        ("seed = 'x'", "nothing else"),
        ("fault = [1]", "fault 1: the kind is one of latency, refuse"),
        ("[[fault]]\nkind = 'explode'", "not 'explode'"),
        ("[[fault]]\nkind = ['cut']", "the kind is one of"),
        ("[[fault]]\nkind = 'cut'\n[[fault]]\nkind = 'cut'\nseconds = 1", "fault 2: cut has no 'seconds'"),
        ("[[fault]]\nkind = 'cut'\nafter = -1", "after is a number of events, not -1"),
        ("[[fault]]\nkind = 'cut'\nafter = true", "not True"),
        ("[[fault]]\nkind = 'cut'\nprobability = 1.5", "from 0 to 1"),
        ("[[fault]]\nkind = 'cut'\nnth = [0]", "a number from 1"),
        ("[[fault]]\nkind = 'refuse'\nstatus = 200", "from 400 to 599"),
        ("[[fault]]\nkind = 'latency'\nseconds = nan", "a number of seconds"),
    ],
)
def test_a_plan_that_is_none_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"plan\.toml") as refused:
        parse_plan(text, "plan.toml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def drawn(plan: FaultPlan, requests: Sequence[tuple[str, str]]) -> list[int]:
    faults = Faults(plan)
    return [place for place, (route, model) in enumerate(requests) if faults.of(route, model)]


def test_a_fault_counts_the_requests_that_it_is_for() -> None:
    plan = FaultPlan((Fault("cut", route="/v1/mess*", model="c*", nth=(2,)),))
    asked = [("/v1/messages", "claude"), ("/v1/responses", "claude"), ("/v1/messages", "small"), ("/v1/messages", "c")]
    assert drawn(plan, asked) == [3]


def test_chance_depends_on_the_seed_and_the_place_of_a_request_and_not_on_what_else_is_asked() -> None:
    plan = FaultPlan((Fault("cut", route="/a", probability=0.3),), 5)
    alone = drawn(plan, [("/a", "m")] * 1_000)
    mixed = drawn(plan, [("/a", "m"), ("/b", "m")] * 1_000)
    assert 250 < len(alone) < 350
    assert [place // 2 for place in mixed] == alone
    assert drawn(FaultPlan(plan.faults, 6), [("/a", "m")] * 1_000) != alone


@pytest.mark.parametrize("path", ROUTES)
def test_a_refusal_has_the_familys_shape_and_says_when_to_come_again(path: str) -> None:
    faults = [Fault("refuse", status=429, retry_after=3, nth=(1,)), Fault("refuse", status=429, nth=(2,))]
    faults += [Fault("refuse", status=500, nth=(3,)), Fault("refuse", status=529, nth=(4,))]
    with faulty(*faults) as server:
        first, second, third, fourth, fine = (ask(server, path) for _ in range(5))
    assert [first.status_code, second.status_code, third.status_code, fourth.status_code] == [429, 429, 500, 529]
    assert (first.headers["retry-after"], second.headers.get("retry-after")) == ("3", None)
    assert fourth.json()["error"]["type"] == ("overloaded_error" if path == "/v1/messages" else "server_error")
    assert fine.status_code == 200


@pytest.mark.parametrize("path", ROUTES)
def test_a_stream_is_cut_or_ended_behind_so_many_events(path: str) -> None:
    with faulty(Fault("cut", after=3, nth=(1,)), Fault("end", after=3, nth=(2,))) as server:
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(server, path, stream=True)
        ended = ask(server, path, stream=True).text
        whole = ask(server, path, stream=True).text
    assert ended.count("\n\n") == 3
    assert whole.count("\n\n") > 6
    assert whole.split("\n")[0] == ended.split("\n")[0] or path != "/v1/messages"


@pytest.mark.parametrize("path", ROUTES)
def test_an_answer_in_one_piece_breaks_in_its_middle(path: str) -> None:
    with faulty(Fault("cut", nth=(1,)), Fault("malformed", nth=(2,)), Fault("html", nth=(3,))) as server:
        with pytest.raises(httpx2.RemoteProtocolError):
            ask(server, path)
        half, page = ask(server, path), ask(server, path)
    with pytest.raises(json.JSONDecodeError):
        half.json()
    assert half.text.startswith("{")
    assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")


@pytest.mark.parametrize("path", ROUTES)
def test_usage_is_left_out_of_streams_and_answers(path: str) -> None:
    with faulty(Fault("unstated", nth=(1, 2))) as server:
        body, stream = ask(server, path).json(), ask(server, path, stream=True).text
        whole = ask(server, path, stream=True).text
    assert "usage" not in body
    assert '"usage"' not in stream
    assert stream.count("data: ") == whole.count("data: ")


@pytest.mark.parametrize("path", ROUTES)
def test_an_error_in_mid_stream_ends_it(path: str) -> None:
    with faulty(Fault("error", after=4)) as server:
        text = ask(server, path, stream=True).text
    assert "as planned" in text.split("\n\n")[4]
    assert '"response.completed"' not in text
    assert "message_stop" not in text
    assert "[DONE]" not in text


@pytest.mark.parametrize("after", [0, 1, 6, 31])
def test_an_error_in_a_responses_stream_goes_on_with_its_numbers_and_its_response(after: int) -> None:
    with faulty(Fault("error", after=after)) as server:
        fields = {"stream": True, "reasoning": {"effort": "low", "summary": "auto"}}
        text = ask(server, "/v1/responses", **fields).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert [event["sequence_number"] for event in events] == list(range(after + 2))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    failed, opened = events[-1]["response"], [event for event in events if event["type"] == "response.created"]
    assert failed["status"] == "failed"
    assert [failed["id"]] == [event["response"]["id"] for event in opened or [{"response": failed}]]
    assert failed["output"] == [event["item"] for event in events if event["type"] == "response.output_item.done"]


def test_an_error_behind_a_garbled_event_is_told_all_the_same() -> None:
    with faulty(Fault("error", after=2), Fault("malformed", after=0)) as server:
        text = ask(server, "/v1/responses", stream=True).text
    assert text.rstrip().rpartition("\n")[2].startswith('data: {"type":"response.failed","sequence_number":3')


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("stream", [True, False])
def test_a_stalled_answer_says_no_more_until_the_client_goes(path: str, stream: bool) -> None:
    with faulty(Fault("stall", after=2)) as server, pytest.raises(httpx2.ReadTimeout):
        ask(server, path, timeout=0.3, stream=stream)


@pytest.mark.parametrize("path", ROUTES)
def test_a_dripping_answer_is_kept_alive_by_signs_of_life_alone(path: str) -> None:
    with faulty(Fault("drip", after=2, seconds=0.001)) as server, httpx2.Client(timeout=PATIENCE) as client:
        body = body_of(path, stream=True)
        with client.stream("POST", server.url + path, json=body, headers={"x-api-key": server.token}) as reply:
            seen, chunks = b"", reply.iter_raw()
            while seen.count(b"\n\n") < 20:
                seen += next(chunks)
    signs = seen.split(b"\n\n")[2:-1]
    assert len(signs) >= 18
    assert set(signs) <= {b": keep-alive", b'event: ping\ndata: {"type":"ping"}'}


def test_a_late_answer_is_late_and_several_faults_meet_one_request() -> None:
    first, second = Fault("latency", seconds=3600.0, nth=(1,)), Fault("latency", seconds=0.001)
    with faulty(first, second, Fault("unstated")) as server:
        with pytest.raises(httpx2.ReadTimeout):
            ask(server, "/v1/messages", timeout=0.1)
        assert "usage" not in ask(server, "/v1/messages").json()


def test_a_request_that_is_refused_anyway_is_refused_for_its_own_reason() -> None:
    with faulty(Fault("refuse", status=500)) as server:
        assert ask(server, "/v1/messages", max_tokens=10**6).status_code == 400
