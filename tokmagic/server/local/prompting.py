"""A conversation as a model reads it: through its tokenizer's chat template, or its processor's where things are shown.

Control tokens and placeholders of images and sounds in what is said are plain text: real ones come of the template
alone. A processor that would cut a long sound without a word is not given it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tokmagic.codecs import Json, WireError

from .asking import Said
from .loading import Loaded
from .reading import THOUGHTS
from .showing import refused, sound_part, sounds_in, with_shown

#: Samples of a second of sound, where a processor does not say.
_RATE = 16_000
#: Tokens at the end of a prompt in which a thought may be opened for the model.
_TAIL = 8


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is given.

    Attributes:
        ids: its tokens, those that stand for images included.
        shown: the tensors of what they stand for, by the name that the model has for them.
        opens_thought: whether the template has opened a thought.
    """

    ids: list[int]
    shown: Mapping[str, Any] = field(default_factory=dict)
    opens_thought: bool = False


def prompt_of(model: Loaded, asked: Said) -> Prompt:
    """The prompt of a conversation.

    Raises:
        WireError: 400; the chat template or the processor does not take it.
    """
    from jinja2 import TemplateError

    try:
        ids, shown = _shown(model, asked) if model.processor is not None else (_read(model, asked), {})
    except (TemplateError, TypeError, ValueError) as error:
        message = f"Invalid 'messages': the model's chat template does not take them ({error})."
        raise WireError(400, "invalid_request_error", message, param="messages", code="invalid_value") from None
    with model.lock:
        tail: str = model.tokenizer.decode(ids[-_TAIL:], skip_special_tokens=False)
    return Prompt(ids, shown, tail.rstrip().endswith(tuple(mark.begin for mark in THOUGHTS)))


def _read(model: Loaded, asked: Said) -> list[int]:
    with model.lock:
        ids: list[int] = model.tokenizer.apply_chat_template(asked.messages, return_dict=False, **_written(asked))
    return ids


def _shown(model: Loaded, asked: Said) -> tuple[list[int], dict[str, Any]]:
    """The tokens and what is shown; a processor that cannot mark what is said gets only what needs no marks."""
    hearing = _hearing(model)
    messages, written = with_shown(asked.messages, getattr(hearing, "sampling_rate", _RATE)), _written(asked)
    _refuse_too_long(model, hearing, messages)
    template = model.processor.chat_template
    known = _variables(template["default"] if isinstance(template, dict) else template)
    written = {name: value for name, value in written.items() if name not in asked.template or name in known}
    try:
        made = _processed(model, messages, written)
    except ValueError:
        if _holds_control(model, messages, asked):
            raise
        made = _processed(model, messages, {**written, "sanitize_control_tokens": False})
    ids: list[int] = made["input_ids"][0].tolist()
    return ids, {name: made[name] for name in made if name not in ("input_ids", "attention_mask")}


def _processed(model: Loaded, messages: list[Json], written: Json) -> Any:
    with model.lock:
        return model.processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="pt", **written
        )


def _hearing(model: Loaded) -> Any:
    """The part of the processor that takes sounds; None where it has none."""
    return getattr(model.processor, "audio_processor", None) or getattr(model.processor, "feature_extractor", None)


def _refuse_too_long(model: Loaded, hearing: Any, messages: list[Json]) -> None:
    """Refuse a sound that the processor would cut: one beyond its length that makes no more tokens than that does."""
    room = getattr(hearing, "n_samples", None)
    longest = max(map(len, sounds_in(messages)), default=0)
    if room is not None and longest > room and _sounding(model, longest) == _sounding(model, room):
        rate = hearing.sampling_rate
        raise refused(f"a sound of {longest / rate:.1f} s is longer than the {room / rate:g} s that the model hears")


def _sounding(model: Loaded, samples: int) -> int:
    """Tokens of a silence that long, and what is around it."""
    import numpy

    silence = sound_part(numpy.zeros(samples, dtype="float32"))
    made = _processed(model, [{"role": "user", "content": [silence]}], {"add_generation_prompt": True})
    return len(made["input_ids"][0])


def _holds_control(model: Loaded, messages: list[Json], asked: Said) -> bool:
    texts = [part["text"] for message in messages for part in message["content"] if part["type"] == "text"]
    calls = [message.get("tool_calls") for message in messages]
    said = json.dumps([texts, calls, asked.tools, dict(asked.template)], ensure_ascii=False)
    return any(token in said for token in model.tokenizer.get_added_vocab())


@lru_cache
def _variables(template: str) -> frozenset[str]:
    """The variables that a template reads. A processor would take any other for a setting of its own."""
    from jinja2 import Environment, ext, meta, nodes, parser

    class Generation(ext.Extension):
        """Marks what an assistant says; it changes no text."""

        tags = {"generation"}  # noqa: RUF012 - as its base class has it

        def parse(self, parser: parser.Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = Environment(extensions=[Generation, ext.loopcontrols], autoescape=False)  # noqa: S701 - only parses
    return frozenset(meta.find_undeclared_variables(environment.parse(template)))


def _written(asked: Said) -> dict[str, Any]:
    """How a template is written, whoever writes it."""
    return {
        "tools": asked.tools,
        "add_generation_prompt": not asked.continued,
        "continue_final_message": asked.continued,
        "sanitize_control_tokens": True,
        **asked.template,
    }
