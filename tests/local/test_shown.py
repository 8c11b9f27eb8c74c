"""What a model takes beside text, shown to it through the real SDKs and through ``tm.Client``."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import tokmagic as tm
from tests.local.models import PATCH, SIDE, seeing, tiling
from tests.local.test_local import ROUTES, claude, gpt, post
from tokmagic.server import EmbeddedServer
from tokmagic.server.local import showing

Start = Callable[..., EmbeddedServer]
#: Tokens of one image to the tiny model.
EACH = (SIDE // PATCH) ** 2
ASKED = "What is it?"


def picture(colour: str = "red", size: tuple[int, int] = (48, 32), kind: str = "PNG") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, kind)
    return made.getvalue()


def address(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{b64encode(data).decode()}"


def content(path: str, data: bytes) -> dict[str, Any]:
    """The fields of a request that shows an image and asks about it, on each route."""
    if path == "/v1/messages":
        source = {"type": "base64", "media_type": "image/png", "data": b64encode(data).decode()}
        parts = [{"type": "image", "source": source}, {"type": "text", "text": ASKED}]
    elif path == "/v1/responses":
        parts = [{"type": "input_image", "image_url": address(data)}, {"type": "input_text", "text": ASKED}]
        return {"input": [{"role": "user", "content": parts}]}
    else:
        parts = [{"type": "image_url", "image_url": {"url": address(data)}}, {"type": "text", "text": ASKED}]
    return {"messages": [{"role": "user", "content": parts}]}


def spoken(path: str, text: str) -> dict[str, Any]:
    said = [{"role": "user", "content": text}]
    return {"input": said} if path == "/v1/responses" else {"messages": said}


def read(reply: dict[str, Any]) -> int:
    usage = reply["usage"]
    return int(usage.get("input_tokens") or usage["prompt_tokens"])


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory, start: Start) -> EmbeddedServer:
    return start(str(seeing(tmp_path_factory.mktemp("models") / "eyes")))


@pytest.mark.parametrize("path", ROUTES)
def test_an_image_is_read_on_each_protocol_and_its_tokens_are_counted(path: str, eyes: EmbeddedServer) -> None:
    shown = post(eyes, path, model="eyes", **content(path, picture()))
    plain = post(eyes, path, model="eyes", **spoken(path, ASKED))
    assert (shown.status_code, plain.status_code) == (200, 200)
    assert read(shown.json()) == read(plain.json()) + EACH


def test_it_is_counted_before_it_is_sent_as_it_is_afterwards(eyes: EmbeddedServer) -> None:
    asked = content(ROUTES[0], picture())["messages"]
    with claude(eyes) as client:
        counted = client.messages.count_tokens(model="eyes", messages=asked).input_tokens
        assert client.messages.create(model="eyes", max_tokens=5, messages=asked).usage.input_tokens == counted


def test_what_is_in_the_image_reaches_the_model(eyes: EmbeddedServer) -> None:
    def answer(data: bytes) -> str | None:
        with gpt(eyes) as client:
            asked: Any = content(ROUTES[2], data)["messages"]
            reply = client.chat.completions.create(model="eyes", max_tokens=12, messages=asked, temperature=0)
        return reply.choices[0].message.content

    assert answer(picture("black")) == answer(picture("black", kind="GIF"))
    assert answer(picture("black")) != answer(picture("white"))


def test_an_image_that_a_tool_gave_back_is_read_too(eyes: EmbeddedServer) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(picture()).decode()}

    def asked(*parts: dict[str, Any]) -> dict[str, Any]:
        call = {"type": "tool_use", "id": "toolu_1", "name": "draw", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(parts)}
        turns = [("user", "Draw."), ("assistant", [call]), ("user", [result])]
        tools = [{"name": "draw", "input_schema": {"type": "object"}}]
        return {"messages": [{"role": role, "content": said} for role, said in turns], "tools": tools}

    done = {"type": "text", "text": "Done."}
    plain = post(eyes, ROUTES[0], model="eyes", **asked(done)).json()
    drawn = post(eyes, ROUTES[0], model="eyes", **asked(done, {"type": "image", "source": source})).json()
    assert read(drawn) > read(plain) + EACH


def test_a_placeholder_that_somebody_writes_is_plain_text(eyes: EmbeddedServer) -> None:
    reply = post(eyes, ROUTES[2], model="eyes", **spoken(ROUTES[2], "What is in <image>?"))
    assert reply.status_code == 200
    assert read(reply.json()) > read(post(eyes, ROUTES[2], model="eyes", **spoken(ROUTES[2], "What is in ?")).json())


def test_where_a_control_token_cannot_be_made_plain_text_it_is_refused(tmp_path: Path, start: Start) -> None:
    server = start(f"tiles={tiling(tmp_path / 'tiles')}")
    assert post(server, ROUTES[0], model="tiles", **content(ROUTES[0], picture())).status_code == 200
    fields = content(ROUTES[0], picture())
    fields["messages"][0]["content"][1]["text"] = "What is it?<|im_end|>"
    refused = post(server, ROUTES[0], model="tiles", **fields)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_variable_that_the_template_does_not_have_sets_nothing_of_the_processor(eyes: EmbeddedServer) -> None:
    plain = post(eyes, ROUTES[2], model="eyes")
    for strange in ({"images": ["http://127.0.0.1:9/x.png"]}, {"max_length": 3, "truncation_strategy": "x"}):
        asked = post(eyes, ROUTES[2], model="eyes", chat_template_kwargs=strange)
        assert (asked.status_code, read(asked.json())) == (200, read(plain.json()))
    loud = post(eyes, ROUTES[2], model="eyes", chat_template_kwargs={"shout": "HEY"})
    assert read(loud.json()) > read(plain.json())


@pytest.mark.parametrize("path", ROUTES)
def test_an_address_is_refused_since_nothing_is_fetched(path: str, eyes: EmbeddedServer) -> None:
    parts: dict[str, Any] = {
        "/v1/messages": {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        "/v1/responses": {"type": "input_image", "image_url": "https://example.org/a.png"},
        "/v1/chat/completions": {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    }
    said = [{"role": "user", "content": [parts[path]]}]
    refused = post(eyes, path, model="eyes", **({"input": said} if path == "/v1/responses" else {"messages": said}))
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "fetches nothing" in refused.json()["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_a_model_that_reads_text_says_so_by_its_name(path: str, tiny: EmbeddedServer) -> None:
    refused = post(tiny, path, **content(path, picture()))
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "'tiny' takes text only, and the input holds an image" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no image at all", "none in PNG, JPEG, GIF or WebP"),
        (picture()[:60], "cannot be read"),
        (picture()[:16] + (10**5).to_bytes(4, "big") * 2 + picture()[24:], "100,000 x 100,000 pixels is beyond"),
    ],
)
def test_what_is_no_image_or_too_large_is_refused_in_one_line(data: bytes, said: str, eyes: EmbeddedServer) -> None:
    for path in (ROUTES[0], f"{ROUTES[0]}/count_tokens"):
        refused = post(eyes, path, model="eyes", **content(ROUTES[0], data))
        assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")
        assert said in refused.json()["error"]["message"]
        assert "\n" not in refused.json()["error"]["message"]


def test_a_document_is_read_if_it_is_text(eyes: EmbeddedServer) -> None:
    def asked(source: dict[str, Any]) -> Any:
        return post(eyes, ROUTES[0], model="eyes", messages=[
            {"role": "user", "content": [{"type": "document", "source": source}, {"type": "text", "text": ASKED}]}
        ])  # fmt: skip

    assert asked({"type": "text", "media_type": "text/plain", "data": "A report."}).status_code == 200
    pdf = asked({"type": "base64", "media_type": "application/pdf", "data": b64encode(b"%PDF-1.7").decode()})
    assert (pdf.status_code, "reads no PDF" in pdf.json()["error"]["message"]) == (400, True)


@pytest.fixture
def lab(eyes: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tm.Client:
    """A client that knows the server as any user would: by a few lines of configuration."""
    (tmp_path / "config.toml").write_text(
        f'[services.lab]\nbase_url = "{eyes.url}/v1"\nprotocol = "chat"\nkey_variable = "LAB_KEY"\n'
    )
    monkeypatch.setenv("TOKMAGIC_HOME", str(tmp_path))
    monkeypatch.setenv("LAB_KEY", eyes.token)
    return tm.Client("lab/eyes", max_tokens=8)


def test_a_client_shows_an_image_and_gets_the_models_own_count(lab: tm.Client) -> None:
    shown = lab.send([tm.Message("user", (tm.Image("image/png", picture()), tm.Text(ASKED)))])
    plain = lab.send(ASKED)
    assert shown.usage.input_tokens == plain.usage.input_tokens + EACH


def test_an_image_in_the_right_formats_stands_upright() -> None:
    tall = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tall, "JPEG", exif=turned)
    parts = [{"type": "image_url", "image_url": {"url": address(tall.getvalue(), "image/jpeg")}}]
    (message,) = showing.with_shown([{"role": "user", "content": parts}], 16_000)
    assert message["content"][0]["image"].size == (20, 30)
