"""`jobd schema …`: what the file and the jobs look like, for editors, validators and compilers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from jobd.cli.click_commands import Group, command
from jobd.cli.output import warn
from jobd.errors import NotThere

if TYPE_CHECKING:
    from jobd.cli.settings import Settings
    from jobd.config.model import Config, Queue


@click.group(
    "schema",
    cls=Group,
    homes={
        "config": ("jobd.cli.commands.config:print_schema", "the JSON Schema of jobd.toml, for editors"),
        "jobs": ("jobd.cli.commands.schema:jobs", "the JSON Schema of every typed handler's data, or TypeScript"),
    },
    examples=["jobd schema config > jobd.schema.json", "jobd schema jobs --ts > src/jobs.ts"],
)
def schema() -> None:
    """Say what the file may hold and what jobs must."""


@command(
    "jobs",
    examples=[
        "jobd schema jobs                     # one JSON Schema: properties are queues, theirs are job names",
        "jobd schema jobs email               # of one queue",
        "jobd schema jobs --ts > src/jobs.ts  # for producers: queue.add(name, data satisfies Jobs['email'][name])",
    ],
)
@click.argument("queue", required=False)
@click.option("--ts", is_flag=True, help="A TypeScript file with the interface Jobs.")
@click.pass_obj
def jobs(settings: Settings, queue: str | None, ts: bool) -> None:
    """Print the schema of the data that typed handlers take. Handlers are imported in a throw-away process.

    A handler whose parameters have no types takes anything and is left out; which ones are is told on stderr.
    """
    from jobd.cli.check_imports import import_handlers, load_all

    config = load_all(settings)
    chosen = [*config.queues.values()] if queue is None else [_queue(config, queue)]
    import_handlers(config, resolve=True).refuse()
    found, definitions = _schemas(config, chosen)
    if ts:
        from jobd.cli.typescript import jobs_text

        click.echo(jobs_text(found, definitions), nl=False)
    else:
        click.echo(json.dumps(_document(found, definitions), indent=2))


def _queue(config: Config, name: str) -> Queue:
    if name not in config.queues:
        raise NotThere("queue", name, known=sorted(config.queues))
    return config.queues[name]


def _schemas(config: Config, queues: list[Queue]) -> tuple[dict[str, dict[str | None, dict[str, Any]]], dict[str, Any]]:
    """Return {queue: {job name, None for every other: schema}} of what has types, and the definitions they share."""
    from jobd.cli.describe import describe

    described = describe(config, queues)
    found: dict[str, dict[str | None, dict[str, Any]]] = {}
    definitions: dict[str, Any] = {}
    for queue in queues:
        named: list[tuple[str | None, str]] = [(name, job.handler) for name, job in queue.jobs.items()]
        named += [(None, queue.handler)] if queue.handler else []
        for name, handler in named:
            schema = described.schemas[queue.name].get(handler)
            if schema is None:
                warn(f"notice: {handler} ({queue.name} {name or '*'}) says nothing about its data")
            else:
                found.setdefault(queue.name, {})[name] = _shared(schema, definitions)
    return found, definitions


def _shared(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose definitions went into `definitions`; one that means something else there is renamed."""
    own = schema.get("$defs", {})
    names: dict[str, str] = {}
    for name, definition in own.items():
        fresh, number = name, 2
        while fresh in definitions and definitions[fresh] != definition:
            fresh, number = f"{name}{number}", number + 1
        names[name] = fresh
        definitions[fresh] = definition
    moved = {name: _renamed(definition, names) for name, definition in own.items()}
    definitions.update({names[name]: definition for name, definition in moved.items()})
    rest = {key: value for key, value in schema.items() if key != "$defs"}
    renamed: dict[str, Any] = _renamed(rest, names)
    return renamed


def _renamed(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, list):
        return [_renamed(each, names) for each in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _renamed(value, names) for key, value in part.items()}
    reference = part.get("$ref")
    if isinstance(reference, str):
        renamed["$ref"] = f"#/$defs/{names[reference.rpartition('/')[2]]}"
    return renamed


def _document(found: dict[str, dict[str | None, dict[str, Any]]], definitions: dict[str, Any]) -> dict[str, Any]:
    queues = {}
    for queue, named in found.items():
        queues[queue] = {
            "type": "object",
            "properties": {name: schema for name, schema in named.items() if name is not None},
            "additionalProperties": named.get(None, False),
        }
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "the data of jobs, by queue and job name",
        "type": "object",
        "properties": queues,
    }
    return document | ({"$defs": definitions} if definitions else {})
