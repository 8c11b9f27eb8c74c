"""Streams as they arrive when something went wrong on the way, over every recorded stream of every protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from random import Random

import pytest

from tests.soak import each
from tokmagic.codecs import StreamDecoder
from tokmagic.codecs.registry import CODECS
from tokmagic.codecs.sse import SSEDecoder
from tokmagic.core.book import Entry
from tokmagic.core.errors import ProviderError, StreamBroken
from tokmagic.core.events import Finished, StreamEvent
from tokmagic.core.messages import user
from tokmagic.core.models import Model
from tokmagic.core.money import nanousd
from tokmagic.core.planning import CallPlan, Wishes, plan_call
from tokmagic.core.prices import Price, Rates, cost
from tokmagic.core.replies import Answer
from tokmagic.core.settling import Outcome, settle_entry
from tokmagic.core.usage import Usage
from tokmagic.tokenizers import counter

from .conftest import FIXTURES, protocol_of

NAMES = sorted(FIXTURES)
#: What the bytes of a stream must hold for its reply to be whole.
ENDS = {
    "messages": re.compile(rb'"stop_reason":\s*"[^"].*message_stop', re.S),
    "responses": re.compile(rb"response\.(?:completed|incomplete)"),
    "chat": re.compile(rb'"finish_reason":\s*"'),
}
GARBAGE = (
    b"<html><body>Bad gateway</body></html>",
    b"data: {\n\n",
    b"\xff\xfe\x00",
    b"event: ping\ndata: {}\n\n",
    b'data: {"error":{"message":"x"}}\n\n',
)


def flipped(stream: bytearray, random: Random) -> bytearray:
    stream[random.randrange(len(stream))] = random.randrange(256)
    return stream


def shortened(stream: bytearray, random: Random) -> bytearray:
    place = random.randrange(len(stream))
    del stream[place : place + random.randrange(1, 300)]
    return stream


def doubled(stream: bytearray, random: Random) -> bytearray:
    place = random.randrange(len(stream))
    stream[place:place] = stream[place : place + random.randrange(1, 300)]
    return stream


def cut_off(stream: bytearray, random: Random) -> bytearray:
    return stream[: random.randrange(len(stream))]


def interrupted(stream: bytearray, random: Random) -> bytearray:
    place = random.randrange(len(stream))
    stream[place:place] = random.choice(GARBAGE)
    return stream


def reordered(stream: bytearray, random: Random) -> bytearray:
    events = stream.split(b"\n\n")
    here, there = random.randrange(len(events)), random.randrange(len(events))
    events[here], events[there] = events[there], events[here]
    return bytearray(b"\n\n").join(events)


def without_an_event(stream: bytearray, random: Random) -> bytearray:
    events = stream.split(b"\n\n")
    del events[random.randrange(len(events))]
    return bytearray(b"\n\n").join(events)


def renumbered(stream: bytearray, random: Random) -> bytearray:
    value = random.choice([b"-1", b"null", b"1e999", b'"7"', b"[]", b"true", b"99999999999999999999"])
    numbers = [found.span() for found in re.finditer(rb"(?<=:)\d+", stream)]
    start, end = random.choice(numbers or [(0, 0)])
    return stream[:start] + value + stream[end:]


MUTATIONS: tuple[Callable[[bytearray, Random], bytearray], ...] = (
    flipped, shortened, doubled, cut_off, interrupted, reordered, without_an_event, renumbered,
)  # fmt: skip


def mutated(stream: bytes, random: Random) -> bytes:
    changed = bytearray(stream)
    for _ in range(random.randrange(1, 4)):
        changed = random.choice(MUTATIONS)(changed, random) or bytearray(b"x")
    return bytes(changed)


def feed(decoder: StreamDecoder, stream: bytes, size: int = 1_000) -> Iterable[StreamEvent]:
    """The events of a stream that arrives in chunks of ``size`` bytes."""
    sse = SSEDecoder()
    for start in range(0, len(stream), size):
        for kind, data in sse.feed(stream[start : start + size]):
            yield from decoder.feed(kind, data)


def damage_anew(seed: int) -> Mapping[str, int]:
    """Damage one of the recorded streams, and read it as it arrives."""
    random = Random(seed)  # noqa: S311 - the same damage each time
    name = random.choice(NAMES)
    stream, decoder = mutated(FIXTURES[name], random), CODECS[protocol_of(name)].decoder()
    outcome, events = "incomplete", list[StreamEvent]()
    try:
        events = list(feed(decoder, stream, random.randrange(1, 2_000)))
    except ProviderError as error:
        outcome = type(error).__name__
    ends = [event for event in events if isinstance(event, Finished)]
    assert len(ends) <= 1
    if ends:
        outcome = "finished"
        assert events[-1] is ends[0]
        assert decoder.complete
        assert ENDS[protocol_of(name)].search(stream)
    assert isinstance(decoder.partial(), Answer)
    return {outcome: 1}


def test_a_damaged_stream_is_a_typed_error_an_incomplete_reply_or_has_its_end() -> None:
    counts = each(damage_anew, range(1_500))
    assert counts["finished"], "some damage does no harm, or this test would show nothing"
    assert counts["incomplete"]
    assert counts["MalformedReply"]


RATES = Rates(nanousd("3"), nanousd("15"), nanousd("0.3"), nanousd("3.75"), nanousd("6"))
COUNTER = counter("estimate")


@pytest.fixture(scope="module")
def plan() -> CallPlan:
    """A call large enough to have been any of the recorded ones."""
    model = Model("p", "m", "messages", 400_000, 64_000, price=Price(((0, RATES),)))
    return plan_call(model, (user("word " * 60_000),), Wishes(max_tokens=5_000), COUNTER)


@pytest.mark.parametrize("name", NAMES)
def test_a_reply_cut_anywhere_is_booked_at_no_less_than_the_truth(name: str, plan: CallPlan) -> None:
    stream = FIXTURES[name]
    whole = CODECS[protocol_of(name)].decoder()
    list(feed(whole, stream))
    usage = whole.partial().usage or Usage()
    truth = cost(plan.model.price, usage).nanousd
    assert truth is not None
    sse, decoder, outcome = SSEDecoder(), CODECS[protocol_of(name)].decoder(), Outcome(sent=True)
    for place in range(len(stream)):
        for kind, data in sse.feed(stream[place : place + 1]):
            for event in decoder.feed(kind, data):
                outcome.take(event)
        outcome.error = None if decoder.complete else StreamBroken("cut")
        entry = settle_entry(Entry("e", "c", 0.0, "p/m", charge=plan.charge), plan, outcome, COUNTER, 1.0)
        assert entry.state == ("settled" if decoder.complete else "unsettled")
        assert entry.nanousd is not None
        assert entry.nanousd >= truth
        assert entry.usage.input_tokens >= usage.input_tokens
        assert entry.usage.output_tokens >= usage.output_tokens
