"""Template processes: exec'ed by the daemon, they import the handlers and fork the workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from jobd import __version__
from jobd.daemon.logs import event_log
from jobd.daemon.processes.channel import Channel
from jobd.daemon.processes.exit_status import UNKNOWN_STATUS, describe, status_of_zombie, wait_status_of
from jobd.daemon.processes.kernel import OPEN_FILES
from jobd.daemon.processes.pipes import pipes
from jobd.daemon.processes.printed_output import Output
from jobd.errors import JobdError
from jobd.locate.files import FolderGone, current_folder
from jobd.protocol import board, framing
from jobd.protocol.worker import Exited, Fork, Forked, ForkFailed, Load, Loaded, shapes
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobd.daemon.processes.worker_spec import TemplateKey
    from jobd.protocol.worker import Message

log = event_log(__name__)

LOAD_LIMIT_S = 120.0
"""How long the imports of a template may take: large libraries need a minute on a slow disk."""

_KILL_LIMIT_S = 10.0
"""Until a killed template is gone; longer only while the kernel holds it, and then it is left to it."""

_MUTE_LIMIT_S = 1.0
"""How long a template whose socket has ended may live on."""

_STATUS_LIMIT_S = 0.5
"""How long a template may say nothing while a status is awaited: then it may be stopped, and /proc is asked instead."""

_STATUS_LAST_S = 30.0
"""When /proc shows nothing, the template has reaped the worker and its word must come; hundreds may end at once."""

_FORKS_AT_ONCE = 8
"""It forks one after the other; each that waits for its turn holds a dozen open files here."""

_FORK_LIMIT_S = 5.0
"""How long a template that was asked to fork may say nothing: then it is stopped or blocked, and another one forks."""


class TemplateError(JobdError):
    """A template could not be started, or died before it had loaded; `output` is what it printed last."""

    code = "template-failed"

    def __init__(self, message: str, output: list[str]) -> None:
        super().__init__(message)
        self.output = output


try:
    _STARTED_IN: Path | None = current_folder()
except FolderGone:
    _STARTED_IN = None


def _start_folder() -> Path | None:
    """Return the folder the daemon was started in, by the name the shell gave: `current` of a deploy leads elsewhere
    after a flip. None (its own working folder) when that name leads nowhere now.
    """
    return _STARTED_IN if _STARTED_IN is not None and os.access(_STARTED_IN, os.X_OK) else None


class TemplateDied(TemplateError):
    """The template ended while it was needed; another one may live."""


class Template:
    """One template process. `workers` are the pids forked from it that have not ended."""

    def __init__(self, key: TemplateKey, load: Load, environment: Mapping[str, str]) -> None:
        self.key = key
        self.load = load
        self.loaded: Loaded | None = None
        self.workers: set[int] = set()
        self.retired = False
        self.stuck = False
        """It does not answer: its workers live on, it forks nothing more."""
        self.forking = asyncio.Semaphore(_FORKS_AT_ONCE)
        """To be held while it is asked to fork."""
        self._spoke_at = 0.0
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._output: Output | None = None
        self._pidfd = -1
        self._loading: asyncio.Future[Loaded] | None = None
        self._forks: dict[str, asyncio.Future[tuple[int, int]]] = {}
        self._statuses: dict[int, asyncio.Future[int | None]] = {}
        self._gone = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its pid; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def usable(self) -> bool:
        """Whether it can be asked to fork."""
        return self.alive and not self.stuck

    async def start(self) -> Loaded:
        """Start it and return what its imports gave; on failure it is gone again.

        Raises:
            TemplateError: it cannot be started, died, was too slow, or is of another version of jobd.
        """
        self._loading = asyncio.get_running_loop().create_future()
        try:
            self._spawn().send(self.load)
            async with asyncio.timeout(LOAD_LIMIT_S):
                self.loaded = await self._loading
            self._check_version(self.loaded)
        except TimeoutError:
            await self.stop()
            raise self._error(f"its imports took longer than {LOAD_LIMIT_S:.0f}s") from None
        except OSError as error:
            await self.stop()
            raise self._error(f"cannot start {self.key.python}: {error.strerror or error}") from error
        except BaseException:
            await self.stop()
            raise
        return self.loaded

    async def fork(self, worker: str, fds: tuple[int, int, int]) -> tuple[int, int]:
        """Fork a worker; return its pid and pidfd (now the caller's). `fds` stay the caller's.

        Raises:
            TemplateError: the template is gone, or the fork failed.
        """
        if self._channel is None or not self.usable:
            raise self._died_error("it is gone")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, int]] = loop.create_future()
        self._forks[worker] = future
        self._channel.send(Fork(worker), fds)
        asked_at = loop.time()
        try:
            while not future.done():
                # Counted from its last word: it may have others to fork first.
                rest = max(asked_at, self._spoke_at) + _FORK_LIMIT_S - loop.time()
                if rest <= 0:
                    self.stuck = True
                    log.error("template does not answer, another one takes over", pid=self.pid)
                    raise self._died_error("it did not answer")
                await asyncio.wait([future], timeout=rest)
            return future.result()
        finally:
            self._forks.pop(worker, None)
            self._end_if_idle()

    async def wait_status(self, pid: int, pidfd: int) -> int:
        """Return the wait status of a worker that has ended; UNKNOWN_STATUS when nobody can tell."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        future = self._status_of(pid)
        limit = _STATUS_LIMIT_S
        while not future.done() and not self._gone.is_set():
            rest = max(asked_at, self._spoke_at) + limit - loop.time()
            if rest <= 0:
                status = status_of_zombie(pid)
                if status != UNKNOWN_STATUS or limit > _STATUS_LAST_S:
                    return status
                limit += _STATUS_LIMIT_S
            else:
                await asyncio.wait([future], timeout=rest)
        if future.done() and future.result() is not None:
            return future.result() or 0
        # The template is gone and its children are ours now.
        return _reap(pidfd)

    def forget(self, pid: int) -> None:
        """A worker of it has ended and its status was read; a retired template without workers ends."""
        self.workers.discard(pid)
        self._statuses.pop(pid, None)
        self._end_if_idle()

    def retire(self) -> None:
        """Fork nothing more; end when the last worker has ended."""
        self.retired = True
        self._end_if_idle()

    async def stop(self) -> None:
        """End it and wait until it is gone; its workers die with it. Harmless when it never ran or is gone."""
        self.retired = True
        if self._process is None or self._pidfd < 0:
            return
        self._process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_LIMIT_S):
                await self._gone.wait()

    # --- what happens to it ------------------------------------------------------------------------------------------

    def _spawn(self) -> Channel:
        loop = asyncio.get_running_loop()
        with pipes() as made:
            their_fd, output = made.their_sock.fileno(), made.their_output
            self._process = subprocess.Popen(
                [self.key.python, "-P", "-m", "jobd.worker.template", str(their_fd)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(their_fd,),
                env=self._environment, cwd=self.key.working_dir or _start_folder(), start_new_session=True,
            )  # fmt: skip
        OPEN_FILES.give_back(self._process.pid)
        self._output = Output(made.output, self._printed, lambda count: log.warning("output dropped", lines=count))
        self._channel = Channel(made.sock, self._received, self._channel_ended)
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._died)
        return self._channel

    def _printed(self, line: str) -> None:
        log.info("template says", pid=self.pid, line=line)

    def _received(self, message: Message, fds: list[int]) -> None:
        self._spoke_at = asyncio.get_running_loop().time()
        match message:
            case Loaded() if self._loading is not None and not self._loading.done():
                self._loading.set_result(message)
            case Forked() if len(fds) == 1:
                self._forked(message, fds.pop())
            case ForkFailed():
                future = self._forks.get(message.worker)
                if future is not None and not future.done():
                    future.set_exception(self._error(f"cannot fork: {message.error}"))
            case Exited() if message.pid not in self.workers and message.pid not in self._statuses:
                pass  # it was killed while it was being forked, and nobody waits for it
            case Exited():
                future_status = self._status_of(message.pid)
                if not future_status.done():
                    future_status.set_result(message.status)
            case _:
                log.error("unexpected message from a template", pid=self.pid, message=type(message).__name__)
        framing.close_all(fds)

    def _forked(self, message: Forked, pidfd: int) -> None:
        future = self._forks.get(message.worker)
        if future is None or future.done():
            os.close(pidfd)
            return
        self.workers.add(message.pid)
        future.set_result((message.pid, pidfd))

    def _status_of(self, pid: int) -> asyncio.Future[int | None]:
        return self._statuses.setdefault(pid, asyncio.get_running_loop().create_future())

    def _channel_ended(self, why: str) -> None:
        # Usually its death, which the pidfd is about to show. One that lives on cannot be talked to and is of no use;
        # its workers go with it and are replaced.
        asyncio.get_running_loop().call_later(_MUTE_LIMIT_S, self._kill_mute, why)

    def _kill_mute(self, why: str) -> None:
        if self._process is not None and self._pidfd >= 0:
            log.error("template sent an invalid message, killed", pid=self.pid, why=why)
            self._process.kill()

    def _died(self) -> None:
        code = self._process.poll() if self._process is not None else None
        status = -code if code is not None and code < 0 else (code or 0) << 8
        expected = self.retired
        self._cleanup(describe(status))
        if not expected and self.loaded is not None:
            log.error("template died", pid=self.pid, exit=describe(status), workers=len(self.workers))

    def _cleanup(self, why: str) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._channel is not None:
            self._channel.read_rest()  # statuses that it told before it died
            self._channel.close()
        self._gone.set()
        for status in self._statuses.values():
            if not status.done():
                status.set_result(None)
        if self._output is not None:
            self._output.close()
        modules = list(dict.fromkeys(use.path.partition(":")[0] for use in self.load.handlers))
        for future in [self._loading, *self._forks.values()]:
            if future is not None and not future.done():
                # Which of the modules it was cannot be known, unless there is one: a crash or os._exit tells nothing.
                doing = f"it imported {', '.join(modules)}" if future is self._loading and modules else "it was needed"
                said = f'; it printed "{printable(printed[-1][:200])}"' if (printed := self._last_lines()) else ""
                future.set_exception(self._died_error(f"it ended while {doing}: {why}{said}"))
                future.exception()  # nobody may be waiting any more

    def _check_version(self, loaded: Loaded) -> None:
        if (loaded.version, loaded.layout) == (__version__, board.LAYOUT) and loaded.shapes == shapes():
            return
        other = f"version {loaded.version}" if loaded.version != __version__ else f"another build of {__version__}"
        if self.key.python == sys.executable:
            raise self._error(f"jobd was replaced by {other} while the daemon, {__version__}, runs; restart it")
        raise self._error(
            f"jobd of {self.key.python} is {other}, the daemon's is {__version__}; "
            "install the same version there, then restart the daemon"
        )

    def _error(self, why: str) -> TemplateError:
        return TemplateError(f"template process: {why}", self._last_lines())

    def _died_error(self, why: str) -> TemplateDied:
        return TemplateDied(f"template process: {why}", self._last_lines())

    def _last_lines(self) -> list[str]:
        return self._output.last_lines(10) if self._output else []

    def _end_if_idle(self) -> None:
        if self.retired and not self.workers and not self._forks and self._channel is not None:
            self._channel.close()  # end of file: it exits by itself
            if self.stuck and self._process is not None and self._pidfd >= 0:
                self._process.kill()


def _reap(pidfd: int) -> int:
    """Return the status of an ended child of ours; UNKNOWN_STATUS when its parent had reaped it and could not tell."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return UNKNOWN_STATUS
    return wait_status_of(result) if result is not None else UNKNOWN_STATUS
