"""The duties that every daemon has, whatever its file says; run.py adds those that need more of its parts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from jobd.daemon.duties.autoscaling import Autoscaling
from jobd.daemon.duties.deadlines import Deadlines
from jobd.daemon.duties.duty import SOON_S
from jobd.daemon.duties.earlier_incarnations import EarlierIncarnations
from jobd.daemon.duties.idle_connections import IdleConnections
from jobd.daemon.duties.limits import Limits
from jobd.daemon.duties.memory import MemoryLimits
from jobd.daemon.duties.redis_probe import RedisProbe
from jobd.daemon.duties.renew import Renew
from jobd.daemon.duties.stalled import Stalled
from jobd.daemon.duties.state_folder import StateFolder
from jobd.daemon.duties.stuck_loops import StuckLoops
from jobd.daemon.duties.trim import Trim
from jobd.daemon.duties.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.daemon.duties.duty import Duty
    from jobd.daemon.incarnation import IncarnationRecord
    from jobd.daemon.supervisor import Supervisor
    from jobd.engine.runner import AsyncRunner


def default_duties(
    supervisor: Supervisor, runner: AsyncRunner, record: IncarnationRecord, awaited_pids: Callable[[], set[int]]
) -> list[Duty]:
    """Return them in the order in which they start.

    `awaited_pids` are the children of the daemon that somebody else waits for; any other that ends is an orphan's.
    """
    fleet, told = supervisor.fleet, supervisor.health.redis_said
    renew = Renew(fleet, runner, told, supervisor.counters.renewed)
    by_queue: list[Duty] = [
        renew,
        Stalled(fleet, runner, told, renew.renew_now, supervisor.health.last_silence),
        Limits(fleet, runner, told),
        Trim(fleet, runner, told),
        Autoscaling(fleet, runner, told),
        Deadlines(fleet),
        MemoryLimits(fleet),
    ]
    for duty in by_queue:
        # What is due next depends on the queues, their settings and who runs.
        fleet.tell_changes(partial(duty.look_within, SOON_S))
    return [
        RedisProbe(fleet, runner, told),
        EarlierIncarnations(fleet, runner, record, told),
        *by_queue,
        StuckLoops(fleet),
        Upkeep(supervisor, awaited_pids),
        StateFolder(record),
        IdleConnections(runner),
    ]
