"""Embed the same texts one at a time and in batches, and say how long each took."""

from __future__ import annotations

import sys
import time

from jobd.client import Queue

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
SENTENCE = "one call for many texts costs a model little more than one text does: its weights are read once"
WORDS = SENTENCE.split()


def drain(name: str) -> tuple[float, list[float]]:
    """Return how long it took from resuming a full queue to its last job, and the first text's vector."""
    texts = [" ".join(WORDS[number % 7 : 7 + number % 12]) for number in range(COUNT)]
    with Queue(name) as queue:
        queue.pause()
        jobs = queue.add_many([("text", {"text": text}) for text in texts])
        began = time.perf_counter()
        queue.resume()
        first = jobs[0].wait(timeout=120)
        for job in jobs[1:]:
            job.wait(timeout=120)
        return time.perf_counter() - began, first


if __name__ == "__main__":
    single, one = drain("single")
    batched, other = drain("batched")
    print(f"one at a time: {COUNT / single:.0f} texts/s")
    print(f"in batches: {COUNT / batched:.0f} texts/s, {single / batched:.1f} times as many")
    print("the vectors are the same:", all(abs(a - b) < 0.001 for a, b in zip(one, other, strict=True)))
