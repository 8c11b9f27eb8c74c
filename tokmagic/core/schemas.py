"""JSON schemas of answers: closed as the strict services demand, and each protocol's own field for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .models import Protocol


def closed(schema: Any) -> Any:
    """The schema, with every object of named properties closed to others, where it does not say otherwise."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    changed = {name: closed(value) for name, value in schema.items()}
    if changed.get("type") == "object" and "properties" in changed:
        changed.setdefault("additionalProperties", False)
    return changed


def answer_format(protocol: Protocol, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request's body that ask for an answer of that schema.

    Args:
        protocol: in which it is sent.
        name: of the type; where a protocol wants one it takes letters, digits, ``_`` and ``-``.
        schema: of the answer.
    """
    said = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in name)
    whole = {"name": said[:64] or "answer", "schema": closed(schema), "strict": False}
    if protocol == "messages":
        return {"output_config": {"format": {"type": "json_schema", "schema": whole["schema"]}}}
    if protocol == "responses":
        return {"text": {"format": {"type": "json_schema", **whole}}}
    return {"response_format": {"type": "json_schema", "json_schema": whole}}
