"""`jobd plan` and `jobd reload`: what an edit of the file would change, and changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from jobd.cli.click_commands import command
from jobd.cli.columns import padded
from jobd.cli.daemon_or_redis import ask
from jobd.cli.output import answer, error_document, print_document, problem_text, progress, warn
from jobd.errors import DaemonAway, JobdError, Refused
from jobd.exits import Exit
from jobd.locate import absolute
from jobd.operations import table
from jobd.words import cell_width, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.cli.settings import Settings
    from jobd.operations.documents.daemon import Plan, Reloaded


@command(
    "plan",
    examples=[
        "jobd plan                          # what `jobd reload` would do now",
        "jobd plan --config new.toml        # what it would do with this file instead",
        "jobd plan --exit-code              # 10 when there are changes, 0 when there are none",
    ],
)
@click.option("--config", "new", metavar="NEW", help="Compare with this file instead of the one in force.")
@click.option("--exit-code", "tell", is_flag=True, help="Exit 10 when there are changes.")
@click.pass_obj
def plan(settings: Settings, new: str | None, tell: bool) -> int:
    """Show what reload would do. Nothing is changed."""
    params = {"config": str(absolute(new)) if new else None}
    try:
        document = ask(settings, table.PLAN, params)
    except DaemonAway:
        if new is None or settings.config is not None:
            raise
        settings.config = new  # from another folder: the daemon is the one of that file
        document = ask(settings, table.PLAN, params)
    answer(settings, document, plan_lines)
    return Exit.CHANGES if tell and document["changes"] else Exit.OK


@command(
    "reload",
    examples=[
        "jobd reload              # apply what changed in the file, touching nothing else",
        "jobd reload --code       # also new code: all workers are replaced, one by one",
    ],
)
@click.option("--code", is_flag=True, help="Import the handlers again and replace all workers.")
@click.pass_obj
def reload(settings: Settings, code: bool) -> int:
    """Apply edits of the file, wait, and print what was done. A mistake changes nothing and exits with 78."""
    try:
        document = ask(settings, table.RELOAD, {"code": code}, on_progress=progress(settings))
    except Refused as error:
        return _tell_refused(settings, error)
    except KeyboardInterrupt:
        warn("the reload goes on; see: jobd status")
        raise
    answer(settings, document, reload_lines)
    return Exit.OK


def _tell_refused(settings: Settings, error: Refused) -> int:
    if settings.json:
        print_document(error_document(error))
        return error.exit_code
    generation = _generation(settings)
    problems = error.detail.get("problems") or []
    warn(f"error: {problems[0]}" if len(problems) == 1 else problem_text(error))
    warn(f"not applied. generation {generation} keeps running." if generation else "not applied.")
    return error.exit_code


def _generation(settings: Settings) -> int | None:
    try:
        return ask(settings, table.STATUS, timeout=2.0)["generation"]
    except (JobdError, TimeoutError):
        return None


def plan_lines(document: Plan) -> Iterator[str]:
    """Yield the steps in columns, then what to do about them."""
    steps = document["steps"]
    names = [step["queue"] or step["schedule"] for step in steps]
    longest = max([10, *(cell_width(name) for name in names)])
    whats = max([27, *(cell_width(step["what"]) for step in steps)])
    for step, name in zip(steps, names, strict=True):
        mark = step["mark"] if step["mark"] in "+-" else " "
        yield f"{mark} {padded(name, longest)} {padded(step['what'], whats)} {step['how']}".rstrip()
    yield from document["notes"]
    if any(step["action"] == "refuse" for step in steps):
        yield f"generation {document['generation']} keeps running: this needs a restart of the daemon."
    elif document["changes"]:
        yield f"generation {document['generation']} -> {document['next_generation']}.  Apply with: jobd reload"
    else:
        yield f"generation {document['generation']}, no changes."


def reload_lines(document: Reloaded) -> Iterator[str]:
    """Yield what a reload ended with; its steps were told as they came."""
    yield from document["notes"]
    if document["steps"] and all(step["action"] == "keep" for step in document["steps"]):
        yield "unchanged    nothing in the files differs from what runs"
    jobs = plural(document["interrupted"], "job")
    yield f"reloaded     generation {document['generation']} in {document['took_s']:.1f}s. {jobs} interrupted."
