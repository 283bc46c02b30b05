"""Import everything a Load names, and tell what came of it: handlers, what forbids a fork, which files were read."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.errors import HandlerError
from jobd.protocol.worker import HandlerReport, HandlerUse, Load
from jobd.worker.handlers.lookup import load_callable, load_handler

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Imports:
    """What importing gave; the fields of protocol.worker.Loaded."""

    reports: list[HandlerReport]
    unsafe: str | None
    notices: list[str]
    files: dict[str, int]


def load_all(load: Load) -> Imports:
    """Set up path and environment, then import handlers and extras in order; nothing here raises for user code."""
    os.environ.update(load.env)
    sys.path[:0] = load.path
    watch = _Watch()
    reports = []
    for use in load.handlers:
        reports.append(_report(use, load.path, _mode_of))
        watch.look(use.path)
    for path in load.extras:
        reports.append(_report(HandlerUse(path), load.path, _object_of))
        watch.look(path)
    return Imports(reports, watch.unsafe, watch.notices(), _files(load.path))


def _mode_of(use: HandlerUse, searched: list[str]) -> HandlerReport:
    mode = load_handler(use.path, use.mode, searched=searched, batch=use.batch).mode
    return HandlerReport(use.path, ok=True, mode=mode, wanted=use.mode, batch=use.batch)


def _object_of(use: HandlerUse, searched: list[str]) -> HandlerReport:
    load_callable(use.path, searched=searched)
    return HandlerReport(use.path, ok=True)


def _report(
    use: HandlerUse, searched: list[str], read: Callable[[HandlerUse, list[str]], HandlerReport]
) -> HandlerReport:
    try:
        return read(use, searched)
    except HandlerError as error:
        detail = error.detail
        return HandlerReport(
            use.path, ok=False, wanted=use.mode, batch=use.batch, kind=error.kind, message=str(error),
            suggestion=detail.get("suggestion"), searched=searched, traceback=detail.get("traceback"),
        )  # fmt: skip


class _Watch:
    """Sees which import started a thread or opened a socket: neither survives a fork."""

    def __init__(self) -> None:
        self._sockets = _open_sockets()
        self.unsafe: str | None = None

    def look(self, path: str) -> None:
        """Look after importing `path`; the first finding stays."""
        if self.unsafe is not None:
            return
        module = path.partition(":")[0]
        threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
        if threads:
            self.unsafe = f"importing {module} started the thread {_thread_name(threads[0])}"
        elif _open_sockets() - self._sockets:
            self.unsafe = f"importing {module} opened a connection"

    def notices(self) -> list[str]:
        """Return what does not forbid a fork but is worth knowing."""
        native = len(list(Path("/proc/self/task").iterdir())) - threading.active_count()
        if native <= 0:
            return []
        return [f"{native} native threads run after the imports (a BLAS library starts such); workers do not have them"]


def _thread_name(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None)
    home = getattr(target, "__module__", None) or type(thread).__module__
    return f"{thread.name} of {home}"


def _open_sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue  # The descriptor of this listing itself.
        if target.startswith("socket:"):
            found.add(target)
    return found


def _files(folders: list[str]) -> dict[str, int]:
    """Return the files of imported modules under `folders` and when each was last changed (ns since 1970)."""
    roots = tuple(f"{Path(folder).resolve()}{os.sep}" for folder in folders)
    found = {}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str):
            continue
        path = Path(name).resolve()
        if str(path).startswith(roots) and path.is_file():
            # By the name it was imported by: a symlink on the way may lead elsewhere by the time of the next look.
            found[os.path.abspath(name)] = path.stat().st_mtime_ns  # noqa: PTH100 - `resolve` would follow it
    return found
