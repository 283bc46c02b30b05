"""What becomes of a job after one run: pure decisions from its options and the queue's policy."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jobd.engine import javascript
from jobd.engine.backoff import Backoff, unknown_type
from jobd.engine.codes import Code
from jobd.engine.job import KEEP_ALL, KEEP_NONE, Finish, Keep
from jobd.engine.states import Outcome

if TYPE_CHECKING:
    from jobd.engine.job import Taken

LONGEST_DELAY_MS = 10 * 365 * 86_400_000
"""Ten years: a due time times 4096 must stay exact in a score (until September 2039)."""

DEFAULT_BACKOFF = Backoff("exponential", 1_000, 0.2, 300_000)
"""What jobd.toml fills in where it gives attempts and no backoff."""

_CACHED_OPTS = 1_024
"""Longest options text that is remembered: those without ids of their own are alike for thousands of jobs."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of one job that matter after the take, read as JavaScript reads them.

    `attempts` 0: it has none. `stack_trace_limit` below 0 drops the oldest so many, as Node's `slice` does.
    `unknown_backoff` is the type of a backoff that nobody here knows.
    """

    attempts: int = 0
    backoff: Backoff | None = None
    keep_completed: Keep | None = None
    keep_failed: Keep | None = None
    keep_logs: int | None = None
    lifo: bool = False
    stack_trace_limit: int | None = None
    unknown_backoff: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the queue's file says where a job says nothing. `attempts_max` bounds what jobs say.

    `dead_letter` is the queue that gets a copy of what fails for good.
    """

    attempts: int = 1
    attempts_max: int | None = None
    backoff: Backoff | None = None
    keep_completed: Keep = KEEP_ALL
    keep_failed: Keep = KEEP_ALL
    dead_letter: str | None = None

    def attempts_of(self, options: JobOptions) -> int:
        """Return how often the job may run: its own number up to `attempts_max`, else the file's."""
        if options.attempts <= 0:
            return self.attempts
        return options.attempts if self.attempts_max is None else min(options.attempts, self.attempts_max)

    def backoff_of(self, options: JobOptions) -> Backoff | None:
        """Return the job's own backoff, else the file's; None: again at once.

        The default stands in only for attempts that come from the file: to a producer who gave attempts and no
        backoff BullMQ promises a retry at once. One whose backoff is of an unknown type did not mean that.
        """
        if options.backoff is not None:
            return options.backoff
        if options.unknown_backoff is not None:
            return self.backoff or DEFAULT_BACKOFF
        if options.attempts > 0 and self.backoff == DEFAULT_BACKOFF:
            return None
        return self.backoff


_NO_OPTIONS = JobOptions()


def read_opts(raw: bytes | None) -> JobOptions:
    """Return the options of a job's `opts` field. Never raises: what cannot be used is left out, the rest holds."""
    if not raw:
        return _NO_OPTIONS
    return _read_cached(raw) if len(raw) <= _CACHED_OPTS else _read(raw)


def _read(raw: bytes) -> JobOptions:
    try:
        stored = json.loads(raw)
    except (ValueError, RecursionError):
        return _NO_OPTIONS
    if not isinstance(stored, dict):
        return _NO_OPTIONS
    backoff = stored.get("backoff")
    return JobOptions(
        attempts=_attempts(stored.get("attempts", 0)),
        backoff=Backoff.from_opts(backoff),
        keep_completed=keep_from_opts(stored.get("removeOnComplete")),
        keep_failed=keep_from_opts(stored.get("removeOnFail")),
        keep_logs=_keep_logs(stored.get("kl")),
        lifo=javascript.truthy(stored.get("lifo")),
        stack_trace_limit=_stack_trace_limit(stored.get("stackTraceLimit")),
        unknown_backoff=unknown_type(backoff),
    )


_read_cached = lru_cache(maxsize=512)(_read)


def _attempts(value: Any) -> int:
    """Return how many runs `attemptsMade + 1 < attempts` allows: 3 for "3" and for 2.5, 1 for what is no number."""
    found = javascript.number(value)
    if found == 0:
        return 0
    return min(math.ceil(found), 2**31) if 1 < found < math.inf else 2**31 if found == math.inf else 1


def _stack_trace_limit(value: Any) -> int | None:
    """Return how many of the newest stay, as `=== 0 ? [] : slice(-limit)` keeps them; None all."""
    if not isinstance(value, bool) and isinstance(value, int | float) and value == 0:
        return 0
    return javascript.whole(value) or None if javascript.truthy(value) else None


def _keep_logs(value: Any) -> int | None:
    found = None if value is None else javascript.whole(value)
    return found if found is not None and found >= 0 else None


def keep_from_opts(value: Any) -> Keep | None:
    """Return the rule of a removeOnComplete / removeOnFail value (true: none stays; n: the newest n); None for junk.

    To BullMQ a text is a flag, "5" included.
    """
    if isinstance(value, bool | str):
        return KEEP_NONE if value else KEEP_ALL
    if isinstance(value, dict):
        parts = {name: _usable(value.get(name), math.ceil) for name in ("count", "age", "limit")}
        kept = {name: None if part is None or part < 0 else part for name, part in parts.items()}
        return Keep(kept["count"], kept["age"], kept["limit"] or None)
    count = _usable(value)
    if count is None:
        return None
    return Keep(count) if count >= 0 else KEEP_ALL


def _usable(value: Any, whole: Any = int) -> int | None:
    """Return the whole number of a JSON number that Lua can hold exactly, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**53) < value < 2**53:
        return None
    return int(whole(value))


def after_success(taken: Taken, options: JobOptions, policy: Policy, result: bytes) -> Finish:
    """Return the finish of a job whose handler returned; `result` is JSON."""
    return Finish(
        taken.id,
        taken.token,
        Outcome.COMPLETED,
        result,
        keep=policy.keep_completed if options.keep_completed is None else options.keep_completed,
        deduplication_id=taken.deduplication_id,
        made=taken.attempts_made,
        suspect=taken.suspect,
        child=taken.parent_key is not None,
        key=taken.key,
    )


def after_failure(
    taken: Taken,
    options: JobOptions,
    policy: Policy,
    reason: str,
    trace: str,
    *,
    chance: float | None = None,
    final: bool = False,
    cancelled: bool = False,
) -> Finish:
    """Return the finish of a job whose handler raised: RETRY while attempts are left, FAILED after them or if `final`.

    Args:
        reason: the failedReason; never stored empty.
        trace: the traceback, one entry of the stack trace; the reason stands in for an empty one.
        cancelled: somebody did not want it any more: failed, and no copy for `dead_letter`.
        chance: in [0, 1) for the backoff's random number; None rolls it.
    """
    final = final or cancelled
    attempts = policy.attempts_of(options)
    number = taken.attempts_made + 1
    text = reason or "failed without a reason"
    finish = Finish(
        taken.id,
        taken.token,
        Outcome.FAILED,
        _encode(text),
        stacktrace=_stacktrace(taken.stacktrace, trace or text, options.stack_trace_limit),
        keep=policy.keep_failed if options.keep_failed is None else options.keep_failed,
        attempts=attempts,
        deduplication_id=taken.deduplication_id,
        made=taken.attempts_made,
        suspect=taken.suspect,
        child=taken.parent_key is not None,
        key=taken.key,
        dead_letter=None if cancelled else policy.dead_letter,
    )
    if not final and number < attempts:
        backoff = policy.backoff_of(options)
        finish.outcome = Outcome.RETRY
        delay_ms = backoff.after(number, chance=chance) if backoff else 0
        if delay_ms == -1:  # BullMQ's word for "no more"
            finish.outcome = Outcome.FAILED
            return finish
        finish.delay_ms = max(0, min(delay_ms, LONGEST_DELAY_MS))
        finish.lifo = options.lifo
    return finish


def children_refusal(job_id: str, code: int, outcome: Outcome) -> str:
    """Return the failedReason of a job that its children keep from ending as `outcome`; the words are BullMQ's."""
    command = "moveToWaitingChildren" if outcome is Outcome.WAIT_FOR_CHILDREN else "moveToFinished"
    if code == Code.PENDING_CHILDREN:
        return f"Job {job_id} has pending dependencies. {command}"
    return f"Cannot complete job {job_id} because it has at least one failed child. {command}"


def _stacktrace(stored: bytes | None, trace: str, limit: int | None) -> bytes:
    try:
        entries = json.loads(stored) if stored else []
    except (ValueError, RecursionError):
        entries = []
    kept = [entry for entry in entries if isinstance(entry, str) and entry] if isinstance(entries, list) else []
    kept.append(trace)
    # Half a character pair becomes \udXXX, which is also what JSON calls it.
    return _encode(json.dumps(kept if limit is None else kept[-limit:] if limit else [], ensure_ascii=False))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
