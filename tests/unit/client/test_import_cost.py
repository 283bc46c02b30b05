"""`import jobd.client` brings redis-py and the standard library, nothing of the daemon."""

from __future__ import annotations

import json
import subprocess
import sys

ALLOWED = ("jobd.client", "jobd.engine", "jobd.locate", "jobd.clock", "jobd.duration", "jobd.errors", "jobd.lazy")

LOADED = {
    "jobd",
    "jobd.client",
    "jobd.client.async_queue",
    "jobd.client.lazy_module",
    "jobd.client.producer",
    "jobd.client.queue",
    "jobd.client.queue_maintenance",
    "jobd.client.tracing",
    "jobd.client.async_queue_maintenance",
    "jobd.clock",
    "jobd.duration",
    "jobd.engine",
    "jobd.engine.adding",
    "jobd.engine.backoff",
    "jobd.engine.codes",
    "jobd.engine.compact_json",
    "jobd.engine.conversation",
    "jobd.engine.javascript",
    "jobd.engine.keys",
    "jobd.engine.new_job",
    "jobd.engine.options",
    "jobd.engine.runner",
    "jobd.engine.scripts",
    "jobd.engine.traces",
    "jobd.engine.trouble",
    "jobd.errors",
    "jobd.lazy",
}
"""All that a producer's import brings beyond redis-py; of the standard library nothing that redis-py does not load."""


def loaded(code: str) -> set[str]:
    ask = f"import sys, json\n{code}\njson.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


def test_the_client_loads_only_the_client_s_rooms_and_redis() -> None:
    came = loaded("from jobd.client import *\nQueue('q', url='redis://h/0')") - loaded("import redis")
    ours = {name for name in came if name.split(".")[0] == "jobd"}
    assert {name for name in ours if name != "jobd" and not name.startswith(ALLOWED)} == set()
    others = {name.split(".")[0] for name in came - ours} - set(sys.stdlib_module_names)
    assert others <= {"redis"}


def test_the_errors_of_a_producer_come_from_the_place_the_queue_comes_from() -> None:
    import jobd
    import jobd.client
    import jobd.errors

    for name in ("InputError", "JobFailed", "JobdError", "RedisUnavailable"):
        error = getattr(jobd.errors, name)
        assert getattr(jobd.client, name) is error
        assert getattr(jobd, name) is error


def test_importing_jobd_loads_its_names_only() -> None:
    came = loaded("import jobd") - loaded("")
    assert {name for name in came if name.split(".")[0] not in sys.stdlib_module_names} == {"jobd", "jobd.lazy"}


def test_the_client_loads_no_more_modules_than_these() -> None:
    """What an import costs is what it loads; the milliseconds are a figure of the benchmarks."""
    came = loaded("from jobd.client import AsyncQueue, Backoff, Queue") - loaded("import redis, redis.asyncio")
    assert came - LOADED == set(), "does every producer need it?"
    assert LOADED - came == set(), "the list names what is not loaded any more"
