"""python -m benchmarks [NAME...] [--scale N] [--json]: measure both sides in one run and hold them to the bars.

It needs redis-server, node and the packages of tests/interop (`make bench` installs them). The exit code is 1
when a measurement could not be made; it does not depend on the bars, because a busy machine misses some.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator

from benchmarks import endurance, footprint, pages, reaction, throughput, turns
from benchmarks.figures import Figure, table
from benchmarks.rounds import DISTURBED
from benchmarks.sides import Bench

MEASUREMENTS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "drain": throughput.drain,
    "threads": throughput.drain_in_threads,
    "two-workers": throughput.drain_with_two_workers,
    "busy-workers": throughput.busy_workers,
    "batch": throughput.batches,
    "per-key": throughput.per_key,
    "steady": throughput.steady,
    "turns": turns.turns,
    "add": throughput.adding,
    "latency": reaction.latency,
    "recovery": reaction.recovery,
    "reload": reaction.reload,
    "spawn": reaction.spawn,
    "idle": footprint.idle,
    "commands": footprint.commands,
    "imports": footprint.imports,
    "metrics": pages.metrics,
    "web": pages.web,
    "reloads": endurance.reloads,
    "queues": endurance.queues,
    "backlog": throughput.backlog,
    "load": endurance.load,
}


def main() -> int:
    """Run what was asked for and print it; 1 when a measurement could not be made."""
    arguments = _arguments()
    # As Ctrl-C does: else Redis, daemons and workers of the measurement would stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures: list[Figure] = []
    failed: list[str] = []
    with Bench(arguments.scale) as bench:
        machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, Redis {_version(bench)}"
        for name in arguments.names or _asked_for() or MEASUREMENTS:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            start = time.monotonic()
            try:
                figures.extend(MEASUREMENTS[name](bench))
            except Exception:  # the others are worth their minutes all the same
                failed.append(name)
                traceback.print_exc()
                bench.redis.flushall()
            print(f"  {name} took {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    if arguments.json:
        figures_json = [figure.as_json() for figure in figures]
        print(json.dumps({"machine": machine, "scale": arguments.scale, "figures": figures_json}, indent=2))
    else:
        print(f"{machine}, scale {arguments.scale:g}\n")
        print(table(figures))
        if bench.disturbed:
            print(f"\nrounds in which others used more than {DISTURBED:.0%} of the CPU: {bench.disturbed}")
    if failed:
        print(f"could not measure: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--scale", type=float, default=scale, help="multiplies counts of jobs (default: $BENCH_SCALE)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def _asked_for() -> list[str]:
    """Return the measurements of $BENCH_ROWS, a list with commas; none: all."""
    rows = [row.strip() for row in os.environ.get("BENCH_ROWS", "").split(",") if row.strip()]
    unknown = [row for row in rows if row not in MEASUREMENTS]
    if unknown:
        sys.exit(f"no such rows: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    return rows


def _version(bench: Bench) -> str:
    return str(bench.redis.info("server")["redis_version"])


if __name__ == "__main__":
    sys.exit(main())
