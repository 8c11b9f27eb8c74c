"""What a compaction costs and saves."""

from dataclasses import replace

from tokmagic.catalog import demo_models
from tokmagic.core.compaction import CompactionPlan
from tokmagic.core.saving import economy

CLAUDE = demo_models()["claude"]


def test_a_compaction_pays_after_so_many_turns():
    plan = CompactionPlan((), (), (), tokens=101_000, kept_tokens=1_000, summary_tokens=1_000)
    fresh = economy(CLAUDE.price, plan, cached=False)
    assert fresh.price == 100_000 * 3_000 + 1_000 * 15_000
    assert fresh.saved == 99_000 * 3_000
    assert fresh.break_even == 2
    cached = economy(CLAUDE.price, plan, cached=True)
    assert cached.price == fresh.price + 2_000 * (3_750 - 300)
    assert cached.saved == 99_000 * 300
    assert cached.break_even == 11
    free = economy(replace(CLAUDE.price, tiers=((0, replace(CLAUDE.price.tiers[0][1], input=0)),)), plan, cached=False)
    assert free.break_even is None
