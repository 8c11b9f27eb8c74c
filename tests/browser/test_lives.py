"""The panel's lives: what a person sees while cells run, after a reload, after a crash, with several notebooks."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import expect

from tests.patience import PATIENCE

LOAD = "%load_ext tokmagic"
LIMIT = '%tokens limit "5 usd/session"'
QUICK = "%%llm --max-tokens 30\nSay hello."
#: An answer that is stopped, for it goes on for minutes.
LONG = "%%llm --max-tokens 12000\nWrite 9,000 words about the sea."
CALLS = re.compile(r"[1-9]\d* calls?")
HINT = "%load_ext tokmagic"


def test_the_panel_lives_through_run_reload_restart_and_crash(desk):
    desk.write("lives.ipynb", LOAD, LIMIT, QUICK)
    desk.open("lives.ipynb")
    expect(desk.panel).to_contain_text(HINT)
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("1 call")
    expect(desk.panel.locator(".tokmagic-cells tbody")).to_have_count(1)
    desk.open("lives.ipynb")
    expect(desk.row("cost session")).to_contain_text("1 call")
    desk.page.evaluate("async () => { await window.kernel().restart() }")
    expect(desk.panel).to_contain_text(HINT)
    expect(desk.panel.locator(".tokmagic-row")).to_have_count(0)
    desk.wait_idle()
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("1 call")
    desk.execute("import os; os._exit(1)")
    expect(desk.panel).to_contain_text(HINT)


def test_a_running_cell_is_followed_and_a_reload_in_its_midst_too(desk):
    desk.write("busy.ipynb", LOAD, LONG)
    desk.open("busy.ipynb")
    desk.run_all()
    running = desk.row("running 0")
    expect(running).to_contain_text("out so far")
    before = running.inner_text()
    expect(running).not_to_have_text(before)
    desk.open("busy.ipynb", idle=False)
    expect(running).to_contain_text("out so far")
    desk.panel.get_by_role("button", name="Stop").click()
    expect(running).to_have_count(0)
    expect(desk.row("cost session")).to_contain_text("1 call")


def test_stop_interrupts_the_cell_and_what_it_cost_is_shown(desk):
    desk.write("stop.ipynb", LOAD, LONG)
    desk.open("stop.ipynb")
    stop = desk.panel.get_by_role("button", name="Stop")
    desk.run_all()
    expect(desk.row("running 0")).to_contain_text(re.compile("≈[1-9]"))
    stop.click()
    expect(desk.page.locator(".jp-OutputArea-output").filter(has_text="Interrupted: ")).to_be_visible()
    expect(desk.row("running 0")).to_have_count(0)
    expect(desk.row("cost session")).to_contain_text("1 call")


def test_why_a_call_waits_counts_down_and_what_was_cut_is_told(desk):
    cut = "{{'a long story. ' * 400}}"
    desk.write(
        "waits.ipynb",
        LOAD,
        '%tokens limit "600 tokens/minute"',
        f"%%llm --max-input-tokens 300 --truncate end --max-tokens 200\n{cut}",
        "%%llm --max-input-tokens 300 --truncate end --max-tokens 200\nAgain, at length: " + cut,
    )
    desk.open("waits.ipynb")
    desk.run_all()
    pause = desk.row("pause")
    expect(pause).to_contain_text(re.compile(r"\d+ s: "))
    expect(desk.row("cut")).to_contain_text("−")
    expect(desk.panel.locator(".tokmagic-badge").first).to_contain_text("−")
    limit = desk.panel.locator(".tokmagic-row[data-key^=limit]", has_text="600 tokens/minute")
    expect(limit.get_by_role("meter")).to_be_visible()
    expect(limit).to_contain_text("full again in")
    expect(desk.row("minute").locator("svg rect")).to_have_count(10)
    expect(desk.row("window")).to_contain_text("of 200,000 tokens")
    before = pause.inner_text()
    expect(pause).not_to_have_text(before)
    desk.panel.get_by_role("button", name="Stop").click()
    expect(pause).to_have_count(0)


def test_a_panel_opened_late_finds_the_state(desk):
    desk.write("late.ipynb", LOAD, QUICK)
    desk.open("late.ipynb", panel=False)
    desk.run_all()
    expect(
        desk.page.locator(".jp-OutputArea .tokmagic-receipt, .jp-OutputArea-output:has-text('in ·')").first
    ).to_be_visible()
    desk.command("tokmagic:open")
    expect(desk.row("cost session")).to_contain_text("1 call")


def test_loaded_and_not_used_the_limits_are_shown_already(desk):
    desk.write("fresh.ipynb", LOAD)
    desk.open("fresh.ipynb")
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("no calls yet")


def test_the_gauge_inside_the_notebook_shows_the_same_and_goes_on_after_a_reload(desk):
    desk.write("inline.ipynb", LOAD, "%tokens panel", QUICK)
    desk.open("inline.ipynb")
    desk.run_all()
    inline = desk.page.locator(".jp-OutputArea .tokmagic-row[data-key='cost session']")
    expect(inline).to_contain_text("1 call")
    desk.wait_idle()
    expect(desk.row("cost session")).to_have_text(inline.inner_text(), use_inner_text=True)
    desk.page.evaluate("async () => { await jupyterapp.commands.execute('docmanager:save') }")
    desk.open("inline.ipynb")
    expect(inline).to_contain_text("1 call")


def test_a_saved_executed_notebook_shows_no_live_numbers(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKMAGIC_HOME", str(tmp_path))
    monkeypatch.setenv("TOKMAGIC_MODEL", "demo/claude")
    desk.write("saved.ipynb", LOAD, "%tokens panel", QUICK)
    path = desk.server.root / "saved.ipynb"
    cells = nbformat.read(path, as_version=4)
    executed = NotebookClient(cells, store_widget_state=True, startup_timeout=int(PATIENCE)).execute()
    assert "widgets" in executed.metadata
    nbformat.write(executed, path)
    desk.open("saved.ipynb")
    expect(desk.panel).to_contain_text(HINT)
    expect(desk.page.locator(".tokmagic-row")).to_have_count(0)
    expect(desk.page.locator(".jp-OutputArea").filter(has_text="live while its kernel runs")).not_to_have_count(0)


def test_each_notebook_shows_its_own_kernel_and_two_on_one_show_the_same(lab_desk):
    desk = lab_desk
    desk.write("one.ipynb", LOAD, QUICK)
    desk.write("two.ipynb", LOAD, QUICK, QUICK.replace("hello", "goodbye"))
    desk.open("one.ipynb")
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("1 call")
    desk.switch("two.ipynb")
    expect(desk.panel).to_contain_text(HINT)
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("2 calls")
    desk.switch("one.ipynb")
    expect(desk.row("cost session")).to_contain_text("1 call,")
    desk.switch("two.ipynb")
    desk.page.evaluate(
        """async () => {
          const found = [...jupyterapp.shell.widgets('main')].filter(widget => widget.sessionContext);
          const by = path => found.find(widget => widget.context.path === path).sessionContext;
          await by('two.ipynb').changeKernel({ id: by('one.ipynb').session.kernel.id });
        }"""
    )
    expect(desk.row("cost session")).to_contain_text("1 call,")
    desk.wait_idle()
    desk.run_all()
    expect(desk.row("cost session")).to_contain_text("3 calls")


def test_the_status_bar_tells_what_is_left_and_opens_the_panel_by_keyboard(lab_desk):
    desk = lab_desk
    desk.write("status.ipynb", LOAD, LIMIT, QUICK)
    desk.open("status.ipynb", panel=False)
    expect(desk.status).to_be_hidden()
    desk.run_all()
    expect(desk.status).to_be_visible()
    expect(desk.status).to_contain_text(re.compile(r"left$"))
    expect(desk.panel).to_be_hidden()
    button = desk.status.get_by_role("button")
    button.focus()
    button.press("Enter")
    expect(desk.panel).to_be_visible()
    desk.page.evaluate("async () => { await window.kernel().restart() }")
    expect(desk.status).to_be_hidden()


def test_the_command_palette_opens_the_panel(lab_desk):
    desk = lab_desk
    desk.write("palette.ipynb", LOAD)
    desk.open("palette.ipynb", panel=False)
    desk.command("apputils:activate-command-palette")
    desk.page.keyboard.type("token panel")
    desk.page.locator(".lm-CommandPalette-item", has_text="Show Token Panel").click()
    expect(desk.panel).to_be_visible()


@pytest.mark.parametrize("message", [{"type": "limit", "words": "500 usd/session"}, {"type": "hello", "limits": []}])
def test_nothing_a_browser_sends_raises_a_limit(lab_desk, message):
    desk = lab_desk
    desk.write("safe.ipynb", LOAD, LIMIT, QUICK)
    desk.open("safe.ipynb")
    desk.run_all()
    limit = desk.panel.locator(".tokmagic-row", has_text="$5.00/session")
    expect(limit).to_be_visible()
    desk.wait_idle()
    desk.page.evaluate(
        """async message => {
          const { content } = await window.kernel().requestCommInfo({ target_name: 'tokmagic.gauge' });
          for (const id of Object.keys(content.comms)) {
            const shell = { ...message };
            window.kernel().sendShellMessage({
              header: { msg_id: 'm' + Date.now(), msg_type: 'comm_msg', session: 's', username: '', version: '5.3',
                        date: new Date().toISOString() },
              channel: 'shell', parent_header: {}, metadata: {}, content: { comm_id: id, data: shell }
            });
          }
        }""",
        message,
    )
    desk.execute("%tokens limits")
    desk.wait_idle()
    expect(limit).to_be_visible()
    expect(desk.panel.locator(".tokmagic-row", has_text="$500")).to_have_count(0)


def test_a_long_error_breaks_between_words_and_a_narrow_panel_holds_large_numbers(desk):
    desk.write("narrow.ipynb", LOAD, "%%llm --max-tokens 30\n{{'word ' * 150_000}}", "%%llm -m demo/cloude\nHello.")
    desk.open("narrow.ipynb")
    desk.run_all()
    expect(desk.panel.locator(".tokmagic-cells tbody")).to_have_count(1)
    assert desk.panel.locator(".tokmagic-body").evaluate("body => body.scrollWidth - body.clientWidth") == 0
    error = desk.page.locator(".jp-OutputArea-output pre").filter(has_text="UnknownModel")
    expect(error).to_have_css("word-break", "normal")
