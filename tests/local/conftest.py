"""Tiny models made on the spot, with a real tokenizer and a chat template, and a server for them.

One is random. One is taught by its weights alone to say what a test wants: its only layer lets through the last token,
and its head answers each token with the next one of a script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokmagic import tokenizers
from tokmagic.server import EmbeddedServer, start_server
from tokmagic.server.engine import Terms
from tokmagic.server.local import FIELDS, LocalEngine, load, served

TEMPLATE = """
{%- for message in messages -%}
{%- if message.role == 'banned' or message.content == 'refuse me' %}{{ raise_exception('no such message') }}{% endif -%}
<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor -%}
<|im_end|>
{% endfor -%}
{%- if tools %}<|im_start|>tools
{{ tools | tojson }}<|im_end|>
{% endif -%}
{%- if shout is defined %}<|im_start|>shout
{{ shout }}<|im_end|>
{% endif -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking %}<think>
{% endif %}{% endif %}"""
SPECIAL = ["<|im_start|>", "<|im_end|>"]
CORPUS = [
    "The sea is deep and blue. Whales live in it.",
    '{"name": "add", "arguments": {"a": 2, "b": 3}}',
    "user assistant",
]


def tokenizer() -> PreTrainedTokenizerFast:
    """Of bytes and a few merges, so that every text can be said."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", chat_template=TEMPLATE)
    fast.add_special_tokens({"additional_special_tokens": SPECIAL})
    fast.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    return fast


def model_of(size: int, hidden: int, window: int = 512, spread: float = 0.02) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=hidden,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=spread,
    )
    return LlamaForCausalLM(config)


def scripted(folder: Path, *pieces: str, window: int = 512, again: bool = False) -> Path:
    """A model that answers a newline with these pieces, each of them one token and each another one.

    It ends behind them, or says them ``again`` and again.
    """
    fast = tokenizer()
    fast.add_tokens([piece for piece in pieces if len(fast.encode(piece)) > 1])
    ids = [fast.encode("\n")[0], *(fast.encode(piece)[0] for piece in pieces), fast.eos_token_id]
    assert len(set(ids)) == len(ids)
    follows = [*pairwise(ids[:-1]), (ids[-2], ids[1])] if again else list(pairwise(ids))
    model = model_of(len(fast), 4 * len(ids), window)
    with torch.no_grad():
        for weight in (*model.model.layers.parameters(), model.model.embed_tokens.weight, model.lm_head.weight):
            weight.zero_()
        for place, (id, following) in enumerate(follows):
            model.model.embed_tokens.weight[id, place] = 1.0
            model.lm_head.weight[following, place] = 50.0
    fast.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    fast = tokenizer()
    fast.save_pretrained(folder)
    model_of(len(fast), 16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., EmbeddedServer]]:
    """Serve models by what is said of them on the command line."""
    servers: list[EmbeddedServer] = []

    def serve(*said: str, batching: bool = False) -> EmbeddedServer:
        loaded = [load(one) for one in said]
        engine = LocalEngine(loaded, batching=batching)
        terms = Terms(FIELDS, engine.count, engine.close)
        servers.append(start_server(served(loaded), tokenizers.chosen_counter, engine=engine, terms=terms))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def tiny(random_folder: Path, start: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    """The random model, served as ``tiny`` and as ``other``."""
    return start(str(random_folder), f"other={random_folder}")


@pytest.fixture
def saying(tmp_path: Path, start: Callable[..., EmbeddedServer]) -> Callable[..., EmbeddedServer]:
    """A server whose model says these pieces."""

    def serve(*pieces: str) -> EmbeddedServer:
        return start(f"scripted={scripted(tmp_path / 'scripted', *pieces)}")

    return serve
