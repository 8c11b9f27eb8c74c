"""Why a call waits, in one line."""

from __future__ import annotations

from tokmagic.core.book import Entry
from tokmagic.core.limits import Account, Level, Wait
from tokmagic.core.receipts import kernels_on, why_it_waits
from tokmagic.core.words import parse_limit

ACCOUNT = Account(parse_limit("30k input_tokens/minute for demo/*"), "k|...", "k")


def entry(owner: str, model: str = "demo/claude", key: str = "k", play: bool = False) -> Entry:
    return Entry(f"{owner} {model}", "c", 0.0, model, owner=owner, key=key, play=play)


def test_the_reason_of_a_wait_says_what_is_used_and_who_shares_it() -> None:
    wait = Wait(4.0, Level(ACCOUNT, room=2_000.0, ahead=0), 5_000)
    assert why_it_waits(wait) == "28,000 of 30k input tokens/minute for demo/* used, 5,000 needed"
    assert why_it_waits(wait, 2) == "28,000 of 30k input tokens/minute for demo/* used, 2 kernels, 5,000 needed"


def test_only_kernels_whose_calls_count_on_the_limit_share_it() -> None:
    entries = [entry("a"), entry("a"), entry("b"), entry("c", "other/x"), entry("d", key="q"), entry("e", play=True)]
    assert kernels_on(ACCOUNT, entries) == 2
