"""Say what handlers take, without running one: `python -m jobd.worker.describe`, a process of its own.

One request (JSON) on stdin: `{"path": [folder], "env": {name: value}, "handlers": [module:function],
"batch": whether they are called with a list, "jobs": [{"handler", "data": JSON text}]}`. One answer on stdout:
`{"schemas": {handler: JSON Schema or null}, "misfits": [reason or null, one a job]}`; what the application prints goes
to stderr. A handler that cannot be imported has no schema, and its jobs are not judged.
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jobd.errors import HandlerError, Unrecoverable
from jobd.worker.handlers.batch_binding import bind_batch
from jobd.worker.handlers.binding import binding_of
from jobd.worker.handlers.data_schema import schema_of
from jobd.worker.handlers.lookup import load_function
from jobd.worker.handlers.payload import data_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobd.worker.handlers.binding import Members, TypedData


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Import the handlers of a request and say what it asks."""
    os.environ.update(request["env"])
    sys.path[:0] = request["path"]
    bindings: dict[str, TypedData | Members | None] = {}
    for path in request["handlers"]:
        try:
            bindings[path] = _data(load_function(path, searched=request["path"]), path, batch=request["batch"])
        except HandlerError:
            continue
    return {
        "schemas": {path: schema_of(binding) for path, binding in bindings.items()},
        "misfits": [_misfit(bindings.get(job["handler"]), job["data"]) for job in request["jobs"]],
    }


def _data(function: Callable[..., Any], path: str, *, batch: bool) -> TypedData | Members | None:
    """Return what says which data of one job fits; None when any does."""
    if batch:
        return bind_batch(function, path)[1]
    binding = binding_of(function, path)
    return binding.data if binding is not None else None


def _misfit(binding: TypedData | Members | None, text: str) -> str | None:
    """Return why a handler would refuse this data before it runs; None when it would not."""
    try:
        # All that the makers of arguments look at.
        job: Any = SimpleNamespace(data=data_of(text.encode()))
        if binding is not None:
            binding(job)
    except Unrecoverable as refusal:
        return str(refusal)
    return None


def main() -> None:
    """Answer the request on stdin."""
    request = json.load(sys.stdin.buffer)
    ours = os.dup(1)
    os.dup2(2, 1)
    text = json.dumps(answer(request))
    with os.fdopen(ours, "w") as stream:
        stream.write(text)
    sys.stdout.flush()
    # What the imports started (threads, atexit hooks) has no say in how this ends.
    os._exit(os.EX_OK)


if __name__ == "__main__":
    main()
