"""A producer that adds jobs until told to stop, and notes in the ledger what Redis accepted."""

from __future__ import annotations

import random
import threading

from jobd.client import Queue
from jobd.errors import RedisRefused, RedisUnavailable
from tests.chaos.ledger import Ledger

KINDS = ("quick", "quick", "quick", "slow", "waiting", "flaky")
EXPECTED_RUNS = {"flaky": 2}


class Producer:
    """One thread that adds about `rate` jobs a second: plain, delayed, prioritized, LIFO and in bulk."""

    def __init__(self, url: str, prefix: str, ledger: Ledger, seed: int, rate: float = 150.0) -> None:
        self.ledger = ledger
        self.kinds: dict[str, str] = {}
        self._queue = Queue("chaos", url=url, prefix=prefix, answer_limit="1s")
        self._random = random.Random(seed)
        self._pause = 1 / rate
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._produce, name="producer")
        self._count = 0

    def start(self) -> None:
        """Begin adding."""
        self._thread.start()

    def stop(self) -> None:
        """End adding; returns when the last add is noted."""
        self._halt.set()
        self._thread.join()
        self._queue.close()

    def expected_runs(self) -> dict[str, int]:
        """Return the jobs that run more than once on purpose."""
        return {job_id: EXPECTED_RUNS[kind] for job_id, kind in self.kinds.items() if kind in EXPECTED_RUNS}

    def _produce(self) -> None:
        while not self._halt.wait(self._pause):
            self._add_some()

    def _add_some(self) -> None:
        batch = [self._next() for _ in range(20 if self._random.random() < 0.02 else 1)]
        ids = {str(options["job_id"]) for _, _, options in batch}
        try:
            if len(batch) == 1:
                name, data, options = batch[0]
                self._queue.add(name, data, **options)
            else:
                self._queue.add_many(batch)
        except (RedisUnavailable, RedisRefused):
            self.ledger.unknown |= ids
        else:
            self.ledger.accepted |= ids

    def _next(self) -> tuple[str, dict[str, int], dict[str, object]]:
        self._count += 1
        kind = self._random.choice(KINDS)
        options: dict[str, object] = {"job_id": f"j{self._count}"}
        self.kinds[f"j{self._count}"] = kind
        if kind == "flaky":
            options["attempts"] = 1000
        shape = self._random.random()
        if shape < 0.1:
            options["delay"] = f"{self._random.randrange(1, 1500)}ms"
        elif shape < 0.2:
            options["priority"] = self._random.randrange(1, 5)
        elif shape < 0.25:
            options["lifo"] = True
        return kind, {"number": self._count}, options
