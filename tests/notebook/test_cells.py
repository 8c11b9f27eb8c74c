"""Cells in a real kernel, answered by the embedded server, seen as a front end sees them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tokmagic.core.replies import RECEIPT_MIME
from tokmagic.tokenizers import counter


def one_line(error: dict[str, Any]) -> str:
    (line,) = error["traceback"]
    assert line == f"{error['ename']}: {error['evalue']}"
    assert "\n" not in line
    return str(line)


def test_a_cell_is_answered_as_markdown_with_its_receipt_and_binds_the_reply(kernel: Any) -> None:
    kernel.run("topic = 'rivers'")
    cell = kernel.run("%%llm answer <<\nTell me about {{topic}}.")
    body, footer = cell.data[-2:]
    assert set(body) == {"text/markdown", "text/plain"}
    assert footer[RECEIPT_MIME]["model"] == "demo/claude"
    assert footer[RECEIPT_MIME]["play"] is True
    assert kernel.value("answer is _llm and answer.text") == repr(body["text/markdown"])
    assert cell.reply["status"] == "ok"


def test_a_call_is_named_by_the_number_beside_its_cell(kernel: Any) -> None:
    number = kernel.run("%%llm\nTell me about rivers.").reply["execution_count"]
    newest = kernel.run("%tokens history 1").data[-1]["text/plain"].splitlines()[1]
    assert f"  cell {number}  " in newest


def test_a_long_answer_is_saved_once(kernel: Any) -> None:
    cell = kernel.run("%%llm --max-tokens 900\nWrite 600 words about rivers.")
    assert sum("text/markdown" in data for data in cell.data) == 1
    assert kernel.value("_llm.text") == repr(cell.data[-2]["text/markdown"])
    assert len(cell.messages) < 100


def test_what_other_code_of_the_cell_printed_stays(kernel: Any) -> None:
    cell = kernel.run(
        "print('before')\nget_ipython().run_cell_magic('llm', '', 'Tell me about rivers.')\nprint('after')"
    )
    assert cell.text == "before\nafter\n"
    assert any(RECEIPT_MIME in data for data in cell.data)


def test_what_an_expression_shows_stays_above_a_long_answer(kernel: Any) -> None:
    kernel.run(
        "def rivers():\n    print('reading')\n    display({'text/plain': 'a map'}, raw=True)\n    return 'rivers'"
    )
    cell = kernel.run("%%llm --max-tokens 900\nWrite 600 words about {{rivers()}}.")
    assert cell.text == "reading\n"
    assert cell.data[0]["text/plain"] == "a map"
    assert kernel.value("_llm.text") == repr(cell.data[1]["text/markdown"])
    assert RECEIPT_MIME in cell.data[2]


def test_what_a_failing_expression_printed_is_shown(kernel: Any) -> None:
    kernel.run("def rivers():\n    print('reading')\n    raise OSError('dry')")
    cell = kernel.run("%%llm\n{{rivers()}}")
    assert cell.text == "reading\n"
    assert cell.error["evalue"] == "{{rivers()}} failed with OSError: dry. Nothing was sent."


def test_the_system_text_is_expanded_as_the_prompt_is(kernel: Any) -> None:
    kernel.run("rules = 'Be brief and kind. ' * 50")
    cell = kernel.run('%%llm --system "{{rules}} {a}" --fresh\nhello')
    assert cell.data[-1][RECEIPT_MIME]["input_tokens"] > 200


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("%%llm --modle x\nhello", "ConfigurationError: Unknown option --modle. Did you mean --model?"),
        ('%%llm --system "{{not_there}}"\nhello', "InvalidPrompt: {{not_there}}: not_there is not defined"),
        ("%%llm\n{{not_there}}", "InvalidPrompt: {{not_there}}: not_there is not defined, so nothing was sent."),
        ("%%llm\n   \n", "InvalidPrompt: The prompt is empty"),
        ("%%llm -m demo/cloude\nhello", "UnknownModel: "),
        ('%%llm --limit "0.000001 usd"\nhello', "BudgetExceeded: $0.000001/call"),
        ("%tokens histroy", "ConfigurationError: Unknown word 'histroy' after %tokens. Did you mean history?"),
        ("%tokens limit", "ConfigurationError: %tokens limit needs a limit"),
        ("%tokens limit 'open", "ConfigurationError: A quote is not closed"),
        ("%tokens history two", "ConfigurationError: %tokens history takes a whole number"),
        ("%tokens count", "ConfigurationError: %tokens count needs a text"),
        ("%tokens count hello -m", "ConfigurationError: -m needs a model, such as -m openai/gpt-5"),
        ("%tokens count --modle x hello", "ConfigurationError: Unknown option --modle: use -m MODEL"),
        ("%tokens plan hello -m demo/cloude", "UnknownModel: Unknown model 'demo/cloude'. Did you mean demo/claude"),
    ],
)
def test_a_mistake_fails_the_cell_in_one_line(kernel: Any, code: str, message: str) -> None:
    cell = kernel.run(code)
    assert one_line(cell.error).startswith(message)
    assert cell.reply["status"] == "error"


def test_an_error_can_be_caught_as_any_other(kernel: Any) -> None:
    kernel.run(
        "import tokmagic as tm\n"
        "try:\n    get_ipython().run_cell_magic('llm', '--limit \"0.000001 usd\"', 'hello')\n"
        "except tm.BudgetExceeded as error:\n    caught = error.left"
    )
    assert kernel.value("caught") == "1000"


def test_a_stopped_cell_keeps_what_had_arrived_and_says_so(kernel: Any) -> None:
    kernel.run("partial = None")
    cell = kernel.run("%%llm partial <<\nWrite 9,000 words about rivers.", interrupt_on="display_data")
    assert re.match(r"Interrupted: \d+ tokens of the answer kept, ", one_line(cell.error))
    assert kernel.value("partial.stopped") == "True"
    receipts = [data[RECEIPT_MIME] for data in cell.data if RECEIPT_MIME in data]
    assert receipts[0]["badges"] == ["stopped"]
    assert receipts[0]["quality"] in ("at least", "estimated")
    assert kernel.run("%%llm\nTell me about rivers.").reply["status"] == "ok"


def test_a_cell_stopped_while_it_waits_has_sent_nothing(kernel: Any) -> None:
    kernel.run('%tokens limit "1 requests/minute by session"')
    kernel.run("%%llm\nTell me about rivers.")
    before = kernel.run("%tokens history").data[-1]["text/plain"]
    cell = kernel.run("%%llm\nTell me about rivers.", interrupt_on="display_data")
    status = next(message for message in cell.messages if message["msg_type"] == "display_data")
    assert status["content"]["data"]["text/plain"].startswith("Waiting ")
    assert one_line(cell.error) == "Interrupted: before anything was sent."
    assert not cell.data
    kernel.run("%config TokMagics.limits = []")
    assert kernel.run("%tokens history").data[-1]["text/plain"] == before


def test_a_key_in_a_variable_is_shown_by_no_error(kernel: Any) -> None:
    kernel.run("secret = 'sk-abcdefghijklmnop123456'\n%xmode Verbose")
    for code in ("%%llm --nonsense\n{{secret}}", "%%llm\n{{int(secret)}}", "%%llm -m demo/none\n{{secret}}"):
        assert "abcdefghijklmnop" not in str(kernel.run(code).outputs)
    kernel.run("%xmode Context")


def test_a_captured_cell_is_captured(kernel: Any) -> None:
    cell = kernel.run(
        "from IPython.utils.capture import capture_output\n"
        "with capture_output() as kept:\n    get_ipython().run_cell_magic('llm', '', 'Tell me about rivers.')"
    )
    assert cell.outputs == []
    assert kernel.value("'rivers' in kept.outputs[-2].data['text/plain']") == "True"


def test_an_answer_that_meets_its_bound_is_marked(kernel: Any) -> None:
    cell = kernel.run("%%llm --max-tokens 5\nTell me about rivers.")
    assert cell.data[-1][RECEIPT_MIME]["badges"] == ["cut off"]


def test_a_cut_prompt_is_warned_of_above_the_answer(kernel: Any) -> None:
    kernel.run("long = 'A sentence about rivers. ' * 4_000")
    cell = kernel.run("%%llm -m demo/small --max-tokens 50 --truncate end\n{{long}}")
    assert cell.data[0]["text/plain"].startswith("! Context truncated to fit: ")
    assert cell.data[-1][RECEIPT_MIME]["dropped_tokens"] > 0
    assert cell.text == ""
    refused = kernel.run("%%llm -m demo/small --max-tokens 50 --truncate off\n{{long}}")
    assert refused.error["ename"] == "RequestTooLarge"


def test_an_answer_that_is_no_json_is_kept_and_fails_the_cell(kernel: Any) -> None:
    cell = kernel.run("%%llm --format json\nTell me about rivers.")
    assert one_line(cell.error).startswith("MalformedReply: The answer is not JSON")
    assert kernel.value("_llm.text") == repr(cell.data[-2]["text/plain"])


def test_text_is_shown_plain(kernel: Any) -> None:
    cell = kernel.run("%%llm --format text --no-stream\nTell me about rivers.")
    assert set(cell.data[-2]) == {"text/plain"}


def test_an_estimate_sends_nothing(kernel: Any) -> None:
    before = kernel.run("%tokens history").data[-1]["text/plain"]
    cell = kernel.run("%%llm --estimate --max-tokens 100\nTell me about rivers.")
    lines = cell.data[-1]["text/plain"].splitlines()
    assert lines[0].split() == ["estimate", "nothing", "was", "sent"]
    assert lines[1].split() == ["model", "demo/claude"]
    assert "at most 100 tokens" in lines[3]
    assert "play" in lines[4]
    assert kernel.run("%tokens history").data[-1]["text/plain"] == before


def test_a_dear_call_is_asked_for_and_sent_only_on_yes(kernel: Any) -> None:
    code = "%%llm --confirm-above 0.0001\nTell me about rivers."
    assert kernel.run(code, answer="y").reply["status"] == "ok"
    assert one_line(kernel.run(code, answer="").error).startswith("BudgetExceeded: Not sent: the call can cost up to $")
    assert "nobody can be asked here" in one_line(kernel.run(code).error)
    assert kernel.run("%%llm --confirm-above 5\nTell me about rivers.").reply["status"] == "ok"


def test_a_named_thread_is_continued_and_starts_afresh_on_new_while_other_cells_stand_alone(kernel: Any) -> None:
    kernel.run("%%llm --thread essay\nOne.")
    kernel.run("%%llm\nAlone.")
    kernel.run("%%llm --thread essay\nTwo.")
    assert kernel.run("%tokens threads").data[-1]["text/plain"].splitlines()[1].split() == ["essay", "4"]
    kernel.run("%%llm --thread essay --new --estimate\nThree.")
    assert kernel.run("%tokens threads").data[-1]["text/plain"].splitlines()[1].split() == ["essay", "4"]
    kernel.run("%%llm --thread essay --new\nThree.")
    assert kernel.run("%tokens threads").data[-1]["text/plain"].splitlines()[1].split() == ["essay", "2"]


def test_the_gauge_shows_the_last_cell_the_session_and_every_limit(kernel: Any) -> None:
    kernel.run("%%llm\nTell me about rivers.")
    kernel.run('%tokens limit "500 usd/day"')
    shown = kernel.run('%tokens limit "400 usd/day"').data[-1]["text/plain"]
    assert "$400.00/day" in shown
    assert "$500.00/day" not in shown
    bundle = kernel.run("%tokens").data[-1]
    assert "$400.00/day" in bundle["text/plain"]
    assert re.search(r"Session +.*\$[\d.]+ play, \d+ calls", bundle["text/plain"])
    assert "<table" in bundle["text/html"]
    kernel.run("%config TokMagics.limits = []")
    assert "$400.00/day" not in kernel.run("%tokens limits").data[-1]["text/plain"]


def test_tokens_of_a_text_and_of_a_variable_are_counted(kernel: Any) -> None:
    kernel.run("poem = 'Roses are red. ' * 10")
    counted = [kernel.run(f"%tokens count {what}").data[-1]["text/plain"] for what in ("poem", "'Roses are red.'")]
    assert ["150" in text for text in counted] == [True, False]
    assert all("demo/claude" in text for text in counted)


@pytest.mark.parametrize(
    ("typed", "text", "model"),
    [
        ("'Roses are red.' -m openai/gpt-5", "Roses are red.", "openai/gpt-5"),
        ("--model openai/gpt-5 Roses are red.", "Roses are red.", "openai/gpt-5"),
        ("-m=openai/gpt-5 flower", "A rose is a rose.", "openai/gpt-5"),
        ("'python -m pytest'", "python -m pytest", "demo/claude"),
        ("python -m pytest -q", "python -m pytest -q", "demo/claude"),
    ],
)
def test_tokens_are_counted_for_the_model_that_is_named(kernel: Any, typed: str, text: str, model: str) -> None:
    kernel.run("flower = 'A rose is a rose.'")
    tokens, counted_for, characters = kernel.run(f"%tokens count {typed}").data[-1]["text/plain"].split()[-3:]
    assert (counted_for, int(characters)) == (model, len(text))
    assert int(tokens) == counter("o200k_base").count(text)


def test_a_call_is_planned_for_the_model_that_is_named(kernel: Any) -> None:
    planned = kernel.run("%tokens plan hello -m demo/small").data[-1]["text/plain"]
    assert re.search(r"model +demo/small\n", planned)
    assert "8,192" in kernel.run("%tokens plan -m demo/small").data[-1]["text/plain"]


def test_models_settings_and_words_are_listed(kernel: Any) -> None:
    assert "demo/small" in kernel.run("%tokens models demo").data[-1]["text/plain"]
    assert "demo/claude" in kernel.run("%tokens config").data[-1]["text/plain"]
    assert "%tokens count TEXT|VAR" in kernel.run("%tokens help").data[-1]["text/plain"]


REMEMBER = """
from tokmagic.parts import shared_parts
from tokmagic.replay import MEGABYTE, ReplayStore
forgetful, shared_parts().replays = shared_parts().replays, ReplayStore(shared_parts().settings.home / "a", MEGABYTE)
"""


def test_a_cell_that_runs_again_is_replayed_for_nothing_and_says_so_until_it_is_told_otherwise(kernel: Any) -> None:
    kernel.run(REMEMBER)
    asked = "%%llm\nWhere does the Nile end?"
    first, again = kernel.run(asked), kernel.run(asked)
    assert "replayed" not in first.data[-1]["text/plain"]
    assert re.search(r"demo/claude · replayed, \$0 play · \d\.\d s$", again.data[-1]["text/plain"])
    assert again.data[-2]["text/markdown"] == first.data[-2]["text/markdown"]
    estimate = kernel.run(asked.replace("%%llm", "%%llm --estimate")).data[-1]["text/plain"]
    assert "$0.00 play" in estimate
    assert re.search(r"answer +kept, free; --fresh asks again", estimate)
    assert "replayed" not in kernel.run(asked.replace("%%llm", "%%llm --fresh")).data[-1]["text/plain"]
    assert kernel.run("%tokens reset replay").data[-1]["text/plain"].split()[-1] == "1"
    assert "replayed" not in kernel.run(asked).data[-1]["text/plain"]
    assert "%tokens reset needs the word replay" in one_line(kernel.run("%tokens reset").error)
    assert "takes the word replay, not 'all'" in one_line(kernel.run("%tokens reset all").error)
    kernel.run("shared_parts().replays = forgetful")
