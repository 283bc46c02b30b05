"""The text of the files that `jobd init` writes."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING

from jobd.locate.redis import DEFAULT_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobd.cli.init_discover import FoundQueue

_CONFIG = """\
# The queues that this machine serves, and the functions that run their jobs.
#
#   jobd check     is this file valid?          jobd run       start the daemon
#   jobd status    what is running and waiting  jobd reload    apply edits; a mistake changes nothing
#
# Lines that begin with # are disabled; they show keys you may want. All keys: jobd config show --origin

[app]
name = {app}
path = ["."]                     # handlers are imported from here; relative to this file
# env = {{ API_KEY = {{ file = "secrets/api" }} }}   # or {{ env = "NAME" }}, {{ credential = "name" }}; or plain text
# setup = "jobs:setup"           # called in each worker before its first job
# teardown = "jobs:teardown"     # called when it stops

[redis]
{redis}
# password = {{ env = "REDIS_PASSWORD" }}
{prefix}

[daemon]
grace = "25s"                    # on stop: wait this long for running jobs, then hand them back
# log = {{ format = "json", level = "info" }}

[defaults]                       # apply to every queue that does not say otherwise
attempts = 3                     # runs of a job that sets none itself, the first included
keep_completed = {{ count = 1000, age = "1d" }}     # finished jobs to keep in Redis, for each queue
keep_failed = {{ count = 5000, age = "7d" }}
"""

_EMBEDDED = """\
embedded = true                  # a private Redis that jobd starts; its data is in .jobd beside this file
# url = "redis://127.0.0.1:6379/0"       # or the Redis that your producers use"""

_PREFIX = """# prefix = "bull"                # as BullMQ's `prefix`"""

_EXAMPLE_QUEUE = """
[queues.email]
workers = 1                      # processes
concurrency = 4                  # jobs at once in each; handlers must then be thread-safe
timeout = "1m"                   # of one attempt
# backoff = { type = "exponential", delay = "1s", max = "5m", jitter = 0.2 }   # pause before the next attempt
# rate_limit = { max = 100, duration = "1s" }
# memory_max = "500MB"           # a worker that grows larger is killed and replaced

[queues.email.jobs]              # job name = "module:function"
welcome = "jobs:welcome"
"""

_HANDLERS = '''\
"""Handlers: each runs one job. It may run twice for the same job if a machine dies at the wrong moment."""

from jobd import Job
'''

_EXAMPLE_HANDLER = '''

def welcome(job: Job) -> dict:
    """Greet a new user. The return value is the job's result; an exception is a failed attempt."""
    job.log(f"greeting user {job.data['userId']}")
    return {"welcomed": job.data["userId"]}
'''

_TESTS = '''\
"""Tests of the handlers, run as a worker would run them, but without Redis or a daemon.

Run them with `pytest`, which `pip install pytest` installs.
"""

from jobd.testing import run
'''

_EXAMPLE_TEST = """

def test_welcome_greets_the_user():
    done = run("jobs:welcome", {"userId": 7})
    assert (done.outcome, done.result) == ("completed", {"welcomed": 7})
    assert done.logs == ["greeting user 7"]


def test_welcome_needs_to_know_whom():
    done = run(queue="email", name="welcome", attempt=3)  # with the settings of jobd.toml; its last attempt
    assert (done.outcome, repr(done.error)) == ("failed", "KeyError('userId')")


def test_a_job_that_is_added_is_run(jobd_queues):
    from jobd.client import Queue

    Queue("email").add("welcome", {"userId": 7})  # as your application would; here it goes to memory
    assert [job.data for job in jobd_queues["email"]] == [{"userId": 7}]
    assert [done.outcome for done in jobd_queues.drain()] == ["completed"]
"""


def config_text(app: str, url: str | None, queues: Sequence[FoundQueue], prefix: str = DEFAULT_PREFIX) -> str:
    """Return jobd.toml: with the queues found, else with an example."""
    redis = f"url = {toml_text(url)}" if url else _EMBEDDED
    own = _PREFIX if prefix == DEFAULT_PREFIX else f"prefix = {toml_text(prefix)}"
    text = _CONFIG.format(app=toml_text(app), redis=redis, prefix=own)
    return text + ("".join(_queue_table(queue) for queue in _named(queues)) or _EXAMPLE_QUEUE)


def handlers_text(queues: Sequence[FoundQueue]) -> str:
    """Return jobs.py: a stub for each job name found, else an example."""
    return _HANDLERS + ("".join(_stub(*found) for found in _stubs(queues)) or _EXAMPLE_HANDLER)


def tests_text(queues: Sequence[FoundQueue]) -> str:
    """Return test_jobs.py; it passes with the stubs as they are."""
    tests = "".join(_stub_test(function, name) for _, name, function in _stubs(queues))
    return _TESTS + (tests or _EXAMPLE_TEST)


def toml_text(text: str) -> str:
    """Return a TOML string; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(text: str) -> str:
    """Return a key of a TOML table, quoted where it must be."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else toml_text(text)


def _named(queues: Sequence[FoundQueue]) -> Iterator[tuple[str, list[tuple[str | None, str]]]]:
    """Yield each queue with [(job name or None for all, function)]; no two functions have one name."""
    taken: set[str] = set()
    for queue in queues:
        names: list[str | None] = [*queue.names] or [None]
        yield queue.name, [(name, _function(queue.name, name, taken)) for name in names]


def _stubs(queues: Sequence[FoundQueue]) -> Iterator[tuple[str, str | None, str]]:
    for queue, functions in _named(queues):
        for name, function in functions:
            yield queue, name, function


def _function(queue: str, name: str | None, taken: set[str]) -> str:
    words = re.sub(r"\W+", "_", f"{queue}_{name}" if name else queue, flags=re.ASCII).strip("_").lower()
    base = words if words and not words[0].isdigit() and not keyword.iskeyword(words) else f"job_{words}"
    function, number = base, 2
    while function in taken:
        function, number = f"{base}_{number}", number + 1
    taken.add(function)
    return function


def _queue_table(found: tuple[str, list[tuple[str | None, str]]]) -> str:
    queue, functions = found
    quiet = f"{'quiet = true':<32} # remove this line once its handlers are written"
    lines = ["", f"[queues.{toml_key(queue)}]", quiet]
    if functions[0][0] is None:
        lines.append(f'handler = "jobs:{functions[0][1]}"     # runs every job of the queue')
    lines += ["# workers = 1", "# concurrency = 4", '# timeout = "1m"']
    if functions[0][0] is not None:
        lines += ["", f"[queues.{toml_key(queue)}.jobs]"]
        lines += [f'{toml_key(name or "")} = "jobs:{function}"' for name, function in functions]
    return "\n".join(lines) + "\n"


def _stub(queue: str, name: str | None, function: str) -> str:
    what = f"a job {json.dumps(name)}" if name else "every job"
    return (
        f"\n\ndef {function}(job: Job) -> None:\n"
        f'    """Run {what} of the queue {json.dumps(queue)}."""\n'
        f'    raise NotImplementedError("{function} is not written yet")\n'
    )


def _stub_test(function: str, name: str | None) -> str:
    job = f", name={json.dumps(name)}" if name else ""
    return (
        f"\n\ndef test_{function}():\n"
        f'    done = run("jobs:{function}", {{}}{job})\n'
        f'    assert str(done.error) == "{function} is not written yet"  # until it is\n'
    )
