"""`import jobd.client` brings redis-py and the standard library, nothing of the daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ALLOWED = ("jobd.client", "jobd.engine", "jobd.locate", "jobd.clock", "jobd.duration", "jobd.errors")


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


def test_importing_jobd_loads_nothing() -> None:
    came = loaded("import jobd") - loaded("")
    assert {name for name in came if name.split(".")[0] not in sys.stdlib_module_names} == {"jobd"}


def test_the_client_takes_under_ten_milliseconds_beyond_redis(tmp_path: Path) -> None:
    code = (
        "import time, redis, redis.asyncio\nstart = time.process_time()\n"
        "from jobd.client import AsyncQueue, Backoff, Queue\nprint((time.process_time() - start) * 1000)"
    )
    # With bytecode, as an installed package has it.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout)
        for _ in range(5)
    ]
    assert min(runs) < 10, f"{min(runs):.1f} ms of CPU"
