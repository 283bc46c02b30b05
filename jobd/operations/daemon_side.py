"""What only a daemon can do: the methods that its control room implements."""

from __future__ import annotations

from typing import Protocol

from jobd.operations.documents.daemon import (
    ConfigShown,
    Health,
    Hello,
    LogLines,
    NumbersText,
    Plan,
    Reloaded,
    Status,
    Stopped,
    Subscribed,
)
from jobd.operations.documents.queues import OwnQueue, QueueReset, QueueStates, Scaled
from jobd.operations.documents.workers import (
    JobStack,
    WorkerKilled,
    WorkerList,
    WorkerRestarted,
    WorkerShown,
    WorkerStack,
)
from jobd.operations.operation import Caller, Subscriber
from jobd.operations.params.daemon import ConfigShow, LogsOf, OnePid, PlanOf, Probed, Reason, ReloadOf, Stop, Subscribe
from jobd.operations.params.jobs import OneJob
from jobd.operations.params.kinds import Nothing
from jobd.operations.params.queues import OneQueue, QueueAndReason, Queues, ScaleTo


class DaemonSide(Protocol):
    """One method for each operation that needs the daemon. None of them waits for Redis, `status` at most 300 ms."""

    async def hello(self, params: Nothing, caller: Caller) -> Hello:
        """Tell the protocol's number and the daemon's version."""

    async def status(self, params: Queues, caller: Caller) -> Status:
        """Tell what runs, what waits, what failed, and what differs from the file."""

    async def health(self, params: Probed, caller: Caller) -> Health:
        """Tell whether the daemon is live and ready; never asks Redis."""

    async def plan(self, params: PlanOf, caller: Caller) -> Plan:
        """Tell what a reload would do; changes nothing.

        Not on the status socket: it reads any file that the daemon may read.
        """

    async def reload(self, params: ReloadOf, caller: Caller) -> Reloaded:
        """Read the file again and apply it whole, or change nothing; sends progress.

        A caller that goes away does not stop it; `status` then tells how it ended.
        """

    async def stop(self, params: Stop, caller: Caller) -> Stopped:
        """Stop every worker, then the daemon; sends progress.

        What is not done when the time is over goes back to the front of its queue, the attempt not counted. The answer
        comes before the process ends.
        """

    async def quiet(self, params: Reason, caller: Caller) -> QueueStates:
        """Take no jobs on this host until `unquiet` or a restart; running jobs finish."""

    async def unquiet(self, params: Nothing, caller: Caller) -> QueueStates:
        """Undo `quiet`; queues that the file or `queue.quiet` keeps quiet stay so."""

    async def queue_quiet(self, params: QueueAndReason, caller: Caller) -> OwnQueue:
        """Take no jobs of a queue on this host until `queue.unquiet` or a restart."""

    async def queue_unquiet(self, params: OneQueue, caller: Caller) -> OwnQueue:
        """Undo `queue.quiet`."""

    async def queue_scale(self, params: ScaleTo, caller: Caller) -> Scaled:
        """Run another number of workers of a queue until a restart, or until the file changes that key."""

    async def worker_list(self, params: Nothing, caller: Caller) -> WorkerList:
        """Tell the workers of this host and what they run."""

    async def worker_show(self, params: OnePid, caller: Caller) -> WorkerShown:
        """Tell one worker of this host and what it runs."""

    async def worker_restart(self, params: OnePid, caller: Caller) -> WorkerRestarted:
        """Replace a worker; answers when the new one is ready. What the old one runs may go on for `grace`."""

    async def worker_stack(self, params: OnePid, caller: Caller) -> WorkerStack:
        """Tell the stacks of all threads and tasks of a worker.

        Not on the status socket: a stack shows code.
        """

    async def worker_kill(self, params: OnePid, caller: Caller) -> WorkerKilled:
        """Kill a worker; its jobs go back to the front of the queue, counted neither on them nor on the breaker."""

    async def job_stack(self, params: OneJob, caller: Caller) -> JobStack:
        """Tell where a job that runs on this host is.

        Not on the status socket: a stack shows code.
        """

    async def queue_reset(self, params: OneQueue, caller: Caller) -> QueueReset:
        """Start the workers of a queue that its breaker, or a failed start, holds back; its crashes are forgotten."""

    async def config_show(self, params: ConfigShow, caller: Caller) -> ConfigShown:
        """Tell the configuration in force, secrets as ***."""

    async def metrics(self, params: Nothing, caller: Caller) -> NumbersText:
        """Tell the numbers that `/metrics` serves; waits for Redis at most 300 ms.

        Raises:
            Refused: the daemon's extra `metrics` is missing.
        """

    async def logs(self, params: LogsOf, caller: Caller) -> LogLines:
        """Tell the last lines of the daemon's log, of which it keeps 8 MiB whatever it writes them to.

        To follow, ask again with `after` and `wait_ms`. Not on the status socket: handlers print what they like.

        Raises:
            NotThere: neither this host nor a line knows the queue.
        """

    async def subscribe(self, params: Subscribe, caller: Subscriber) -> Subscribed:
        """Tell each line of the log, or each event of queues, as it comes: as progress with the entry in it.

        What is remembered comes first: every line; of events those that `events` gives. The result comes at the end. A
        reader that takes nothing for 30 s is cut off with the error `reader-too-slow`; where it was slow and lines went
        by, a notification says how many it `missed`. The status socket has no logs here either.

        Raises:
            Refused: too many subscriptions (64), or the reader was too slow.
            NotThere, BadParams: as the method that is followed.
        """
