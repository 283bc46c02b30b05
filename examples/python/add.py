"""Add a few jobs and wait for them. Run it in this folder while `jobd run` runs in another terminal."""

from __future__ import annotations

from jobd import JobFailed
from jobd.client import Backoff, JobHandle, Queue


def outcome(job: JobHandle) -> str:
    """Wait until the job is finished for good and say how."""
    try:
        return f"completed: {job.wait(timeout=30)}"
    except JobFailed as failure:
        return f"failed: {failure.reason}"


def main() -> None:
    """Add one job of each kind; the Redis is the one that jobd.toml names."""
    email, reports = Queue("email"), Queue("reports")
    jobs = {
        "welcome": email.add("welcome", {"userId": 7}),
        "flaky": email.add("flaky", {"userId": 8}, attempts=3, backoff=Backoff.exponential("500ms")),
        "broken": email.add("broken", {"userId": 9}, attempts=3),
        "report": reports.add("monthly", {"pages": 5}),
    }
    for name, job in jobs.items():
        print(f"{name} {outcome(job)}")


if __name__ == "__main__":
    main()
