"""The process that imports the handlers once and forks workers from that: `python -m jobd.worker.template FD`.

It has no thread, no event loop and no connection, so that a fork of it is sound. It reaps its workers; when it dies,
they die with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import socket
import sys
from importlib import import_module, metadata
from typing import NoReturn

import jobd
from jobd.engine.scripts import script
from jobd.errors import ProtocolError
from jobd.locate import RedisSource, hand_down
from jobd.protocol import framing
from jobd.protocol import worker as messages
from jobd.protocol.board import LAYOUT
from jobd.worker import forks
from jobd.worker.handlers.loading import load_all
from jobd.worker.life import work

_FIRST = (
    "concurrent.futures.thread", "difflib", "pkgutil", "secrets", "jobd.client.async_queue",
    "jobd.client.async_watcher", "jobd.client.queue", "jobd.client.watcher", "jobd.engine.outcome",
    "jobd.engine.reading",
)  # fmt: skip
"""What jobd needs, if at all, only after the application's code is there. A file of the application that is named like
a module of the standard library or of jobd's must not take its place, so everything is there before `path` is."""


class Template:
    """The loop of a template: forks on request, reports who exited."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._children: dict[int, str] = {}
        self._unsafe: str | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Load, then serve until the daemon is gone."""
        packet = framing.receive(self._sock)
        if packet is None:
            return
        load = messages.expect(packet[0], messages.Load)
        hand_down(RedisSource(load.redis.url, prefix=load.redis.prefix, origin="the daemon"), to_programs=False)
        _warm_up()
        loaded = load_all(load)
        self._unsafe = loaded.unsafe
        self._send(messages.Loaded(
            jobd.__version__, LAYOUT, os.getpid(), loaded.reports, loaded.unsafe, loaded.notices, loaded.files,
            messages.shapes(),
        ))  # fmt: skip
        # What is there now is never freed: out of the collector's sight, its pages stay shared with every worker.
        gc.collect()
        gc.disable()
        gc.freeze()
        self._serve()

    def _serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_read in ready:
                os.read(self._wake_read, 4096)
                self._reap()
            if self._sock.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        """Carry out one request; False when the daemon is gone."""
        packet = framing.receive(self._sock)
        if packet is None:
            return False
        body, fds = packet
        request = messages.expect(body, messages.Fork)
        try:
            self._fork(request.worker, fds)
        finally:
            framing.close_all(fds)
        return True

    def _fork(self, worker: str, fds: list[int]) -> None:
        if len(fds) != 3:
            raise ProtocolError(f"Fork needs 3 descriptors, got {len(fds)}")
        if self._unsafe is not None:
            self._send(messages.ForkFailed(worker, f"not safe to fork: {self._unsafe}"))
            return
        parent = os.getpid()
        try:
            pid = forks.fork()
        except OSError as error:
            self._send(messages.ForkFailed(worker, str(error)))
            return
        if pid == 0:
            self._become(parent, fds)
        # At once, while the child cannot have been reaped: its pid cannot mean another process yet.
        pidfd = os.pidfd_open(pid)
        try:
            self._children[pid] = worker
            self._send(messages.Forked(worker, pid), pidfd)
        finally:
            os.close(pidfd)

    def _become(self, parent: int, fds: list[int]) -> NoReturn:
        try:
            sock_fd, board_fd, output = fds
            self._sock.close()
            os.close(self._wake_read)
            forks.settle_in(parent, output)
            os.close(self._wake_write)
            work(socket.socket(fileno=sock_fd), board_fd)
        except BaseException as error:
            forks.report_crash(error)
        finally:
            os._exit(os.EX_OSERR)

    def _reap(self) -> None:
        """Reap whoever has ended, each child once: a look at all of hundreds of workers at every signal adds up.

        A child that is no worker was left by an import; nobody waits for it here.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            worker = self._children.pop(pid, None)
            if worker is not None:
                self._send(messages.Exited(worker, pid, status))

    def _send(self, message: messages.Message, *fds: int) -> None:
        framing.send(self._sock, messages.encode(message), fds)


def _warm_up() -> None:
    """Do once what every worker would do after its fork, so that forks are ready at once; nothing stays open."""
    for name in _FIRST:
        import_module(name)
    with contextlib.suppress(ImportError):
        import_module("setproctitle")  # optional: `ps` shows queues then, see forks.set_title
    for name in ("turn", "annotate", "adopt_jobs", "renew_locks"):
        script(name)
    messages.warm_up()
    # redis-py asks for its own version at its first connection; since Python 3.14 the parser is loaded only then.
    with contextlib.suppress(metadata.PackageNotFoundError):
        metadata.version("redis")
    # Loads the codec with its tables; the first connection by host name would.
    "localhost".encode("idna")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def main(arguments: list[str]) -> None:
    """Be a template; ends when the daemon does."""
    forks.die_with(os.getppid())
    forks.catch_signals()
    sock = socket.socket(fileno=int(arguments[0]))
    try:
        Template(sock).run()
    except (BrokenPipeError, ConnectionResetError):
        return  # The daemon is gone, as at end of file.


if __name__ == "__main__":
    main(sys.argv[1:])
