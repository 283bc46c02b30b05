"""Values with two forms, brought to one before validation, so that a mistake is reported once and not per form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.config.fields import scalar
from jobd.locate import secret_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.config.positions import Path_
    from jobd.config.tree import Tree


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
    return {"count": read} if isinstance(read, int) else value


def _breaker(value: Any) -> Any:
    read = scalar(value)
    return ({} if read else None) if isinstance(read, bool) else value


def _log_output(value: Any) -> Any:
    return None if scalar(value) is False else value


_FORMS: dict[str, Callable[[Any], Any]] = {
    "backoff": _backoff,
    "keep_completed": _keep,
    "keep_failed": _keep,
    "breaker": _breaker,
    "job_log_output": _log_output,
}
