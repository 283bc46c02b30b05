"""What handlers count themselves: summed over processes, kept when they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobd.metrics.handlers import HandlersNumbers

PROGRAM = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("shop_seen", "seen", ["kind"]).labels("a").inc(float(sys.argv[1]))
Histogram("shop_took", "took", buckets=(1, 5)).observe(2)
Gauge("shop_level", "level", multiprocess_mode="livesum").set(7)
Gauge("shop_peak", "peak", multiprocess_mode="max").set(float(sys.argv[1]))
Counter("jobd_own", "not theirs").inc()
if len(sys.argv) > 2:
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def numbers(tmp_path: Path) -> HandlersNumbers:
    found = HandlersNumbers(tmp_path / "numbers")
    found.prepare()
    return found


def command(amount: int, *more: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(amount), *more]


def environment(numbers: HandlersNumbers) -> dict[str, str]:
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(numbers.folder)}


def samples(numbers: HandlersNumbers) -> dict[str, float]:
    return {sample.name: sample.value for metric in numbers.collect() for sample in metric.samples}


def test_counts_of_processes_are_summed_and_outlive_them(numbers: HandlersNumbers) -> None:
    for amount in (1, 2):
        subprocess.run(command(amount), env=environment(numbers), check=True, timeout=60)
    living = subprocess.Popen(
        command(4, "stay"), env=environment(numbers), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert living.stdout is not None
    assert living.stdout.readline() == b"ready\n"
    try:
        numbers.fold()
        names = {file.name for file in numbers.folder.glob("*.db")}
        assert names == {
            "counter_folded.db", "histogram_folded.db", "gauge_max_folded.db", f"counter_{living.pid}.db",
            f"histogram_{living.pid}.db", f"gauge_max_{living.pid}.db", f"gauge_livesum_{living.pid}.db",
        }  # fmt: skip
        found = samples(numbers)
        assert (found["shop_seen_total"], found["shop_took_count"], found["shop_took_sum"]) == (7, 3, 6)
        assert (found["shop_level"], found["shop_peak"]) == (7, 4)
        assert "jobd_own_total" not in found
    finally:
        living.communicate(timeout=60)
    found = samples(numbers)
    assert (found["shop_seen_total"], found["shop_took_count"], found["shop_peak"]) == (7, 3, 4)
    assert "shop_level" not in found


def test_a_broken_file_costs_nobody_else(numbers: HandlersNumbers) -> None:
    subprocess.run(command(3), env=environment(numbers), check=True, timeout=60)
    (numbers.folder / f"counter_{os.getpid()}.db").write_bytes(b"\xff" * 4096)
    (numbers.folder / "counter_4194305.db").write_bytes(b"")
    assert samples(numbers)["shop_seen_total"] == 3


def test_an_earlier_start_is_forgotten(numbers: HandlersNumbers) -> None:
    subprocess.run(command(3), env=environment(numbers), check=True, timeout=60)
    numbers.prepare()
    assert numbers.collect() == []
