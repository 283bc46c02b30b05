"""The configuration in force as a person reads it: every key, its value, where it comes from; secrets as `***`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.config.model import Queue
from jobd.config.scaling import Scaling
from jobd.config.secrets import SECRET_NAME
from jobd.config.tables import ProcessKeys
from jobd.config.values import Table, keep_value
from jobd.duration import spell_duration, spell_size
from jobd.engine.job import Keep
from jobd.locate import Secret, mask_url, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.config.model import Config
    from jobd.config.positions import Path_

BUILT_IN = "built in"


def show(config: Config) -> list[tuple[str, str, str]]:
    """Return (dotted key, value as the file would write it, origin) of every setting, defaults included.

    The origin is "jobd.toml:6:12", "$JOBD_APP__NAME", or "built in".
    """
    return [
        (".".join(_key(part) for part in path), inline(value), _origin(config, path)) for path, value in _leaves(config)
    ]


def show_toml(config: Config) -> str:
    """Return the configuration in force as one TOML text; presets are in their queues.

    Loading it gives the same queues again, but for secrets, which are masked.
    """
    import tomli_w

    tree: dict[str, Any] = {}
    for path, value in _leaves(config):
        if path[-1] == "preset" and path[0] == "queues":
            continue  # its keys stand in the queue
        table = tree
        for part in path[:-1]:
            table = table.setdefault(str(part), {})
        table[str(path[-1])] = value
    return tomli_w.dumps(tree)


def _key(part: str | int) -> str:
    text = str(part)
    bare = text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return text if bare else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def inline(value: Any) -> str:
    """Return a value as TOML on one line; tomli_w spreads tables over lines of their own."""
    import tomli_w

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {inline(member)}" for key, member in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(inline(member) for member in value) + "]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").strip()


def _origin(config: Config, path: Path_) -> str:
    where = config.origin_path(path)
    return config.origins.place(where) if config.origins.written(where) else BUILT_IN


def _leaves(config: Config) -> Iterator[tuple[Path_, Any]]:
    """Yield (path, plain value) of every setting that has a value, in the order of the file's reference."""
    for section in ("app", "redis", "daemon"):
        yield from _of_table(getattr(config, section), (section,), config)
    for name, queue in config.queues.items():
        yield from _of_table(queue, ("queues", name), config)
    for name, schedule in config.schedules.items():
        yield from _of_table(schedule, ("schedules", name), config)
    yield from _of_table(config.web, ("web",), config)


def _of_table(table: Table, path: Path_, config: Config) -> Iterator[tuple[Path_, Any]]:
    queue = isinstance(table, Queue)
    for field, info in type(table).model_fields.items():
        if queue and field in {"name", "written"}:
            continue
        value, key = getattr(table, field), info.alias or field
        place = (*path, key)
        if queue and field in ProcessKeys.model_fields and not _differs(config, place):
            continue  # as [app] has it, shown there
        if field in {"env", "jobs"}:
            for name, member in value.items():
                yield (*place, name), plain(member, str(name))
            continue
        if value is None:
            value = False if field == "breaker" else None
        if value is not None:
            yield place, plain(spelled(field, value), key)


def _differs(config: Config, place: Path_) -> bool:
    if place[-1] == "env":
        return True
    return config.origin_path(place)[0] != "app" and config.origins.written(config.origin_path(place))


def plain(value: Any, key: str = "") -> Any:
    """Return a value of the model as TOML has it: durations and sizes as text, secrets and passwords as `***`."""
    if isinstance(value, Secret) or (SECRET_NAME.search(key) and isinstance(value, str)):
        return "***"
    if key == "url" and isinstance(value, str):
        return mask_url(value)
    if isinstance(value, Scaling):
        return value.plain()
    if isinstance(value, Keep):
        return keep_value(value)
    if isinstance(value, Table):
        return {
            info.alias or field: plain(spelled(field, getattr(value, field)), info.alias or field)
            for field, info in type(value).model_fields.items()
            if getattr(value, field) is not None
        }
    if isinstance(value, list | dict):
        return [plain(v) for v in value] if isinstance(value, list) else {k: plain(v, k) for k, v in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    return redact(value) if isinstance(value, str) else value


def spelled(field: str, value: Any) -> Any:
    """Return milliseconds and bytes as the text that the file would have, anything else as it is."""
    if value is None or not isinstance(value, int):
        return value
    if field.endswith("_ms"):
        return spell_duration(value)
    if field.endswith("_at"):
        return datetime.fromtimestamp(value / 1000, UTC).isoformat().replace("+00:00", "Z")
    return spell_size(value) if field.endswith("_bytes") else value
