from __future__ import annotations

from pathlib import Path

import pytest
from IPython.display import Audio as Player

from tokmagic.core.errors import InvalidPrompt, MalformedReply
from tokmagic.core.messages import MP3, Audio, Image
from tokmagic.core.snapshot import Row
from tokmagic.notebook.formats import first_block, present
from tokmagic.notebook.images import as_audio, as_image
from tokmagic.notebook.markup import fenced, gauge, table

PNG = b"\x89PNG\r\n\x1a\n rest"


def test_json_is_set_out_also_when_it_stands_in_a_fence() -> None:
    expected = '{\n  "a": [\n    1,\n    "é"\n  ]\n}'
    assert present('{"a":[1,"\\u00e9"]}', "json")["text/plain"] == expected
    shown = present('Here:\n\n```json\n{"a":[1,"é"]}\n```\nBye', "json")
    assert shown == {"text/markdown": f"```json\n{expected}\n```\n", "text/plain": expected}


@pytest.mark.parametrize("text", ["Sorry.", "", "{'a': 1}", "[1, NaN]", "[" * 100_000])
def test_an_answer_that_is_no_json_is_refused_and_said_to_be_kept(text: str) -> None:
    with pytest.raises(MalformedReply, match=r"not JSON .* kept in _llm"):
        present(text, "json")


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("Use:\n```python\nprint(1)\n```\nor\n```\nx\n```", ("python", "print(1)")),
        ("no fence\n", ("", "no fence")),
        ("````md\n```\nx\n```\n````", ("md", "```\nx\n```")),
        ("~~~c++\nint i;\n~~~", ("c++", "int i;")),
        ("```\n```", ("", "")),
    ],
)
def test_the_first_fenced_block_is_the_code(text: str, block: tuple[str, str]) -> None:
    assert first_block(text) == block


def test_code_that_contains_fences_gets_a_longer_one() -> None:
    assert fenced("a\n```\nb", "md")["text/markdown"] == "````md\na\n```\nb\n````\n"


def test_text_is_shown_as_it_stands() -> None:
    assert present("# no *heading*", "text") == {"text/plain": "# no *heading*"}


def test_an_image_is_taken_from_bytes_a_path_a_picture_or_an_address(tmp_path: Path) -> None:
    class Picture:
        def _repr_png_(self) -> bytes:
            return PNG

    file = tmp_path / "plot.png"
    file.write_bytes(PNG)
    ready = Image("image/png", b"x")
    values = {
        "raw": PNG,
        "path": file,
        "text": str(file),
        "drawn": Picture(),
        "ready": ready,
        "web": "https://e.org/a.png",
    }
    images = {name: as_image(name, values) for name in values}
    assert {images[name] for name in ("raw", "path", "text", "drawn")} == {Image("image/png", PNG)}
    assert images["ready"] is ready
    assert images["web"] == Image(url="https://e.org/a.png")


@pytest.mark.parametrize(
    ("value", "message"),
    [(3, "type int is no image"), (b"BM..", "not a PNG, JPEG, GIF or WebP"), ("/no/such/file", "cannot be read")],
)
def test_what_is_no_image_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidPrompt, match=message):
        as_image("var", {"var": value})


def test_a_text_that_is_no_path_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidPrompt) as refused:
        as_image("var", {"var": "word " * 10_000})
    assert len(str(refused.value)) < 200


def test_an_undefined_image_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="plot is not defined"):
        as_image("plot", {})


def test_a_sound_is_taken_from_bytes_a_path_or_a_player(tmp_path: Path) -> None:
    wav, mp3 = b"RIFF\0\0\0\0WAVE", b"ID3 music"
    (tmp_path / "talk.wav").write_bytes(wav)
    ready = Audio(mp3, MP3)
    values = {"raw": wav, "path": tmp_path / "talk.wav", "player": Player(data=wav, rate=8_000), "ready": ready}
    heard = [as_audio(name, values) for name in values]
    assert heard == [Audio(wav), Audio(wav), Audio(wav), ready]


@pytest.mark.parametrize(
    ("value", "message"),
    [(3, "--audio var: an object of type int is no sound"), (PNG, "not a WAV or MP3"), ("/no/such/file", "be read")],
)
def test_what_is_no_sound_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidPrompt, match=message):
        as_audio("var", {"var": value})
    with pytest.raises(InvalidPrompt, match=r"speech = 'talk\.wav', then --audio speech\."):
        as_audio("talk.wav", {})


def test_a_table_is_aligned_in_text_and_escaped_in_html() -> None:
    shown = table(("model", "n"), [("a<b", "1"), ("longer", "22")], numbers=(1,))
    assert shown["text/plain"] == "model    n\na<b      1\nlonger  22"
    assert '<td style="text-align:left">a&lt;b</td><td style="text-align:right">1</td>' in shown["text/html"]


def test_the_gauge_has_a_bar_a_sign_and_a_chart() -> None:
    shown = gauge(
        [Row("a", "Day", "half", 0.5, "warn"), Row("b", "Rate", "9 now", series=(0, 7, 14)), Row("c", "L", "<t>")]
    )
    assert shown["text/plain"].splitlines() == [
        "! Day   █████░░░░░  half",
        "  Rate              9 now ▁▄█",
        "  L                 <t>",
    ]
    assert "width:50%" in shown["text/html"]
    assert "&lt;t&gt;" in shown["text/html"]


def test_the_path_of_a_file_is_told_to_be_given_a_name() -> None:
    with pytest.raises(
        InvalidPrompt, match=r"plot\.png is not defined.* picture = 'plot\.png', then --image picture\."
    ):
        as_image("plot.png", {})
    with pytest.raises(InvalidPrompt, match=r"Define it in a cell above\."):
        as_image("plot", {})
