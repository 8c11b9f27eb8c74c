"""What runs the large proofs: all that is asked for, what fails with its seed and how to repeat it, an honest end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.soak import __main__ as soak
from tests.soak import each, proofs, running


def odd_ones_fail(seed: int) -> dict[str, int]:
    assert seed % 2 == 0, "odd"
    return {"even": 1}


@pytest.fixture
def one_proof(monkeypatch: pytest.MonkeyPatch) -> proofs.Proof:
    made = proofs.Proof("odd", 10, 4, lambda seeds: each(odd_ones_fail, seeds), "were odd")
    monkeypatch.setattr(running, "PROOFS", (made,))
    return made


def test_the_proofs_have_the_sizes_that_were_promised() -> None:
    sizes = {proof.name: proof.size for proof in proofs.PROOFS}
    assert sizes.items() >= {"schedules": 1_000_000, "compacted": 100_000, "streams": 50_000, "kills": 1_000}.items()


def test_every_seed_is_in_one_block(one_proof: proofs.Proof) -> None:
    assert [seeds for *_, (_, seeds) in soak.jobs("odd")] == [range(4), range(4, 8), range(8, 10)]
    assert [seeds for *_, (_, seeds) in soak.jobs("odd:3-8")] == [range(3, 7), range(7, 9)]
    assert [seeds for *_, (_, seeds) in soak.jobs("odd:7")] == [range(7, 8)]


def test_every_file_that_has_a_share_is_run_in_full() -> None:
    assert {"test_fuzzed.py", "test_agreement.py", "test_guard.py"} <= {path.name for path in soak.sized_files()}


def test_a_failure_names_its_seed_and_how_to_run_it_again(one_proof: proofs.Proof) -> None:
    outcome = running.run_block("odd", range(4, 8))
    assert outcome.failure.splitlines()[-2:] == ["with seed 5", "again: make soak SOAK=odd:4-7"]


def test_the_last_line_counts_what_was_done_and_what_failed(one_proof: proofs.Proof) -> None:
    (tally, *_), *_ = soak.jobs("odd")
    tally.take(4, running.Outcome(Counter(even=4), 30.0))
    assert str(tally) == "odd: 4 of 10, 0 were odd; 0.5 min of CPU; 4 even"
    tally.take(4, replace(running.Outcome(Counter(), 30.0), failure="odd"))
    assert str(tally) == "odd: 4 of 10, 1 FAILED; 1.0 min of CPU; 4 even"


def test_a_soak_of_a_few_seeds_says_that_nothing_failed(capfd: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["streams:0-99"]) == 0
    progress, nothing, end = capfd.readouterr().out.splitlines()
    assert end.startswith("streams: 100 of 100, 0 passed for whole")
    assert (progress, nothing) == (f"... {end}", "")


def test_a_proof_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="no proof scheduls: use some of schedules, "):
        soak.main(["scheduls"])
