"""The ledger: what the producer was promised, what the handlers did, when faults fell, and whether that adds up.

Each line of the file is `<monotonic ns> <S or E> <job id> <pid>`, written with one O_APPEND write, so lines of
killed processes are whole or absent. All moments are CLOCK_MONOTONIC, the same in every process.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """Something was killed or stopped between two moments (ns). `excuses`: runs cut off by it may run again."""

    kind: str
    began: int
    ended: int
    excuses: bool


@dataclass
class Run:
    """One start of a handler, and its end when it came."""

    started: int
    pid: int
    ended: int | None = None


@dataclass
class Ledger:
    """Accepted ids, runs by id, faults in order."""

    accepted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    """Ids whose add got no answer: they may exist or not."""
    faults: list[Fault] = field(default_factory=list)

    def runs(self, path: Path) -> dict[str, list[Run]]:
        """Return the runs of each job by their start, read from the handlers' file."""
        runs: dict[str, list[Run]] = defaultdict(list)
        for line in path.read_text().splitlines():
            at, kind, job_id, pid = line.split()
            if kind == "S":
                runs[job_id].append(Run(int(at), int(pid)))
            else:
                open_run = next(run for run in reversed(runs[job_id]) if run.pid == int(pid) and run.ended is None)
                open_run.ended = int(at)
        return runs

    def unexcused(self, path: Path, expected_runs: dict[str, int]) -> list[str]:
        """Return one text for each run too many that no fault explains.

        `expected_runs` names the jobs whose handler fails on purpose and so runs more than once. A fault explains a
        further run when it fell between the start of the run before and the start of the run too many.
        """
        complaints = []
        for job_id, runs in self.runs(path).items():
            surplus = len(runs) - expected_runs.get(job_id, 1)
            excused = sum(
                any(f.excuses and f.ended >= before.started and f.began <= after.started for f in self.faults)
                for before, after in itertools.pairwise(runs)
            )
            if surplus > excused:
                complaints.append(f"{job_id}: {len(runs)} runs, {excused} explained: {runs}; {self._around(runs)}")
        return complaints

    def _around(self, runs: list[Run]) -> str:
        """Return the faults from five seconds before a job's first run until its last, in seconds from then."""
        first, last = runs[0].started, runs[-1].started
        near = [f for f in self.faults if f.ended >= first - 5_000_000_000 and f.began <= last]
        return ", ".join(f"{f.kind} {(f.began - first) / 1e9:+.2f} to {(f.ended - first) / 1e9:+.2f}" for f in near)
