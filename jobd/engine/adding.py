"""Add jobs: one script takes one job or several hundred."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jobd.engine.compact_json import compact
from jobd.engine.new_job import Added
from jobd.engine.runner import Command
from jobd.engine.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys
    from jobd.engine.new_job import NewJob
    from jobd.engine.runner import Word

BATCH = 250
"""Jobs of one script call: about 3 ms of Redis time, so that other clients wait no longer than that."""

_opts = compact()
_extra = json.JSONEncoder(separators=(",", ":")).encode
_DEFAULT_OPTS = {"attempts": 0}
_DEFAULT_TEXT = _opts(_DEFAULT_OPTS)


def add_job(keys: Keys, job: NewJob) -> Command[Added]:
    """Add one job, or find that its id or deduplication id is taken. Sent twice it may add twice.

    Source: lua/add_job.lua; the rules are in docs/wire-format.md, "Adding".
    """
    words = (1, keys.meta, keys.base, job.timestamp, *_words(job, job.timestamp))
    return Command(words, _read_one, script("add_job"))


def add_jobs(keys: Keys, jobs: Sequence[NewJob]) -> Command[list[Added]]:
    """Add up to BATCH jobs in order, in one atomic step; each as add_job would."""
    now = jobs[0].timestamp
    words: list[Word] = [1, keys.meta, keys.base, now]
    for job in jobs:
        words += _words(job, now)
    return Command(tuple(words), _read_all, script("add_job"))


def add_flow(jobs: Sequence[tuple[Keys, NewJob]], now_ms: int) -> Command[list[Added]]:
    """Add a tree of jobs, each with its queue's keys and an id of its own, parents before their children.

    Others see all of it or nothing. Sent twice it changes nothing more but the counters, as long as the jobs are kept.
    """
    metas = list(dict.fromkeys(keys.meta for keys, _ in jobs))
    words: list[Word] = [len(metas), *metas, now_ms]
    for keys, job in jobs:
        words += (keys.base, job.name, job.data, _opts(job.opts), _extra(_routing(job, now_ms)))

    def read(reply: Any) -> list[Added]:
        pairs = zip(reply[::2], reply[1::2], strict=True)
        ids = (job.job_id or "" for _, job in jobs)
        return [
            Added(job_id, event_id.decode(), code == 1, False, min(code, 0))
            for job_id, (event_id, code) in zip(ids, pairs, strict=True)
        ]

    return Command(tuple(words), read, script("add_flow"))


def _words(job: NewJob, now: int) -> tuple[Word, Word, Word, Word]:
    opts = job.opts
    if opts == _DEFAULT_OPTS and job.timestamp == now:
        return job.name, job.data, _DEFAULT_TEXT, ""
    extra = _routing(job, now)
    return job.name, job.data, _opts(opts), _extra(extra) if extra else ""


def _routing(job: NewJob, now: int) -> dict[str, Any]:
    """What the script itself must know of a job; absent members are BullMQ's defaults."""
    extra: dict[str, Any] = {}
    if job.timestamp != now:
        extra["timestamp"] = job.timestamp
    if job.job_id is not None:
        extra["id"] = job.job_id
    if job.delay_ms:
        extra["delay"] = job.delay_ms
    if job.priority:
        extra["priority"] = job.priority
    if job.lifo:
        extra["lifo"] = True
    if "de" in job.opts:
        extra["de"] = job.opts["de"]
    if job.parent is not None:
        extra["parent"] = {"key": job.parent.key, "text": job.parent.field()}
    if job.children:
        extra["children"] = True
    return extra


def _read_one(reply: Any) -> Added:
    return _added(*reply)


def _read_all(reply: Any) -> list[Added]:
    parts = iter(reply)
    return [_added(*one) for one in zip(parts, parts, parts, strict=True)]


def _added(job_id: bytes, event_id: bytes, outcome: int) -> Added:
    return Added(job_id.decode(errors="replace"), event_id.decode(), outcome == 1, outcome == 2, min(outcome, 0))
