"""The command line reports the book, or the receipts of an executed notebook, and refuses what is none."""

import json
from datetime import datetime

import pytest

import tokmagic as tm
from tokmagic import __version__
from tokmagic.cli import main
from tokmagic.core.replies import RECEIPT_MIME
from tokmagic.export import receipts_in


def receipt(**changes):
    plain = {
        "version": 1,
        "model": "demo/claude",
        "input_tokens": 1_200,
        "output_tokens": 80,
        "dropped_tokens": 0,
        "waited": 0.0,
        "nanousd": 4_800_000,
        "quality": "exact",
        "play": True,
        "badges": [],
    }
    return {"output_type": "display_data", "data": {RECEIPT_MIME: {**plain, **changes}}, "metadata": {}}


def notebook(folder, *outputs):
    cells = [{"cell_type": "markdown"}, *({"cell_type": "code", "outputs": [output]} for output in outputs)]
    file = folder / "executed.ipynb"
    file.write_text(json.dumps({"cells": cells}))
    return file


def test_a_report_has_a_row_per_receipt_and_sums_play_money_apart(tmp_path, capsys):
    file = notebook(tmp_path, receipt(), receipt(play=False, nanousd=1, waited=2.5), {"output_type": "stream"})
    assert main(["report", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["cell", "model", "in", "out", "cut", "waited", "cost", "quality"]
    assert lines[1].split()[:3] == ["2", "demo/claude", "1,200"]
    sums = [line for line in lines if line.lstrip().startswith("sum")]
    assert ["play" in line for line in sums] == [False, True]
    assert "2.5 s" in sums[0]


def test_an_unknown_price_makes_the_sum_unknown(tmp_path, capsys):
    main(["report", str(notebook(tmp_path, receipt(), receipt(nanousd=None, quality="unknown")))])
    assert capsys.readouterr().out.splitlines()[-1].split()[-2:] == ["unknown", "unknown"]


def test_receipts_are_read_with_their_place_in_the_notebook(tmp_path):
    (use,) = receipts_in(notebook(tmp_path, receipt(badges=["cut off"])))
    assert (use.cell, use.badges, use.cost.nanousd) == (2, ("cut off",), 4_800_000)


def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "x.ipynb").write_text("no json")
    (tmp_path / "y.ipynb").write_text('{"cells": ["not a cell"]}')
    half = {"output_type": "display_data", "data": {RECEIPT_MIME: {"model": "half a receipt"}}}
    (tmp_path / "z.ipynb").write_text(json.dumps({"cells": [{"outputs": [half]}]}))
    for name in ("x.ipynb", "y.ipynb", "z.ipynb", "missing.ipynb"):
        assert main(["report", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_notebook_without_receipts_says_what_to_do(tmp_path, capsys):
    assert main(["report", str(notebook(tmp_path))]) == 0
    assert "no receipts" in capsys.readouterr().out


def test_it_tells_its_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_without_a_notebook_the_book_is_reported_by_model_and_by_day(capsys):
    assert main(["report"]) == 0
    assert "no calls" in capsys.readouterr().out
    entry = tm.record("demo/claude", tm.Usage(input_tokens=1_234, output_tokens=5))
    assert main(["report", "--since", "1h"]) == 0
    models, days = capsys.readouterr().out.split("\n\n")
    assert models.splitlines()[1].split()[:3] == ["demo/claude", "1", "$0.00378"]
    assert days.splitlines()[1].split()[0] == datetime.fromtimestamp(entry.at).strftime("%Y-%m-%d")


def test_a_moment_that_is_none_is_refused_in_one_line(capsys):
    assert main(["report", "--since", "lately"]) == 2
    assert capsys.readouterr().err.startswith("ConfigurationError: since='lately' names no moment")
