"""``tokmagic serve`` says where it is once it answers, ends cleanly, and refuses in one line what it cannot do."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import anthropic
import httpx2
import openai
import pytest

from tests.patience import PATIENCE
from tokmagic import catalog, tokenizers
from tokmagic.cli import main
from tokmagic.server import start_server
from tokmagic.server.engine import USUAL_TERMS


@contextmanager
def serving(*arguments):
    """The command in a process of its own; its address, its token and the process."""
    command = [sys.executable, "-m", "tokmagic.cli", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url, token = process.stdout.readline().strip(), process.stdout.readline().split()[-1]
            yield url, token, process
        finally:
            process.kill()


def ended(process, number):
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_it_answers_both_sdks_as_soon_as_it_says_where_and_ends_cleanly():
    with serving() as (url, token, process):
        with anthropic.Anthropic(base_url=url, api_key=token, max_retries=0) as client:
            reply = client.messages.create(model="claude", max_tokens=20, messages=[{"role": "user", "content": "Hi"}])
        with openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) as client:
            assert client.responses.create(model="gpt", input="Hi").output_text
        assert reply.content
        assert ended(process, signal.SIGINT) == (0, "")
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, timeout=PATIENCE)


def test_a_running_answer_does_not_hold_it_up():
    with serving("--pace", "2", "--token", "chosen-token") as (url, told, process):
        assert told == "it"
        with openai.OpenAI(base_url=f"{url}/v1", api_key="chosen-token", max_retries=0) as client:
            stream = client.chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            next(stream)
            assert ended(process, signal.SIGTERM) == (0, "")


def test_ctrl_c_while_it_is_waited_for_ends_its_work_before_it_is_closed():
    closed, closed_first = threading.Event(), []
    terms = replace(USUAL_TERMS, ended=lambda: closed_first.append(closed.wait(0.3)))
    server = start_server(catalog.demo_models().values(), tokenizers.counter, terms=terms)

    def interrupted():
        threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        server.wait()

    with server, pytest.raises(KeyboardInterrupt):
        interrupted()
    closed.set()
    assert closed_first == [False]


def test_ctrl_c_while_it_is_closed_lets_it_be_closed_again(monkeypatch):
    monkeypatch.setattr("tokmagic.server.run.STOP_SECONDS", PATIENCE)
    free, ended = threading.Event(), []
    terms = replace(USUAL_TERMS, ended=lambda: ended.append(free.wait(PATIENCE)))
    server = start_server(catalog.demo_models().values(), tokenizers.counter, terms=terms)

    def interrupted():
        threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        server.close()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    threading.Timer(0.1, free.set).start()
    server.close()
    assert ended == [True]


def test_its_faults_come_from_a_file(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('[[fault]]\nkind = "refuse"\nstatus = 529\n')
    body = {"model": "claude", "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]}
    with serving("--faults", str(plan)) as (url, token, _):
        reply = httpx2.post(f"{url}/v1/messages", json=body, headers={"x-api-key": token}, timeout=PATIENCE)
    assert (reply.status_code, reply.json()["error"]["type"]) == (529, "overloaded_error")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "192.0.2.7"], "name a token of your own"),
        (["--token", "short"], "8 or more"),
        (["--port", "70000"], "65,535"),
        (["--pace", "0"], "above 0"),
        (["--pace", "nan"], "above 0"),
        (["--faults", "missing.toml"], "missing.toml cannot be read"),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["serve", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "tokmagic.cli", "serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "in use" in done.stderr
