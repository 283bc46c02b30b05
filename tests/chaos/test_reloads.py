"""Thousands of jobs in flight, a random edit and a reload every other second: none is lost, none runs twice.

CI looks for some seconds; `make chaos` (CHAOS_SECONDS) for a minute or more with 10,000 jobs. CHAOS_SEED says which
edits come; a failure names it.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from jobd.client import Queue
from jobd.engine.keys import Keys
from tests.support.daemon_process import DaemonProcess, Failed, alive
from tests.support.redis_server import RedisServer
from tests.support.tables import assert_one_state_each
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
EVERY_S = 2.0 if SECONDS >= 60 else 0.5
JOBS = 10_000 if SECONDS >= 60 else round(190 * SECONDS)
NAMES = ("one", "two", "three")
KINDS = ("quick", "slow", "waiting", "waiting")
BAD = ("concurency = 3\n", 'handler = "chaos_handlers:missing"\n', "[[[\n", 'timeout = "5 parsecs"\n')


class Editor:
    """A person who cannot leave the file alone."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.edits: Counter[str] = Counter()
        self._keys = {name: {"workers": "2", "concurrency": "2"} for name in NAMES}
        self._gone: set[str] = set()

    def text(self) -> str:
        """Return the queues as they are now."""
        return "".join(self._table(name) for name in NAMES if name not in self._gone)

    def edit(self) -> str:
        """Change something; return the file's queues, which may be wrong."""
        kind = self._random.choice(("numbers", "numbers", "replace", "replace", "gone", "all back", "mode", "bad"))
        self.edits[kind] += 1
        draw, name = self._random.choice, self._random.choice(NAMES)
        keys = self._keys[name]
        match kind:
            case "numbers":
                keys |= {"concurrency": draw(("1", "2", "4")), "workers": draw(("1", "2", "3"))}
                keys |= {"attempts": draw(("1", "3")), "timeout": draw(('"30s"', '"1m"'))}
            case "replace":
                keys |= {"env": f'{{ EDIT = "{self._random.random()}" }}', "recycle": f"{{ jobs = {draw((50, 400))} }}"}
            case "mode":
                keys |= {"preload": draw(("true", "false")), "nice": draw(("0", "1"))}
            case "gone":
                self._gone.add(name)
                self._gone -= {draw([each for each in NAMES if each != name])}
            case "all back":
                self._gone.clear()
            case _:
                return self.text() + f"[queues.{name}x]\n{draw(BAD)}"
        return self.text()

    def last(self) -> str:
        """Return a file with all queues, that works off quickly what is left."""
        self._gone.clear()
        for keys in self._keys.values():
            keys["concurrency"] = "40"
        return self.text()

    def wants_code(self) -> bool:
        """Whether this reload is one for new code."""
        return self._random.random() < 0.3

    def _table(self, name: str) -> str:
        settings = "".join(f"{key} = {value}\n" for key, value in self._keys[name].items())
        handlers = "".join(f'{kind} = "chaos_handlers:{kind}"\n' for kind in set(KINDS))
        return f'[queues.{name}]\nlock_duration = "30s"\nmax_crashes = 0\n{settings}[queues.{name}.jobs]\n{handlers}'


@pytest.mark.timeout(SECONDS * 4 + 240)
def test_reloads_under_load_lose_no_job_and_run_none_twice(
    short_tmp: Path, own_redis: RedisServer, prefix: str
) -> None:
    noted, editor, made_up = short_tmp / "ledger", Editor(SEED), random.Random(SEED)
    noted.touch()
    env = {"CHAOS_LEDGER": str(noted)}
    with DaemonProcess(short_tmp / "d", own_redis.url, editor.text(), prefix=prefix, env=env) as daemon:
        daemon.start_ready()
        for name in NAMES:
            with Queue(name, url=own_redis.url, prefix=prefix) as queue:
                queue.add_many([(made_up.choice(KINDS), {}, {"job_id": f"{name}-{n}"}) for n in range(JOBS // 3)])
        told = _reload_all_the_time(daemon, editor)
        with own_redis.client() as r:
            done, total = [Keys(prefix, name).completed for name in NAMES], JOBS // 3 * 3
            assert sum(r.zcard(key) for key in done) < total, "there was work for each of the reloads"
            daemon.reload(editor.last())
            wait_until(lambda: sum(r.zcard(key) for key in done) == total, 120, what=f"seed {SEED}: all are done")
            for name in NAMES:
                assert_one_state_each(r, prefix, name)
                for job_id in r.zrange(Keys(prefix, name).completed, 0, -1):
                    ats, atm, stc = r.hmget(Keys(prefix, name).job(job_id), "ats", "atm", "stc")
                    assert (ats, atm, stc) == ("1", "1", None), f"seed {SEED}: {name} {job_id}"
        print(f"seed {SEED}: {total} jobs, {told} reloads applied, edits: {dict(editor.edits)}")
        runs = Counter(tuple(line.split()[1:3]) for line in noted.read_text().splitlines())
        assert len(runs) == 2 * total, f"seed {SEED}"
        assert {run: count for run, count in runs.items() if count != 1} == {}, f"seed {SEED}: run twice"
        odd = [line for line in daemon.logged("worker exited") if line["why"] != "asked"]
        words = [line["line"] for line in daemon.logged("output") if line["pid"] in {each["pid"] for each in odd}]
        assert odd == [], "\n".join([f"seed {SEED}", str(odd), *words])
        below = daemon.children()
        assert daemon.stop() == 0
        wait_until(lambda: not any(alive(pid) for pid in below), 10)


def _reload_all_the_time(daemon: DaemonProcess, editor: Editor) -> int:
    """Edit and reload until the time is over; return how many were applied."""
    applied, end = 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        next_at = time.monotonic() + EVERY_S
        try:
            report = daemon.reload(editor.edit(), code=editor.wants_code())
        except Failed as refused:
            assert refused.exit == 78, f"seed {SEED}: {refused}"
        else:
            applied += 1
            assert report["interrupted"] == 0
        time.sleep(max(0.0, next_at - time.monotonic()))
    return applied
