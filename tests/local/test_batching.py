"""Several answers written together, through the real server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import transformers

from tests.local.conftest import model_of, scripted, tokenizer
from tests.local.test_local import ADD, HI, ROUTES, SCHEMA, SEA, body, claude, gpt, post
from tests.patience import PATIENCE
from tokmagic.core.errors import ConfigurationError
from tokmagic.core.messages import Request, user
from tokmagic.server import EmbeddedServer
from tokmagic.server.local import LocalEngine, batching, load
from tokmagic.server.local.asking import said
from tokmagic.server.local.prompting import prompt_of

Start = Callable[..., EmbeddedServer]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that answers each prompt in another way."""
    folder = tmp_path_factory.mktemp("models") / "varied"
    fast = tokenizer()
    fast.save_pretrained(folder)
    model_of(len(fast), 16, spread=0.4).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def batched(varied: Path, start: Start) -> EmbeddedServer:
    """It twice, written in batches."""
    return start(f"tiny={varied}", f"other={varied}", batching=True)


@pytest.fixture(scope="module")
def queued(varied: Path, start: Start) -> EmbeddedServer:
    """It, written one answer at a time."""
    return start(f"tiny={varied}")


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory, start: Start) -> EmbeddedServer:
    """A model that never ends by itself, written in batches."""
    folder = scripted(tmp_path_factory.mktemp("models") / "endless", *SEA, window=30_000, again=True)
    return start(str(folder), batching=True)


def answer(server: EmbeddedServer, number: int, model: str = "tiny", **fields: Any) -> Any:
    prompt = [{"role": "user", "content": f"Number {number}, " * (1 + number)}]
    return post(server, CHAT, model=model, messages=prompt, most=24, **fields).json()["choices"]


@contextmanager
def writing(server: EmbeddedServer, path: str = CHAT, **fields: Any) -> Iterator[Iterator[bytes]]:
    """An answer that has begun and goes on while it is read."""
    asked = body(path, model="endless", most=20_000, stream=True, **fields)
    with (
        httpx2.Client(timeout=PATIENCE) as client,
        client.stream("POST", server.url + path, json=asked, headers={"x-api-key": server.token}) as reply,
    ):
        chunks = reply.iter_raw()
        next(chunks)
        yield chunks


def test_many_at_once_get_the_answers_that_each_gets_alone(batched: EmbeddedServer, queued: EmbeddedServer) -> None:
    alone = [answer(queued, number, temperature=0) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: answer(batched, number, temperature=0), range(8)))
    assert together == alone
    assert len({str(choices) for choices in alone}) == 8


def test_an_answer_begins_while_others_are_written(endless: EmbeddedServer) -> None:
    with ExitStack() as stack:
        running = [stack.enter_context(writing(endless, path)) for path in (*ROUTES, CHAT)]
        for chunks in (*running, *running):
            assert next(chunks)


def test_one_that_hangs_up_does_not_disturb_the_others(endless: EmbeddedServer) -> None:
    with writing(endless) as kept:
        with writing(endless):
            pass
        assert next(kept)
        assert post(endless, CHAT, model="endless").status_code == 200
        assert next(kept)
    assert post(endless, CHAT, model="endless", seed=1).status_code == 200


def test_an_answer_that_nobody_reads_has_left_its_batch(random_folder: Path) -> None:
    model = load(str(random_folder))
    batches = batching.Batches(model)

    async def read_one(request: Request) -> None:
        async with aclosing(batches.tokens("likeliest", request, prompt_of(model, said(request)))) as tokens:
            await anext(tokens)

    asyncio.run(read_one(Request("tiny", (user("Hi"),), 400)))
    manager = batches._running("likeliest")
    with manager.pause():
        assert not manager.batch_processor.has_pending_requests()
        assert not manager.output_router.result_handlers
    batches.close()


@pytest.mark.parametrize("path", ROUTES)
def test_an_answer_ends_at_its_bound_to_the_token(path: str, batched: EmbeddedServer) -> None:
    usage = post(batched, path, most=33).json()["usage"]
    assert usage.get("output_tokens", usage.get("completion_tokens")) == 33


def test_an_answer_ends_where_the_model_ends_it_and_its_calls_are_read(tmp_path: Path, start: Start) -> None:
    said = [f"{name}={scripted(tmp_path / name, *pieces)}" for name, pieces in (("sea", SEA), ("add", ADD))]
    server = start(*said, batching=True)
    with claude(server) as client, client.messages.stream(model="sea", max_tokens=50, messages=HI) as stream:
        message = stream.get_final_message()
    assert (message.content[0].to_dict()["text"], message.stop_reason) == ("".join(SEA), "end_turn")
    assert message.usage.output_tokens == len(SEA) + 1
    nested: Any = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
    with gpt(server) as client:
        chat = client.chat.completions.create(model="add", messages=HI, tools=[nested])
    assert [call.to_dict()["function"]["name"] for call in chat.choices[0].message.tool_calls or ()] == ["add"]


def test_each_answer_of_a_batch_is_chosen_by_its_own_settings(batched: EmbeddedServer) -> None:
    likeliest = answer(batched, 1, temperature=0)

    def chosen(fields: dict[str, Any]) -> Any:
        return answer(batched, 1, **fields)

    one = [{"temperature": 2, "top_k": 1}, {"temperature": 0.0001}, {"top_p": 0.0001}]
    any_of_them = [{"temperature": 2}, {"temperature": 2, "top_k": 0}, {"top_k": 10**6, "temperature": 2}]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(chosen, [*one, *any_of_them]))
    assert answers[:3] == [likeliest] * 3
    assert likeliest not in answers[3:]


@pytest.mark.parametrize(
    "fields", [{"seed": 7, "temperature": 1}, {"repetition_penalty": 5}, {"min_p": 0.1, "seed": 3, "temperature": 2}]
)
def test_what_a_batch_cannot_choose_is_written_alone_as_ever(
    fields: dict[str, Any], batched: EmbeddedServer, queued: EmbeddedServer
) -> None:
    alone = answer(queued, 1, **fields)
    likeliest = [answer(queued, number, temperature=0) for number in range(3)]
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(answer, batched, number, "other", temperature=0) for number in range(3)]
        assert answer(batched, 1, **fields) == alone
        assert [one.result() for one in running] == likeliest


def test_settings_of_the_models_own_folder_count(varied: Path, tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for file in varied.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    transformers.GenerationConfig(repetition_penalty=5.0).save_pretrained(folder)
    alone, together = start(f"tiny={folder}"), start(f"tiny={folder}", batching=True)
    assert answer(together, 1) == answer(alone, 1)
    assert answer(together, 1) != answer(together, 1, repetition_penalty=1)


def test_what_nobody_sets_is_as_the_library_has_it() -> None:
    defaults = transformers.GenerationConfig._get_default_generation_params()
    assert {name: defaults[name] for name in batching._UNSET} == batching._UNSET
    assert {name: defaults[name] for name in batching._NEUTRAL} == batching._NEUTRAL


def test_a_batch_that_failed_is_begun_anew(random_folder: Path) -> None:
    batches = batching.Batches(load(str(random_folder)))
    failed = batches._running("likeliest")
    failed.stop(hard_stop=True)
    assert batches._running("likeliest") is not failed
    batches.close()


def test_a_process_that_ends_waits_for_the_last_pass_of_a_batch_that_its_server_began(random_folder: Path) -> None:
    batches = batching.Batches(load(str(random_folder)))
    before = set(threading.enumerate())
    server = threading.Thread(target=batches._running, args=("sampled",), daemon=True)
    server.start()
    server.join()
    begun = set(threading.enumerate()) - before
    batches.close()
    assert [thread.daemon for thread in begun] == [False]


def test_a_model_that_cannot_be_batched_is_refused_in_one_line(tmp_path: Path) -> None:
    fast = tokenizer()
    small: Any = {"vocab_size": len(fast), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    made = {
        "one at a time": transformers.BloomConfig(**small, max_position_embeddings=512),
        "does not say its window": transformers.MambaConfig(vocab_size=len(fast), hidden_size=16, num_hidden_layers=1),
        "by transformers": transformers.FalconConfig(**small),
    }
    for why, config in made.items():
        folder = tmp_path / config.model_type
        fast.save_pretrained(folder)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        with pytest.raises(ConfigurationError, match=why) as refused:
            LocalEngine([load(str(folder))], batching=True)
        assert "\n" not in str(refused.value)


def test_the_command_batches_and_ends_at_once(random_folder: Path) -> None:
    command = [sys.executable, "-m", "tokmagic.cli", "serve", "--engine", "transformers", "--batching"]
    said = ["--model", str(random_folder)]
    with subprocess.Popen([*command, *said], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().strip(), process.stdout.readline().split()[-1]
        reply = httpx2.post(f"{url}{CHAT}", json=body(CHAT), headers={"x-api-key": token}, timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
    assert reply.status_code == 200
    assert (process.returncode, err) == (0, "")
