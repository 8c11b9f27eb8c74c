"""Ctrl-C at every line of the way of a guarded call."""

import contextlib
import signal
import sys

import httpx2

from tests.corridor.test_passage import Unpaced
from tokmagic.guarding import passing
from tokmagic.guarding.desks import Asked, Desk
from tokmagic.queues.bells import ThreadBell


@contextlib.contextmanager
def interrupted_at(line):
    """Ctrl-C before the line of that number which runs in the module; how many lines ran there."""
    ran = [0]

    def count(frame, event, _):
        if frame.f_code.co_filename != passing.__file__:
            return None
        if event == "line":
            ran[0] += 1
            if ran[0] == line:
                signal.raise_signal(signal.SIGINT)
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield ran
    finally:
        sys.settrace(before)


def replied():
    usage = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
    said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi."}}
    return httpx2.Response(200, json={"id": "1", "model": "chat", "choices": [said], "usage": usage})


def test_an_interrupt_at_any_line_leaves_no_hold_and_nothing_that_seems_to_run(make_parts):
    body = {"model": "chat", "max_completion_tokens": 9, "messages": [{"role": "user", "content": "Hello."}]}
    parts = make_parts(kind=Unpaced)
    asked, desk = Asked("POST", "/v1/chat/completions", body), Desk(parts, "demo")
    ran, line = [1], 0
    while ran[0] >= line:
        line += 1
        with interrupted_at(line) as ran:
            bell = ThreadBell()
            passing.run(passing.steps(desk, asked, passing.hear, bell), replied, bell)
        assert [entry for entry in parts.ledger.open_entries() if entry.state == "held"] == []
        assert parts.gauge.snapshot((), (), ()).running == ()
        assert all(not gate._inside for gate in parts._lanes._gates.values())
    assert line > 40
    assert parts.ledger.entries(most=1)[0].state == "settled"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
