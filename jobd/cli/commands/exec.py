"""`jobd exec`: one handler, here, without a daemon; nothing is written to Redis."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import command
from jobd.cli.daemon_or_redis import ask, redis_is_in_reach
from jobd.cli.output import json_text, print_document, warn
from jobd.cli.params import read_payload
from jobd.errors import HandlerError, NotThere, Refused, RetryLater, Unrecoverable
from jobd.exits import Exit
from jobd.operations.table import JOB_SHOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobd.cli.attempt import Trial
    from jobd.cli.child_process import Doing
    from jobd.cli.settings import Settings
    from jobd.config.model import Queue
    from jobd.worker.run.single_attempt import Ending


@command(
    "exec",
    examples=[
        "jobd exec email welcome '{\"userId\": 7}'     # prints the result as JSON; prints and logs go to stderr",
        "jobd exec email welcome @payload.json --pdb",
        'jobd exec embed text \'[{"text": "a"}, {"text": "b"}]\' --batch     # a call with two jobs',
        "jobd exec email welcome --job 4711          # with the data of a job that is in Redis",
    ],
)
@click.argument("queue")
@click.argument("name")
@click.argument("data", required=False, metavar="[JSON|-|@FILE]")
@click.option("--job", "job_id", metavar="ID", help="Take data, options and attempts of this job.")
@click.option("--batch", "as_batch", is_flag=True, help="DATA is a list: one call of the handler with a job for each.")
@click.option("--pdb", is_flag=True, help="Open the debugger where the handler raised.")
@click.pass_obj
def exec_(  # noqa: PLR0917 - click passes them by name
    settings: Settings, queue: str, name: str, data: str | None, job_id: str | None, as_batch: bool, pdb: bool
) -> int:
    """Run the handler of one job here, in this terminal. No daemon is needed, nothing is written to Redis."""
    if data is not None and job_id is not None:
        raise click.UsageError("give either data or --job")
    if as_batch and job_id is not None:
        raise click.UsageError("--batch takes a list of data, not a job")
    from jobd.config.load import load

    payload = None if job_id else read_payload(data)
    config = load(settings.config, redis_url=settings.redis)
    found = config.queues.get(queue)
    if found is None:
        raise NotThere("queue", queue, known=sorted(config.queues))
    if as_batch:
        _check_batch(found, payload)
    _check_name(found, name)
    _check_python(found)
    stored = _stored(settings, queue, job_id) if job_id else {"data": payload}
    from jobd.cli.attempt import Trial
    from jobd.cli.child_process import Doing, go_on_in_child

    doing = Doing()
    status = go_on_in_child()
    if status is not None:
        return _end_as(status, doing, settings)
    trial = Trial(config, found, name, stored, doing)
    try:
        return _try_it(settings, trial, payload, as_batch=as_batch, pdb=pdb)
    finally:
        doing.is_over()


def _try_it(settings: Settings, trial: Trial, payload: Any, *, as_batch: bool, pdb: bool) -> int:
    from jobd.worker.run.wording import reason_of

    trial.prepare()
    try:
        endings = trial.run_batch(payload or []) if as_batch else [trial.run()]
    except KeyboardInterrupt:
        raise
    # Setup and teardown are the user's code: whatever they raise, SystemExit included, is how this ends.
    except BaseException as error:
        return _tell_failure(settings, "failed", reason_of(error), error, pdb=pdb)
    if as_batch:
        return _tell_batch(settings, endings)
    (ending,) = endings
    if ending.outcome != "completed":
        return _tell_failure(settings, ending.outcome, ending.value.decode(), ending.error, pdb=pdb)
    result = json.loads(ending.value)
    if settings.json:
        print_document({"outcome": "completed", "result": result})
    else:
        click.echo(json_text(result))
    return Exit.OK


def _end_as(status: int, doing: Doing, settings: Settings) -> int:
    """Return the exit code for a child that ended so; what it had no chance to say is told here."""
    from jobd.daemon.processes.exit_status import describe

    if doing.over and os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    end = describe(status)
    if doing.what:
        module = doing.what.partition(":")[0]
        raise HandlerError(doing.what, "import", f'cannot import "{doing.what}": {module} ended its process: {end}')
    when = "after" if doing.over else "during"
    message = f"the process ended {when} the run of the job: {end}"
    raise Refused("job-failed", message, detail={"outcome": "crashed"})


def _stored(settings: Settings, queue: str, job_id: str) -> Mapping[str, Any]:
    """Return the job's document with its whole data, which a daemon's answer may have had no room for."""
    params = {"queue": queue, "id": job_id}
    job = ask(settings, JOB_SHOW, params)["job"]
    if not {"data", "opts"} & set(job["cut"]):
        return job
    if not redis_is_in_reach(settings):
        text = f'the data of job "{job_id}" is too large for the control socket; name its Redis with --redis'
        raise Refused("too-large", text)
    from jobd.cli.direct import perform

    return perform(settings, JOB_SHOW, params)["job"]


_NOT_DONE = ("delayed", "rate_limited", "waiting_children")
"""Outcomes after which the job runs again without having failed."""


def _check_name(queue: Queue, name: str) -> None:
    if queue.handler is None and name not in queue.jobs:
        known = sorted(queue.jobs)
        message = f'queue "{queue.name}" has no handler for job name "{name}"; known: {", ".join(known)}'
        raise Refused("job-name-unknown", message, detail={"queue": queue.name, "name": name, "known": known})


def _check_batch(queue: Queue, payload: Any) -> None:
    if queue.batch is None:
        raise Refused("no-batch", f'queue "{queue.name}" has no `batch`: its handler gets one job')
    if not isinstance(payload, list) or not 1 <= len(payload) <= queue.batch.max:
        text = f"--batch needs a list of 1 to {queue.batch.max} data (`batch` of the queue), such as '[{{}}, {{}}]'"
        raise click.UsageError(text)


def _tell_batch(settings: Settings, endings: Sequence[Ending]) -> int:
    """Print how each job ended, in their order; a failed one fails the command."""
    from jobd.worker.run.wording import reason_of, trace_of, users_part

    results: list[dict[str, Any]] = []
    for ending in endings:
        if ending.outcome == "completed":
            results.append({"outcome": ending.outcome, "result": json.loads(ending.value)})
            continue
        reason = reason_of(ending.error) if ending.error is not None else ending.value.decode()
        results.append({"outcome": ending.outcome, "reason": reason})
    if settings.json:
        print_document({"results": results})
    else:
        for result in results:
            click.echo(json_text(result))
    # One exception may have ended them all; what says by itself why it is the end needs no trace.
    raised = {id(ending.error): ending.error for ending in endings if ending.error is not None}
    for error in raised.values():
        if users_part(error.__traceback__) is not None and not isinstance(error, Unrecoverable | RetryLater):
            warn(trace_of(error))
    return Exit.OK if all(ending.outcome == "completed" for ending in endings) else Exit.FAILED


def _check_python(queue: Queue) -> None:
    if queue.python is not None and str(queue.python) != sys.executable:
        raise Refused("other-python", f'queue "{queue.name}" runs under {queue.python}, exec under {sys.executable}')


def _tell_failure(settings: Settings, outcome: str, reason: str, error: BaseException | None, *, pdb: bool) -> int:
    from jobd.worker.run.wording import reason_of, trace_of, users_part

    frames = users_part(error.__traceback__) if error is not None else None
    trace = trace_of(error) if error is not None else reason
    if outcome in _NOT_DONE and error is not None:
        reason = reason_of(error)
    if settings.json:
        detail = {"outcome": outcome, "traceback": trace}
        print_document({"error": {"code": "job-failed", "message": reason, "detail": detail}})
    elif outcome in _NOT_DONE:
        warn(f"error: not done: {reason}")
    else:
        warn(trace if frames is not None else f"error: {reason}")
    if pdb and frames is not None:
        from pdb import post_mortem

        post_mortem(frames)
    return Exit.FAILED
