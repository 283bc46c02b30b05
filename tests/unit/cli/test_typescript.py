"""TypeScript from JSON Schemas: closed types, no `any`."""

from __future__ import annotations

from typing import Any

import pytest

from jobd.cli.typescript import jobs_text

_POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def type_of(schema: Any, definitions: Any = None) -> str:
    lines = jobs_text({"q": {"n": schema}}, definitions or {}).splitlines()
    return next(line for line in lines if line.startswith("    n: ")).removeprefix("    n: ")


def test_one_queue_and_job() -> None:
    schema = {"type": "object", "properties": {"userId": {"type": "integer"}}, "required": ["userId"]}
    text = jobs_text({"email": {"welcome": schema}}, {})
    assert " ".join(line for line in text.splitlines() if not line.startswith("//")).split() == (
        ["export", "interface", "Jobs", "{", "email:", "{", "welcome:", "{", "userId:", "number", "}", "}", "}"]
    )


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "unknown"),
        (True, "unknown"),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "number"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "(string | null)[]"),
        ({"type": "array"}, "unknown[]"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}]}, "[string, boolean]"),
        ({"type": "object"}, "{ [name: string]: unknown }"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "{ [name: string]: number }"),
        ({"type": "object", "properties": {"a-b": {"type": "string"}, "c": {}}, "required": ["c"]},
         '{ "a-b"?: string; c: unknown }'),
        ({**_POINT, "additionalProperties": True}, "{ x: number; [name: string]: unknown }"),
        ({"allOf": [{"$ref": "#/$defs/Point"}, {"type": "object"}]}, "{ x: number } & { [name: string]: unknown }"),
        ({"oneOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]}, "{ x: number } | null"),
    ],
)  # fmt: skip
def test_types(schema: Any, text: str) -> None:
    assert type_of(schema, {"Point": _POINT}) == text


def test_what_refers_to_itself_gets_a_name() -> None:
    tree = {"type": "object", "properties": {"up": {"$ref": "#/$defs/My Tree"}, "at": {"$ref": "#/$defs/Point"}}}
    text = jobs_text({"q": {"a": {"$ref": "#/$defs/My Tree"}, "b": _POINT}}, {"My Tree": tree, "Point": _POINT})
    assert "    a: My_Tree\n    b: { x: number }\n" in text
    assert text.endswith("\nexport type My_Tree = { up?: My_Tree; at?: { x: number } }\n")


def test_a_handler_of_every_other_name_lets_the_named_ones_fit() -> None:
    text = jobs_text({"my queue": {"a": {"type": "string"}, None: {"type": "integer"}}}, {})
    assert '  "my queue": {\n    a: string\n    [name: string]: string | number\n  }' in text
    assert "any" not in text.replace("any ", "")
