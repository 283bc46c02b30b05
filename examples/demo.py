"""make demo: start jobd on the repository's jobd.toml, add jobs, watch them, stop. Exits 0 if all came out right.

Everything it writes lies in a temporary folder; the Redis is the private one of `embedded = true`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.cli.progress_bar import bar
from jobd.client import Backoff, JobHandle, Queue

if TYPE_CHECKING:
    from jobd.engine.job import JobRecord

ROOT = Path(__file__).parents[1]
PATIENCE_S = 60.0


@dataclass
class Watched:
    """One job of the demo: what it shows, and how to tell that it came out as it should."""

    title: str
    queue: Queue
    job: JobHandle
    as_it_should: Callable[[JobRecord], bool]
    shown: list[str] = field(default_factory=list)

    def look(self) -> JobRecord:
        """Print a line when something has changed since the last look."""
        record = self.queue.get(self.job.id)
        if record is None:
            raise SystemExit(f"job {self.job.id} of {self.queue.name} is gone")
        line = describe(record)
        if line not in self.shown:
            self.shown.append(line)
            print(f"  {self.title:<22} {line}", flush=True)
        return record


def main() -> int:
    """Run the demo; the exit code says whether every job came out as it should."""
    with tempfile.TemporaryDirectory(prefix="jobd-demo-") as folder:
        use_only(Path(folder))
        log_path = Path(folder, "log")
        print("$ jobd run")
        with log_path.open("w") as log:
            daemon = subprocess.Popen(jobd("run"), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until_ready(daemon)
            wrong = show_jobs()
            print("\n$ jobd status", flush=True)
            subprocess.run(jobd("status"), cwd=ROOT, check=False)
            print("\n$ jobd stop", flush=True)
            stopped = subprocess.run(jobd("stop"), cwd=ROOT, check=False).returncode
            exit_code = daemon.wait(timeout=PATIENCE_S)
        finally:
            if daemon.poll() is None:
                daemon.terminate()
                daemon.wait()
            if daemon.returncode:
                print(f"the daemon ended with exit code {daemon.returncode}:\n{log_path.read_text()}", file=sys.stderr)
    for problem in wrong:
        print(f"not as it should be: {problem}", file=sys.stderr)
    ok = not wrong and stopped == 0 and exit_code == 0
    print("\nall jobs came out as they should" if ok else "\nthe demo failed")
    return 0 if ok else 1


def use_only(folder: Path) -> None:
    """Point daemon, commands and client of this process tree at the repository's file and this folder."""
    for name in [name for name in os.environ if name.startswith("JOBD_")]:
        del os.environ[name]
    os.environ["JOBD_CONFIG"] = str(ROOT / "jobd.toml")
    os.environ["JOBD_SOCKET"] = str(folder / "control.sock")
    os.environ["JOBD_DAEMON__STATE_DIR"] = str(folder / "state")


def jobd(*arguments: str) -> list[str]:
    """The command line of a jobd command."""
    return [sys.executable, "-m", "jobd", *arguments]


def wait_until_ready(daemon: subprocess.Popen[bytes]) -> None:
    """Wait until every queue has a ready worker."""
    end = time.monotonic() + PATIENCE_S
    while daemon.poll() is None and time.monotonic() < end:
        if subprocess.run(jobd("health", "--ready"), cwd=ROOT, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    raise SystemExit("the daemon did not get ready")


def show_jobs() -> list[str]:
    """Add jobs of each kind and show what happens to them; return those that did not come out as they should."""
    with Queue("email") as email, Queue("reports") as reports:
        print("\nfive kinds of jobs:", flush=True)
        return watch(add_one_of_each(email, reports)) + priorities(reports)


def add_one_of_each(email: Queue, reports: Queue) -> list[Watched]:
    """Add them and say how each must end."""
    retried = email.add("flaky", {"userId": 8}, attempts=3, backoff=Backoff.exponential("500ms"))
    delayed = email.add("welcome", {"userId": 10}, delay="2s")
    return [
        Watched("done", email, email.add("welcome", {"userId": 7}), lambda job: job.result == {"welcomed": 7}),
        Watched("failing once, retried", email, retried, lambda job: job.result == {"sent_on_attempt": 2}),
        Watched("failing for good", email, email.add("broken", {"userId": 9}, attempts=3), failed_at_once),
        Watched("delayed by 2 s", email, delayed, lambda job: waited_ms(job) >= 2000),
        Watched("with progress", reports, reports.add("monthly", {"pages": 5}), lambda job: job.progress == 100),
    ]


def priorities(reports: Queue) -> list[str]:
    """Add urgent jobs last to a paused queue, more than it has slots; all urgent ones must start first."""
    print("\nthirty reports, the most urgent added last, while the queue is paused:", flush=True)
    subprocess.run(jobd("queue", "pause", "reports"), cwd=ROOT, check=True)
    options = [("daily", {"pages": 1}, {"priority": priority}) for priority in (3, 2, 1) for _ in range(10)]
    jobs = reports.add_many(options)
    subprocess.run(jobd("queue", "resume", "reports"), cwd=ROOT, check=True)
    with bar("thirty reports") as tell:
        for done, job in enumerate(jobs, start=1):
            job.wait(PATIENCE_S)
            tell(f"{done}/{len(jobs)}")
    records = [record for job in jobs if (record := reports.get(job.id)) is not None]
    started = {urgency: [one.processed_at or 0 for one in records if one.priority == urgency] for urgency in (1, 2, 3)}
    first = min(started[1])
    for urgency, moments in started.items():
        print(f"  the ten of priority {urgency} started {min(moments) - first} ms after the first")
    in_order = max(started[1]) <= min(started[2]) <= max(started[2]) <= min(started[3]) and first < max(started[3])
    return [] if in_order else ["reports did not start by priority"]


def watch(jobs: list[Watched]) -> list[str]:
    """Show every job until it is finished; return the titles of those that did not end as they should."""
    end = time.monotonic() + PATIENCE_S
    open_jobs, wrong = list(jobs), []
    with bar("jobs finished") as tell:
        while open_jobs and time.monotonic() < end:
            for watched in list(open_jobs):
                record = watched.look()
                if record.finished_at is not None:
                    open_jobs.remove(watched)
                    if not watched.as_it_should(record):
                        wrong.append(f"{watched.title}: {describe(record)}")
            tell(f"{len(jobs) - len(open_jobs)}/{len(jobs)}")
            time.sleep(0.02)
    return wrong + [f"{watched.title}: not finished" for watched in open_jobs]


def describe(record: JobRecord) -> str:
    """The job's state in a few words."""
    if record.state == "completed":
        return f"completed by attempt {record.attempts_made}: {record.result}"
    if record.state == "failed":
        return f"failed after attempt {record.attempts_made}: {record.failed_reason}"
    if record.progress:
        return f"{record.state}, {record.progress} %"
    if record.failed_reason is not None:
        return f"{record.state} after attempt {record.attempts_made}: {record.failed_reason}"
    return str(record.state)


def failed_at_once(job: JobRecord) -> bool:
    """Unrecoverable: no further attempt although three were allowed."""
    return job.attempts_made == 1 and job.failed_reason == "user 9 has no address"


def waited_ms(job: JobRecord) -> int:
    """Milliseconds from the add to the start of the handler."""
    return (job.processed_at or 0) - job.timestamp


if __name__ == "__main__":
    sys.exit(main())
