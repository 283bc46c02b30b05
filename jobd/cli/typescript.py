"""TypeScript types from JSON Schemas: one interface of all queues, closed, without `any`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HEAD = """\
// Made by `jobd schema jobs --ts` from the types of the Python handlers. Do not edit: make it again.
"""
_WORDS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_OTHERS = "[name: string]"


def jobs_text(queues: Mapping[str, Mapping[str | None, Mapping[str, Any]]], definitions: Mapping[str, Any]) -> str:
    """Return the file: `Jobs[queue][job name]` is the type of a job's data.

    Args:
        queues: {queue: {job name, None for every other name: schema}}.
        definitions: {name: schema}, what `#/$defs/name` in the schemas means.
    """
    types = _Types(definitions)
    lines = ["export interface Jobs {"]
    for queue, jobs in queues.items():
        lines.append(f"  {_key(queue)}: {{")
        lines += [f"    {_key(name)}: {types.of(schema)}" for name, schema in jobs.items() if name is not None]
        if None in jobs:
            # Every other name: TypeScript wants the named ones to fit here, too.
            lines.append(f"    {_OTHERS}: {_union(types.of(schema) for schema in jobs.values())}")
        lines.append("  }")
    lines.append("}")
    named = [f"export type {name} = {text}" for name, text in types.named()]
    return "\n".join([_HEAD, *lines, *([""] if named else []), *named, ""])


class _Types:
    """Schemas as TypeScript. What refers to itself becomes a type with a name, all else is written where it is used."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._open: list[str] = []
        self._named: dict[str, str] = {}

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield the types that need a name, with their texts."""
        yield from self._named.items()

    def of(self, schema: Any) -> str:
        """Return the type of a schema; `unknown` where it allows everything."""
        if schema is True or not schema:
            return "unknown"
        if "$ref" in schema:
            return self._of_reference(schema["$ref"].rpartition("/")[2])
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return _union(json.dumps(value) for value in schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return _union(self.of(arm) for arm in schema[word])
        if "allOf" in schema:
            return " & ".join(_grouped(self.of(arm)) for arm in schema["allOf"])
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union(self.of({**schema, "type": one}) for one in kind)
        if kind == "array":
            return self._of_array(schema)
        if kind == "object":
            return self._of_object(schema)
        return _WORDS.get(kind, "unknown")

    def _of_reference(self, name: str) -> str:
        identifier = re.sub(r"\W", "_", name)
        if name in self._open:
            self._named.setdefault(identifier, "")
            return identifier
        if identifier in self._named:
            return identifier
        self._open.append(name)
        text = self.of(self._definitions[name])
        self._open.pop()
        if identifier not in self._named:
            return text
        self._named[identifier] = text
        return identifier

    def _of_array(self, schema: Mapping[str, Any]) -> str:
        if "prefixItems" in schema:
            return f"[{', '.join(self.of(item) for item in schema['prefixItems'])}]"
        return f"{_grouped(self.of(schema.get('items')))}[]"

    def _of_object(self, schema: Mapping[str, Any]) -> str:
        more = schema.get("additionalProperties")
        if "properties" not in schema:
            return "{ }" if more is False else f"{{ {_OTHERS}: {self.of(more)} }}"
        required = schema.get("required", ())
        members = [
            f"{_key(name)}{'' if name in required else '?'}: {self.of(member)}"
            for name, member in schema["properties"].items()
        ]
        if more:
            members.append(f"{_OTHERS}: unknown")
        return f"{{ {'; '.join(members)} }}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else json.dumps(name)


def _union(texts: Iterator[str]) -> str:
    return " | ".join(dict.fromkeys(texts))


def _grouped(text: str) -> str:
    return f"({text})" if " | " in text or " & " in text else text
