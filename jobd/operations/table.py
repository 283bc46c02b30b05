"""The table of operations: each is declared here, once.

The control server's methods, the command line with and without a daemon and docs/control-socket.md are made from it.
A new operation is a line here, the function it names, and a command. Light: the functions, and pydantic with them,
are imported when an operation is done here and not when its name is sent to a daemon.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobd.operations.operation import ByDaemon, Effect, OnRedis, Operation

if TYPE_CHECKING:
    from jobd.operations import bulk, clearing, doctor, events, flow, history, hosts, jobs, queues, schedules
    from jobd.operations.daemon_side import DaemonSide
else:

    class _Later:
        """A module that is imported when something of it is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    bulk, clearing, doctor, events, flow, history, hosts, jobs, queues, schedules = (
        _Later(f"jobd.operations.{name}")
        for name in ("bulk", "clearing", "doctor", "events", "flow", "history", "hosts", "jobs", "queues", "schedules")
    )

    class _DaemonSideLater(_Later):
        def __getattr__(self, attribute: str) -> Any:
            return getattr(super().__getattr__("DaemonSide"), attribute)

    DaemonSide = _DaemonSideLater("jobd.operations.daemon_side")

READS, CHANGES = Effect.READS, Effect.CHANGES

HELLO = ByDaemon("hello", READS, lambda: DaemonSide.hello)
STATUS = ByDaemon("status", READS, lambda: DaemonSide.status)
HEALTH = ByDaemon("health", READS, lambda: DaemonSide.health)
PLAN = ByDaemon("plan", READS, lambda: DaemonSide.plan, for_status_group=False)
RELOAD = ByDaemon("reload", CHANGES, lambda: DaemonSide.reload, logged=("code",))
STOP = ByDaemon("stop", CHANGES, lambda: DaemonSide.stop, logged=("grace_ms", "now"))
QUIET = ByDaemon("quiet", CHANGES, lambda: DaemonSide.quiet, logged=("reason",))
UNQUIET = ByDaemon("unquiet", CHANGES, lambda: DaemonSide.unquiet)
WORKER_LIST = ByDaemon("worker.list", READS, lambda: DaemonSide.worker_list)
WORKER_SHOW = ByDaemon("worker.show", READS, lambda: DaemonSide.worker_show)
WORKER_RESTART = ByDaemon("worker.restart", CHANGES, lambda: DaemonSide.worker_restart, logged=("pid",))
WORKER_STACK = ByDaemon("worker.stack", READS, lambda: DaemonSide.worker_stack, for_status_group=False)
WORKER_KILL = ByDaemon("worker.kill", CHANGES, lambda: DaemonSide.worker_kill, logged=("pid",))
CONFIG_SHOW = ByDaemon("config.show", READS, lambda: DaemonSide.config_show)
METRICS = ByDaemon("metrics", READS, lambda: DaemonSide.metrics)
LOGS = ByDaemon("logs", READS, lambda: DaemonSide.logs, for_status_group=False)
HISTORY = OnRedis("history", READS, lambda: history.read)
DOCTOR = OnRedis("doctor", READS, lambda: doctor.diagnose)
EVENTS = OnRedis("events", READS, lambda: events.read)
SUBSCRIBE = ByDaemon("subscribe", READS, lambda: DaemonSide.subscribe)

QUEUE_LIST = OnRedis("queue.list", READS, lambda: queues.list_queues)
QUEUE_SHOW = OnRedis("queue.show", READS, lambda: queues.show)
QUEUE_PAUSE = OnRedis("queue.pause", CHANGES, lambda: queues.pause, logged=("queue", "reason"))
QUEUE_RESUME = OnRedis("queue.resume", CHANGES, lambda: queues.resume, logged=("queue",))
QUEUE_QUIET = ByDaemon("queue.quiet", CHANGES, lambda: DaemonSide.queue_quiet, logged=("queue", "reason"))
QUEUE_UNQUIET = ByDaemon("queue.unquiet", CHANGES, lambda: DaemonSide.queue_unquiet, logged=("queue",))
QUEUE_SCALE = ByDaemon("queue.scale", CHANGES, lambda: DaemonSide.queue_scale, logged=("queue", "to", "reason"))
QUEUE_RESET = ByDaemon("queue.reset", CHANGES, lambda: DaemonSide.queue_reset, logged=("queue",))
QUEUE_EMPTY = OnRedis("queue.empty", CHANGES, lambda: clearing.empty, logged=("queue", "delayed"))
QUEUE_CLEAN = OnRedis("queue.clean", CHANGES, lambda: clearing.clean, logged=("queue", "state", "older_ms", "limit"))
QUEUE_REMOVE_ORPHANS = OnRedis("queue.remove-orphans", CHANGES, lambda: clearing.remove_orphans, logged=("queue",))
QUEUE_OBLITERATE = OnRedis("queue.obliterate", CHANGES, lambda: clearing.obliterate, logged=("queue", "force"))

HOST_LIST = OnRedis("host.list", READS, lambda: hosts.list_hosts)

_CHOICE = ("queue", "ids", "all", "state", "name", "error", "since_ms", "older_ms", "running_ms", "limit")
JOB_ADD = OnRedis("job.add", CHANGES, lambda: jobs.add, logged=("queue", "name"))
JOB_LIST = OnRedis("job.list", READS, lambda: jobs.list_jobs)
JOB_SHOW = OnRedis("job.show", READS, lambda: jobs.show)
JOB_FLOW = OnRedis("job.flow", READS, lambda: flow.show)
JOB_STACK = ByDaemon("job.stack", READS, lambda: DaemonSide.job_stack, for_status_group=False)
JOB_LOGS = OnRedis("job.logs", READS, lambda: jobs.logs)
JOB_WAIT = OnRedis("job.wait", READS, lambda: jobs.wait)
JOB_CHANGE = OnRedis("job.change", CHANGES, lambda: jobs.change, logged=("queue", "id", "delay_ms", "priority", "lifo"))
JOB_RETRY = OnRedis("job.retry", CHANGES, lambda: bulk.retry, logged=_CHOICE)
JOB_PROMOTE = OnRedis("job.promote", CHANGES, lambda: bulk.promote, logged=_CHOICE)
JOB_CANCEL = OnRedis("job.cancel", CHANGES, lambda: bulk.cancel, logged=_CHOICE)
JOB_REMOVE = OnRedis("job.remove", CHANGES, lambda: bulk.remove, logged=_CHOICE)

SCHEDULE_LIST = OnRedis("schedule.list", READS, lambda: schedules.list_schedules)
SCHEDULE_RUN = OnRedis("schedule.run", CHANGES, lambda: schedules.run, logged=("name", "queue"))
SCHEDULE_PAUSE = OnRedis("schedule.pause", CHANGES, lambda: schedules.pause, logged=("name", "queue"))
SCHEDULE_RESUME = OnRedis("schedule.resume", CHANGES, lambda: schedules.resume, logged=("name", "queue"))
SCHEDULE_NEXT = OnRedis("schedule.next", READS, lambda: schedules.next_runs)

OPERATIONS: dict[str, Operation[Any, Any]] = {
    entry.name: entry for entry in tuple(globals().values()) if isinstance(entry, Operation)
}
"""Every operation by its name."""
