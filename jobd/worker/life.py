"""A worker's life: Start, Ready, turns and commands, and an end that leaves every result in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import selectors
import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

from jobd.engine.keys import Keys
from jobd.errors import HandlerError, ProtocolError
from jobd.locate import RedisSource, hand_down
from jobd.protocol import framing
from jobd.protocol import worker as messages
from jobd.protocol.board import BoardWriter
from jobd.worker import forks, internal_errors, standard_files
from jobd.worker.daemon_channel import Channel
from jobd.worker.fetch.loop import FetchLoop
from jobd.worker.handlers.job_policy import JobPolicies
from jobd.worker.run.on_failed_calls import OnFailedCalls
from jobd.worker.run.output import capture
from jobd.worker.run.slots import Slots
from jobd.worker.run.wording import all_stacks, reason_of
from jobd.worker.user_code import UserCode
from jobd.worker.worker_log import log

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Exit(IntEnum):
    """Exit codes of a worker."""

    DONE = 0
    SETUP_FAILED = 1
    CRASHED = os.EX_SOFTWARE
    """A fault in jobd itself."""
    IMPORT_FAILED = os.EX_CONFIG
    """A handler cannot be loaded: starting again would not help."""


def work(sock: socket.socket, board_fd: int) -> NoReturn:
    """Be a worker until it is told to end, or the daemon is gone; the process ends here."""
    code = Exit.CRASHED
    try:
        board = BoardWriter(board_fd)
        os.close(board_fd)
        code = _work(sock, board)
    except BaseException as error:
        forks.report_crash(error)
    finally:
        # Not sys.exit: threads of handlers may never end, and the template's own exit functions are not ours to run.
        _flush()
        os._exit(code)


def _work(sock: socket.socket, board: BoardWriter) -> Exit:
    packet = framing.receive(sock)
    if packet is None:
        return Exit.DONE
    start = messages.expect(packet[0], messages.Start)
    number = _number_of(start.worker)
    forks.set_title(f"jobd: {start.queue} worker {number}", f"{start.queue} {number}")
    os.environ.update(start.env)
    if start.tell_failures:
        log.setLevel(logging.INFO)
    if start.nice:
        os.nice(start.nice)
    redis = DaemonsRedis(start.redis)
    # Before any code of the user's: what it adds belongs to the daemon's Redis.
    hand_down(redis.now())
    try:
        user = UserCode.load(start)
    except HandlerError as error:
        framing.send(sock, messages.encode(messages.StartFailed("import", str(error), error.path)))
        return Exit.IMPORT_FAILED
    worker = Worker(sock, board, start, user, redis)
    if "process" in user.policies.modes:
        _work_on_main_thread(worker)
    return worker.run()


def _work_on_main_thread(worker: Worker) -> NoReturn:
    """Give the main thread to handlers (mode process); the loop has a thread of its own."""
    codes: list[Exit] = []
    ready = threading.Event()

    def loop() -> None:
        try:
            codes.append(worker.run(slots_are_there))
        except BaseException as error:
            forks.report_crash(error)
        finally:
            _flush()
            os._exit(codes[0] if codes else Exit.CRASHED)

    def slots_are_there() -> None:
        # Before anything is taken: the first run must find the main thread, not start another.
        worker.slots.threads.expect_thread()
        ready.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(loop,), name="jobd-loop", daemon=True).start()
    ready.wait()
    worker.slots.threads.serve()
    raise AssertionError("nobody dismisses the main thread")


class DaemonsRedis:
    """What the daemon says about Redis: at the start, when it changes, and when it is asked (locate.Renewal)."""

    def __init__(self, target: messages.RedisTarget) -> None:
        self.ask: Callable[[], None] = lambda: None
        """Ask the daemon for the credentials as they are now; the answer comes by `say`."""
        self.say(target)

    def say(self, target: messages.RedisTarget) -> None:
        """The daemon has said it."""
        self._source = RedisSource(
            target.url, target.username, target.password, target.prefix, origin="the daemon", renewal=self
        )

    def now(self) -> RedisSource:
        """Return what it said last."""
        return self._source

    def refused(self) -> None:
        """Redis refused that."""
        self.ask()


class Worker:
    """One worker: the loop, the slots, the turns, and the daemon's commands."""

    slots: Slots

    def __init__(
        self, sock: socket.socket, board: BoardWriter, start: messages.Start, user: UserCode, redis: DaemonsRedis
    ) -> None:
        self._redis = redis
        self._sock = sock
        self._board = board
        self._start = start
        self._user = user
        self._fetch: FetchLoop
        self._channel: Channel
        self._on_failed_calls: OnFailedCalls
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    def run(self, ready: Callable[[], None] = lambda: None) -> Exit:
        """Work until told to end; `ready` is called when the slots are there."""
        self._loop, self._poller = _new_loop(self._start.loop)
        forks.withhold(self._sock, self._poller)
        asyncio.set_event_loop(self._loop)
        life = self._loop.create_task(self._live(ready))
        while True:
            try:
                return self._loop.run_until_complete(life)
            # A task of a handler's own may raise these through the loop; they end that task, not the worker.
            except (SystemExit, KeyboardInterrupt) as error:
                if life.done():
                    raise
                log.warning("a task raised %s outside of a job", reason_of(error))

    async def _live(self, ready: Callable[[], None]) -> Exit:
        failure = await self._user.set_up()
        if failure is not None:
            framing.send(self._sock, messages.encode(messages.StartFailed("setup", failure, self._start.setup)))
            return Exit.SETUP_FAILED
        standard_files.keep()
        internal_errors.watch(self._loop, _end_by_fault)  # behind `setup`, which may set a handler of its own
        start = self._start
        if start.numbers.log_output_bytes is not None:
            capture()  # behind `setup`, which may set up logging
        keys = Keys(start.redis.prefix, start.queue)
        self._fetch = FetchLoop(
            self._redis.now(), keys, self._board, worker_name=_shown_name(start.name),
            token_prefix=start.token_prefix, report=self._redis_changed,
        )  # fmt: skip
        self._fetch.at_beat = standard_files.mend
        self.slots = Slots(
            self._loop, self._board, queue=start.queue, numbers=start.numbers, policies=self._user.policies,
            wake=self._fetch.wake, worker=_number_of(start.worker),
        )  # fmt: skip
        self._fetch.attach(self.slots)
        ready()
        up = await self._fetch.connect()
        self._channel = Channel(self._loop, self._sock, self._received)
        self._on_failed_calls = OnFailedCalls(self.slots, self._channel.send)
        self._redis.ask = lambda: self._channel.send(messages.AskRedis())
        self._channel.send(messages.Ready(up))
        await self._fetch.run()
        self._quieted()  # nothing can be taken any more, however long `teardown` takes
        self._board.busy(0)
        await self._user.tear_down(_give_up)
        return Exit.DONE

    def _redis_changed(self, up: bool, error: str | None, trouble: str | None) -> None:
        self._channel.send(messages.RedisState(up, error, trouble))

    def _quieted(self) -> None:
        self._channel.send(messages.Quieted())

    # --- commands ----------------------------------------------------------------------------------------------------

    def _received(self, message: messages.Message) -> None:
        match message:
            case messages.Quiet():
                self._fetch.quiet(self._quieted)
            case messages.Resume():
                self.slots.stopping = False
                self._fetch.resume()
            case messages.Settings():
                self._change(message.numbers)
            case messages.UseRedis():
                self._redis.say(message.redis)
                hand_down(self._redis.now())
            case messages.Drain():
                self.slots.stopping = True
                self._fetch.quiet(self._quieted)
                self._ending = self._loop.create_task(self._end_behind_calls())
            case messages.JobEnded():
                self._on_failed_calls.tell(message)
            case messages.Stop():
                self._stop(message.patience_ms)
            case messages.Cancel():
                self.slots.cancel(message)
            case messages.DumpStacks():
                self._channel.send(messages.Stacks(all_stacks(self.slots.running.values())))
            case _:
                raise ProtocolError(f"a worker cannot use {type(message).__name__}")

    def _change(self, numbers: messages.Numbers) -> None:
        try:
            policies = JobPolicies(numbers, self._user.wraps, self._user.on_failed)
        except HandlerError as error:
            # The daemon plans a new worker for a new handler, so this is its mistake; the old handlers go on.
            log.warning("settings refused: %s", error)
            return
        self.slots.use(numbers, policies)
        self._fetch.look_again()

    async def _end_behind_calls(self) -> None:
        """End when `on_failed` has been called for what the daemon told of: what it writes needs the fetch loop."""
        await self._on_failed_calls.over()
        self._fetch.end(self._quieted)

    def _stop(self, patience_ms: int) -> None:
        self.slots.stopping = True
        self._fetch.end()
        self.slots.interrupt_all()
        self._loop.call_later(patience_ms / 1000, _give_up)


def _new_loop(kind: str) -> tuple[asyncio.AbstractEventLoop, forks.Private]:
    """Return a loop and what holds its epoll descriptor, which a handler's own child must not share."""
    if kind == "uvloop":
        import uvloop

        loop = uvloop.new_event_loop()
        return loop, _Poller(loop)
    selector = selectors.DefaultSelector()
    return asyncio.SelectorEventLoop(selector), selector


class _Poller:
    """The epoll descriptor of a uvloop. It has no public name, and is another one in each child."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    def fileno(self) -> int:
        """Return the descriptor, -1 when this uvloop does not tell it."""
        return int(getattr(self._loop, "_get_backend_id", lambda: -1)())


def _end_by_fault(error: BaseException) -> None:
    forks.report_crash(error)
    _flush()
    os._exit(Exit.CRASHED)


def _give_up() -> None:
    # What still runs is handed back by the daemon once this process is gone.
    _flush()
    os._exit(Exit.DONE)


def _number_of(name: str) -> int:
    """Return the number of a worker, from 0: its name is `<pool>.<place from 1>.<serial>`, and a place is kept."""
    parts = name.split(".")
    return max(0, int(parts[1]) - 1) if len(parts) == 3 and parts[1].isdecimal() else 0


def _shown_name(name: str) -> str:
    # Redis takes printable ASCII without spaces as a client's name.
    safe = "".join(sign if "!" <= sign <= "~" else "_" for sign in name)
    return f"{safe}:{os.getpid()}"


def _flush() -> None:
    """Write out what the application's logging and its streams hold back; nothing of theirs may change the exit."""
    with contextlib.suppress(BaseException):
        logging.shutdown()
    forks.flush_streams()
