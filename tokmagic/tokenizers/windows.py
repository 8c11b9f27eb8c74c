"""Counts the tokens of one piece that is too long to encode at once, exactly, in windows.

Byte pairs merge locally, and a list of tokens is the encoding of its bytes if and only if each two neighbours are the
encoding of theirs. So a piece is walked in windows that meet in such a pair: at **joints**. The walk is remembered, and
a piece that begins or ends as the last one did is walked only where it is new: cutting asks for many such.
"""

from __future__ import annotations

from bisect import bisect_left
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
#: Windows remembered: those of a run of one character are all the same.
SAME = 32


class Joint(NamedTuple):
    """A place where tokens meet: its position in bytes, the tokens before, the last of them, and the next."""

    position: int
    tokens: int
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Walk:
    """A piece, the joints in it, how many tokens it has, and the last of them."""

    data: bytes
    joints: list[Joint]
    tokens: int
    last: int


NOTHING = Walk(b"", [], 0, 0)


class PieceCounter:
    """Counts long pieces, all with the same encoding; safe to use from any thread."""

    def __init__(self) -> None:
        self._walk = NOTHING

    def count(self, encoding: tiktoken.Encoding, data: bytes) -> int:
        """Tokens of the piece, which is not empty."""
        known = self._walk
        shorter = len(data) <= len(known.data)
        if known.data.startswith(data) if shorter else data.startswith(known.data):
            common = bisect_left(known.joints, (min(len(data), len(known.data)),))
            walk = walked(encoding, data, known.joints[:common])
        elif known.data.endswith(data) if shorter else data.endswith(known.data):
            walk = _led(encoding, data, known) or walked(encoding, data, [])
        else:
            shorter = False
            walk = walked(encoding, data, [])
        if not shorter:
            self._walk = walk
        return walk.tokens

    def clear(self) -> None:
        """Forget the last piece."""
        self._walk = NOTHING


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
        sure = tokens[: len(tokens) - len(tokens) // 8]
        size = len(encoding.decode_bytes(sure))
        joints.append(Joint(position + size, before + len(sure), sure[-1], -1))


def _led(encoding: tiktoken.Encoding, data: bytes, known: Walk) -> Walk | None:
    """The walk up to a joint of one with the same end, and on as that one; None if they do not come together."""
    shift = len(known.data) - len(data)
    first = bisect_left(known.joints, (shift + LEAD,))
    for place in range(first, min(first + TRIES, len(known.joints))):
        joint = known.joints[place]
        lead = walked(encoding, data[: joint.position - shift], [])
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
