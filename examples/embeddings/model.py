"""A small model: words are hashed into a wide vector, which two layers reduce to a short one. It needs only numpy."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # a worker is one core; more workers use more

import numpy as np  # noqa: E402 - after the lines above, which it reads

WORDS, INNER, OUTER = 2048, 1024, 64

_random = np.random.default_rng(7)
_first = _random.standard_normal((WORDS, INNER), dtype=np.float32) / np.float32(WORDS**0.5)
_second = _random.standard_normal((INNER, OUTER), dtype=np.float32) / np.float32(INNER**0.5)


@dataclass
class Text:
    text: str


def vectors(texts: list[str]) -> list[list[float]]:
    """Return one vector per text. The weights are read once per call, not once per text: that is the gain."""
    bags = np.zeros((len(texts), WORDS), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            bags[row, zlib.crc32(word.encode()) % WORDS] += 1
    found = np.maximum(bags @ _first, 0) @ _second
    found /= np.linalg.norm(found, axis=1, keepdims=True) + 1e-9
    return [[round(float(each), 4) for each in row] for row in found]


def embed_one(data: Text) -> list[float]:
    """One job, one call."""
    return vectors([data.text])[0]


def embed(texts: list[Text]) -> list:
    """A call for up to 32 jobs; an empty text fails alone."""
    found = iter(vectors([each.text for each in texts if each.text.strip()]))
    return [next(found) if each.text.strip() else ValueError("there is no word in it") for each in texts]
