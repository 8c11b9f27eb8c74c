"""The book as a file: all of it, in three formats, and harmless to a spreadsheet."""

import csv
import json
import sys
from dataclasses import replace

import pytest
from pyarrow import parquet

from tokmagic.core.book import Entry
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.usage import Usage
from tokmagic.export import COLUMNS, write_entries

CALL = Entry(
    id="e1",
    call="c1",
    at=1_790_000_000.0,
    model="anthropic/x",
    state="settled",
    usage=Usage(input_tokens=100, cache_read_tokens=40, output_tokens=10),
    nanousd=1_500_000_000,
    quality="exact",
)
HELD = Entry(id="e2", call="c2", at=1_790_000_001.5, model="anthropic/x")


def read(file):
    if file.suffix == ".csv":
        return [
            {name: value or None for name, value in row.items()}
            for row in csv.DictReader(file.read_text("utf-8").splitlines())
        ]
    return json.loads(file.read_text()) if file.suffix == ".json" else parquet.read_table(file).to_pylist()


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".CSV"])
def test_every_format_holds_every_field(tmp_path, suffix):
    file = tmp_path / f"usage{suffix}"
    assert write_entries(iter([CALL, HELD]), file) == 2
    first, second = read(file.rename(file.with_suffix(suffix.lower())))
    assert list(first) == list(COLUMNS)
    assert (first["id"], int(first["input_tokens"]), int(first["cache_read_tokens"])) == ("e1", 100, 40)
    assert float(first["usd"]) == 1.5
    assert (second["usd"], second["nanousd"], second["settled_at"]) == (None, None, None)
    assert first["at"].startswith("2026-09-2")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_an_empty_book_is_an_empty_table(tmp_path, suffix):
    file = tmp_path / f"usage{suffix}"
    assert write_entries(iter(()), file) == 0
    assert read(file) == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1"])
def test_text_that_a_spreadsheet_would_run_is_quoted(tmp_path, text):
    file = tmp_path / "usage.csv"
    write_entries([replace(CALL, cell=text)], file)
    assert read(file)[0]["cell"] == f"'{text}"


def test_a_format_that_is_not_known_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(ConfigurationError, match=r"use one of \.csv, \.json, \.parquet"):
        write_entries([CALL], tmp_path / "usage.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'tokmagic\[parquet\]'"):
        write_entries([CALL], tmp_path / "usage.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_entries([CALL], tmp_path / "no" / "usage.csv")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_book_that_breaks_off_leaves_the_earlier_file_as_it_was(tmp_path, suffix):
    def broken():
        yield CALL
        raise RuntimeError

    file = tmp_path / f"usage{suffix}"
    write_entries([CALL], file)
    before = file.read_bytes()
    with pytest.raises(RuntimeError):
        write_entries(broken(), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
