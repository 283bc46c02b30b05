"""What handlers count themselves with `prometheus_client`: one file a process, summed, those of the dead folded in.

`prometheus_client` writes to such files in the folder that PROMETHEUS_MULTIPROC_DIR names; its collector sums what it
finds there. A worker that is replaced would leave its files for ever, so they are added to one file for each kind and
removed: counters do not go back, gauges of a process end with it.
"""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

FOLDED = "folded"
"""Stands in a file's name where a process has its pid."""

_FOLDS: dict[str, Callable[[float, float], float]] = {
    "counter": lambda a, b: a + b,
    "histogram": lambda a, b: a + b,
    "summary": lambda a, b: a + b,
    "gauge_sum": lambda a, b: a + b,
    "gauge_max": max,
    "gauge_min": min,
}
"""How two values of one kind become one. A gauge of another kind says something of a process that lives."""

_LATEST = "gauge_mostrecent"

_BROKEN = (RuntimeError, ValueError, struct.error)
"""What reading a file raises that `prometheus_client` did not write, or not to its end."""


class HandlersNumbers:
    """The folder of the files. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Have an empty folder: counters of an earlier start of the daemon begin anew, as its own do."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in self.folder.glob("*.db"):
            file.unlink(missing_ok=True)

    def collect(self) -> list[Metric]:
        """Return what handlers count, the dead folded in first."""
        if not any(self.folder.glob("*.db")):
            return []
        from prometheus_client import multiprocess

        merge: Callable[[list[str]], Iterable[Metric]] = multiprocess.MultiProcessCollector.merge
        with self._lock:
            self._fold()
            files = [str(file) for file in self.folder.glob("*.db") if _is_whole(file)]
            return [metric for metric in merge(files) if not metric.name.startswith("jobd_")]

    def fold(self) -> None:
        """Fold the files of processes that have ended into one for each kind."""
        if any(self._of_the_dead()):
            with self._lock:
                self._fold()

    def _of_the_dead(self) -> Iterator[tuple[str, Path]]:
        """Yield (kind, file) for the files of processes that are no more."""
        for file in self.folder.glob("*.db"):
            kind, _, owner = file.stem.rpartition("_")
            if owner.isdigit() and not Path("/proc", owner).exists():
                yield kind, file

    def _fold(self) -> None:
        for kind, file in list(self._of_the_dead()):
            # Read, removed, then added: a daemon that dies in between loses a number and counts none twice.
            with contextlib.suppress(OSError):
                values = _values(file)
                file.unlink()
                if kind in _FOLDS or kind == _LATEST:
                    self._add(kind, values)

    def _add(self, kind: str, values: list[tuple[str, float, float]]) -> None:
        target = _file_format()(str(self.folder / f"{kind}_{FOLDED}.db"))
        known = {key for key, *_ in target.read_all_values()}
        try:
            for key, value, at in values:
                old, old_at = target.read_value(key)
                if key not in known:
                    target.write_value(key, value, at)
                elif kind != _LATEST:
                    target.write_value(key, _FOLDS[kind](old, value), at)
                elif at > old_at:
                    target.write_value(key, value, at)
        finally:
            target.close()


def _file_format() -> Any:
    """Return what reads and writes such files; the library has no types for it."""
    from prometheus_client.mmap_dict import MmapedDict

    return MmapedDict


def _values(file: Path) -> list[tuple[str, float, float]]:
    """Return [(key, value, when it was set)] of a file; of one that is broken what can be read."""
    found: list[tuple[str, float, float]] = []
    with contextlib.suppress(*_BROKEN):
        found.extend((key, value, at) for key, value, at, _ in _file_format().read_all_values_from_file(str(file)))
    return found


def _is_whole(file: Path) -> bool:
    """Whether a file can be read: a handler may have put anything there, and the others are to be shown."""
    try:
        return all(json.loads(key) for key, *_ in _file_format().read_all_values_from_file(str(file)))
    except (OSError, *_BROKEN):
        return False
