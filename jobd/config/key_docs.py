"""What every key of the file means, with an example: for the JSON Schema and docs/configuration.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.config.tables import (
    App,
    BackoffTable,
    Batch,
    Breaker,
    DaemonSettings,
    JobHandler,
    LogSettings,
    PerKey,
    ProcessKeys,
    QueueKeys,
    QueueTable,
    RateLimit,
    Recycle,
    RedisSettings,
    Schedule,
    WebSettings,
)
from jobd.config.values import KeepTable

if TYPE_CHECKING:
    from jobd.config.values import Table

SINCE = "0.1"
"""The version that first read a key; none is younger yet."""

Meaning = tuple[str, Any]

_PROCESS: dict[str, Meaning] = {
    "env": (
        "Environment of the workers: text or secrets. `{worker}`, `{queue}`, `{app}`, `{host}` stand for the "
        "worker's number, the names and the host; `{{` is a brace.",
        {"API_KEY": {"file": "/run/secrets/api"}},
    ),
    "path": ("Folders that handlers are imported from (`sys.path`), relative to the main file.", ["src"]),
    "python": ("Interpreter of another virtualenv, 3.11 or newer, that has jobd's base package.", ".venv/bin/python"),
    "working_dir": ("Folder that workers run in.", "/srv/shop"),
    "nice": ("Scheduling priority of workers, as nice(1).", 10),
    "preload": ("Import handlers once in a template process and fork workers from it; `false` imports in each.", False),
    "loop": ("Event loop of the workers; `uvloop` needs the extra `[uvloop]` where they run.", "uvloop"),
    "setup": ("Called in each worker before it reports ready.", "shop.jobs:setup"),
    "teardown": ("Called when a worker stops; one that is not over after a minute is given up.", "shop.jobs:teardown"),
    "wrap": ("Context managers, sync or async, around each job, outermost first.", ["shop.jobs:db_session"]),
    "on_failed": ("Called once for each job that failed for good, with the job and the error.", "shop.jobs:tell"),
}
_QUEUE: dict[str, Meaning] = {
    "handler": ("Runs the jobs that `jobs` does not name: `module:attribute`.", "shop.mail:send"),
    "jobs": ("Handlers by job name.", {"receipt": "shop.mail:receipt"}),
    "preset": ("A table of `[presets]`, for keys that the queue does not set itself.", "cpu"),
    "workers": (
        'Processes that serve the queue; `{ min = 1, max = 6, target_wait = "30s" }`: more while jobs wait longer.',
        2,
    ),
    "concurrency": ("Jobs at once in each worker.", 4),
    "mode": (
        "How a slot runs the handler; without it `async` for `async def` and `thread` for `def`. `process`: on "
        "the worker's main thread, one at a time.",
        "thread",
    ),
    "attempts": ("Runs of a job that sets none itself, the first included.", 3),
    "attempts_max": ("The most runs a producer may ask for.", 10),
    "backoff": (
        "Delay before the next attempt. When `attempts` comes from the file and this does not: exponential "
        "from 1s to 5m, jitter 0.2; else what the job says.",
        {"type": "exponential", "delay": "1s"},
    ),
    "timeout": ("Time for one attempt, from the handler's start; then it is cancelled and fails.", "60s"),
    "kill_after": ("If a cancelled handler still runs after this, its worker is killed.", "10s"),
    "expire": (
        "A job that waits longer than this after it was first due, by this host's clock and by Redis's, fails with "
        "reason `expired`.",
        "1h",
    ),
    "rate_limit": ("BullMQ's limiter, shared by all workers everywhere.", {"max": 100, "duration": "1s"}),
    "global_concurrency": ("BullMQ's limit of jobs at once over all workers; written to Redis.", 10),
    "per_key": (
        "At most this many jobs with the same value at once, on all jobd hosts; the others wait in `delayed`.",
        {"key": "tenantId", "concurrency": 2},
    ),
    "batch": ("The handler gets a list of up to `max` jobs.", {"max": 32, "wait": "20ms"}),
    "keep_completed": (
        "Which completed jobs to keep if the job does not say: `true` all, `false` none, a count, or "
        "a table. It trims the whole set.",
        {"count": 1000, "age": "1d"},
    ),
    "keep_failed": ("The same for failed jobs.", 5000),
    "lock_duration": ("Lifetime of a job's lock, which is renewed every third of it. At least 100ms.", "30s"),
    "stalled_interval": ("How often to look for locks that other hosts have lost. At least 100ms.", "30s"),
    "max_crashes": ("Worker deaths that a job survives; 0: the first one fails it.", 1),
    "breaker": (
        "How many crashes of the queue's workers, within which time, hold the queue back; `false`: never.",
        {"crashes": 5, "within": "1m", "retry": "1m"},
    ),
    "dead_letter": ("Queue that gets a copy of each job that failed for good.", "dead"),
    "recycle": ("When to replace a worker by a fresh one, which is ready first.", {"jobs": 1000, "age": "6h"}),
    "memory_max": (
        "A worker that grows larger is killed; its jobs fail with that reason. At least 16MiB.",
        "500MB",
    ),
    "quiet": ("`true`: workers are up but take no jobs on this host.", True),
    "job_log_output": ("What the handler prints also goes to the job's log, up to this size.", "64kB"),
    "metrics": (
        "How far back BullMQ's metrics go, one number per minute, for bull-board's charts; `false`: none.",
        "7d",
    ),
    "unknown": ("What happens to a job whose name has no handler.", "retry"),
}
_MEANINGS: list[tuple[type[Table], dict[str, Meaning]]] = [
    (ProcessKeys, _PROCESS),
    (App, {"name": ("Name of the application; daemons that share it own the same schedules.", "shop")}),
    (RedisSettings, {
        "url": ("`redis://`, `rediss://` or `unix://`. This or `embedded`.", "redis://127.0.0.1:6379/0"),
        "embedded": ("A private Redis that `jobd run` starts; its data is in `state_dir`.", True),
        "username": ("ACL user; text or a secret. Wins over the URL's.", "worker"),
        "password": ("Text or a secret. Not together with a password in the URL.", {"file": "/run/secrets/redis"}),
        "prefix": ("BullMQ's `prefix`.", "shop"),
        "embedded_port": ("The embedded server also listens here, on 127.0.0.1, with a password.", 6390),
        "server": ("Program of the embedded server, instead of the one that is found.", "/usr/bin/valkey-server"),
        "socket_mode": ("File mode of the embedded server's socket.", "0660"),
    }),
    (DaemonSettings, {
        "grace": ("On stop: how long running jobs may continue before they are handed back.", "25s"),
        "watch": ("Reload automatically when the files (`config`) or the code (`code`) change.", "config"),
        "log": ("Format of log lines and the lowest level that is written.", {"format": "json"}),
        "queues": ("Which queues of the file this daemon runs, as globs.", ["mail*"]),
        "socket": ("Control socket; else `.jobd/control.sock` beside the file, or /run/jobd for a file under /etc.",
                   "/run/shop/control.sock"),
        "state_dir": ("Folder of the daemon's state; else `.jobd` beside the file, or /var/lib/jobd.", "/var/lib/shop"),
        "socket_group": ("This group may do everything on the control socket.", "deploy"),
        "status_group": ("This group gets `status.sock`, which only reads.", "monitoring"),
        "http": ("Serve `/metrics`, `/livez` and `/readyz` here: `HOST:PORT` or `unix:PATH`; with the extra `metrics`.",
                 "127.0.0.1:9464"),
    }),
    (LogSettings, {
        "format": ("`auto`: text on a terminal, journal prefixes under systemd, else JSON.", "json"),
        "level": ("The lowest level that is written.", "debug"),
    }),
    (QueueKeys, _QUEUE),
    (JobHandler, {
        "handler": ("Runs the jobs of this name.", "shop.mail:digest"),
        "timeout": ("As the queue's, for this name.", "5m"),
        "attempts": ("As the queue's, for this name.", 10),
        "backoff": ("As the queue's, for this name.", "5s"),
    }),
    (BackoffTable, {
        "type": ("How the delay grows.", "exponential"),
        "delay": ("Delay before the second attempt.", "1s"),
        "max": ("The longest delay.", "5m"),
        "jitter": ("Share of the delay that is random.", 0.2),
    }),
    (RateLimit, {"max": ("Jobs started per `duration`.", 100), "duration": ("The period they are counted in.", "1s")}),
    (PerKey, {
        "key": ("A dotted path into the data, or into the options when it begins with `opts.`. Without it a job is not "
                "limited.", "tenantId"),
        "concurrency": ("Jobs of one value at once.", 2),
    }),
    (Batch, {
        "max": ("At most this many jobs per call. `concurrency` times this is at most 1024.", 32),
        "wait": ("How long to wait for more jobs after the first.", "20ms"),
    }),
    (Breaker, {
        "crashes": ("The number of crashes that holds the queue back.", 5),
        "within": ("The period crashes are counted in.", "1m"),
        "retry": ("How long the queue is held back.", "1m"),
    }),
    (Recycle, {
        "jobs": ("After this many jobs.", 1000),
        "age": ("After this time. At least 1s.", "6h"),
        "memory": ("When it is larger than this. At least 16MiB.", "500MB"),
    }),
    (KeepTable, {"count": ("The latest this many.", 1000), "age": ("None older than this.", "1d")}),
    (Schedule, {
        "queue": ("Queue of the jobs.", "reports"),
        "name": ("Name of the jobs; default: the schedule's.", "nightly"),
        "cron": ("5 or 6 fields, seconds first. This or `every`.", "15 3 * * *"),
        "every": ("A fixed interval.", "5m"),
        "timezone": ("Time zone of `cron`.", "Europe/Athens"),
        "data": ("Data of the jobs.", {"kind": "full"}),
        "priority": ("Priority of the jobs, 0 none.", 5),
        "limit": ("At most this many runs.", 10),
        "start": ("Not before: a moment with its offset.", "2026-06-01T00:00:00Z"),
        "end": ("Not after.", "2026-09-01T00:00:00Z"),
        "offset": ("`every` counts from 1970 plus this, instead of from its first run.", "10m"),
        "immediately": ("The first run of a `cron` is immediate; that of an `every` always is.", True),
        "overlap": ("If the previous run is not finished: run beside it, wait for it, or skip this run.", "skip"),
        "catch_up": ("A run that was missed is made up once, or skipped.", "none"),
        "jitter": ("Each run is due up to this much later, at random.", "30s"),
    }),
    (WebSettings, {
        "hide": ("Case-insensitive globs: members of job data, at any depth, with a matching name are `***` "
                 "on the page.", ["password", "*token*"]),
        "listen": ("Where `jobd web` listens without --listen: an address and a port, or `unix:PATH`.",
                   "127.0.0.1:9465"),
    }),
]  # fmt: skip


def meaning_of(table: type[Table], key: str) -> Meaning | None:
    """Return what a key of a table means and an example of its value; None for a table that is not described."""
    known: list[tuple[type[Table], dict[str, Meaning]]] = [*_MEANINGS, (QueueTable, _QUEUE)]
    found = [meanings[key] for owner, meanings in known if issubclass(table, owner) and key in meanings]
    return found[-1] if found else None
