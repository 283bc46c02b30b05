"""Read the tree into the models: bring values with two forms to one, then say in our words what does not fit."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobd.config.secrets import is_secret
from jobd.config.tables import Settings
from jobd.config.values import scalar, told
from jobd.locate import secret_of
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails

    from jobd.config.positions import Path_
    from jobd.config.tree import Tree

_SHAPES = {
    "backoff": 'a duration such as "5s" or { type = "exponential", delay = "1s" }',
    "keep_completed": 'true, false, a count or { count = 1000, age = "1d" }',
    "keep_failed": 'true, false, a count or { count = 1000, age = "1d" }',
    "breaker": 'false or { crashes = 5, within = "1m", retry = "1m" }',
    "rate_limit": '{ max = 100, duration = "1s" }',
    "per_key": '{ key = "tenantId", concurrency = 2 }',
    "batch": '{ max = 32, wait = "20ms" }',
    "recycle": '{ jobs = 1000, age = "6h", memory = "500MB" }',
    "log": '{ format = "auto", level = "info" }',
    "path": 'a list such as ["."]',
    "wrap": 'a list such as ["shop.jobs:db_session"]',
    "queues": 'a list such as ["*"]',
}


def normalize(tree: Tree) -> None:
    """Bring backoff, keep, breaker and secrets of every table to the form the model reads; note wrong secrets."""
    values = tree.values
    _secrets(tree, values.get("redis"), ("redis",), ("username", "password"))
    for path in process_tables(tree):
        table = at(values, path)
        env = table.get("env")
        if isinstance(env, dict):
            _secrets(tree, env, (*path, "env"), tuple(env))
        for key, form in _FORMS.items():
            if key in table:
                table[key] = form(table[key])
        jobs = table.get("jobs")
        for job in jobs.values() if isinstance(jobs, dict) else ():
            if isinstance(job, dict) and "backoff" in job:
                job["backoff"] = _backoff(job["backoff"])


def process_tables(tree: Tree) -> list[Path_]:
    """Return the path of [app], [defaults] and of every preset and queue that is a table."""
    found: list[Path_] = [(section,) for section in ("app", "defaults") if isinstance(tree.values.get(section), dict)]
    for section in ("presets", "queues"):
        tables = tree.values.get(section)
        if isinstance(tables, dict):
            found.extend((section, name) for name, table in tables.items() if isinstance(table, dict))
    return found


def at(values: Any, path: Path_) -> Any:
    """Return the value at `path`."""
    for part in path:
        values = values[part]
    return values


def _secrets(tree: Tree, table: Any, path: Path_, keys: tuple[str, ...]) -> None:
    if not isinstance(table, dict):
        return
    for key in keys:
        if isinstance(table.get(key), dict):
            try:
                table[key] = secret_of(table[key], base=tree.main.parent)
            except ValueError as error:
                tree.refuse((*path, key), str(error))
                del table[key]


def _backoff(value: Any) -> Any:
    """A duration alone is a fixed backoff; a bare number goes the same way, to be told about its unit."""
    return {"type": "fixed", "delay": value} if isinstance(value, str | int | float) else value


def _keep(value: Any) -> Any:
    read = scalar(value)
    if isinstance(read, bool):
        return {} if read else {"count": 0}
    # What `true` stands for is the empty table; written out it says nothing, and is refused as any text would be.
    return {"count": read} if isinstance(read, int) else value or "{}"


def _breaker(value: Any) -> Any:
    read = scalar(value)
    return ({} if read else None) if isinstance(read, bool) else value


def _or_none(value: Any) -> Any:
    """False switches it off."""
    return None if scalar(value) is False else value


_FORMS: dict[str, Callable[[Any], Any]] = {
    "backoff": _backoff,
    "keep_completed": _keep,
    "keep_failed": _keep,
    "breaker": _breaker,
    "job_log_output": _or_none,
    "metrics": _or_none,
}


def validate(tree: Tree) -> Settings:
    """Return what of the tree fits; what does not is noted in the tree and left out."""
    values = deepcopy(tree.values)
    while True:
        try:
            return Settings.of(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=True)
        for detail in wrong:
            path = tuple(detail["loc"])
            if not tree.is_broken(path):
                _note(tree, detail, path)
            holder = path[:-1] if detail["type"] == "missing" else path
            if not _prune(values, holder):
                values.pop(str(path[0]), None)  # each round must leave less, or this would never end


def _note(tree: Tree, detail: ErrorDetails, path: Path_) -> None:
    kind, value, key = detail["type"], detail.get("input"), path[-1]
    if kind == "extra_forbidden":
        table = _table_name(path[:-1])
        known = keys_at(path[:-1])
        tree.refuse(path, f"unknown key `{key}`{table}", _nearest(str(key), known), at="key")
    elif kind == "missing":
        tree.refuse(path, f"missing key `{key}`{_table_name(path[:-1])}")
    elif kind in {"model_type", "dict_type", "model_attributes_type", "list_type", "dataclass_type"}:
        expected = _SHAPES.get(str(key)) if path[:-1] else None
        expected = expected or ("a list" if kind == "list_type" else _table_shape(path))
        tree.refuse(path, f"{_where(path)}: expected {expected}, got {_told(path, value)}")
    else:
        text = detail["msg"] if kind == "jobd" else f"{detail['msg'].lower()}, got {_told(path, value)}"
        if is_secret(path) and ", got " in text:
            text = text.partition(", got ")[0]
        tree.refuse(path, f"{_where(path)}: {text}")


def _told(path: Path_, value: Any) -> str:
    return "something else" if is_secret(path) else told(value)


def _table_shape(path: Path_) -> str:
    if len(path) == 1:
        return f"a table, [{path[0]}]"
    if path[-2] in {"queues", "jobs"}:
        return 'a handler such as "shop.mail:send" or a table'
    return "a table"


def _where(path: Path_) -> str:
    """Return "queues.email.concurrency", the key as a person says it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _table_name(path: Path_) -> str:
    return f" in [{_where(path)}]" if path else ""


def _nearest(name: str, known: list[str]) -> str | None:
    near = nearest(name, known)
    if near:
        return f"did you mean `{near}`?"
    return "known: " + ", ".join(known) if 0 < len(known) <= 12 else None


def _prune(values: Any, path: Path_) -> bool:
    """Take the value at `path` out; False when there is no way to it."""
    for part in path[:-1]:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    if isinstance(values, dict) and path:
        values.pop(path[-1], None)
    elif isinstance(values, list) and path:
        values.clear()  # a list is one value; without one of its members it would mean something else
    else:
        return False
    return True


@lru_cache(maxsize=1)
def raw_schema() -> dict[str, Any]:
    """Return the JSON Schema of the models as they are, one form a value."""
    return Settings.model_json_schema()


def keys_at(path: Path_) -> list[str]:
    """Return the keys that the table at `path` may have; empty when they are names a person chooses."""
    schema = raw_schema()
    node: dict[str, Any] = schema
    for part in path:
        found = next((n for n in _forms(node, schema) if str(part) in n.get("properties", {})), None)
        if found is not None:
            node = found["properties"][str(part)]
            continue
        named = next((n for n in _forms(node, schema) if isinstance(n.get("additionalProperties"), dict)), None)
        if named is None:
            return []
        node = named["additionalProperties"]
    return sorted({key for form in _forms(node, schema) for key in form.get("properties", {})})


def _forms(node: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a node may be, references followed."""
    if "$ref" in node:
        return [schema["$defs"][node["$ref"].rpartition("/")[2]]]
    if "anyOf" in node:
        return [form for option in node["anyOf"] for form in _forms(option, schema)]
    return [node]
