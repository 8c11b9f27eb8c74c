"""A model that is served no more: its refusal says until when it was, where its provider announced that."""

from __future__ import annotations

from .errors import ProviderError
from .models import Model

#: How services refuse a model that they do not know, or no longer.
GONE = frozenset({404, 410})


def explain_retired(error: ProviderError, model: Model) -> None:
    """Add the day of the model's end to a refusal that may be due to it."""
    if error.status in GONE and model.retires is not None:
        said = str(error.args[0]).rstrip(".")
        ended = f"{model.name} is served until {model.retires} only"
        error.args = (f"{said}. {ended}: name a newer model (%tokens models lists them).",)
