"""Sound: counted by how long it lasts, bounded by the window, paid as sound unless the reply says how much it was."""

from __future__ import annotations

import io
import json
import wave
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.catalog import demo_models
from tokmagic.codecs.registry import CODECS
from tokmagic.core.affording import lowered
from tokmagic.core.book import Entry
from tokmagic.core.errors import RequestRejected
from tokmagic.core.events import Finished, TextDelta
from tokmagic.core.images import image_of
from tokmagic.core.limits import Account, Level, Refused, decide
from tokmagic.core.messages import MP3, WAV, Audio, Request, Text, user
from tokmagic.core.models import Model
from tokmagic.core.planning import CallPlan, Wishes, plan_call
from tokmagic.core.prices import Price, Rates, ceiling, cost, for_sound, price_of
from tokmagic.core.replies import Answer
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.sound import MP3_SECOND, PER_SECOND, WAV_SECOND, audio_of, seconds_of, tokens_of
from tokmagic.core.summarising import transcript
from tokmagic.core.tokens import count_request
from tokmagic.core.usage import Usage
from tokmagic.core.words import parse_limit
from tokmagic.tokenizers import counter

COUNTER = counter("o200k_base")
#: A dollar for a million tokens of text, thirteen for as many of sound.
CARD = Rates(10**9, 4 * 10**9, 10**9 // 4, 10**9, 10**9, audio=13 * 10**9)
CHAT = replace(demo_models()["chat"], price=Price(((0, CARD),)))
DEAF = replace(CHAT, price=Price(((0, replace(CARD, audio=None)),)))
rates = st.integers(0, 10**11)
cards = st.builds(Rates, rates, rates, rates, rates, rates, audio=rates)


def silence(seconds: float, rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(seconds * rate)))
    return file.getvalue()


SOUND = Audio(silence(2))


def plan_of(model: Model = CHAT, max_tokens: int = 100) -> CallPlan:
    return plan_call(model, (user("What is said?", SOUND),), Wishes(max_tokens=max_tokens), COUNTER)


def settled(answer: Answer | None, plan: CallPlan) -> Entry:
    outcome = Outcome(sent=True)
    outcome.take(TextDelta("Hm."))
    if answer is not None:
        outcome.take(Finished(answer))
    return settle_entry(Entry("e", "c", 0.0, plan.model.name, charge=plan.charge), plan, outcome, COUNTER, 1.0)


def test_a_wav_lasts_as_long_as_its_header_says_and_an_mp3_as_long_as_speech() -> None:
    assert seconds_of(SOUND) == pytest.approx(2, abs=0.01)
    assert seconds_of(Audio(silence(2, 44_100))) == pytest.approx(2, abs=0.01)
    assert seconds_of(Audio(bytes(3 * MP3_SECOND), MP3)) == 3
    broken = b"RIFF\0\0\0\0WAVE" + b"LIST" + (10**6).to_bytes(4, "little")
    assert seconds_of(Audio(broken.ljust(WAV_SECOND, b"\0"))) == 1


def test_it_is_counted_by_the_second_and_never_as_exact() -> None:
    plain = count_request([user("What is said?")], (), COUNTER)
    heard = count_request([user("What is said?", SOUND)], (), COUNTER)
    assert heard - plain == tokens_of(SOUND) == 2 * PER_SECOND + 1
    assert (plain.exact, heard.exact) == (True, False)
    assert heard.margin > 0


def test_only_the_window_bounds_it_at_the_price_of_sound() -> None:
    most = plan_of().charge.ceiling
    assert most.input_tokens == CHAT.context_window
    assert most.nanousd == 200_000 * 13_000 + 100 * 4_000


def test_sound_of_an_unknown_price_has_none_so_that_a_money_limit_refuses_it() -> None:
    plan = plan_of(DEAF)
    assert plan.charge.ceiling.nanousd is None
    level = Level(Account(parse_limit("100 usd/day"), "day", "someone"), spent=0, held=0, room=100e9)
    refused = decide([level], plan.charge)
    assert isinstance(refused, Refused)
    assert (refused.needed, lowered(plan, refused)) == (None, None)


def test_an_answer_is_lowered_to_what_is_left_beside_the_price_of_sound() -> None:
    plan = plan_of(max_tokens=4_000)
    level = Level(Account(parse_limit("2.61 usd/day"), "day", "someone"), spent=0, held=0, room=2.61e9)
    refused = decide([level], plan.charge)
    assert isinstance(refused, Refused)
    shorter = lowered(plan, refused)
    assert shorter is not None
    assert shorter.request.max_tokens == 10**7 // 4_000
    assert shorter.charge == plan_of(max_tokens=shorter.request.max_tokens).charge


def test_a_reply_that_says_how_much_was_sound_is_priced_exactly() -> None:
    entry = settled(Answer((Text("Hm."),), Usage(80, output_tokens=5), "end", heard_tokens=60), plan_of())
    assert (entry.nanousd, entry.quality) == (20 * 1_000 + 60 * 13_000 + 5 * 4_000, "exact")


def test_a_reply_that_does_not_is_priced_as_if_all_of_its_input_were() -> None:
    answer = Answer((Text("Hm."),), Usage(80, output_tokens=5), "end")
    entry = settled(answer, plan_of())
    assert (entry.nanousd, entry.quality) == (80 * 13_000 + 5 * 4_000, "estimated")
    assert settled(answer, plan_of(DEAF)).nanousd is None
    assert settled(answer, plan_of(demo_models()["chat"])).quality == "exact"


def test_where_no_usage_is_stated_the_ceiling_is_kept() -> None:
    entry = settled(None, plan_of())
    assert (entry.state, entry.nanousd) == ("unsettled", entry.charge.ceiling.nanousd)
    assert "sound" in entry.error


@given(cards, st.integers(0, 900), st.integers(0, 900), st.integers(0, 900), st.integers(0, 900))
def test_no_usage_with_sound_passes_the_ceiling(card: Rates, fresh: int, read: int, heard: int, said: int) -> None:
    price = Price(((0, card),))
    usage = Usage(fresh + read, cache_read_tokens=read, output_tokens=said)
    most = ceiling(for_sound(price), usage.input_tokens, said)
    booked = cost(price, usage, heard_tokens=min(heard, usage.input_tokens)).nanousd
    assert booked is not None
    assert most is not None
    assert booked <= most
    assert booked >= (cost(price, usage).nanousd or 0)


def test_a_price_of_ones_own_has_sound_where_it_says_so_or_is_free() -> None:
    stated = price_of({"input": 1, "output": 4, "audio": "13"})
    assert stated.tiers[0][1].audio == 13 * 10**9
    assert for_sound(price_of({"input": 1, "output": 4})) is None
    assert ceiling(for_sound(price_of({"input": 0, "output": 0})), 10**9, 10) == 0


def test_the_first_bytes_tell_a_wav_an_mp3_and_an_image_apart() -> None:
    wav, tagged, bare = silence(0.1), b"ID3\x04 music", b"\xff\xfb\x90 music"
    assert [audio_of(data) for data in (wav, tagged, bare)] == [Audio(wav, WAV), Audio(tagged, MP3), Audio(bare, MP3)]
    for data in (b"", b"\xff", b"\xff\xd8\xff a photo", b"RIFF\0\0\0\0WEBPVP8 ", b"words", b"\xff\xf1\x50 AAC"):
        assert audio_of(data) is None
    assert audio_of("words".encode("utf-16")) is None
    assert image_of(wav) is None


@given(st.binary(), st.sampled_from([WAV, MP3]))
def test_a_sound_survives_the_wire_of_chat_completions(data: bytes, media_type: str) -> None:
    sent = Request("m", (user("What is said?", Audio(data, media_type)),), 50)
    body = json.loads(json.dumps(CODECS["chat"].encode_request(sent)))
    assert CODECS["chat"].decode_request(body).messages == sent.messages


@pytest.mark.parametrize(("protocol", "way_out"), [("messages", "give its words"), ("responses", "openai-chat/")])
def test_a_protocol_without_sound_refuses_it_and_says_where_it_goes(protocol: str, way_out: str) -> None:
    with pytest.raises(RequestRejected, match=f"takes no sound.*{way_out}"):
        CODECS[protocol].encode_request(Request("m", (user("What is said?", SOUND),), 50))  # type: ignore[index]


def test_another_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestRejected, match=r"audio/wav or audio/mpeg, not 'audio/ogg'"):
        CODECS["chat"].encode_request(Request("m", (user("What is said?", Audio(b"OggS", "audio/ogg")),), 50))


def test_a_summary_is_told_that_there_was_a_sound() -> None:
    assert "(a sound)" in transcript([user("What is said?", SOUND)])
