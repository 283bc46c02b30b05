"""Lay a queue's own keys over its preset's, [defaults], [app] and what is built in; make paths absolute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.config.model import Queue
from jobd.config.tables import DEFAULT_BACKOFF, JobHandler, Mode, ProcessKeys, QueueKeys
from jobd.locate import absolute_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.tables import App, DaemonSettings, QueueTable, RedisSettings, Settings
    from jobd.config.values import Table

T = TypeVar("T", bound="Table")

BY_NAME = frozenset({"env", "jobs"})
"""Tables of names are merged from level to level; any other key is replaced."""


def resolve_app(app: App, base: Path) -> App:
    """Return [app] with absolute paths."""
    return _absolute(app, base, ("python", "working_dir", "path"))


def resolve_daemon(daemon: DaemonSettings, base: Path) -> DaemonSettings:
    """Return [daemon] with absolute paths."""
    daemon = _absolute(daemon, base, ("socket", "state_dir"))
    if daemon.http is None or not daemon.http.startswith("unix:"):
        return daemon
    return _changed(daemon, {"http": f"unix:{base / daemon.http.removeprefix('unix:')}"})


def resolve_redis(redis: RedisSettings, base: Path) -> RedisSettings:
    """Return [redis] with absolute paths."""
    if redis.url is not None:
        redis = _changed(redis, {"url": absolute_files(redis.url, base)})
    return _absolute(redis, base, ("server",))


def _absolute(table: T, base: Path, keys: tuple[str, ...]) -> T:
    changed: dict[str, Any] = {}
    for key in keys:
        value = getattr(table, key)
        if isinstance(value, list):
            changed[key] = [base / path for path in value]
        elif value is not None:
            changed[key] = base / value
    return _changed(table, changed)


def _changed(table: T, changed: Mapping[str, Any]) -> T:
    # model_copy would count defaults made absolute as written.
    copy = table.model_copy(update=changed)
    object.__setattr__(copy, "__pydantic_fields_set__", set(table.model_fields_set))
    return copy


def resolve_queue(name: str, table: QueueTable, settings: Settings, base: Path) -> Queue:
    """Return the queue as it runs."""
    preset = settings.presets.get(table.preset) if table.preset else None
    levels: list[QueueKeys] = [settings.defaults, *([preset] if preset else []), table]
    values: dict[str, Any] = {}
    for level in levels:
        for key in level.model_fields_set & QueueKeys.model_fields.keys():
            value = getattr(level, key)
            values[key] = {**values.get(key, {}), **value} if key in BY_NAME else value
    written = frozenset(alias_of(key) for key in values)
    _inherit_from_app(values, settings.app)
    if "attempts" in values and values.get("backoff") is None:
        values["backoff"] = DEFAULT_BACKOFF
    if values.get("mode") is Mode.PROCESS:
        # One at a time; a concurrency of the queue's own is refused by check, one from [defaults] is not meant for it.
        values["concurrency"] = 1
    values["jobs"] = {job: _job(handler, values) for job, handler in values.get("jobs", {}).items()}
    queue = Queue.model_construct(
        **{alias_of(key): value for key, value in values.items()}, name=name, preset=table.preset, written=written
    )
    return _absolute(queue, base, ("python", "working_dir", "path"))


def _inherit_from_app(values: dict[str, Any], app: App) -> None:
    for key in ProcessKeys.model_fields:
        if key == "env":
            values[key] = {**app.env, **values.get(key, {})}
        elif key not in values:
            values[key] = getattr(app, key)


def _job(handler: JobHandler, values: dict[str, Any]) -> JobHandler:
    if handler.attempts is None or handler.backoff or values.get("backoff"):
        return handler
    return handler.model_copy(update={"backoff": DEFAULT_BACKOFF})


def alias_of(key: str) -> str:
    """Return the key of the file for a field of a queue: "timeout" for "timeout_ms"."""
    info = QueueKeys.model_fields.get(key)
    return (info.alias if info else None) or key
