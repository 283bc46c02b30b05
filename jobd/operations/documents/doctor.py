"""The document of `doctor`."""

from __future__ import annotations

from typing import Annotated, TypedDict


class Finding(TypedDict):
    """Something that is not as it should be."""

    level: Annotated[str, "error or warning"]
    code: Annotated[str, "stable name of this kind of finding"]
    about: Annotated[str, "redis, a queue's name, this host, or another host's name"]
    what: str
    then: Annotated[str, "what follows from it"]
    mend: Annotated[str, "the command that mends it"]


class QueueSize(TypedDict):
    """What a queue takes in Redis, from samples."""

    name: str
    jobs: int
    bytes: int


class Diagnosis(TypedDict):
    """What `doctor` found."""

    findings: Annotated[list[Finding], "errors first"]
    queues: Annotated[list[QueueSize], "the largest first"]
    redis: Annotated[dict[str, str], "version, memory, connections and round trip, for people"]


def error(code: str, about: str, what: str, *, then: str, mend: str) -> Finding:
    """Return a finding that costs jobs, or time until somebody acts."""
    return {"level": "error", "code": code, "about": about, "what": what, "then": then, "mend": mend}


def warning(code: str, about: str, what: str, *, then: str, mend: str) -> Finding:
    """Return a finding that may cost something one day."""
    return {"level": "warning", "code": code, "about": about, "what": what, "then": then, "mend": mend}
