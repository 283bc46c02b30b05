"""Read jobs and queues for people: nothing here changes anything."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.engine.job import JobRecord
from jobd.engine.keys import literal
from jobd.engine.options import is_own_key
from jobd.engine.outcome import result_of
from jobd.engine.runner import Command
from jobd.engine.scripts import script
from jobd.engine.states import State
from jobd.engine.trouble import Trouble
from jobd.errors import RedisRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys

COUNTED = (
    State.WAITING,
    State.PRIORITIZED,
    State.DELAYED,
    State.ACTIVE,
    State.COMPLETED,
    State.FAILED,
    State.WAITING_CHILDREN,
)


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue at one moment. `counts` has every state of COUNTED.

    `oldest_waiting_at` is the timestamp of the job that runs next (ms), None when none waits or it is unreadable.
    `paused_by`, `paused_at` (ms), `paused_why` are None unless jobd paused the queue.
    """

    counts: dict[str, int]
    paused: bool
    concurrency: int | None
    max: int | None
    duration_ms: int | None
    limited_ms: int | None
    oldest_waiting_at: int | None
    paused_by: str | None
    paused_at: int | None
    paused_why: str | None
    exists: bool


@dataclass(frozen=True, slots=True)
class WrongKey:
    """A key of a queue that is of another type than a queue's: nothing that needs it works until it is moved away."""

    key: str
    kind: str
    wanted: str

    @property
    def text(self) -> str:
        """What is wrong."""
        return f"{self.key} is a {self.kind} where a {self.wanted} belongs"

    @property
    def mend(self) -> str:
        """The command that moves it away without losing what it holds; on a Cluster it stays in its slot."""
        return shlex.join(("redis-cli", "RENAME", self.key, f"broken:{self.key}"))


def get_job(keys: Keys, job_id: str, *, field_max: int | None = None) -> Command[JobRecord | None]:
    """Read one job; None when there is none. Broken JSON in a field is told in `broken`, never raised.

    `field_max` leaves payloads of more bytes where they are; `cut` tells which.
    """
    if is_own_key(job_id):
        return Command(("ECHO", ""), lambda _: None)

    def read(reply: Any) -> JobRecord | None:
        return record(keys.queue, job_id, State(reply[0].decode()), *reply[1:]) if reply else None

    return Command((*_state_words(keys, job_id), -1 if field_max is None else field_max), read, script("get_job"))


def get_state(keys: Keys, job_id: str) -> Command[State]:
    """Read where a job is; UNKNOWN when it is nowhere."""
    words = (*_state_words(keys, job_id), "")
    return Command(words, lambda reply: State(reply[0].decode()), script("get_job"))


def _state_words(keys: Keys, job_id: str) -> tuple[str | int, ...]:
    sets = (keys.completed, keys.failed, keys.delayed, keys.prioritized, keys.waiting_children)
    return (9, keys.job(job_id), *sets, keys.active, keys.wait, keys.legacy_paused, job_id)


def list_jobs(
    keys: Keys, state: State, start: int = 0, stop: int = 99, *, asc: bool = True, field_max: int | None = None
) -> Command[list[JobRecord | str]]:
    """Read the jobs of one state by rank, both ends included; at most a page of 1,000.

    Ascending begins with the job that runs next, or that finished or is due first. An id without a hash is given as
    text, so that a page shorter than asked for always is the last one. `field_max` is as in get_job. Of an id that is
    no UTF-8 the wrong bytes are shown as U+FFFD: whoever acts on that finds no such job.
    """
    key = container(keys, state)
    sooner = keys.legacy_paused if state is State.WAITING else key
    bytes_max = -1 if field_max is None else field_max
    words = (2, key, sooner, keys.base, start, min(stop, start + 999), _range_command(state, asc), bytes_max)

    def read(reply: Any) -> list[JobRecord | str]:
        return [
            record(keys.queue, job_id, state, fields, cut) if fields else job_id
            for job_id, fields, cut in ((raw.decode(errors="replace"), fields, cut) for raw, fields, cut in reply)
        ]

    return Command(words, read, script("list_jobs"))


def container(keys: Keys, state: State) -> str:
    """Return the key of the list or sorted set that holds the ids of a state."""
    return {
        State.WAITING: keys.wait,
        State.PRIORITIZED: keys.prioritized,
        State.DELAYED: keys.delayed,
        State.ACTIVE: keys.active,
        State.COMPLETED: keys.completed,
        State.FAILED: keys.failed,
        State.WAITING_CHILDREN: keys.waiting_children,
    }[state]


def _range_command(state: State, asc: bool) -> str:
    if state in (State.WAITING, State.ACTIVE):
        return "LRANGE" if asc else "LREVRANGE"
    return "ZRANGE" if asc else "ZREVRANGE"


def queue_facts(keys: Keys, limiter_max: int = 0) -> Command[QueueFacts]:
    """Read counts, pause and limits of a queue in one round trip.

    Args:
        limiter_max: The most jobs in a window by the caller's own configuration; 0 leaves it to what Redis holds.

    Raises:
        RedisRefused: when it is read, for a key of a wrong type; the message names the key and what mends it.
    """
    command = queue_facts_or_fault(keys, limiter_max)

    def read(reply: Any) -> QueueFacts:
        found = command.read(reply)
        if isinstance(found, WrongKey):
            text = f"Redis refused: WRONGTYPE: {found.text}; move it away: {found.mend}"
            raise RedisRefused(text, trouble=Trouble.WRONG_TYPE)
        return found

    return Command(command.words, read, command.script)


def queue_facts_or_fault(keys: Keys, limiter_max: int = 0) -> Command[QueueFacts | WrongKey]:
    """Read the same where one broken queue must not hide the others."""

    def read(reply: Any) -> QueueFacts | WrongKey:
        if len(reply) == 3:
            return WrongKey(*(word.decode(errors="replace") for word in reply))
        return _read_facts(reply)

    words = (1, keys.meta, keys.base, limiter_max)
    return Command(words, read, script("queue_facts"))


def _read_facts(reply: Any) -> QueueFacts:
    counts, meta, oldest, limited, exists = reply
    paused, concurrency, most, duration, by, at, why = ((item or b"").decode(errors="replace") or None for item in meta)
    return QueueFacts(
        counts={state.value: count for state, count in zip(COUNTED, counts, strict=True)},
        paused=paused is not None,
        concurrency=_number(concurrency),
        max=_number(most),
        duration_ms=_number(duration),
        limited_ms=limited if limited > 0 else None,
        oldest_waiting_at=_number(oldest.decode(errors="replace")) if oldest else None,
        paused_by=by,
        paused_at=_number(at),
        paused_why=why,
        exists=exists == 1,
    )


def job_logs(keys: Keys, job_id: str, start: int = 0, stop: int = -1) -> Command[list[str]]:
    """Read the log lines of a job by position, oldest first, both ends included."""
    words = ("LRANGE", keys.logs(job_id), start, stop)
    return Command(words, lambda reply: [line.decode(errors="replace") for line in reply])


def children_values(keys: Keys, job_id: str) -> Command[dict[str, Any]]:
    """Read the results of a parent's completed children, by their keys (`prefix:queue:id`)."""

    def read(reply: Any) -> dict[str, Any]:
        return {key: result_of(value) for key, value in _table(reply)}

    return Command(("HGETALL", f"{keys.job(job_id)}:processed"), read)


def ignored_failures(keys: Keys, job_id: str) -> Command[dict[str, str]]:
    """Read why children failed whose failure the parent ignores or goes on after, by their keys."""

    def read(reply: Any) -> dict[str, str]:
        return dict(_table(reply))

    return Command(("HGETALL", f"{keys.job(job_id)}:failed"), read)


def _table(reply: Any) -> list[tuple[str, str]]:
    """Read a hash: a flat list, or a table under RESP3, which an application's own client may speak."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return [(key.decode(errors="replace"), value.decode(errors="replace")) for key, value in pairs]


def find_queues(prefix: str, cursor: int = 0) -> Command[tuple[int, list[str]]]:
    """Look through part of the keys for queues of a prefix; repeat with the returned cursor until it is 0.

    The names of one call may come again in a later one.
    """
    pattern = literal(prefix) + ":*:meta"
    start = len(prefix) + 1

    def read(reply: Any) -> tuple[int, list[str]]:
        names = (key.decode(errors="replace")[start : -len(":meta")] for key in reply[1])
        return int(reply[0]), [name for name in names if name and ":" not in name]

    # A key of another type is somebody else's, and no script could read it: one such must not hide all queues.
    return Command(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "hash"), read)


def find_places(cursor: int = 0) -> Command[tuple[int, list[tuple[str, str]]]]:
    """Look through part of the keys for queues of any prefix, as (prefix, name); repeat until the cursor is 0."""

    def read(reply: Any) -> tuple[int, list[tuple[str, str]]]:
        parts = (key.decode(errors="replace").removesuffix(":meta").rpartition(":") for key in reply[1])
        return int(reply[0]), [(prefix, name) for prefix, _, name in parts if prefix and name]

    return Command(("SCAN", cursor, "MATCH", "*:*:meta", "COUNT", 1000, "TYPE", "hash"), read)


def written_by_bullmq(keys: Keys) -> Command[bool]:
    """Tell whether a producer of BullMQ's kind has written to the queue: each leaves the length of its events."""
    return Command(("HEXISTS", keys.meta, "opts.maxLenEvents"), bool)


_MEMBERS = {"returnvalue": "result", "failedReason": "failed_reason"}
"""What a field is called in the record, where that is not its own name."""


class _Fields:
    """The fields of a job's hash; `broken` names those that are not what they should be."""

    def __init__(self, reply: Sequence[bytes]) -> None:
        self._raw = {key.decode(errors="replace"): value for key, value in zip(reply[::2], reply[1::2], strict=True)}
        self.broken: list[str] = []

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(map(len, self._raw.values()))

    def parsed(self, field: str, absent: Any) -> Any:
        """Return a field's JSON value; its text when it is none."""
        if field not in self._raw:
            return absent
        try:
            return json.loads(self._raw[field], parse_constant=_refuse)
        except (ValueError, RecursionError):
            self.broken.append(field)
            return self.text(field)

    def text(self, field: str) -> str | None:
        """Return a field's text; None when it is absent."""
        return self._raw[field].decode(errors="replace") if field in self._raw else None

    def number(self, field: str) -> int | None:
        """Return a field's whole number; None when it is absent or no number."""
        value = _number(self.text(field))
        if value is None and field in self._raw:
            self.broken.append(field)
        return value


def record(queue: str, job_id: str, state: State, reply: Sequence[bytes], cut: Sequence[Any] = ()) -> JobRecord:
    """Return the record of a job from its fields and values, whatever lies in them.

    `cut` are names and bytes of the fields that were too long to be read, or read whole.
    """
    lengths = {name.decode(): size for name, size in zip(cut[::2], cut[1::2], strict=True)}
    fields = _Fields(reply)
    parsed, text, number, broken = fields.parsed, fields.text, fields.number, fields.broken
    opts, stacktrace = parsed("opts", {}), parsed("stacktrace", [])
    if not isinstance(opts, dict):
        opts = {}
        broken += [] if "opts" in broken else ["opts"]
    traces = stacktrace if isinstance(stacktrace, list) else [stacktrace]
    return JobRecord(
        id=job_id,
        queue=queue,
        state=state,
        name=text("name") or "",
        data=parsed("data", None if "data" in lengths else {}),
        opts=opts,
        timestamp=number("timestamp") or 0,
        delay_ms=number("delay") or 0,
        priority=number("priority") or 0,
        attempts_made=number("attemptsMade") or number("atm") or 0,
        attempts_started=number("ats") or 0,
        crashes=number("stc") or 0,
        processed_at=number("processedOn"),
        finished_at=number("finishedOn"),
        result=parsed("returnvalue", None),
        failed_reason=text("failedReason"),
        stacktrace=[str(entry) for entry in traces],
        progress=parsed("progress", 0),
        worker=text("pb"),
        parent_key=text("parentKey"),
        scheduler_id=text("rjk"),
        deduplication_id=text("deid"),
        broken=broken,
        cut={_MEMBERS.get(name, name): size for name, size in lengths.items()},
        deferred_failure=text("defa"),
        size=fields.size,
    )


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None
