"""From the running and the wanted configuration to steps: pure, so that `plan` prints what `reload` does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from jobd.daemon.processes.worker_spec import handlers_of
from jobd.daemon.reload.schedule_steps import plan_schedules
from jobd.daemon.reload.spelling import key_of, told
from jobd.daemon.views import Action, Mark, Step
from jobd.errors import Refused
from jobd.locate import Secret
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jobd.config.model import Config, Queue

_IN_PLACE = frozenset({
    "scaling", "concurrency", "attempts", "attempts_max", "backoff", "timeout_ms", "kill_after_ms", "expire_ms",
    "rate_limit", "global_concurrency", "keep_completed", "keep_failed", "lock_duration_ms", "stalled_interval_ms",
    "max_crashes", "breaker", "recycle", "quiet", "unknown", "per_key", "dead_letter", "metrics_ms",
})  # fmt: skip
"""Numbers that daemon and workers take over while they run; everything else needs new workers."""

_NOT_COMPARED = frozenset({"name", "written", "preset"})

_COLD_DAEMON = ("socket", "state_dir", "socket_group", "status_group", "http")
_COLD_REDIS = ("embedded", "prefix", "embedded_port", "server", "socket_mode")
_CREDENTIALS = ("username", "password")


@dataclass(frozen=True, slots=True)
class Facts:
    """What runs of one queue now: its workers, [(job id, seconds it has run)], and jobs waiting (None: not asked)."""

    workers: int = 0
    jobs: tuple[tuple[str, float], ...] = ()
    waiting: int | None = None


NOTHING = Facts()


def plan(
    running: Config,
    wanted: Config,
    queues: tuple[Mapping[str, Queue], Mapping[str, Queue]],
    facts: Mapping[str, Facts],
    *,
    rotated: Collection[Secret] = (),
    code: bool = False,
) -> list[Step]:
    """Return what it takes to get from one configuration to the other, in the order of the wanted file.

    Args:
        queues: The queues that this daemon runs, of the running and of the wanted configuration.
        rotated: Secrets whose value is another now; their place in the file may be the same.
        code: Every worker is to run new code.
    """
    before, after = queues
    steps = [*_refused(running, wanted), *_redis_steps(running, wanted, rotated), *_daemon_steps(running, wanted)]
    for name, queue in after.items():
        if name not in before:
            steps.append(Step(Mark.NEW, name, "new queue", plural(queue.workers, "worker"), Action.ADD))
        else:
            steps.append(_changed(before[name], queue, facts.get(name, NOTHING), rotated, code=code))
    steps += [_removed(name, facts.get(name, NOTHING)) for name in before if name not in after]
    return steps + plan_schedules(running, wanted)


def has_changes(steps: Iterable[Step]) -> bool:
    """Tell whether a plan changes anything (exit code 10 of `plan --exit-code`)."""
    return any(step.action is not Action.KEEP for step in steps)


def refusals(steps: Iterable[Step]) -> list[Step]:
    """Return the steps that cannot be done while the daemon runs; with one of them nothing is applied."""
    return [step for step in steps if step.action is Action.REFUSE]


def refuse_cold(steps: Iterable[Step]) -> None:
    """See that a plan can be carried out by a running daemon.

    Raises:
        Refused: it names what needs a restart.
    """
    cold = refusals(steps)
    if cold:
        what = ", ".join(step.what.removesuffix(" changed") for step in cold)
        raise Refused(
            "needs-restart", f"cannot change {what} while running; nothing was applied: restart the daemon",
            detail={"keys": [key for step in cold for key in step.keys]},
        )  # fmt: skip


def changed_keys(before: Queue, after: Queue) -> list[str]:
    """Return the fields in which two configurations of a queue differ, in the order of the model."""
    return [
        name
        for name in type(before).model_fields
        if name not in _NOT_COMPARED and getattr(before, name) != getattr(after, name)
    ]


def needs_new_workers(before: Queue, after: Queue) -> bool:
    """Tell whether running workers cannot take the change over."""
    for name in changed_keys(before, after):
        if name == "jobs":
            if handlers_of(before) != handlers_of(after) or before.jobs.keys() != after.jobs.keys():
                return True
            if any(before.jobs[job].handler != after.jobs[job].handler for job in after.jobs):
                return True
        elif name not in _IN_PLACE:
            return True
    return False


def _changed(before: Queue, after: Queue, facts: Facts, rotated: Collection[Secret], *, code: bool) -> Step:
    keys = changed_keys(before, after)
    new_values = sorted(name for name, value in after.env.items() if isinstance(value, Secret) and value in rotated)
    if not keys and not new_values and not code:
        return Step(Mark.SAME, after.name, "unchanged", "", Action.KEEP)
    told = [key_of(before, name) for name in keys]
    differences = [_difference(before, after, name) for name in keys]
    if new_values:
        told += ["env"] if "env" not in told else []
        differences.append(f"env {', '.join(new_values)} (new value)")
    if code:
        differences.append("new code")
    what = ", ".join(differences)
    if not needs_new_workers(before, after) and not new_values and not code:
        return Step(Mark.CHANGED, after.name, what, _in_place(before, after), Action.IN_PLACE, tuple(told))
    count = facts.workers or after.workers
    how = f"{plural(count, 'worker')} replaced" + (" one by one as they go idle" if count > 1 else " as it goes idle")
    return Step(Mark.CHANGED, after.name, what, how, Action.REPLACE, tuple(told))


def _in_place(before: Queue, after: Queue) -> str:
    if before.global_concurrency is not None and after.global_concurrency is None:
        return "in place, no restart; the limit in Redis stays"
    if after.workers > before.workers:
        return f"{plural(after.workers - before.workers, 'worker')} more, no restart"
    if after.workers < before.workers:
        drains = before.workers - after.workers
        return f"{plural(drains, 'worker')} " + ("drain" if drains > 1 else "drains")
    return "in place, no restart"


def _removed(name: str, facts: Facts) -> Step:
    how = f"{plural(facts.workers, 'worker')} " + ("drains" if facts.workers == 1 else "drain")
    if facts.jobs:
        jobs = ", ".join(f"{job} running {running_s:.0f}s" for job, running_s in facts.jobs[:3])
        more = f" and {len(facts.jobs) - 3} more" if len(facts.jobs) > 3 else ""
        how += f" ({'job' if len(facts.jobs) == 1 else 'jobs'} {jobs}{more})"
    if facts.waiting:
        how += f", {plural(facts.waiting, 'waiting job')} {'stays' if facts.waiting == 1 else 'stay'} in Redis"
    return Step(Mark.REMOVED, name, "removed", how, Action.REMOVE)


def _refused(running: Config, wanted: Config) -> list[Step]:
    found = [("redis", "url")] if _address(running.redis.url) != _address(wanted.redis.url) else []
    found += [("redis", key) for key in _COLD_REDIS if getattr(running.redis, key) != getattr(wanted.redis, key)]
    found += [("daemon", key) for key in _COLD_DAEMON if getattr(running.daemon, key) != getattr(wanted.daemon, key)]
    return [
        Step(
            Mark.CHANGED, "", f"[{table}] {key} changed", "cannot change while running: restart", Action.REFUSE, (key,)
        )
        for table, key in found
    ]


def _redis_steps(running: Config, wanted: Config, rotated: Collection[Secret]) -> list[Step]:
    """New credentials: connections are opened anew with them, whatever runs goes on."""
    old, new = running.redis, wanted.redis
    keys = [
        key
        for key in _CREDENTIALS
        if getattr(old, key) != getattr(new, key)
        or (isinstance(getattr(new, key), Secret) and getattr(new, key) in rotated)
    ]
    if old.url != new.url and _address(old.url) == _address(new.url):
        keys.append("url")
    if not keys:
        return []
    what = f"[redis] {', '.join(keys)} changed" if "url" not in keys else "[redis] credentials in url changed"
    return [Step(Mark.CHANGED, "", what, "connections renewed, no restart", Action.IN_PLACE, tuple(keys))]


def renews_connections(steps: Iterable[Step]) -> bool:
    """Tell whether a plan brings new credentials for Redis."""
    return any(
        step.action is Action.IN_PLACE and not step.queue and {"url", *_CREDENTIALS} & set(step.keys) for step in steps
    )


def _address(url: str | None) -> str | None:
    """Return a URL without its user and password: what is left says which server it is."""
    if url is None:
        return None
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"


def _daemon_steps(running: Config, wanted: Config) -> list[Step]:
    names = ("grace_ms", "watch", "log")
    return [
        Step(
            Mark.CHANGED, "", f"[daemon] {_difference(running.daemon, wanted.daemon, name)}", "in place, no restart",
            Action.IN_PLACE, (key_of(running.daemon, name),),
        )
        for name in names
        if getattr(running.daemon, name) != getattr(wanted.daemon, name)
    ]  # fmt: skip


def _difference(before: BaseModel, after: BaseModel, name: str) -> str:
    key, old, new = key_of(before, name), getattr(before, name), getattr(after, name)
    if name == "env":
        changed = sorted(item for item in old.keys() | new.keys() if old.get(item) != new.get(item))
        return "env " + ", ".join(changed)
    if name == "jobs":
        changed = sorted(item for item in old.keys() | new.keys() if old.get(item) != new.get(item))
        return "jobs " + ", ".join(changed)
    return f"{key} {told(name, old)} -> {told(name, new)}"
