from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.codecs.sse import SSEDecoder, encode_event


def read_in_pieces(stream: bytes, cuts: list[int]) -> list[tuple[str, str]]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    decoder = SSEDecoder()
    return [event for start, end in pairwise(places) for event in decoder.feed(stream[start:end])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(
    ("lines", "event"),
    [
        (["data: a"], ("message", "a")),
        (["event: ping", "data: {}"], ("ping", "{}")),
        (["event:ping", "data:x"], ("ping", "x")),
        (["data: one", "data: two", "data"], ("message", "one\ntwo\n")),
        (["data: late", "event: named"], ("named", "late")),
        ([": keep-alive", "id: 7", "retry: 10", "data: x"], ("message", "x")),
        (["event: a", "event:", "data:  two spaces"], ("message", " two spaces")),
        (["data: a: b"], ("message", "a: b")),
    ],
)
def test_an_event_is_read_as_the_standard_says(end: str, lines: list[str], event: tuple[str, str]) -> None:
    stream = end.join([*lines, "", ""]).encode()
    decoder = SSEDecoder()
    found = decoder.feed(stream) + decoder.feed(b"data: next\n\n")
    assert found == [event, ("message", "next")]


def test_comments_and_events_without_data_are_not_reported() -> None:
    assert SSEDecoder().feed(b": keep-alive\n\nevent: ping\n\n\n\nid: 4\n\n") == []


def test_what_has_no_blank_line_behind_it_is_no_event() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: whole\n\ndata: cut off\n") == [("message", "whole")]


def test_a_byte_order_mark_is_dropped_even_when_it_is_cut() -> None:
    stream = b"\xef\xbb\xbfdata: x\n\n"
    assert SSEDecoder().feed(stream) == [("message", "x")]
    assert read_in_pieces(stream, [1, 2]) == [("message", "x")]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert SSEDecoder().feed(b"data: a\xffb\n\n") == [("message", "a�b")]


def test_a_line_of_a_megabyte_in_small_pieces_arrives_whole() -> None:
    stream = encode_event("big", "x" * 1_000_000)
    assert read_in_pieces(stream, list(range(0, 1_000_000, 1000))) == [("big", "x" * 1_000_000)]


@given(
    events=st.lists(st.tuples(st.sampled_from(["", "ping", "délta"]), st.text(st.characters(exclude_characters="\r")))),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_no_cut_of_the_stream_changes_what_is_read(events: list[tuple[str, str]], end: bytes, cuts: list[int]) -> None:
    events = [(name, data.encode("utf-8", "replace").decode()) for name, data in events]
    stream = b"".join(encode_event(name, data) for name, data in events).replace(b"\n", end)
    expected = [(name or "message", data) for name, data in events]
    whole = SSEDecoder()
    assert whole.feed(stream) + whole.feed(b":\n") == expected
    assert read_in_pieces(stream + b":\n", cuts) == expected
