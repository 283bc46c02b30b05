"""Rounds of both sides in turn: what a machine does to one side in a round it does to the other too."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Generic, TypeVar

from benchmarks.sides import Bench, cpu_s

T = TypeVar("T")

DISTURBED = 0.15
"""Share of the machine's CPU that others may use in a round."""

REPEATS = 3
"""How often a disturbed round is repeated before it is taken as it is."""

REPEATS_OF_A_RUN = 10
"""How many rounds one run repeats at most: on a machine that is never quiet it must end all the same."""

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Rounds(Generic[T]):
    """What both sides measured, round by round."""

    jobd: list[T]
    node: list[T]

    def figures(self, of: Callable[[T], float]) -> tuple[float, float, list[float]]:
        """Return the medians of both sides, and jobd / BullMQ of each round, ascending."""
        ours, theirs = [of(one) for one in self.jobd], [of(one) for one in self.node]
        return median(ours), median(theirs), sorted(a / b for a, b in zip(ours, theirs, strict=True))


def interleaved(
    bench: Bench, name: str, jobd: Callable[[], T], node: Callable[[], T], *, once: bool = False
) -> Rounds[T]:
    """Measure jobd, then BullMQ, then jobd again and so on; each round's load and disturbance goes to stderr.

    Disturbed rounds are repeated where there are several: a short look stays short.
    `once`: a single round, of what takes a minute and depends little on the machine.
    """
    rounds: Rounds[T] = Rounds([], [])
    count = 1 if once else bench.rounds
    for number in range(count):
        for left in range(REPEATS, -1, -1):
            busy = _OthersCpu(bench)
            load = " ".join(f"{one:.1f}" for one in os.getloadavg())
            # Who comes first changes, so that neither always finds the warmer machine.
            pair = (jobd(), node()) if number % 2 == 0 else (node(), jobd())[::-1]
            share = busy.share()
            disturbed = share > DISTURBED
            again = disturbed and left > 0 and count > 1 and bench.repeats < REPEATS_OF_A_RUN
            bench.repeats += again
            bench.disturbed += disturbed and not again
            note = " disturbed, repeated" if again else " disturbed" if disturbed else ""
            print(
                f"  {name}, round {number + 1}/{count}: load before {load}, others used {share:.0%}{note}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            if not again:
                break
        rounds.jobd.append(pair[0])
        rounds.node.append(pair[1])
    return rounds


class _OthersCpu:
    """CPU time that processes other than the benchmark's use from here on."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._began = time.monotonic()
        self._busy, self._own = _busy_s(), self._own_s()

    def share(self) -> float:
        """Return their share of all the machine's CPU time, 0 to 1."""
        others = (_busy_s() - self._busy) - (self._own_s() - self._own)
        return max(0.0, others / (time.monotonic() - self._began) / (os.cpu_count() or 1))

    def _own_s(self) -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used) + cpu_s(self._bench.lasting_pids)


def _busy_s() -> float:
    fields = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / _TICKS  # all but idle and iowait, proc(5)
