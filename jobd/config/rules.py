"""Rules between values. They run on whatever parsed and pass over what was refused already."""

from __future__ import annotations

import grp
import os
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import TYPE_CHECKING

from jobd.config.env_values import NAMES, unknown_names
from jobd.config.schedule_rules import check_schedule
from jobd.config.tables import MAX_SLOTS, BackoffTable, Mode
from jobd.config.validate import at, process_tables
from jobd.duration import spell_duration, spell_size
from jobd.engine.keys import hash_tag
from jobd.locate import UrlError, absolute_files, check_tls_files, parse_redis_url
from jobd.locate.sockets import LOCAL, is_system_file
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from jobd.config.model import Queue, QueueKeys
    from jobd.config.positions import Path_
    from jobd.config.problems import Problem
    from jobd.config.tables import Settings
    from jobd.config.tree import Tree
    from jobd.locate import RedisAddress

NOWHERE: Path_ = ("",)
"""A path that nothing has: the problem is reported at the start of the file."""
MAX_SOCKET_PATH = 107
"""sun_path of unix(7), less its final NUL."""

METRICS_HINT = "install it with: pip install '.[daemon,embedded,metrics]' in a clone of jobd"


def check(tree: Tree, settings: Settings, queues: Mapping[str, Queue], env: Mapping[str, str]) -> None:
    """Note every value that does not go with another one."""
    _check_env(tree)
    _check_redis(tree, settings, queues)
    _check_daemon(tree, settings, queues)
    _check_release_folder(tree, settings, env)
    _check_defaults(tree, settings)
    for queue in queues.values():
        _check_queue(tree, settings, queue, queues)
    for name, schedule in settings.schedules.items():
        check_schedule(tree, schedule, ("schedules", name), queues)
    _check_watchdog(tree, queues, env)


def _check_env(tree: Tree) -> None:
    """Refuse a misspelt name in braces, which the application would get as it is; anything else in braces is text."""
    for path in process_tables(tree):
        env = at(tree.values, path).get("env")
        for key, value in env.items() if isinstance(env, dict) else ():
            for name in unknown_names(value) if isinstance(value, str) else ():
                near = nearest(name, NAMES)
                if near and not tree.is_broken((*path, "env", key)):
                    message = f"`{{{name}}}` stands for nothing; as text it is written `{{{{{name}}}}}`"
                    tree.refuse((*path, "env", key), message, f"did you mean `{{{near}}}`?")


def _warning(tree: Tree, path: Path_, message: str, hint: str | None = None) -> Problem:
    return tree.origins.problem_at(path, message, hint, at="key")


def _check_redis(tree: Tree, settings: Settings, queues: Mapping[str, Queue]) -> None:
    redis, base = settings.redis, ("redis",)
    if any(tree.is_broken((*base, key)) for key in ("url", "embedded")):
        return
    if redis.url is None and not redis.embedded:
        hint = 'write url = "redis://127.0.0.1:6379/0"\nor    embedded = true'
        tree.refuse(NOWHERE, "[redis] has neither `url` nor `embedded`", hint)
        return
    if redis.url is not None and redis.embedded:
        tree.refuse((*base, "embedded"), "[redis] has both `url` and `embedded`; keep one of them", at="key")
        return
    if redis.embedded:
        return
    for key in ("embedded_port", "server"):
        if getattr(redis, key) is not None:
            tree.refuse((*base, key), f"`{key}` belongs to `embedded = true`, and [redis] has a `url`", at="key")
    address = _check_url(tree, absolute_files(redis.url or "", tree.main.parent), redis.password is not None)
    if address is not None and address.is_cluster and not hash_tag(redis.prefix):
        untagged = next((name for name in queues if not hash_tag(name)), None)
        if untagged is not None:
            message = f"on a Redis Cluster all keys of a queue must lie in one slot, and those of {untagged} do not"
            hint = f'give the prefix a hash tag: prefix = "{{{redis.prefix}}}" (producers too), or every queue\'s name'
            tree.refuse((*base, "url"), message, hint)
        else:
            _check_slots_of_dead_letters(tree, queues)


def _check_slots_of_dead_letters(tree: Tree, queues: Mapping[str, Queue]) -> None:
    """Refuse a copy into another slot: it is made by the script that fails the job, which sees one slot."""
    for queue in queues.values():
        target = queue.dead_letters_to
        place = _first_written(tree, queue, ("dead_letter",))
        if target is not None and hash_tag(target) != hash_tag(queue.name) and not tree.is_broken(place):
            message = f"on a Redis Cluster `dead_letter` must lie in its queue's slot, and {target} is in another"
            tree.refuse(place, message, f"give both one hash tag: {{{queue.name.strip('{}')}}}-failed, for example")


def _check_url(tree: Tree, url: str, with_password: bool) -> RedisAddress | None:
    try:
        address = parse_redis_url(url)
        check_tls_files(address)
    except UrlError as error:
        tree.refuse(("redis", "url"), error.reason, error.hint)
        return None
    if address.password and with_password:
        tree.refuse(("redis", "password"), "the URL holds a password too; keep one of them", at="key")
    return address


def _check_daemon(tree: Tree, settings: Settings, queues: Mapping[str, Queue]) -> None:
    for index, glob in enumerate(settings.daemon.queues):
        if queues and not any(fnmatchcase(name, glob) for name in queues):
            path: Path_ = ("daemon", "queues", index)
            tree.warnings.append(_warning(tree, path, f'no queue of the file matches "{glob}"'))
    if queues and not settings.daemon.queues:
        tree.warnings.append(_warning(tree, ("daemon", "queues"), "the list is empty: this daemon runs no queue"))
    for key in ("socket_group", "status_group"):
        group = getattr(settings.daemon, key)
        # A warning: the file may be checked on a machine that is not the daemon's.
        if group and not _is_group(group):
            tree.warnings.append(_warning(tree, ("daemon", key), f'this host has no group "{group}"', "run needs it"))
    socket = settings.daemon.socket
    if socket is not None and len(os.fsencode(tree.main.parent / socket)) > MAX_SOCKET_PATH:
        tree.refuse(("daemon", "socket"), f"the path of a socket has at most {MAX_SOCKET_PATH} bytes")
    if settings.daemon.http is not None and find_spec("prometheus_client") is None:
        tree.refuse(("daemon", "http"), "`http` needs the extra `metrics`", METRICS_HINT, at="key")
    if not queues and not tree.is_broken(("queues",)):
        tree.warnings.append(_warning(tree, ("queues",), "[queues] is empty: there is nothing to run"))


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _check_release_folder(tree: Tree, settings: Settings, env: Mapping[str, str]) -> None:
    """Warn of state beside a file that a symlink leads to, as in .../current/jobd.toml: a deploy moves the link."""
    link = next((folder for folder in tree.main.parents if len(folder.parts) > 2 and folder.is_symlink()), None)
    if link is None or is_system_file(tree.main):
        return  # links directly below / are the system's own: /tmp, /home
    socket = settings.daemon.socket or env.get("JOBD_SOCKET") or env.get("RUNTIME_DIRECTORY")
    state = settings.daemon.state_dir or env.get("STATE_DIRECTORY")
    missing = [key for key, given in (("state_dir", state), ("socket", socket)) if not given]
    if not missing:
        return
    what = "the socket" if missing == ["socket"] else "the state" if missing == ["state_dir"] else "state and socket"
    jobs = " with the jobs of the embedded Redis" if settings.redis.embedded and "state_dir" in missing else ""
    message = f"{what} of the daemon{jobs} lie in {tree.main.parent / LOCAL}, and {link} is a symlink"
    keys = " and ".join(f"`{key}`" for key in missing)
    hint = f"when it points elsewhere they stay behind: set {keys} in [daemon] to a path outside"
    tree.warnings.append(_warning(tree, ("daemon",), message, hint))


def _check_defaults(tree: Tree, settings: Settings) -> None:
    tables: dict[Path_, QueueKeys] = {("defaults",): settings.defaults}
    tables |= {("presets", name): preset for name, preset in settings.presets.items()}
    for path, table in tables.items():
        if table.backoff:
            _check_backoff(tree, table.backoff, (*path, "backoff"))
        for name, job in table.jobs.items():
            if job.backoff:
                _check_backoff(tree, job.backoff, (*path, "jobs", name, "backoff"))


def _check_queue(tree: Tree, settings: Settings, queue: Queue, queues: Mapping[str, Queue]) -> None:
    path: Path_ = ("queues", queue.name)
    _check_queue_name(tree, queue.name, path)
    table = settings.queues[queue.name]
    presets = tree.values.get("presets")
    if table.preset is not None and isinstance(presets, dict | None) and table.preset not in (presets or {}):
        near = nearest(table.preset, presets or {})
        hint = f"did you mean `{near}`?" if near else "known: " + (", ".join(presets or {}) or "none")
        tree.refuse((*path, "preset"), f"there is no preset `{table.preset}`", hint)
    if queue.handler is None and not queue.jobs and not _parts_broken(tree, path, queue, settings):
        tree.refuse(path, f"[{'.'.join(map(str, path))}] has neither `handler` nor `jobs`", at="key")
    if queue.attempts_max is not None and queue.attempts > queue.attempts_max:
        place = _first_written(tree, queue, ("attempts_max", "attempts"))
        tree.refuse(place, f"`attempts_max` {queue.attempts_max} is below `attempts` {queue.attempts}")
    if "backoff" in table.model_fields_set and table.backoff:
        _check_backoff(tree, table.backoff, (*path, "backoff"))
    for name, job in table.jobs.items():
        if job.backoff:
            _check_backoff(tree, job.backoff, (*path, "jobs", name, "backoff"))
        if job.attempts and queue.attempts_max is not None and job.attempts > queue.attempts_max:
            place = (*path, "jobs", name, "attempts")
            tree.refuse(place, f"`attempts` {job.attempts} is above the queue's `attempts_max` {queue.attempts_max}")
    if queue.recycle is not None and not queue.recycle.model_fields_set:
        place = _first_written(tree, queue, ("recycle",))
        if not tree.is_broken(place):
            tree.refuse(place, "`recycle` says when with one of `jobs`, `age` and `memory`")
    if queue.dead_letter is not None:
        _check_dead_letter(tree, queue, queues, queue.dead_letter)
    _check_own_concurrency(tree, settings, queue, path)
    _check_files(tree, queue)
    _check_bounds(tree, queue)
    _check_batch(tree, queue)
    endless = [key for key in ("keep_completed", "keep_failed") if key not in queue.written]
    if endless:
        message = f"queue {queue.name} has no {' and no '.join(endless)}: Redis grows with every such job"
        tree.warnings.append(_warning(tree, path, message, f"{endless[0]} = 1000 keeps the latest thousand"))


def _check_dead_letter(tree: Tree, queue: Queue, queues: Mapping[str, Queue], target: str) -> None:
    """Refuse a circle: a job that fails everywhere would be copied for ever; and a name that no queue can have."""
    place = _first_written(tree, queue, ("dead_letter",))
    if tree.is_broken(place) or (target == queue.name and place[0] != "queues"):
        return  # a queue that [defaults] names for all has none itself
    if ":" in target or not target.isprintable():
        tree.refuse(place, f"a queue's name has no `:` in it, got `{target}`")
        return
    seen = [queue.name]
    following: str | None = target
    while following is not None and following not in seen:
        seen.append(following)
        following = queues[following].dead_letters_to if following in queues else None
    if following == queue.name:
        circle = " -> ".join([*seen, following])
        tree.refuse(place, f"`dead_letter` leads back to its queue: {circle}", "a failed job would be copied for ever")


def _parts_broken(tree: Tree, path: Path_, queue: Queue, settings: Settings) -> bool:
    """Tell whether a handler was there and refused, at any level: then its absence is no second mistake."""
    levels = [path, ("defaults",), ("presets", settings.queues[queue.name].preset or "")]
    return any(tree.is_broken((*level, key)) for level in levels for key in ("handler", "jobs", "preset"))


def _check_queue_name(tree: Tree, name: str, path: Path_) -> None:
    if not name or not name.isprintable():
        tree.refuse(path, "a queue's name is text that can be printed and is not empty", at="key")
    elif ":" in name:
        tree.refuse(path, f"a queue's name has no `:` in it, got `{name}`", "BullMQ refuses it too", at="key")


def _first_written(tree: Tree, queue: Queue, keys: Iterable[str]) -> Path_:
    """Return where the first of `keys` was written, from the queue's own table outwards."""
    for level in queue.levels:
        for key in keys:
            if tree.origins.written((*level, key)):
                return (*level, key)
    return ("queues", queue.name)


def _check_backoff(tree: Tree, backoff: BackoffTable, path: Path_) -> None:
    if backoff.max_ms is not None and backoff.max_ms < backoff.delay_ms:
        tree.refuse((*path, "max"), "`max` is below `delay`")


def _check_own_concurrency(tree: Tree, settings: Settings, queue: Queue, path: Path_) -> None:
    if queue.mode is not Mode.PROCESS:
        return
    own = {path: settings.queues[queue.name], ("presets", queue.preset or ""): settings.presets.get(queue.preset or "")}
    for level, table in own.items():
        if table is not None and table.concurrency > 1:
            message = '`mode = "process"` runs one job at a time in each worker'
            tree.refuse((*level, "concurrency"), message, f"use workers = {table.concurrency}")
            return


def _check_batch(tree: Tree, queue: Queue) -> None:
    """Each job of a batch has a slot of the worker's board, of which there are so many."""
    batch = queue.batch
    if batch is None or batch.max * queue.concurrency <= MAX_SLOTS:
        return
    message = f"`concurrency` {queue.concurrency} times `max` {batch.max} is more than the {MAX_SLOTS} jobs of a worker"
    hint = f"`concurrency` counts calls: at most {MAX_SLOTS // batch.max} with this `max`; more `workers` run more"
    _refuse_once(tree, queue, ("batch", "max"), message, hint)


def _check_files(tree: Tree, queue: Queue) -> None:
    wanted: list[tuple[str, Path | None, Callable[[Path], bool], str]] = [
        ("python", queue.python, lambda file: file.is_file() and os.access(file, os.X_OK), "program"),
        ("working_dir", queue.working_dir, lambda file: file.is_dir(), "folder"),
    ]
    for key, file, is_there, what in wanted:
        place = _first_written(tree, queue, (key,))
        if file is not None and not _holds(is_there, file) and not tree.is_broken(place):
            tree.refuse(place, f"there is no {what} {file}")
    for index, folder in enumerate(queue.path):
        table = _first_written(tree, queue, ("path",))
        place = (*table, index) if table[-1] == "path" else table
        if (
            not _holds(lambda file: file.is_dir(), folder)
            and folder.suffix not in {".zip", ".whl", ".egg"}
            and not tree.is_broken(place)
        ):
            tree.warnings.append(
                _warning(tree, place, f"there is no folder {folder}", "handlers are imported from there")
            )


def _holds(fact: Callable[[Path], bool], file: Path) -> bool:
    try:
        return fact(file)
    except OSError:  # a folder on the way may not be entered, or the name is too long
        return False


MIN_LOCK_MS = 100
"""Renewals come at a third of a lock's life, and each takes a round trip and its turn on a busy loop."""
SHORT_LOCK_MS = 1000
MIN_AGE_MS = 1000
MIN_WORKER_BYTES = 16 * 2**20
"""What a worker takes before its first job: Python, asyncio and redis-py."""


def _check_bounds(tree: Tree, queue: Queue) -> None:
    lock = spell_duration(queue.lock_duration_ms)
    if queue.lock_duration_ms < MIN_LOCK_MS:
        message = f"`lock_duration` {lock} is too short to be renewed in time, and every job would run twice"
        _refuse_once(tree, queue, ("lock_duration",), message, "the built-in 30s suits most; at least 100ms")
    elif queue.lock_duration_ms < SHORT_LOCK_MS:
        message = f"`lock_duration` {lock}: a pause of this host or of Redis as long as that runs jobs twice"
        place = _first_written(tree, queue, ("lock_duration",))
        tree.warnings.append(_warning(tree, place, message, "the built-in 30s suits most"))
    if queue.stalled_interval_ms < MIN_LOCK_MS:
        message = "`stalled_interval` below 100ms asks Redis without a pause"
        _refuse_once(tree, queue, ("stalled_interval",), message, "the built-in 30s suits most")
    if queue.memory_max_bytes is not None and queue.memory_max_bytes < MIN_WORKER_BYTES:
        message = f"`memory_max` {spell_size(queue.memory_max_bytes)} is less than a worker takes before its first job"
        _refuse_once(tree, queue, ("memory_max",), message, 'it would be killed again and again; at least "16MiB"')
    recycle = queue.recycle
    if recycle is None:
        return
    if recycle.memory_bytes is not None and recycle.memory_bytes < MIN_WORKER_BYTES:
        message = f"`memory` {spell_size(recycle.memory_bytes)} is less than a worker takes before its first job"
        _refuse_once(tree, queue, ("recycle", "memory"), message, 'it would be replaced without end; at least "16MiB"')
    if recycle.age_ms is not None and recycle.age_ms < MIN_AGE_MS:
        message = f"`age` {spell_duration(recycle.age_ms)} replaces workers about as fast as they start"
        _refuse_once(tree, queue, ("recycle", "age"), message, "at least 1s")


def _refuse_once(tree: Tree, queue: Queue, key: Path_, message: str, hint: str) -> None:
    """Refuse a value of a queue where it is written; one of [defaults] is told once and not by every queue."""
    place = (*_first_written(tree, queue, (str(key[0]),)), *key[1:])
    if not tree.is_broken(place):
        tree.refuse(place, message, hint)


def _check_watchdog(tree: Tree, queues: Mapping[str, Queue], env: Mapping[str, str]) -> None:
    """Under systemd a daemon that hangs is killed after WatchdogSec; its locks must outlive that and the restart."""
    microseconds = env.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal() or not int(microseconds):
        return
    least_ms = 2 * int(microseconds) // 1000
    for queue in queues.values():
        if queue.lock_duration_ms < least_ms:
            place = _first_written(tree, queue, ("lock_duration",))
            message = f"`lock_duration` is below twice the unit's WatchdogSec ({least_ms // 1000}s)"
            if not tree.is_broken(place):
                tree.refuse(place, message)
