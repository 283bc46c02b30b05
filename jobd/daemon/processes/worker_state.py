"""One worker's process as a state machine: each method is an event or an order, and looks at the state first.

It decides; what it decides is carried out through its `Link` (messages, signals) and told to its `Owner` (the pool).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from jobd.daemon.processes.exit_status import Ending
from jobd.engine.trouble import Trouble
from jobd.protocol.worker import Cancel, Drain, DumpStacks, Quiet, Resume, Settings, Stop, UseRedis

if TYPE_CHECKING:
    from jobd.clock import Clock
    from jobd.protocol.board import BoardReader, SlotView
    from jobd.protocol.worker import EndedHeard, JobEnded, Message, Numbers, RedisTarget


STOP_PATIENCE_MS = 500
"""What coroutines have for their cleanup after a stop's cancel."""

STOP_LIMIT_S = STOP_PATIENCE_MS / 1000 + 0.3
"""After a stop a worker that has not ended by then is killed."""


class WorkerState(StrEnum):
    """Where a worker is in its life."""

    FORKING = "forking"
    """Its template was asked; there is no process yet."""
    STARTING = "starting"
    """It loads handlers, connects and runs `setup`."""
    HELD = "held"
    """Ready, and told to take nothing: the trial of a reload."""
    READY = "ready"
    QUIET = "quiet"
    DRAINING = "draining"
    STOPPING = "stopping"
    KILLED = "killed"
    """SIGKILL is sent, the exit not seen yet."""
    GONE = "gone"


_LIVES = frozenset({WorkerState.HELD, WorkerState.READY, WorkerState.QUIET, WorkerState.DRAINING, WorkerState.STOPPING})


class Link(Protocol):
    """The way to a worker's process."""

    def send(self, message: Message) -> None:
        """Send a message; lost when the process is gone."""
        ...

    def print_stacks(self) -> None:
        """Have it print the stacks of its threads, whatever its loop does."""
        ...

    def kill(self) -> None:
        """SIGKILL its whole process group; harmless when it is gone."""
        ...


class Owner(Protocol):
    """Who is told what became of a worker."""

    def worker_ready(self, worker: Worker) -> None:
        """It is ready (held, quiet or taking)."""
        ...

    def worker_start_failed(self, worker: Worker, stage: str, reason: str) -> None:
        """It cannot work; its exit follows."""
        ...

    def worker_quieted(self, worker: Worker) -> None:
        """It starts no job any more, until it is told to."""
        ...

    def worker_gone(self, worker: Worker) -> None:
        """Its process has ended, or never came to be; `ending` and `status` say how."""
        ...


class Worker:
    """One process of one queue. `name` is its part of the token."""

    def __init__(self, name: str, queue: str, generation: int, owner: Owner, clock: Clock, *, hold: bool) -> None:
        self.name = name
        self.queue = queue
        self.generation = generation
        self.state = WorkerState.FORKING
        self.ending = Ending.CRASHED
        self.status = 0
        self.cause: str | None = None
        """What the daemon knows about the death beyond its wait status."""
        self.pid = 0
        self.board: BoardReader | None = None
        self.link: Link | None = None
        self.overdue: list[SlotView] = []
        """The jobs it was killed for, when it was killed for time."""
        self.slot_limit = 1
        """Slots beyond this were never used: a reader of the board need not look there."""
        self.loop = "asyncio"
        """The event loop it was started on."""
        self.redis_up = True
        self.redis_trouble: str | None = None
        """What it says is wrong with Redis, a word of engine.trouble.Trouble."""
        self.loop_stands_since: float | None = None
        """Since when its event loop has not turned; None while it turns."""
        self.replaced_for: str | None = None
        """Why a worker that is asked to go is replaced: "recycle" or "reload"; None when it is not."""
        self.heard: set[EndedHeard] = set()
        """For which jobs of the daemon's it has called `on_failed`."""
        self.owner = owner
        self.starts_nothing = False
        """Whether it has said that no take is in flight and none will be."""
        self.started_at = clock.monotonic()
        self.ready_at: float | None = None
        self._clock = clock
        self._hold = hold
        self._quiet = False
        self._has_start = False
        """Whether its start message has gone: before it the process understands nothing else."""

    @property
    def number(self) -> int:
        """Which of its queue's workers it is, from 0; its replacement has the same."""
        return int(self.name.split(".")[1]) - 1

    # --- events ------------------------------------------------------------------------------------------------------

    def spawned(self, pid: int, link: Link, board: BoardReader) -> None:
        """The template has forked it."""
        self.pid, self.link, self.board = pid, link, board
        if self.state is WorkerState.FORKING:
            self.state = WorkerState.STARTING
        else:  # no longer wanted; it got no Start yet and holds nothing
            link.kill()

    def fork_failed(self, reason: str) -> None:
        """There will be no process, or it could not be told what to do: its exit follows then."""
        if self.state is WorkerState.GONE:
            return
        if self.link is not None:
            if self.state is WorkerState.STARTING:
                self.kill(Ending.START_FAILED, reason)
                self.owner.worker_start_failed(self, "fork", reason)
            return
        wanted = self.state is WorkerState.FORKING
        self.state = WorkerState.GONE
        if wanted:
            self.ending, self.cause = Ending.START_FAILED, reason
            self.owner.worker_start_failed(self, "fork", reason)
        self.owner.worker_gone(self)

    def ready(self, *, redis_up: bool) -> None:
        """It can work."""
        self.redis_state(up=redis_up)
        if self.state is not WorkerState.STARTING:
            return
        self.ready_at = self._clock.monotonic()
        self.state = WorkerState.HELD if self._hold else WorkerState.QUIET if self._quiet else WorkerState.READY
        if self.state is WorkerState.QUIET:
            self._send(Quiet())  # answered by Quieted
        elif self.state is WorkerState.READY:
            # Not with its start: until we know that it is ready it may be killed, and its locks are not renewed.
            self._send(Resume())
        self.owner.worker_ready(self)

    def start_failed(self, stage: str, reason: str) -> None:
        """It said why it cannot work, and exits."""
        if self.state is not WorkerState.STARTING:
            return
        self.ending, self.cause = Ending.START_FAILED, reason
        self.owner.worker_start_failed(self, stage, reason)

    def start_timed_out(self, after_s: float) -> None:
        """It was not ready in time."""
        if self.state is not WorkerState.STARTING:
            return
        reason = f"not ready within {after_s:.0f}s"
        self.kill(Ending.START_FAILED, reason)
        self.owner.worker_start_failed(self, "setup", reason)

    def redis_state(self, *, up: bool, trouble: str | None = None) -> None:
        """It lost Redis (`trouble` says how), or has it again; up with a trouble: notes are refused, turns go on."""
        self.redis_up = up
        self.redis_trouble = trouble or (None if up else Trouble.AWAY)

    def quieted(self) -> None:
        """It takes nothing any more: what it was asked to take before is here or was never sent."""
        if self.state in (WorkerState.QUIET, WorkerState.DRAINING):
            self.starts_nothing = True
            self.owner.worker_quieted(self)

    def exited(self, status: int, *, template_died: bool) -> None:
        """Its process has ended with this wait status."""
        if self.state is WorkerState.GONE:
            return
        asked = self.state in (WorkerState.FORKING, WorkerState.DRAINING, WorkerState.STOPPING) and status == 0
        self.status = status
        if self.ending is Ending.CRASHED:
            if asked:
                self.ending = Ending.ASKED
            elif template_died:
                self.ending = Ending.TEMPLATE_DIED
        self.state = WorkerState.GONE
        self.owner.worker_gone(self)

    def told_to_start(self) -> None:
        """Its start message is about to go; it takes nothing until Resume."""
        self._has_start = True

    # --- orders ------------------------------------------------------------------------------------------------------

    def quiet(self) -> None:
        """Take nothing more until `resume`; kept until it is ready when it is not yet."""
        self._quiet = True
        if self.state is WorkerState.READY:
            self.state = WorkerState.QUIET
            self._send(Quiet())

    def resume(self) -> None:
        """Take jobs again; undoes `quiet`."""
        self._quiet = False
        if self.state is WorkerState.QUIET:
            self.state = WorkerState.READY
            self.starts_nothing = False
            self._send(Resume())

    def release(self) -> None:
        """The trial is over: take jobs, unless told to be quiet."""
        self._hold = False
        if self.state is not WorkerState.HELD:
            return
        self.state = WorkerState.QUIET if self._quiet else WorkerState.READY
        if not self._quiet:
            self._send(Resume())

    def settings(self, numbers: Numbers, generation: int) -> None:
        """Take over new numbers; one that has not started yet gets them with its start."""
        self.generation = generation
        self.slot_limit = max(self.slot_limit, numbers.most)
        if self.state in _LIVES or (self.state is WorkerState.STARTING and self._has_start):
            self._send(Settings(numbers))

    def use_redis(self, target: RedisTarget) -> None:
        """Take over other credentials; one that has not started yet gets them with its start."""
        if self.state in _LIVES or (self.state is WorkerState.STARTING and self._has_start):
            self._send(UseRedis(target))

    def drain(self) -> None:
        """Finish what runs, then exit; one that is not up yet is not waited for."""
        if self.state in (WorkerState.FORKING, WorkerState.STARTING, WorkerState.HELD):
            self.kill(Ending.ASKED)
        elif self.state in (WorkerState.READY, WorkerState.QUIET):
            self.state = WorkerState.DRAINING
            self._send(Drain())

    def stop(self, patience_ms: int) -> None:
        """Send the results in hand, cancel what runs, exit within `patience_ms`."""
        if self.state in (WorkerState.FORKING, WorkerState.STARTING):
            self.kill(Ending.ASKED)
        elif self.state in _LIVES:
            self.state = WorkerState.STOPPING
            self._send(Stop(patience_ms))

    def cancel(self, slot: int, job_id: str, ats: int, reason: str | None = None) -> None:
        """Tell the handler of one job that its lock is another's, or with a reason that it was cancelled."""
        if self.state in _LIVES:
            why: Literal["lock-lost", "cancelled"] = "lock-lost" if reason is None else "cancelled"
            self._send(Cancel(slot, job_id, ats, why, reason or ""))

    def tell_ended(self, ended: JobEnded) -> None:
        """Have it call `on_failed` for a job that the daemon has failed."""
        self._send(ended)

    def heard_of(self, heard: EndedHeard) -> None:
        """`on_failed` has returned for one of these."""
        self.heard.add(heard)

    def dump_stacks(self) -> None:
        """Ask for the stacks of all threads and tasks; of the threads alone when its loop stands still."""
        if self.loop_stands_since is not None:
            self.print_stacks()
        elif self.state in _LIVES:
            self._send(DumpStacks())

    def print_stacks(self) -> None:
        """Have it print the stacks of its threads into its output: its loop does not read messages any more."""
        if self.link is not None and self.state in _LIVES:
            self.link.print_stacks()

    def kill(self, ending: Ending, cause: str | None = None) -> None:
        """SIGKILL its process group; `ending` says who is to blame, the first call counts."""
        if self.state in (WorkerState.GONE, WorkerState.KILLED):
            return
        self.ending, self.cause = ending, cause or self.cause
        self.state = WorkerState.KILLED
        if self.link is not None:
            self.link.kill()

    def kill_late(self) -> None:
        """Kill one that was told to stop and has not: what it still runs is handed back, else its end is what hangs."""
        self.kill(Ending.ASKED, None if self.slots() else "it ran no job and did not end: teardown takes too long")

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def is_wanted(self) -> bool:
        """Whether nobody has given it up before it had a process."""
        return self.state is WorkerState.FORKING

    @property
    def is_up(self) -> bool:
        """Whether it was ready and has not ended."""
        return self.state in _LIVES

    @property
    def is_starting(self) -> bool:
        """Whether it is on its way to being ready; it has START_LIMIT_S for it."""
        return self.state in (WorkerState.FORKING, WorkerState.STARTING)

    @property
    def may_start_a_job(self) -> bool:
        """Whether it was let go, and has not said yet that it takes nothing more."""
        return self.state is WorkerState.DRAINING and not self.starts_nothing

    @property
    def takes_jobs(self) -> bool:
        """Whether it is there to take jobs, now or when unquieted."""
        return self.state in (WorkerState.READY, WorkerState.QUIET)

    @property
    def shown_state(self) -> str:
        """Its state in the words of `status`."""
        if self.state in (WorkerState.FORKING, WorkerState.STARTING, WorkerState.HELD):
            return "starting"
        if self.state in (WorkerState.READY, WorkerState.QUIET):
            return self.state.value
        return "draining"

    def slots(self) -> list[SlotView]:
        """Return what its slots do, by the board; nothing before it has a process."""
        return self.board.slots(self.slot_limit) if self.board is not None else []

    def _send(self, message: Message) -> None:
        if self.link is not None:
            self.link.send(message)
