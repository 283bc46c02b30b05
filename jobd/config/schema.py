"""The JSON Schema of jobd.toml, for editors: the models' own, with the short forms that are read as well."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from jobd.config import tables
from jobd.config.key_docs import meaning_of
from jobd.config.validate import raw_schema
from jobd.config.values import KeepTable, Table
from jobd.duration import spell_duration

_HANDLER = {"type": "string", "examples": ["shop.mail:send"], "description": "short for { handler = … }"}
_REFERENCE = {"type": "string", "pattern": r"^\$\{.*\}$"}
_SHORT: dict[str, list[dict[str, Any]]] = {
    "backoff": [{"type": "string", "examples": ["5s"], "description": "a fixed delay"}],
    "keep_completed": [{"type": "boolean"}, {"type": "integer", "minimum": 0}],
    "keep_failed": [{"type": "boolean"}, {"type": "integer", "minimum": 0}],
    "breaker": [{"type": "boolean"}],
    "job_log_output": [{"const": False}],
    "metrics": [{"const": False}],
}

_TABLES: dict[str, type[Table]] = {
    name: kind
    for name, kind in {**vars(tables), "KeepTable": KeepTable}.items()
    if isinstance(kind, type) and issubclass(kind, Table)
}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    result = deepcopy(raw_schema())
    for name, definition in [("", result), *result["$defs"].items()]:
        for key, node in definition.get("properties", {}).items():
            definition["properties"][key] = _told(name, key, _with_short_forms(key, _as_written(node)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **result,
        "title": "jobd.toml",
        "description": "configuration of the jobd worker daemon",
    }


def _told(table: str, key: str, node: dict[str, Any]) -> dict[str, Any]:
    """Return the node with what its key means and an example; a section says what it is itself."""
    meaning = meaning_of(_TABLES[table], key) if table in _TABLES else None
    if meaning is None:
        return node
    return {**node, "description": meaning[0], "examples": [meaning[1]]}


def _as_written(node: dict[str, Any]) -> dict[str, Any]:
    """Leave out titles, null and defaults that no person would write; spell the defaults of durations."""
    default = node.get("default")
    node = {key: value for key, value in node.items() if key != "title"}
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option != {"type": "null"}]  # TOML has no null
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        node = rest | (options[0] if len(options) == 1 else {"anyOf": options})
    if default is None or isinstance(default, dict):
        return {key: value for key, value in node.items() if key != "default"}
    if node.get("type") == "string" and isinstance(default, int):
        return {**node, "default": spell_duration(default)}
    return node


def _with_short_forms(key: str, node: dict[str, Any]) -> dict[str, Any]:
    if key in _SHORT:
        return _either(node, _SHORT[key])
    if key in {"queues", "presets", "jobs"} and isinstance(node.get("additionalProperties"), dict):
        return {**node, "additionalProperties": _either(node["additionalProperties"], [_HANDLER])}
    if node.get("type") in {"integer", "boolean", "number"}:
        return _either(node, [_REFERENCE])  # a value that is wholly one ${…} may stand for it
    return node


def _either(node: dict[str, Any], more: list[dict[str, Any]]) -> dict[str, Any]:
    outer: dict[str, Any] = {key: node[key] for key in ("default", "description", "title") if key in node}
    inner = {key: value for key, value in node.items() if key not in outer}
    return {**outer, "anyOf": [*(inner["anyOf"] if set(inner) == {"anyOf"} else [inner]), *more]}
