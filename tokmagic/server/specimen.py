"""A value that a JSON schema accepts, made of nothing but the schema and a text: the demo engine's structured answer.

Every property is there, a list has one entry, a string is the text, and of several choices the first is taken. A schema
that refers to itself is followed a few times and then left at its null or its empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: References followed one inside the other, and entries of a list at most.
MAX_REFERENCES = 4
MAX_ENTRIES = 100
_FORMATS: Mapping[str, str] = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def specimen(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the schema; strings in it are ``text`` where nothing speaks against it."""
    return _value(schema, schema, text, MAX_REFERENCES)


def _value(schema: Any, root: Mapping[str, Any], text: str, left: int) -> Any:
    if not isinstance(schema, Mapping):
        return text
    if "$ref" in schema:
        return _value(_resolved(str(schema["$ref"]), root), root, text, left - 1) if left else None
    if "const" in schema:
        return schema["const"]
    for several in ("enum", "anyOf", "oneOf", "allOf"):
        choices = schema.get(several)
        if isinstance(choices, list) and choices:
            chosen = {"type": "null"} if not left and {"type": "null"} in choices else choices[0]
            return choices[0] if several == "enum" else _value(chosen, root, text, left)
    return _typed(schema, root, text, left)


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _typed(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, left: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties")
            named = properties.items() if isinstance(properties, Mapping) else ()
            return {name: _value(inner, root, text, left) for name, inner in named}
        case "array":
            number = max(_bound(schema, "minItems", 0), min(1, left, _bound(schema, "maxItems", 1)))
            return [_value(schema.get("items"), root, text, left)] * min(MAX_ENTRIES, number)
        case "integer" | "number":
            least = _bound(schema, "minimum", _bound(schema, "exclusiveMinimum", 0) + 1)
            return min(least, _bound(schema, "maximum", least))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _FORMATS.get(str(schema.get("format")), text)


def _bound(schema: Mapping[str, Any], name: str, default: int) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) else default
