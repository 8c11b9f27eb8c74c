"""An image's size is read from its header, and its tokens follow its provider's rule."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokmagic.core.images import COMMON, Patches, Tiles, image_size
from tokmagic.core.messages import Image

EDGES = st.integers(1, 16_000)


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIB", 13, b"IHDR", width, height, 8)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00"


def jpeg(width, height):
    application = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF".ljust(14, b"\x00")
    table = b"\xff\xff\xdb" + struct.pack(">H", 67) + b"\x00" * 65
    return b"\xff\xd8" + application + table + b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)


def riff(kind, body):
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + struct.pack("<I", len(body)) + body


def webp(width, height):
    return riff(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height))


def webp_lossless(width, height):
    return riff(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def webp_extended(width, height):
    return riff(b"VP8X", b"\x00" * 4 + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3])


KINDS = [png, gif, jpeg, webp, webp_lossless, webp_extended]


@pytest.mark.parametrize("kind", KINDS)
@given(width=EDGES, height=EDGES)
def test_the_size_is_read_from_the_header(kind, width, height):
    assert image_size(Image(data=kind(width, height))) == (width, height)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_header_has_no_size_and_raises_nothing(kind):
    whole = kind(640, 480)
    assert {image_size(Image(data=whole[:length])) for length in range(len(whole))} <= {None, (640, 480)}
    assert image_size(Image(data=whole[:9])) is None


@given(st.binary(max_size=60))
def test_any_bytes_are_read_without_an_error(data):
    for start in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"RIFF1234WEBPVP8X", b"\x89PNG\r\n\x1a\n", b"GIF87a"):
        image_size(Image(data=start + data))


def test_an_image_of_no_width_has_no_size():
    assert image_size(Image(data=png(0, 10))) is None


@pytest.mark.parametrize(
    ("rule", "size", "tokens"),
    [
        (COMMON, (280, 280), 100),
        (COMMON, (1_092, 1_092), 1_521),
        (COMMON, (10_000, 10_000), 1_568),
        (COMMON, (10_000, 100), 56),
        (COMMON, None, 1_568),
        (Tiles(85, 170), (1_024, 1_024), 765),
        (Tiles(85, 170), (2_048, 4_096), 1_105),
        (Tiles(85, 170), (100, 100), 255),
        (Tiles(85, 170), None, 765),
        (Patches(32, 1_536), (1_024, 1_024), 1_024),
        (Patches(32, 1_536, percent=162), (1_800, 2_400), 2_489),
    ],
)
def test_a_rule_counts_as_published(rule, size, tokens):
    assert rule.tokens(size) == tokens


@given(size=st.tuples(EDGES, EDGES))
def test_no_image_takes_more_than_one_of_unknown_size_by_patches(size):
    assert 1 <= COMMON.tokens(size) <= COMMON.tokens(None)
