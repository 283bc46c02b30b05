"""A module that is imported when something of it is asked for: most programs only add jobs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands in for the module of that name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
