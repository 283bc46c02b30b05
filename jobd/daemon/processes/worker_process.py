"""Make a worker's process: its socket, board, output pipe and pidfd, and carry its events to the state machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from jobd.daemon.background import Background
from jobd.daemon.logs import event_log
from jobd.daemon.processes.channel import Channel
from jobd.daemon.processes.exit_status import LAST_LINES, UNKNOWN_STATUS
from jobd.daemon.processes.pipes import pipes
from jobd.daemon.processes.printed_output import Output
from jobd.errors import Refused
from jobd.protocol import board, framing
from jobd.protocol.worker import (
    STACKS_SIGNAL,
    AskRedis,
    DumpStacks,
    EndedHeard,
    Quieted,
    Ready,
    RedisState,
    Stacks,
    StartFailed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobd.daemon.processes.orphans import Orphans
    from jobd.daemon.processes.template_process import Template
    from jobd.daemon.processes.worker_state import Worker
    from jobd.protocol.worker import Message, RedisTarget, Start

log = event_log(__name__)

_STACKS_LIMIT_S = 2.0
"""How long a worker may take to tell its stacks, by its loop and then by its signal handler."""

_HEARD_S = 0.1

START_LIMIT_S = 60.0
"""How long a worker may take from its fork to ready; a `setup` that loads a model needs some of it."""


class WorkerProcess:
    """The process behind a Worker: the Link its orders go through. Lives until its exit status is known."""

    def __init__(
        self,
        worker: Worker,
        template: Template,
        start: Callable[[], Start],
        record: Callable[[], Awaitable[None]],
        redis_now: Callable[[], RedisTarget],
        *,
        orphans: Orphans,
    ) -> None:
        """Prepare; `record` writes the pid down before the worker may take its first job, `start` says what to do.

        `redis_now` returns Redis with the credentials as they are now, for a worker whose own were refused.
        """
        self._redis_now = redis_now
        self._orphans = orphans
        self.worker = worker
        self.template = template
        self.output: Output | None = None
        self.last_output: list[str] = []
        self._start = start
        self._record = record
        self._channel: Channel | None = None
        self._pidfd = -1
        self._limit: asyncio.TimerHandle | None = None
        self._background = Background()
        self._stacks_asked: list[asyncio.Future[str]] = []
        self._overheard: list[str] | None = None
        """Lines it prints while somebody waits for the stacks it prints."""
        self._read_at = 0.0
        self._read_together = False
        self._printing: str | None = None

    async def spawn(self) -> None:
        """Fork it and send it its start message.

        Raises:
            TemplateError, OSError: there is no process.
        """
        with pipes() as made:
            board_fd = board.create()
            try:
                reader = board.BoardReader(board_fd)
                pid, self._pidfd = await self.template.fork(
                    self.worker.name, (made.their_sock.fileno(), board_fd, made.their_output)
                )
            finally:
                os.close(board_fd)
        self.output = Output(made.output, self._printed, self._dropped)
        self._channel = Channel(made.sock, self._received, self._channel_ended)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pidfd, self._ended)
        self.worker.spawned(pid, self, reader)
        # The next start of the daemon finds this pid; without it a survivor would be unknown (state_dir.py).
        await self._record()
        self.send(self._start())
        self._limit = loop.call_later(START_LIMIT_S, self.worker.start_timed_out, START_LIMIT_S)

    def send(self, message: Message) -> None:
        """Send a message; lost when the process is gone."""
        if self._channel is not None:
            self._channel.send(message)

    def print_stacks(self) -> None:
        """Have it print its threads' stacks: faulthandler does it inside the signal, whoever holds the GIL."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, STACKS_SIGNAL)

    async def stacks(self) -> str:
        """Return the stacks of its threads and tasks; of the threads alone when its loop does not answer.

        Raises:
            Refused: it says neither.
        """
        if self.worker.loop_stands_since is None:
            asked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._stacks_asked.append(asked)
            try:
                self.send(DumpStacks())
                async with asyncio.timeout(_STACKS_LIMIT_S):
                    return await asked
            except TimeoutError:
                pass  # a handler holds its loop
            finally:
                self._stacks_asked.remove(asked)
        return await self._printed_stacks()

    async def _printed_stacks(self) -> str:
        """Have the signal handler print them, and listen until nothing more comes."""
        heard: list[str] = []
        self._overheard = heard
        self.print_stacks()
        for _ in range(round(_STACKS_LIMIT_S / _HEARD_S)):
            before = len(heard)
            await asyncio.sleep(_HEARD_S)
            if heard and len(heard) == before:
                break
        self._overheard = None
        if not heard:
            raise Refused("no-answer", f"worker {self.worker.pid} does not answer")
        return "\n".join(heard) + "\n"

    def kill(self) -> None:
        """SIGKILL its whole process group: what its handlers started goes with it. Harmless when it is gone."""
        if self._pidfd < 0:
            return
        # The worker leads a session of its own (setsid in the template's child). Its pid is not free for reuse before
        # we have its exit status, so the group is the right one; before setsid there is no such group.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.worker.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    # --- what it says ------------------------------------------------------------------------------------------------

    def _received(self, message: Message, fds: list[int]) -> None:
        framing.close_all(fds)
        worker = self.worker
        match message:
            case Ready():
                self._clear_limit()
                worker.ready(redis_up=message.redis_up)
            case StartFailed():
                self._clear_limit()
                worker.start_failed(message.stage, message.reason)
            case RedisState():
                if message.up is not worker.redis_up:
                    log.warning(
                        "worker has Redis again" if message.up else "worker lost Redis",
                        queue=worker.queue, pid=worker.pid, trouble=message.trouble, error=message.error,
                    )  # fmt: skip
                worker.redis_state(up=message.up, trouble=message.trouble)
            case AskRedis():
                worker.use_redis(self._redis_now())
            case Stacks():
                self._stacks_came(message.text)
            case EndedHeard():
                worker.heard_of(message)
            case Quieted():
                log.debug("worker is quiet", queue=worker.queue, pid=worker.pid)
                worker.quieted()
            case _:
                log.error("unexpected message from a worker", pid=worker.pid, message=type(message).__name__)

    def _stacks_came(self, text: str) -> None:
        for asked in self._stacks_asked:
            if not asked.done():
                asked.set_result(text)
        if not self._stacks_asked:
            for line in text.splitlines():
                log.info("stack", queue=self.worker.queue, pid=self.worker.pid, line=line)

    def _printed(self, line: str) -> None:
        if self._overheard is not None:
            self._overheard.append(line)
        worker = self.worker
        if not self._read_together:
            # What is read in one go was written since the last time: one look at the board for all of it.
            self._read_together = True
            self._printing = self._only_job()
            asyncio.get_running_loop().call_soon(self._read_on)
        log.info("output", queue=worker.queue, worker=worker.number, pid=worker.pid, job=self._printing, line=line)

    def _read_on(self) -> None:
        self._read_together, self._read_at = False, time.monotonic()

    def _dropped(self, count: int) -> None:
        log.warning("output dropped", queue=self.worker.queue, pid=self.worker.pid, lines=count)

    def _only_job(self) -> str | None:
        """The job that printed it, when only one runs, or ran since the last line and is through already."""
        reader = self.worker.board
        if reader is None or reader.busy > 1:
            return None
        if reader.busy == 0:
            last = reader.latest(self.worker.slot_limit)
            return None if last is None or last.started_at < self._read_at else last.job_id
        views = reader.slots(self.worker.slot_limit)
        return views[0].job_id if len(views) == 1 else None

    def _channel_ended(self, why: str) -> None:
        # A worker that cannot be talked to can be neither drained nor quieted. Usually its exit is what ended it.
        log.debug("worker's socket ended", queue=self.worker.queue, pid=self.worker.pid, why=why)

    # --- its end -----------------------------------------------------------------------------------------------------

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._clear_limit()
        self._kill_leftovers()
        # Without the status it has ended all the same: its place is not to wait for ever.
        self._background.start(
            self._collect(), "collect a worker's exit", died=lambda _: self._tell_end(UNKNOWN_STATUS)
        )

    async def _collect(self) -> None:
        self._tell_end(await self.template.wait_status(self.worker.pid, self._pidfd))

    def _tell_end(self, status: int) -> None:
        # Death by the parent's end (PDEATHSIG) comes after the template's exit, so a dead template explains it.
        template_died = not self.template.alive
        try:
            self._close()
        finally:
            self.worker.exited(status, template_died=template_died)

    def _close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._channel is not None:
            self._channel.close()
        if self.output is not None:
            self.output.close()
            self.last_output = self.output.last_lines(LAST_LINES)
        self.template.forget(self.worker.pid)

    def _kill_leftovers(self) -> None:
        """SIGKILL what the ended worker's handlers left: it would work on a job that runs elsewhere by now."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.worker.pid, signal.SIGKILL)
        self._orphans.worker_gone(self.worker.pid)

    def _clear_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
