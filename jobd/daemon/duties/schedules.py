"""Keep the schedules of the file in Redis, together with the other hosts that run the same file."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.file_schedules import schedules_of
from jobd.daemon.logs import event_log
from jobd.engine.keys import Keys
from jobd.engine.own_schedules import Verdict, decide, forget, known_queues, look, register, set_paused
from jobd.engine.schedulers import list_schedulers, remove_scheduler, upsert_scheduler
from jobd.errors import RedisRefused, RedisUnavailable
from jobd.operations.numbers import ScheduleNumbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.config.model import Config
    from jobd.config.problems import Problem
    from jobd.daemon.counters import Counters
    from jobd.daemon.current_config import CurrentConfig
    from jobd.daemon.file_schedules import Loaded
    from jobd.daemon.processes.fleet import Fleet
    from jobd.engine.own_schedules import Found, OwnSchedule
    from jobd.engine.runner import AsyncRunner

log = event_log(__name__)

TICK_S = 5.0
"""How often a daemon says what its file lists, and looks at what is there."""

APPLY_S = 5.0
"""The longest a reload waits for it."""


class Schedules(Duty):
    """Sets what the file defines, removes what no living daemon of the app lists any more, leaves everything else."""

    name = "schedules"

    def __init__(
        self, current_config: CurrentConfig, fleet: Fleet, runner: AsyncRunner, loaded: Loaded,
        on_redis: Callable[[str, str | None], None], *, counters: Counters,
    ) -> None:  # fmt: skip
        super().__init__(on_redis)
        self._in_force = current_config
        self._fleet = fleet
        self._runner = runner
        self._loaded = loaded
        self._counters = counters
        self._foreign: dict[str, str] = {}
        self._busy = asyncio.Lock()
        self._done: list[tuple[str, str]] = []

    def troubles(self) -> list[str]:
        """Return what is wrong, for `degraded_by`: schedules whose id somebody else uses."""
        return [f"schedule {sid}: {why}" for sid, why in self._foreign.items()]

    async def run_once(self) -> float:
        """Bring Redis and the file together once."""
        async with self._busy:
            self._done.clear()
            try:
                await self._bring_together()
                self._counters.schedules = await self._numbers()
            except BaseException:
                self._counters.schedules = ()
                raise
        return TICK_S

    async def apply(self) -> list[tuple[str, str]]:
        """Bring them together now, for a reload; return [(schedule, what was done)].

        When Redis is away, the next tick does it.
        """
        try:
            async with asyncio.timeout(APPLY_S):
                await self.run_once()
        except (TimeoutError, RedisUnavailable, RedisRefused) as error:
            why = "Redis refused" if isinstance(error, RedisRefused) else "Redis does not answer"
            log.warning("schedules will be set later", error=str(error) or why)
            return [*self._done, ("schedules", f"set later: {why}")]
        return list(self._done)

    async def problems(self, config: Config) -> list[Problem]:
        """Return the schedules of a wanted file that cannot be set, because others have made one of that id.

        Where Redis does not answer there are none: they are told once it does.
        """
        try:
            async with asyncio.timeout(APPLY_S):
                return await self._problems(config)
        except (TimeoutError, RedisUnavailable, RedisRefused):
            return []

    async def _problems(self, config: Config) -> list[Problem]:
        found: list[Problem] = []
        for queue, schedules in _by_queue(schedules_of(config)).items():
            rows = {row.id: row for row in await self._look(config.app.name, queue, schedules, daemon="")}
            found += [
                config.problem_at(("schedules", schedule.id), _why_foreign(schedule, rows[schedule.id]))
                for schedule in schedules
                if decide(schedule, rows[schedule.id], None) is Verdict.FOREIGN
            ]
        return found

    async def _bring_together(self) -> None:
        config = self._in_force.config
        app, wanted = config.app.name, schedules_of(config)
        queues = _by_queue(wanted)
        if queues:
            await self._runner.run(register(self._prefix, app, list(queues)))
        foreign: dict[str, str] = {}
        refused: RedisRefused | None = None
        known = await self._runner.run(known_queues(self._prefix, app))
        for queue in [*queues, *sorted(known - queues.keys())]:
            try:
                await self._bring_queue(queue, app, queues.get(queue) or [], foreign)
            except RedisRefused as error:
                refused = refused or error  # the schedules of the other queues are set all the same
        for sid, why in foreign.items():
            if self._foreign.get(sid) != why:
                log.error("schedule is not set", schedule=sid, why=why)
        self._foreign = foreign
        if refused is not None:
            raise refused
        self._loaded.replace(wanted)

    async def _bring_queue(self, queue: str, app: str, schedules: list[OwnSchedule], foreign: dict[str, str]) -> None:
        own = {schedule.id: schedule for schedule in schedules}
        rows = await self._look(app, queue, schedules)
        for row in rows:
            await self._act(queue, own.get(row.id), row, app, foreign)
        if not rows:
            await self._runner.run(forget(self._prefix, app, queue))

    async def _numbers(self) -> tuple[ScheduleNumbers, ...]:
        """Return when each schedule of the file last ran, and how many moments passed without a run."""
        queues = _by_queue(schedules_of(self._in_force.config))
        listed = await self._runner.run_many([list_schedulers(Keys(self._prefix, queue)) for queue in queues])
        own = {(queue, schedule.id) for queue, schedules in queues.items() for schedule in schedules}
        return tuple(
            ScheduleNumbers(row.id, None if row.last_run is None else row.last_run / 1000, row.missed)
            for queue, rows in zip(queues, listed, strict=True)
            for row in rows
            if (queue, row.id) in own
        )

    async def _look(self, app: str, queue: str, own: list[OwnSchedule], *, daemon: str | None = None) -> list[Found]:
        own_name = self._loaded.daemon if daemon is None else daemon
        return await self._runner.run(
            look(
                Keys(self._prefix, queue), [schedule.id for schedule in own],
                app=app, daemon=own_name, now_ms=self._now_ms(),
            )
        )  # fmt: skip

    async def _act(
        self, queue: str, wanted: OwnSchedule | None, found: Found, app: str, foreign: dict[str, str]
    ) -> None:
        keys, now_ms = Keys(self._prefix, queue), self._now_ms()
        match decide(wanted, found, self._loaded.digest_of(queue, found.id)):
            case Verdict.SET if wanted is not None:
                late_ms = int(random.random() * wanted.policies.jitter_ms) if wanted.repeat.pattern else 0  # noqa: S311 - no secret
                command = upsert_scheduler(
                    keys, wanted.id, wanted.repeat, wanted.template, now_ms=now_ms, note=wanted.note(), late_ms=late_ms
                )
                if command is not None and not _is_over(wanted, now_ms):
                    job_id, _ = await self._runner.run(command)
                    self._done.append((wanted.id, "set"))
                    log.info("schedule set", schedule=wanted.id, queue=queue, next_job=job_id, again=found.there)
            case Verdict.SET_PAUSED if wanted is not None and found.paused is not None:
                await self._runner.run(set_paused(keys, wanted, found.paused))
                self._done.append((wanted.id, "set, still paused"))
                log.info("schedule set, still paused", schedule=wanted.id, queue=queue)
            case Verdict.REMOVE:
                gone = {"app": app, "digest": (found.note or {}).get("digest"), "at": now_ms}
                await self._runner.run(remove_scheduler(keys, found.id, owner=app, gone=gone))
                self._done.append((found.id, "removed"))
                log.info("schedule removed, no daemon lists it", schedule=found.id, queue=queue)
            case Verdict.FOREIGN if wanted is not None:
                foreign[wanted.id] = _why_foreign(wanted, found)
            case _:
                pass

    @property
    def _prefix(self) -> str:
        return self._fleet.source.prefix

    def _now_ms(self) -> int:
        return self._fleet.clock.now_ms()


def _by_queue(schedules: list[OwnSchedule]) -> dict[str, list[OwnSchedule]]:
    found: dict[str, list[OwnSchedule]] = {}
    for schedule in schedules:
        found.setdefault(schedule.queue, []).append(schedule)
    return found


def _is_over(schedule: OwnSchedule, now_ms: int) -> bool:
    return schedule.repeat.end_at is not None and schedule.repeat.end_at <= now_ms


def _why_foreign(schedule: OwnSchedule, found: Found) -> str:
    who = f'the app "{found.app}"' if found.app is not None else "others (Node, or a client)"
    return f'queue "{schedule.queue}" has a schedule "{schedule.id}" that {who} made; give this one another name'
