"""Queues that jobd itself writes into the configuration: a drop-in each. What a person wrote is never touched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jobd.config.load import load
from jobd.errors import ConfigError, NotThere, Refused
from jobd.locate.files import drop_in_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.model import Config

MARK = "# Written by `jobd config add-queue`; `jobd config remove-queue` deletes this file.\n"
"""The first line of a file of ours: one without it belongs to a person, whatever its name."""


def add_queue(config_path: str | None, name: str, keys: Mapping[str, Any], redis_url: str | None = None) -> Path:
    """Write a drop-in with one queue, when the configuration holds with it; return its path.

    Raises:
        Refused: the configuration has the queue already; says where.
        ConfigError: something is wrong with the configuration, or would be with this queue; nothing is written.
    """
    import tomli_w

    before = load(config_path, redis_url=redis_url)
    if name in before.queues:
        text = f"{_place(before, name)}: queue `{name}` is there already"
        raise Refused("queue-exists", text, detail={"queue": name, "place": _place(before, name)})
    path = file_of(before, name)
    _write(path, MARK + tomli_w.dumps({"queues": {name: dict(keys)}}))
    try:
        load(config_path, redis_url=redis_url)
    except ConfigError:
        path.unlink()
        raise
    return path


def remove_queue(config_path: str | None, name: str, redis_url: str | None = None) -> Path:
    """Delete the drop-in of a queue that `add_queue` wrote; return its path.

    Raises:
        NotThere: the configuration has no such queue.
        Refused: a person wrote it; says where.
        ConfigError: the configuration does not hold without it; nothing is deleted.
    """
    before = load(config_path, redis_url=redis_url)
    if name not in before.queues:
        raise NotThere("queue", name, known=sorted(before.queues))
    path = file_of(before, name)
    text = _own_text(path)
    if text is None:
        raise _by_hand(before, name)
    path.unlink()
    try:
        after = load(config_path, redis_url=redis_url)
    except ConfigError:
        _write(path, text)
        raise
    if name in after.queues:
        _write(path, text)
        raise _by_hand(after, name)
    return path


def file_of(config: Config, name: str) -> Path:
    """Return the drop-in of a queue that jobd writes."""
    return drop_in_folder(config.path) / f"queue-{quote(name, safe=' ')}.toml"


def _by_hand(config: Config, name: str) -> Refused:
    place = _place(config, name)
    text = f"{place}: queue `{name}` was written by hand: remove it there"
    return Refused("config-by-hand", text, detail={"queue": name, "place": place})


def _place(config: Config, name: str) -> str:
    """Return "file:line" of a queue: where its table, or the first of its keys, was written."""
    paths = [("queues", name), *(path for path in config.origins.known if path[:2] == ("queues", name))]
    place = next((config.origins.place(path) for path in paths if config.origins.written(path)), config.name)
    return ":".join(place.split(":")[:2])


def _own_text(path: Path) -> str | None:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return None
    return text if text.startswith(MARK) else None


def _write(path: Path, text: str) -> None:
    """Write a file so that nobody reads half of it: a daemon may watch the folder."""
    path.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
