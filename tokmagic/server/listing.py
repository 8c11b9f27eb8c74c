"""Models, and the list of them, in the shape of either family."""

from __future__ import annotations

from collections.abc import Sequence

from tokmagic.codecs import Json
from tokmagic.core.models import Model

_EPOCH = "1970-01-01T00:00:00Z"


def anthropic_models(models: Sequence[Model]) -> Json:
    """One page with every model, as Anthropic lists them."""
    return {
        "data": [anthropic_model(model) for model in models],
        "has_more": False,
        "first_id": models[0].id if models else None,
        "last_id": models[-1].id if models else None,
    }


def anthropic_model(model: Model) -> Json:
    """One model, as Anthropic describes it."""
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
    }


def openai_models(models: Sequence[Model]) -> Json:
    """Every model, as OpenAI lists them."""
    return {"object": "list", "data": [openai_model(model) for model in models]}


def openai_model(model: Model) -> Json:
    """One model, as OpenAI describes it."""
    return {"id": model.id, "object": "model", "created": 0, "owned_by": model.provider}
