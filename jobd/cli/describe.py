"""Ask throw-away processes what the handlers of a configuration take (jobd.worker.describe)."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobd.daemon.processes.worker_spec import child_environment, handlers_of, load_message, template_key
from jobd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobd.config.model import Config, Queue

LIMIT_S = 120
"""Imports of a large application take long; one that never ends is told."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The data of one job, as JSON text, and the handler that would get it."""

    queue: str
    handler: str
    data: str


@dataclass(slots=True)
class Described:
    """`schemas` is {queue: {handler: JSON Schema, None for one without types}}; `misfits` has one entry a payload."""

    schemas: dict[str, dict[str, dict[str, Any] | None]] = field(default_factory=dict)
    misfits: list[str | None] = field(default_factory=list)


def describe(config: Config, queues: Iterable[Queue], payloads: Sequence[Payload] = ()) -> Described:
    """Return what the handlers of these queues take, and why payloads do not fit.

    The handlers are imported as a worker would, secrets of `env` included.

    Raises:
        InputError: such a secret cannot be read.
        Refused: the process that imports them did not answer.
    """
    found = Described(misfits=[None] * len(payloads))
    for queue in queues:
        mine = [number for number, payload in enumerate(payloads) if payload.queue == queue.name]
        answer = _ask(config, queue, [payloads[number] for number in mine])
        found.schemas[queue.name] = answer["schemas"]
        for number, misfit in zip(mine, answer["misfits"], strict=True):
            found.misfits[number] = misfit
    return found


def _ask(config: Config, queue: Queue, payloads: list[Payload]) -> dict[str, Any]:
    key = template_key(queue)
    load = load_message(config, key, [queue], os.environ, preload=True)
    request = {
        "path": load.path,
        "env": load.env,
        "handlers": handlers_of(queue),
        "batch": queue.batch is not None,
        "jobs": [{"handler": payload.handler, "data": payload.data} for payload in payloads],
    }
    try:
        done = subprocess.run(
            [key.python, "-P", "-m", "jobd.worker.describe"], input=json.dumps(request).encode(), capture_output=True,
            env=child_environment(config, os.environ), cwd=key.working_dir, timeout=LIMIT_S, check=True,
        )  # fmt: skip
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise Refused("no-answer", f"importing the handlers of {queue.name} took longer than {LIMIT_S}s") from None
    except (subprocess.CalledProcessError, ValueError, OSError) as error:
        printed = getattr(error, "stderr", None) or b""
        text = printed.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
        raise Refused("no-answer", f"cannot look at the handlers of {queue.name}: {text[0]}") from error
    return answer
