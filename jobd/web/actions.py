"""What the page changes: one function for each form, each an operation of the table, told with the user's name."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from starlette.responses import RedirectResponse, Response

from jobd.errors import InputError, JobdError
from jobd.operations import table
from jobd.web import formats
from jobd.web.filters import Wanted
from jobd.web.pages import config as config_page
from jobd.web.redaction import put_back
from jobd.web.render import View
from jobd.web.site import Running, Told, Visit

Act = Callable[[Visit, Sequence[tuple[str, str]]], Awaitable[View | Response]]
"""What a form does, given its fields."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.operations.documents.jobs import Bulk
    from jobd.operations.operation import Operation, P, R
    from jobd.operations.params.jobs import Which

_OPTIONS_KEPT = ("attempts", "priority", "backoff")
"""Options of a job that a copy of it gets as well; ids, parents, schedules and deduplication are the original's own."""


class Verb(NamedTuple):
    """What is done to jobs: "Retry", "retried"."""

    name: str
    past: str
    operation: Operation[Which, Bulk]


VERBS = {
    "retry": Verb("Retry", "retried", table.JOB_RETRY),
    "promote": Verb("Promote", "promoted", table.JOB_PROMOTE),
    "cancel": Verb("Cancel", "cancelled", cast("Operation[Which, Bulk]", table.JOB_CANCEL)),
    "remove": Verb("Remove", "removed", table.JOB_REMOVE),
}


async def change(visit: Visit, operation: Operation[P, R], params: Mapping[str, Any], title: str) -> R:
    """Do one operation: recorded with the user's name, its progress shown on every open page meanwhile."""
    site = visit.site
    site.record.asked(visit.user, operation, params)
    try:
        with _shown(visit, title) as running:
            return await site.reach.ask(
                operation, params, who=visit.user, behalf=visit.behalf, progress=running.say, timeout=None
            )
    except (JobdError, OSError) as error:
        site.record.refused(visit.user, operation, str(error))
        raise


@contextmanager
def _shown(visit: Visit, title: str) -> Iterator[Running]:
    yield from visit.site.under_way(Running(title, visit.user))


def done(visit: Visit, place: str, told: str, *, good: bool = True) -> Response:
    """Return what sends the browser on to a page that tells what was done."""
    key = visit.site.tell(Told(told, good))
    return RedirectResponse(place + ("&" if "?" in place else "?") + f"told={key}", 303)


async def _pause(visit: Visit, fields: Sequence[tuple[str, str]]) -> Response:
    queue, reason = visit.names["queue"], dict(fields).get("reason", "").strip()
    params = {"queue": queue} | ({"reason": reason} if reason else {})
    await change(visit, table.QUEUE_PAUSE, params, f"pause {queue}")
    return done(visit, _back(visit, fields), f"{queue} is paused: no worker anywhere takes its jobs.")


def _queue_act(operation: Operation[Any, Any], told: str) -> Callable[..., Awaitable[Response]]:
    async def act(visit: Visit, fields: Sequence[tuple[str, str]]) -> Response:
        queue = visit.names["queue"]
        await change(visit, operation, {"queue": queue}, f"{operation.name.partition('.')[2]} {queue}")
        return done(visit, _back(visit, fields), told.format(queue))

    return act


async def _scale(visit: Visit, fields: Sequence[tuple[str, str]]) -> Response:
    queue, to = visit.names["queue"], dict(fields).get("to", "").strip()
    found = await change(visit, table.QUEUE_SCALE, {"queue": queue, "to": to or None}, f"scale {queue}")
    told = f"{queue} has {formats.many(found['workers'], 'worker')} now; it had {found['was']}."
    return done(visit, formats.path("queues", queue), told)


def _back(visit: Visit, fields: Sequence[tuple[str, str]]) -> str:
    """Return the page that a form stands on: the overview or the queue's own."""
    return "/" if dict(fields).get("from") == "overview" else formats.path("queues", visit.names["queue"])


async def _jobs(visit: Visit, fields: Sequence[tuple[str, str]]) -> View | Response:
    """Ask how many, then do it: to the ticked jobs, or to all that fit the filters."""
    queue, given = visit.names["queue"], dict(fields)
    wanted = Wanted.of(given)
    here = wanted.address(queue)
    ids = [value for name, value in fields if name == "id_ticked"]
    word, _, scope = given.get("do", "").partition(" ")
    verb = VERBS.get(word)
    if verb is None:
        raise InputError(f'no such change: "{word}"')
    if scope == "ticked" and not ids:
        return done(visit, here, "No job was selected, so nothing was done.", good=False)
    params: dict[str, Any] = {"queue": queue, "ids": ids} if scope == "ticked" else wanted.choice(queue)
    if given.get("agreed") != "yes":
        count = len(ids) if scope == "ticked" else await _count(visit, verb, params, wanted)
        if count == 0:
            return done(visit, here, f"No job fits; nothing to {word}.", good=False)
        context = {
            "title": f"{verb.name} {formats.many(count, 'job')}?", "verb": verb.name, "count": count, "queue": queue,
            "do": given["do"], "ids": ids, "filters": wanted.given(), "words": wanted.words(), "back": here,
            "action": visit.path, "scope": scope,
        }  # fmt: skip
        return View("question.html", context, live=True)
    report = await change(visit, verb.operation, params, f"{word} jobs of {queue}")
    told = f"{verb.past} {formats.count(report['done'])}, gone meanwhile {formats.count(report['gone'])}"
    return done(visit, here, told)


async def _count(visit: Visit, verb: Verb, params: dict[str, Any], wanted: Wanted) -> int:
    """Return how many jobs it would be: from the queue's counts where the state is all that was asked for."""
    if wanted.only_state:
        row = (await visit.read(table.QUEUE_SHOW, {"queue": params["queue"]}))["queue"]
        known = row.get(wanted.state.replace("-", "_"))
        if isinstance(known, int):
            return known
    report = await visit.site.reach.ask(
        verb.operation, {**params, "dry_run": True}, who=visit.user, behalf=visit.behalf, timeout=None
    )
    return report["done"]


async def _empty(visit: Visit, fields: Sequence[tuple[str, str]]) -> View | Response:
    """Delete what waits, after the question."""
    queue = visit.names["queue"]
    here = formats.path("queues", queue)
    if dict(fields).get("agreed") != "yes":
        planned = await visit.site.reach.ask(
            table.QUEUE_EMPTY, {"queue": queue, "dry_run": True}, who=visit.user, behalf=visit.behalf
        )
        if not planned["removed"]:
            return done(visit, here, "No job waits; there is nothing to empty.", good=False)
        return _question(visit, "Empty", planned["removed"], ["waiting and prioritized"], here)
    report = await change(visit, table.QUEUE_EMPTY, {"queue": queue}, f"empty {queue}")
    return done(visit, here, f"removed {formats.many(report['removed'], 'job')} that waited")


def _question(visit: Visit, verb: str, count: int, words: list[str], back: str) -> View:
    """Return the question before a change that has no filters or ticks to carry along."""
    context = {
        "title": f"{verb} {formats.many(count, 'job')}?", "verb": verb, "count": count, "queue": visit.names["queue"],
        "do": verb.lower(), "ids": [], "filters": {}, "words": words, "back": back, "action": visit.path,
        "scope": "one",
    }  # fmt: skip
    return View("question.html", context)


def _one_job(word: str) -> Callable[..., Awaitable[View | Response]]:
    async def act(visit: Visit, fields: Sequence[tuple[str, str]]) -> View | Response:
        queue, job_id, verb = visit.names["queue"], visit.names["id"], VERBS[word]
        here = formats.path("queues", queue, "jobs", job_id)
        if word == "remove" and dict(fields).get("agreed") != "yes":
            return _question(visit, verb.name, 1, [f"id {job_id}"], here)
        report = await change(visit, verb.operation, {"queue": queue, "ids": [job_id]}, f"{word} job {job_id}")
        if not report["done"]:
            return done(visit, here, f"The job was not {verb.past}: it is in another state now.", good=False)
        where = formats.path("queues", queue, "jobs") if word == "remove" else here
        return done(visit, where, f"Job {job_id} was {verb.past}.")

    return act


async def _again(visit: Visit, fields: Sequence[tuple[str, str]]) -> Response:
    """Add a job like this one, with the data as it was edited; what was hidden in it is taken from the original."""
    queue, job_id = visit.names["queue"], visit.names["id"]
    original = (await visit.read(table.JOB_SHOW, {"queue": queue, "id": job_id}))["job"]
    hidden = await visit.site.hidden(visit)
    try:
        data = put_back(json.loads(dict(fields).get("data", "")), original["data"], hidden, hidden.values_of(original))
    except ValueError as error:
        raise InputError(f"the data is not JSON: {error}") from None
    except KeyError as error:
        raise InputError(f"{error.args[0]} is ***, and the original has no such member: write a value") from None
    options = {name: original["opts"][name] for name in _OPTIONS_KEPT if original["opts"].get(name)}
    params = {"queue": queue, "name": original["name"], "data": data, "options": _as_client(options)}
    added = (await change(visit, table.JOB_ADD, params, f"add to {queue}"))["job"]
    return done(visit, formats.path("queues", queue, "jobs", added["id"]), f"Added as job {added['id']}.")


def _as_client(options: dict[str, Any]) -> dict[str, Any]:
    """Return options of a job as `add` takes them: a delay of BullMQ's is a number of milliseconds."""
    backoff = options.get("backoff")
    if isinstance(backoff, dict) and isinstance(backoff.get("delay"), int | float):
        return {**options, "backoff": {**backoff, "delay": backoff["delay"] / 1000}}
    return {**options, "backoff": backoff / 1000} if isinstance(backoff, int | float) else options


def _schedule_act(operation: Operation[Any, Any], told: str) -> Act:
    async def act(visit: Visit, fields: Sequence[tuple[str, str]]) -> Response:
        del fields
        which = {"name": visit.names["schedule"], "queue": visit.names["queue"]}
        found = await change(visit, operation, which, f"{operation.name.partition('.')[2]} {which['name']}")
        return done(visit, "/schedules", told.format(which["name"], id=found.get("id", "")))

    return act


async def _reload(visit: Visit, fields: Sequence[tuple[str, str]]) -> View | Response:
    params = {"code": dict(fields).get("code") == "yes"}
    try:
        found = await change(visit, table.RELOAD, params, "reload")
    except JobdError as error:
        return await config_page.refused(visit, error)
    notes = " ".join(found["notes"])
    told = f"Generation {found['generation']} is in force after {found['took_s']:.1f}s. "
    return done(visit, "/config", told + f"{formats.many(found['interrupted'], 'job')} interrupted. {notes}".strip())


ACTS: dict[str, Act] = {
    "/queues/{queue}/pause": _pause,
    "/queues/{queue}/resume": _queue_act(table.QUEUE_RESUME, "{} is resumed."),
    "/queues/{queue}/quiet": _queue_act(table.QUEUE_QUIET, "{} is quiet: this host takes none of its jobs."),
    "/queues/{queue}/unquiet": _queue_act(table.QUEUE_UNQUIET, "{} takes jobs on this host again."),
    "/queues/{queue}/reset": _queue_act(table.QUEUE_RESET, "{} is tried again: its breaker is reset."),
    "/queues/{queue}/scale": _scale,
    "/queues/{queue}/empty": _empty,
    "/queues/{queue}/jobs": _jobs,
    "/queues/{queue}/jobs/{id}/retry": _one_job("retry"),
    "/queues/{queue}/jobs/{id}/promote": _one_job("promote"),
    "/queues/{queue}/jobs/{id}/cancel": _one_job("cancel"),
    "/queues/{queue}/jobs/{id}/remove": _one_job("remove"),
    "/queues/{queue}/jobs/{id}/again": _again,
    "/schedules/{queue}/{schedule}/run": _schedule_act(table.SCHEDULE_RUN, "{} was run: job {id}."),
    "/schedules/{queue}/{schedule}/pause": _schedule_act(table.SCHEDULE_PAUSE, "{} is paused: it makes no more jobs."),
    "/schedules/{queue}/{schedule}/resume": _schedule_act(table.SCHEDULE_RESUME, "{} is resumed."),
    "/config/reload": _reload,
}
