"""Sounds played to a model that takes them, through the real SDK and through ``tm.Client``."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import soundfile

import tokmagic as tm
from tests.local.models import LONGEST, RATE, hearing, hearing_in_pieces
from tests.local.test_local import ROUTES, gpt, post
from tests.local.test_shown import ASKED, address, picture, read, spoken
from tokmagic.core.messages import MP3, Audio
from tokmagic.server import EmbeddedServer
from tokmagic.server.local import showing

Start = Callable[..., EmbeddedServer]
CHAT = ROUTES[2]


def tone(seconds: float = 1.0, *, pitch: float = 440, rate: int = RATE, channels: int = 1, kind: str = "WAV") -> bytes:
    made = io.BytesIO()
    wave = 0.5 * numpy.sin(2 * numpy.pi * pitch * numpy.arange(int(seconds * rate)) / rate)
    soundfile.write(made, numpy.repeat(wave[:, None], channels, axis=1), rate, format=kind)
    return made.getvalue()


def tokens_of(seconds: float) -> int:
    """What the tiny model's processor makes of a sound: a token for four frames of ten milliseconds."""
    return ((int(seconds * 100) - 1) // 2 + 1 - 2) // 2 + 1


def played(*sounds: bytes, name: str = "wav") -> dict[str, Any]:
    """The fields of a request that plays sounds and asks about them."""
    parts = [
        {"type": "input_audio", "input_audio": {"data": b64encode(data).decode(), "format": name}} for data in sounds
    ]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": ASKED}]}]}


def refusal(server: EmbeddedServer, fields: dict[str, Any], path: str = CHAT, model: str = "ears") -> str:
    reply = post(server, path, model=model, **fields)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert "\n" not in error["message"]
    return str(error["message"])


@pytest.fixture(scope="session")
def ears(tmp_path_factory: pytest.TempPathFactory, start: Start) -> EmbeddedServer:
    return start(str(hearing(tmp_path_factory.mktemp("models") / "ears")))


@pytest.mark.parametrize(
    "data",
    [tone(), tone(rate=8_000), tone(rate=44_100, channels=2)],
    ids=["as it is", "of a telephone", "in stereo"],
)
def test_a_sound_is_heard_at_the_models_rate_and_its_tokens_are_counted(data: bytes, ears: EmbeddedServer) -> None:
    heard, plain = post(ears, CHAT, model="ears", **played(data)), post(ears, CHAT, model="ears", **spoken(CHAT, ASKED))
    assert (heard.status_code, plain.status_code) == (200, 200)
    assert read(heard.json()) == read(plain.json()) + tokens_of(1)


def test_an_mp3_is_heard_and_so_are_several_sounds_in_their_order(ears: EmbeddedServer) -> None:
    plain = read(post(ears, CHAT, model="ears", **spoken(CHAT, ASKED)).json())
    compressed = read(post(ears, CHAT, model="ears", **played(tone(kind="MP3"), name="mp3")).json())
    assert tokens_of(1) <= compressed - plain <= tokens_of(1.2)
    several = read(post(ears, CHAT, model="ears", **played(tone(0.5), tone(1.5))).json())
    assert several == plain + tokens_of(0.5) + tokens_of(1.5)


def test_what_is_to_be_heard_reaches_the_model(ears: EmbeddedServer) -> None:
    def answer(data: bytes) -> str | None:
        with gpt(ears) as client:
            asked: Any = played(data)["messages"]
            reply = client.chat.completions.create(model="ears", max_tokens=12, messages=asked, temperature=0)
        return reply.choices[0].message.content

    assert answer(tone()) == answer(tone())
    assert answer(tone()) != answer(tone(pitch=3_000))


def test_a_sound_longer_than_the_model_hears_is_refused_and_not_cut(ears: EmbeddedServer) -> None:
    assert post(ears, CHAT, model="ears", **played(tone(LONGEST))).status_code == 200
    said = refusal(ears, played(tone(LONGEST + 0.5)))
    assert "a sound of 2.5 s is longer than the 2 s that the model hears" in said


def test_a_model_that_takes_a_long_sound_in_pieces_hears_all_of_it(tmp_path: Path, start: Start) -> None:
    server = start(f"pieces={hearing_in_pieces(tmp_path / 'pieces')}")
    short, long = (read(post(server, CHAT, model="pieces", **played(tone(LONGEST * n))).json()) for n in (1, 3))
    assert long - short == 12.5 * 2 * LONGEST


def test_a_placeholder_that_somebody_writes_is_plain_text(ears: EmbeddedServer) -> None:
    reply = post(ears, CHAT, model="ears", **spoken(CHAT, "What is in <|AUDIO|>?"))
    assert reply.status_code == 200
    assert read(reply.json()) > read(post(ears, CHAT, model="ears", **spoken(CHAT, "What is in ?")).json())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no sound at all", "none in WAV or MP3"),
        (tone(kind="FLAC"), "none in WAV or MP3"),
        (tone()[:30], "cannot be read"),
        (tone(0), "nothing to be heard"),
    ],
)
def test_what_is_no_sound_is_refused_in_one_line(data: bytes, said: str, ears: EmbeddedServer) -> None:
    assert said in refusal(ears, played(data))


def test_a_small_file_does_not_unfold_into_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    part = played(tone(0.01, rate=8_000))["messages"]
    monkeypatch.setattr(showing, "MOST_SAMPLES", 100)
    with pytest.raises(showing.WireError, match="a sound of 160 samples is beyond the 100"):
        showing.with_shown(part, RATE)


def test_a_model_takes_what_it_is_made_for(ears: EmbeddedServer, tiny: EmbeddedServer) -> None:
    assert "takes text only, and the input holds a sound" in refusal(tiny, played(tone()), model="tiny")
    shown = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address(picture())}}]}]
    assert "takes text and audio only, and the input holds an image" in refusal(ears, {"messages": shown})


def test_protocols_without_sound_and_all_of_them_without_video_say_so(ears: EmbeddedServer) -> None:
    for path, kind in (("/v1/responses", "input_audio"), (CHAT, "video_url"), ("/v1/messages", "video")):
        said = [{"role": "user", "content": [{"type": kind, kind: {}}]}]
        fields = {"input": said} if path == "/v1/responses" else {"messages": said}
        assert f"'{kind}'" in refusal(ears, fields, path)


def test_a_client_plays_a_sound_and_gets_the_models_own_count(
    ears: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(
        f'[services.lab]\nbase_url = "{ears.url}/v1"\nprotocol = "chat"\nkey_variable = "LAB_KEY"\n'
        '[prices."lab/*"]\ninput = "0"\noutput = "0"\n'
    )
    monkeypatch.setenv("TOKMAGIC_HOME", str(tmp_path))
    monkeypatch.setenv("LAB_KEY", ears.token)
    client = tm.Client("lab/ears", max_tokens=8, limits=["1 usd/day"])
    plain = client.send(ASKED)
    for sound, most in ((Audio(tone()), 0), (Audio(tone(kind="MP3"), MP3), 5)):
        heard = client.send([tm.Message("user", (sound, tm.Text(ASKED)))])
        assert 0 <= heard.usage.input_tokens - plain.usage.input_tokens - tokens_of(1) <= most
        assert heard.cost.nanousd == 0
