"""Loads a language model from a folder, once, and says what is served of it.

A model that takes more than text comes with a processor, which is then what reads a conversation for it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokmagic.core.errors import ConfigurationError
from tokmagic.core.models import Model, Protocol

from .asking import Kind
from .reading import MARKS

PROTOCOLS: tuple[Protocol, ...] = ("messages", "responses", "chat")
#: What a processor has for each kind of part it takes.
_PARTS: Mapping[str, Kind] = {"image_processor": "image", "feature_extractor": "audio", "audio_processor": "audio"}
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. Its tokenizer and processor bear one caller at a time: ``lock`` is held around them.

    Attributes:
        name: what clients call it.
        model, tokenizer: of transformers.
        folder: where they came from.
        window: tokens of input and answer together; None if the model does not say.
        silent: ids of tokens that are no text: special ones, other than marks.
        processor: reads conversations in place of the tokenizer, with what is shown in them; None for most models.
        takes: what may be shown.
    """

    name: str
    model: Any
    tokenizer: Any
    folder: Path
    window: int | None
    silent: frozenset[int]
    processor: Any = None
    takes: frozenset[Kind] = frozenset()
    lock: threading.Lock = field(default_factory=threading.Lock)


def load(said: str) -> Loaded:
    """The model in a folder, said as ``FOLDER`` or ``NAME=FOLDER``; without a name it has the folder's.

    Raises:
        ConfigurationError: no such folder, no model or chat template in it, or the extra is not installed.
    """
    name, found, place = said.rpartition("=")
    folder = Path(place).expanduser()
    if not (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
        raise ConfigurationError(f"{folder} is no folder of a model: it needs config.json and tokenizer.json.")
    tokenizer, processor, model = _read(folder)
    if not (processor or tokenizer).chat_template:
        raise ConfigurationError(f"{folder} has no chat template: add its chat_template.jinja to the folder.")
    special = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    silent = frozenset(id for id, token in special if token not in MARKS)
    takes = frozenset(kind for part, kind in _PARTS.items() if getattr(processor, part, None) is not None)
    called = name if found else folder.resolve().name
    return Loaded(called, model, tokenizer, folder, _window(model), silent, processor, takes)


def served(loaded: Iterable[Loaded]) -> list[Model]:
    """Each model on each protocol, counted by its own tokenizer.

    Raises:
        ConfigurationError: two of one name.
    """
    models = list(loaded)
    names = [one.name for one in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"Two models are called {twice[0]!r}: name one with --model NAME=FOLDER.")
    return [
        Model("local", one.name, protocol, one.window, one.window, str(one.folder / "tokenizer.json"))
        for one in models
        for protocol in PROTOCOLS
    ]


def ends_of(loaded: Loaded) -> list[int] | None:
    """The tokens that end an answer, by the model's own word and its tokenizer's."""
    stated = loaded.model.generation_config.eos_token_id
    ends = [*(stated if isinstance(stated, list) else [stated]), loaded.tokenizer.eos_token_id]
    return list(dict.fromkeys(end for end in ends if end is not None)) or None


def _read(folder: Path) -> tuple[Any, Any, Any]:
    """The tokenizer, the processor or None, and the model."""
    try:
        import soundfile  # noqa: F401 - wanted later, and then too late to say so
        import soxr  # noqa: F401
        import torch
        import transformers
    except ImportError:
        raise ConfigurationError("Local models need packages that are not installed: tokmagic[local].") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        processor, kind = _processor(folder, config), transformers.AutoModelForCausalLM
        if processor is not None:
            kind = transformers.AutoModelForMultimodalLM
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = kind.from_pretrained(folder, local_files_only=True, dtype="auto")
    except (ImportError, OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{folder} holds no model that transformers can load: {why}") from None
    return tokenizer, processor, model.to(device).eval()


def _processor(folder: Path, config: Any) -> Any:
    """What reads conversations for a model that takes more than text, or None."""
    import transformers

    if type(config) not in transformers.MODEL_FOR_MULTIMODAL_LM_MAPPING:
        return None
    if not any((folder / name).is_file() for name in _PROCESSORS):
        return None
    return transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)


def _window(model: Any) -> int | None:
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return found if isinstance(found, int) else None
