"""Counts the tokens of one piece that is too long to encode at once, exactly, in windows.

Byte pairs merge locally, and a list of tokens is the encoding of its bytes if and only if each two neighbours are the
encoding of theirs. So a piece is walked in windows that meet in such a pair: at **joints**. Walks are remembered, and a
piece that begins or ends as one of them did is walked only where it is new: cutting asks for many such.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tiktoken

#: Bytes encoded at once.
WINDOW = 2_048
#: Bytes that two walks from different places are given to come together, and how many joints are tried.
LEAD, TRIES = 256, 3
#: Walks remembered: both ends of a text that is cut in the middle.
WALKS = 2
#: Windows remembered: those of a run of one character are all the same.
SAME = 32


class Joint(NamedTuple):
    """A place where tokens meet: its position in bytes, the tokens before, the last of them, and the next."""

    position: int
    tokens: int
    left: int
    right: int


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A piece, the joints in it, how many tokens it has, and the last of them."""

    data: bytes
    joints: list[Joint]
    tokens: int
    last: int


class PieceCounter:
    """Counts long pieces, all with the same encoding; safe to use from any thread."""

    def __init__(self) -> None:
        self._walks: tuple[Walk, ...] = ()

    def count(self, encoding: tiktoken.Encoding, data: bytes) -> int:
        """Tokens of the piece, which is not empty."""
        begun, size = _most_alike(self._walks, data, _same_start)
        joints = begun.joints[: bisect_left(begun.joints, (size,))]
        if size == len(data):
            return walked(encoding, data, joints).tokens
        ended, rest = _most_alike(self._walks, data, _same_end)
        walk = _led(encoding, data, joints, ended, rest) or walked(encoding, data, joints)
        if rest < len(data):
            contained = (begun if size == len(begun.data) else None, ended if rest == len(ended.data) else None)
            self._walks = (walk, *(known for known in self._walks if known not in contained))[:WALKS]
        return walk.tokens

    def clear(self) -> None:
        """Forget the last pieces."""
        self._walks = ()


def _most_alike(walks: Iterable[Walk], data: bytes, same: Callable[[bytes, bytes], int]) -> tuple[Walk, int]:
    """The walk that has most bytes in common with the data, and how many."""
    sizes = [(walk, same(walk.data, data)) for walk in walks]
    return max(sizes, key=lambda alike: alike[1], default=(Walk(b"", [], 0, 0), 0))


def _same_start(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return bisect_left(range(1, most), True, key=lambda size: one[:size] != other[:size])


def _same_end(one: bytes, other: bytes) -> int:
    """How many bytes both end with."""
    most = min(len(one), len(other))
    if one[len(one) - most :] == other[len(other) - most :]:
        return most
    return bisect_left(range(1, most), True, key=lambda size: one[-size:] != other[-size:])


def walked(encoding: tiktoken.Encoding, data: bytes, joints: list[Joint], usual: int = WINDOW) -> Walk:
    """The walk on from the last of the joints; one that proves to be none is given up, and the window grows."""
    window, doubtful = usual, -1
    while True:
        position, before, left, _ = joints[-1] if joints else Joint(0, 0, -1, -1)
        tokens = _encoded(encoding, data[position : position + window])
        if joints and not _neighbours(encoding, left, tokens[0]):
            joints.pop()
            window, doubtful = 2 * window, max(doubtful, position)
            continue
        if joints:
            joints[-1] = Joint(position, before, left, tokens[0])
        if position + window >= len(data):
            return Walk(data, joints, before + len(tokens), tokens[-1])
        if position > doubtful:
            window = usual
        sure = tokens[: len(tokens) - len(tokens) // 32]
        size = len(encoding.decode_bytes(sure))
        joints.append(Joint(position + size, before + len(sure), sure[-1], -1))


def _led(encoding: tiktoken.Encoding, data: bytes, joints: list[Joint], known: Walk, same: int) -> Walk | None:
    """The walk on from the last of the joints up to one of a walk whose last ``same`` bytes are these, and on as that.

    None if they do not come together.
    """
    shift = len(known.data) - len(data)
    reached = joints[-1].position if joints else 0
    first = bisect_left(known.joints, (max(shift + reached, len(known.data) - same) + LEAD,))
    for place in range(first, min(first + TRIES, len(known.joints))):
        joint = known.joints[place]
        lead = walked(encoding, data[: joint.position - shift], list(joints))
        if _neighbours(encoding, lead.last, joint.right):
            more = lead.tokens - joint.tokens
            following = (Joint(p - shift, n + more, *ends) for p, n, *ends in islice(known.joints, place + 1, None))
            meeting = Joint(joint.position - shift, lead.tokens, lead.last, joint.right)
            return Walk(data, [*lead.joints, meeting, *following], more + known.tokens, known.last)
    return None


def _neighbours(encoding: tiktoken.Encoding, left: int, right: int) -> bool:
    decode = encoding.decode_single_token_bytes
    return encoding._encode_single_piece(decode(left) + decode(right)) == [left, right]


@lru_cache(maxsize=SAME)
def _encoded(encoding: tiktoken.Encoding, data: bytes) -> list[int]:
    return encoding._encode_single_piece(data)
