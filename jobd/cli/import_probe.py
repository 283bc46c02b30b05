"""Import modules in a process that is thrown away first: one that ends its process must not end the command."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

from jobd.cli.output import warn
from jobd.daemon.processes.exit_status import describe
from jobd.errors import HandlerError
from jobd.worker import forks

if TYPE_CHECKING:
    from collections.abc import Iterable

_DONE = b"."


def survive_imports(paths: Iterable[str]) -> None:
    """Return when the modules of these "module:attribute" leave their process alive; what they raise is no matter here.

    `os._exit`, a signal or a crash in C gives nobody in the same process the chance to say which module it was.

    Raises:
        HandlerError: one of them ended the process; what that printed is on stderr by then.
    """
    by_module: dict[str, str] = {}
    for path in paths:
        by_module.setdefault(path.partition(":")[0], path)
    new = [module for module in by_module if module and module not in sys.modules]
    if not new:
        return
    with tempfile.TemporaryFile() as printed:
        told, tell = os.pipe()
        parent = os.getpid()
        pid = forks.fork()
        if pid == 0:
            _import(new, parent, tell, printed.fileno())
        os.close(tell)
        _, status = os.waitpid(pid, 0)
        # After its end, and without waiting: a program that a module started may hold the other end for long.
        os.set_blocking(told, False)
        try:
            steps = os.read(told, len(new) + 1)
        finally:
            os.close(told)
        if len(steps) > len(new):
            return
        printed.seek(0)
        output = printed.read().decode(errors="replace").rstrip()
    if output:
        warn(output)
    module = new[max(0, len(steps) - 1)]
    path = by_module[module]
    raise HandlerError(path, "import", f'cannot import "{path}": {module} ended its process: {describe(status)}')


def _import(modules: list[str], parent: int, tell: int, output: int) -> NoReturn:
    """Import one after the other, with a byte into the pipe before each and one at the end."""
    try:
        forks.die_with(parent)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        faulthandler.enable(file=2)
        for module in modules:
            os.write(tell, _DONE)
            # Told by the import that counts, in the command's own process.
            with contextlib.suppress(BaseException):
                importlib.import_module(module)
        os.write(tell, _DONE)
    finally:
        os._exit(0)
