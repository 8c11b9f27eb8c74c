"""Tiny models of random weights that take more than text, made on the spot with a processor of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GlmAsrConfig,
    GlmAsrEncoderConfig,
    GlmAsrForConditionalGeneration,
    GlmAsrProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    Idefics3VisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from tests.local.conftest import SPECIAL, tokenizer

#: A template of parts, as those of processors are.
TEMPLATE = """
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% for part in message.content -%}
{%- if part.type == 'text' %}{{ part.text }}{% else %}<|part|>{% endif -%}
{%- endfor -%}
{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor -%}
<|im_end|>
{% endfor -%}
{%- if shout is defined %}<|im_start|>shout
{{ shout }}<|im_end|>
{% endif -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
#: Pixels of an image's side, and of the square that is one token.
SIDE, PATCH = 32, 16
#: Samples of a second as the hearing model takes them, and the seconds that it hears.
RATE, LONGEST = 16_000, 2


def seeing(folder: Path) -> Path:
    """A model that takes images, each of them four tokens."""
    fast = _tokenizer("<image>")
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        initializer_factor=20.0,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=_text(LlamaConfig, len(fast)),
        image_token_index=fast.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size),
        fast,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("<|part|>", "<image>"),
    )
    processor.save_pretrained(folder)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    return folder


def tiling(folder: Path) -> Path:
    """A model whose processor cannot mark what is said as plain text."""
    tiles = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
    fast = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *tiles)
    vision = Idefics3VisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=SIDE, patch_size=8
    )
    config = Idefics3Config(
        vision_config=vision,
        text_config=_text(LlamaConfig, len(fast)),
        scale_factor=2,
        image_token_id=fast.convert_tokens_to_ids("<image>"),
    )
    size = {"longest_edge": SIDE}
    images = Idefics3ImageProcessorPil(size=size, max_image_size=size)
    template = TEMPLATE.replace("<|part|>", "<image>")
    Idefics3Processor(images, fast, image_seq_len=4, chat_template=template).save_pretrained(folder)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def hearing(folder: Path) -> Path:
    """A model that takes sounds, about 25 tokens a second."""
    fast = _tokenizer("<|AUDIO|>")
    torch.manual_seed(0)
    encoder = Qwen2AudioEncoderConfig(
        num_mel_bins=8,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        d_model=16,
        max_source_positions=50 * LONGEST,
        initializer_range=0.5,
    )
    config = Qwen2AudioConfig(
        audio_config=encoder,
        text_config=_text(LlamaConfig, len(fast)),
        audio_token_index=fast.convert_tokens_to_ids("<|AUDIO|>"),
    )
    features = WhisperFeatureExtractor(feature_size=8, sampling_rate=RATE, chunk_length=LONGEST)
    template = TEMPLATE.replace("<|part|>", "<|AUDIO|>")
    Qwen2AudioProcessor(features, fast, chat_template=template).save_pretrained(folder)
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    return folder


def hearing_in_pieces(folder: Path) -> Path:
    """A model whose processor takes a long sound in pieces, 12.5 tokens a second."""
    fast = _tokenizer("<|pad|>")
    fast.pad_token = fast.eos_token
    torch.manual_seed(0)
    encoder = GlmAsrEncoderConfig(
        num_mel_bins=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        hidden_size=16,
        intermediate_size=64,
        max_position_embeddings=50 * LONGEST,
    )
    config = GlmAsrConfig(
        audio_config=encoder,
        text_config=_text(LlamaConfig, len(fast)),
        audio_token_id=fast.convert_tokens_to_ids("<|pad|>"),
    )
    features = WhisperFeatureExtractor(feature_size=8, sampling_rate=RATE, chunk_length=LONGEST)
    GlmAsrProcessor(features, fast, chat_template=TEMPLATE.replace("<|part|>", "<|pad|>")).save_pretrained(folder)
    GlmAsrForConditionalGeneration(config).save_pretrained(folder)
    return folder


def _tokenizer(*special: str) -> PreTrainedTokenizerFast:
    fast = tokenizer()
    fast.add_special_tokens({"additional_special_tokens": [*SPECIAL, *special]})
    return fast


def _text(kind: Any, vocabulary: int) -> Any:
    return kind(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.5,
    )
