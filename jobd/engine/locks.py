"""Who holds the active jobs: renewal, recovery of what a dead worker held, hand-back, the stalled check.

A lock names its holder by its token; the name that a taker leaves in the hash (`pb`) outlives the lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobd.engine.job import KEEP_ALL, Keep, Recovered, Taken
from jobd.engine.runner import Command, Word
from jobd.engine.scripts import script
from jobd.engine.turn import dead_word, decode_id, decode_ids, encode_id, keep_words, read_taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobd.engine.keys import Keys


def renew_locks(keys: Keys, held: Sequence[tuple[str, str]], lock_ms: int) -> Command[list[int | str]]:
    """Keep the locks of these (job id, token) for `lock_ms` from now; one answer each, in order.

    1: renewed, or taken again because it was missing and nobody took the job meanwhile; a text: renewed, and the job
    was cancelled for this reason. Else a codes.Code: MISSING_JOB, MISSING_LOCK (over, or another's turn),
    LOCK_OF_ANOTHER. Safe to send twice.
    """
    words: list[Word] = [2, keys.active, keys.stalled, keys.base, lock_ms]
    for job_id, token in held:
        words += (encode_id(job_id), token)

    def read(reply: list[Any]) -> list[int | str]:
        return [code if isinstance(code, int) else code.decode("utf-8", "replace") for code in reply]

    return Command(tuple(words), read, script("renew_locks"))


def renew_prefix(keys: Keys, token_prefix: str, lock_ms: int) -> Command[list[str]]:
    """Keep all locks of active jobs that begin with the prefix; return the ids, newest first. Safe to send twice."""
    words = (2, keys.active, keys.stalled, keys.base, token_prefix, lock_ms)
    return Command(words, decode_ids, script("renew_prefix"))


def adopt_jobs(keys: Keys, token_prefix: str, known: Iterable[str], lock_ms: int | None = None) -> Command[list[Taken]]:
    """Return the active jobs under this prefix that are not `known`, oldest first, as a take would have returned them.

    With `lock_ms` all locks under the prefix are renewed. For a worker whose reply to a take was lost. Safe to send
    twice.
    """
    words: list[Word] = [2, keys.active, keys.stalled, keys.base, token_prefix, "" if lock_ms is None else lock_ms]
    words += map(encode_id, known)

    def read(rows: list[Any]) -> list[Taken]:
        return [read_taken(row, token_prefix) for row in rows]

    return Command(tuple(words), read, script("adopt_jobs"))


def recover_jobs(
    keys: Keys,
    token_prefix: str,
    *,
    begun: Iterable[tuple[str, int]],
    counted: bool,
    max_crashes: int,
    reason: str,
    now_ms: int,
    keep: Keep = KEEP_ALL,
    dead_letter: str | None = None,
) -> Command[list[Recovered]]:
    """Take every active job under this prefix from its dead worker: it waits at the front again, or has failed.

    Args:
        token_prefix: of one worker, or of a whole incarnation.
        begun: (id, ats) of those whose handler had begun; they are recovered even when their lock has run out, but not
            when they were taken since.
        counted: hold the death against those that had begun: `stc` + 1, failed over `max_crashes`; when there are
            several, those that wait again become suspects.
        reason: failedReason of those that fail.
        keep: for a failed job that has no removeOnFail.
        dead_letter: the queue that gets a copy of a failed job.
    Returns:
        The jobs, newest first. Safe to send twice: the second time finds nothing.
    """
    words = (
        3, keys.meta, keys.active, keys.events,
        keys.base, token_prefix, now_ms, int(counted), max_crashes, reason.encode("utf-8", "backslashreplace"),
        *keep_words(keep), dead_word(dead_letter, keys.prefix),
        *(word for job_id, ats in begun for word in (encode_id(job_id), ats)),
    )  # fmt: skip
    return Command(words, _recovered, script("recover_jobs"))


def hand_back_jobs(keys: Keys, token_prefix: str) -> Command[list[tuple[str, int]]]:
    """Return every active job under this prefix to the front of its queue, no attempt and no crash counted.

    Only when its worker is gone. Safe to send twice.

    Returns:
        [(id, how often it was handed back since it was added or retried)], newest first.
    """
    words = (3, keys.meta, keys.active, keys.events, keys.base, token_prefix)

    def read(reply: list[Any]) -> list[tuple[str, int]]:
        return [(decode_id(raw), int(times)) for raw, times in zip(reply[::2], reply[1::2], strict=True)]

    return Command(words, read, script("hand_back_jobs"))


def check_stalled(
    keys: Keys, *, now_ms: int, interval_ms: int, max_crashes: int, recovers: bool = True
) -> Command[list[Recovered] | int | None]:
    """Put back active jobs without a lock that were active at the last check too: BullMQ's check, shared with peers.

    `failed` in the answer: over max_crashes, the next taker fails it. None: another check ran within the interval.
    A number: the server's clock was set back by about so many ms, and what was to end by it has been shortened.
    With `recovers` false nothing is put back, and the next check is like the second. Safe to send twice.
    """
    words = (
        6, keys.meta, keys.active, keys.events, keys.stalled, keys.stalled_check, keys.repeat,
        keys.base, now_ms, interval_ms, max_crashes, int(recovers),
    )  # fmt: skip

    def read(reply: list[Any] | int | None) -> list[Recovered] | int | None:
        return _recovered(reply) if isinstance(reply, list) else reply

    return Command(words, read, script("check_stalled"))


def _recovered(reply: list[Any]) -> list[Recovered]:
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Recovered(decode_id(raw), failed=what == 1, suspect=what == 2) for raw, what in pairs]


def active_ids(keys: Keys) -> Command[list[str]]:
    """Read the ids of all active jobs, newest first."""
    return Command(("LRANGE", keys.active, 0, -1), decode_ids)


def last_take(keys: Keys, job_id: str) -> Command[tuple[str | None, str | None]]:
    """Read who took a job last (`<host>:<queue>:<pid>`), and which take of the job that was (`ats`); None: unknown."""

    def read(reply: list[Any]) -> tuple[str | None, str | None]:
        return _text(reply[0]), _text(reply[1])

    return Command(("HMGET", encode_id(keys.job(job_id)), "pb", "ats"), read)


def _text(reply: Any) -> str | None:
    return None if reply is None else bytes(reply).decode("utf-8", "replace")
