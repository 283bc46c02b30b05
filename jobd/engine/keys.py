"""Every key name of a queue (docs/wire-format.md, "Keys"), and nowhere else."""

from __future__ import annotations

from functools import cached_property


def hash_tag(key: str) -> str:
    """Return the part of a key by which a Redis Cluster chooses its slot, "" when that is the whole key."""
    return key.partition("{")[2].partition("}")[0] if "}" in key.partition("{")[2] else ""


def literal(text: str) -> str:
    """Return the glob of Redis that matches this text and no other."""
    return "".join(f"\\{sign}" if sign in "*?[]\\^-" else sign for sign in text)


class Keys:
    """The key names of one queue. `base` ends in a colon: scripts build the keys of single jobs from it."""

    def __init__(self, prefix: str, queue: str) -> None:
        self.prefix = prefix
        self.queue = queue
        self.qualified: str = f"{prefix}:{queue}"
        self.base: str = f"{prefix}:{queue}:"

    def __repr__(self) -> str:
        return f"Keys({self.qualified!r})"

    def job(self, job_id: str) -> str:
        """Hash of one job."""
        return self.base + job_id

    def lock(self, job_id: str) -> str:
        """Lock of an active job; its value is the token."""
        return f"{self.base}{job_id}:lock"

    def logs(self, job_id: str) -> str:
        """Log lines of a job, a list."""
        return f"{self.base}{job_id}:logs"

    def metrics(self, state: str) -> str:
        """BullMQ's count of "completed" or "failed" jobs, a hash; with :data the list of its minutes."""
        return f"{self.base}metrics:{state}"

    @cached_property
    def meta(self) -> str:
        """Settings of the queue: paused, concurrency, max, duration, opts.maxLenEvents."""
        return self.base + "meta"

    @cached_property
    def id(self) -> str:
        """Counter of ids."""
        return self.base + "id"

    @cached_property
    def wait(self) -> str:
        """Waiting ids; the tail runs next."""
        return self.base + "wait"

    @cached_property
    def active(self) -> str:
        """Ids being run, the newest at the head."""
        return self.base + "active"

    @cached_property
    def prioritized(self) -> str:
        """Waiting ids with a priority."""
        return self.base + "prioritized"

    @cached_property
    def delayed(self) -> str:
        """Ids that are due later."""
        return self.base + "delayed"

    @cached_property
    def waiting_children(self) -> str:
        """Parents that wait for their children."""
        return self.base + "waiting-children"

    @cached_property
    def completed(self) -> str:
        """Completed ids by finish time."""
        return self.base + "completed"

    @cached_property
    def failed(self) -> str:
        """Failed ids by finish time."""
        return self.base + "failed"

    @cached_property
    def legacy_paused(self) -> str:
        """Where BullMQ 5 kept the waiting ids of a paused queue."""
        return self.base + "paused"

    @cached_property
    def marker(self) -> str:
        """What idle workers block on."""
        return self.base + "marker"

    @cached_property
    def stalled(self) -> str:
        """Ids seen active by the last stalled check and not renewed since."""
        return self.base + "stalled"

    @cached_property
    def stalled_check(self) -> str:
        """Suppresses a second stalled check within the interval."""
        return self.base + "stalled-check"

    @cached_property
    def probe(self) -> str:
        """Never there: what a write that changes nothing is tried on."""
        return self.base + "jobd-probe"

    @cached_property
    def limiter(self) -> str:
        """Jobs started in the current window."""
        return self.base + "limiter"

    @cached_property
    def events(self) -> str:
        """The event stream."""
        return self.base + "events"

    @cached_property
    def repeat(self) -> str:
        """Schedulers by their current iteration."""
        return self.base + "repeat"

    @cached_property
    def schedules(self) -> str:
        """What only jobd keeps of schedulers. Two segments: BullMQ's removeOrphanedJobs takes such a key for no job."""
        return self.base + "jobd:schedules"
