"""What a call is expected to use under its provider's own rule, before it is sent and while its answer comes.

Buckets are charged these amounts until the truth is known. The rule is cautious where caution is cheap: an input that
is estimated counts with its margin until the provider states it, and an answer that outgrows its expectation is charged
ahead of what it has produced. So the book's bucket never has more room than the provider's, and no call is refused
there that was admitted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .limits import Account, Amounts
from .models import Protocol
from .typical import Typical
from .usage import Usage

#: How far ahead of what an answer has produced it is charged, once it is longer than expected.
AHEAD = 1.5


def expected_use(protocol: Protocol, input_tokens: int, margin: int, max_tokens: int, typical: Typical) -> Amounts:
    """The expected use of a call that reads about ``input_tokens``, give or take ``margin``.

    Messages services count fresh input and what is produced; the others count the larger of the input and the bound
    of the answer.
    """
    cautious = input_tokens + margin
    if protocol == "messages":
        output = typical.expect(max_tokens)
        return Amounts(requests=1, input_tokens=cautious, output_tokens=output, tokens=cautious + output)
    return Amounts(requests=1, input_tokens=cautious, output_tokens=max_tokens, tokens=max(cautious, max_tokens))


def within(expected: Amounts, input_tokens: int, accounts: Iterable[Account], protocol: Protocol) -> Amounts:
    """The expected use without the caution that alone would take it past the whole of a waiting limit.

    A call whose plain estimate fits a bucket is sent once that is full, whatever the margin or the typical answer says.
    """
    for account in accounts:
        limit = account.limit
        if limit.full == "wait" and limit.unit in ("input_tokens", "output_tokens", "tokens"):
            needed = expected.of(limit.unit) or 0
            certain = input_tokens if limit.unit != "output_tokens" else 0
            if protocol != "messages" and limit.unit != "input_tokens":
                certain = max(certain, expected.output_tokens)
            expected = replace(expected, **{limit.unit: min(needed, max(certain, limit.amount))})
    return expected


def revised_use(protocol: Protocol, expected: Amounts, stated: Usage | None, produced: int) -> Amounts:
    """The expected use of a call under way, of which the provider has ``stated`` the input and ``produced`` so much.

    Equal to ``expected`` as long as nothing new is known; the other services charge at the start and never again.
    """
    if protocol != "messages":
        return expected
    read = expected.input_tokens
    if stated is not None and stated.input_tokens:
        read = stated.input_tokens - stated.cache_read_tokens
    output = expected.output_tokens if produced < expected.output_tokens else int(produced * AHEAD) + 1
    return replace(expected, input_tokens=read, output_tokens=output, tokens=read + output)


def after_refusal(expected: Amounts) -> Amounts:
    """The expected use of a call that was refused although it had its turn: its input was taken for too small."""
    more = expected.input_tokens // 4
    return replace(expected, input_tokens=expected.input_tokens + more, tokens=expected.tokens + more)
