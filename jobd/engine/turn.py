"""The hot path: one turn finishes jobs and takes the next ones; and the notes a running job sends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal

from jobd.engine.job import KEEP_ALL, Finish, Keep, Taken, TurnReply, TurnRequest
from jobd.engine.msgpack import NIL, TRUE, array, text
from jobd.engine.runner import Command, Word
from jobd.engine.scripts import script
from jobd.engine.states import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.engine.keys import Keys

MAX_TAKE = 500
"""Most jobs of one turn: a script blocks Redis, and arguments are unpacked at most 1,000 at a time."""

MAX_QUICK = 500
"""Most finishes of one turn that share commands; any more take the long way, each by itself."""


def turn(keys: Keys, request: TurnRequest) -> Command[TurnReply]:
    """Finish the request's jobs, then move up to `take` (at most MAX_TAKE) ready ones to active, locked.

    Each finish has a code of its own and never disturbs the others (codes.Code; SETTLED: that attempt is over, for us
    or for another). A finish counts only for the attempt its token names: the lock is the token, or the lock is missing
    and nobody took the job since. Without a take nothing is promoted.
    A job taken with `suspect` came alone: take nothing more while it runs.

    Safe to send twice only with `take` 0.
    """
    finishes, limiter, per_key = request.finishes, request.limiter, request.per_key
    head = [
        _same_words(keys.base, request.lock_ms, request.token_prefix, request.worker_name),
        text(request.now_ms), text(min(request.take, MAX_TAKE)), text(request.busy),
        NIL if request.clock_ms is None else text(request.clock_ms),
        NIL if limiter is None else array([text(limiter.max), text(limiter.duration_ms)]),
        NIL if per_key is None else array([text(per_key.max), text(per_key.path)]),
    ]  # fmt: skip
    words: list[Word] = [1, keys.meta, b""]
    order = None
    if finishes:
        quick, others = _split(finishes)
        words += _quick_words([finishes[index] for index in quick], head)
        for index in others:
            words += _other_words(finishes[index], keys.prefix)
        if per_key:
            words += [finishes[index].key or "" for index in (*quick, *others)]
        order = quick + others if others else None
    words[2] = b"".join(head)
    read = partial(_read_turn, request.token_prefix, len(finishes), order, per_key is not None)
    return Command(tuple(words), read, script("turn"))


@lru_cache(maxsize=64)
def _same_words(base: str, lock_ms: int, token_prefix: str, worker_name: str) -> bytes:
    """Return what the heads of a worker's turns begin with."""
    return text(base) + text(lock_ms) + text(token_prefix) + text(worker_name)


def _split(finishes: Sequence[Finish]) -> tuple[list[int], list[int]]:
    """Return the places of the finishes that may share commands, and of the others."""
    keep: Keep | None = None
    quick: list[int] = []
    others: list[int] = []
    for index, finish in enumerate(finishes):
        if (
            finish.outcome is Outcome.COMPLETED
            and finish.made is not None
            and finish.deduplication_id is None
            and not finish.suspect
            and not finish.child
            and (keep is None or finish.keep is keep or finish.keep == keep)
            and len(quick) < MAX_QUICK
        ):
            keep = finish.keep
            quick.append(index)
        else:
            others.append(index)
    return quick, others


def _quick_words(finishes: list[Finish], head: list[bytes]) -> list[Word]:
    """Return the words of the finishes that share commands, kind by kind; `head` gets what is the same for all."""
    if not finishes:
        head += (text(0), NIL, NIL, NIL, NIL)
        return []
    first = finishes[0]
    token, made = first.token, first.made
    same = all(finish.token == token and finish.made == made for finish in finishes)
    ids = [encode_id(finish.job_id) for finish in finishes]
    head += (
        text(len(finishes)),
        NIL if first.keep == KEEP_ALL else array([text(str(word)) for word in keep_words(first.keep)]),
        text(token) if same else NIL, text(_next(made)) if same else NIL, TRUE if _are_custom(ids) else NIL,
    )  # fmt: skip
    words: list[Word] = [*ids]
    words += [finish.value for finish in finishes]
    if not same:
        words += [finish.token for finish in finishes]
        words += [_next(finish.made) for finish in finishes]
    return words


def _next(made: int | None) -> int:
    return (made or 0) + 1


def _are_custom(ids: list[bytes]) -> bool:
    """Return False when Redis has counted all these ids: producers refuse to add one with such an id themselves."""
    return not b"".join(ids).isdigit() or min(ids) < b"1"


def keep_words(keep: Keep) -> tuple[Word, Word, Word]:
    """Return a keep rule as scripts take it: count, age_s, limit, "" for none."""
    return (
        "" if keep.count is None else keep.count,
        "" if keep.age_s is None else keep.age_s,
        "" if keep.limit is None else keep.limit,
    )


def dead_word(queue: str | None, prefix: str) -> str:
    """Return the queue that gets copies of failed jobs as scripts take it: its base, "" for none."""
    return "" if queue is None else f"{prefix}:{queue}:"


def _other_words(finish: Finish, prefix: str) -> tuple[Word, ...]:
    return (
        encode_id(finish.job_id), finish.token, finish.outcome.value, finish.value,
        "" if finish.stacktrace is None else finish.stacktrace,
        finish.delay_ms, *keep_words(finish.keep), finish.attempts, int(finish.lifo),
        dead_word(finish.dead_letter, prefix),
    )  # fmt: skip


def _read_turn(token_prefix: str, finishes: int, order: list[int] | None, keyed: bool, reply: Any) -> TurnReply:
    """Read what turn.lua returns; `order`: the places of its codes among the finishes, None when they are in order;
    `keyed`: with a limit per key.
    """
    if reply == 0:
        return TurnReply([0] * finishes, [])
    rest = iter(reply)
    head = next(rest)
    jobs, first_token = [], token_prefix + "1"
    for row in rest:
        if row.__class__ is list:
            jobs.append(read_taken(row, token_prefix))
        else:
            jobs.append(Taken(
                decode_id(row[13:]), first_token, _text(next(rest)), next(rest), next(rest), _number(row[:13]),
                0, 0, 0, 1, 0, None, None, None, None, None, False, (keyed and next(rest)) or None,
            ))  # fmt: skip
    if head == 0:
        return TurnReply([0] * finishes, jobs)
    codes, limited_ms, next_due_ms, blocked, skipped = head
    codes = codes or [0] * finishes
    if order is not None:
        placed = [0] * len(order)
        for index, code in zip(order, codes, strict=True):
            placed[index] = code
        codes = placed
    return TurnReply(
        codes, jobs, limited_ms if limited_ms >= 0 else None, next_due_ms if next_due_ms >= 0 else None,
        blocked == 1, skipped == 1,
    )  # fmt: skip


def read_taken(row: list[Any], token_prefix: str) -> Taken:
    """Return the job of one row: the fields of its hash, name and value in turn, then ats of the take, then the id."""
    names = row[::2]
    job_id = decode_id(names.pop())
    if names == _FRESH:  # as most prioritized jobs: a dictionary would cost as much as all the rest
        _, name, _, data, _, opts, _, timestamp, _, delay, _, priority, _, started, _ = row
        return Taken(
            job_id, token_prefix + started.decode(), _text(name), data, opts, _number(timestamp),
            0 if delay == b"0" else _number(delay), 0 if priority == b"0" else _number(priority),
            0, _number(started), 0, None, None, None, None, None, False,
        )  # fmt: skip
    of = dict(zip(names, row[1::2], strict=True)).get
    started = of(b"ats", b"0")
    return Taken(
        job_id,
        token_prefix + started.decode(),
        _text(of(b"name")),
        of(b"data"),
        of(b"opts"),
        _number(of(b"timestamp")),
        _number(of(b"delay")),
        _number(of(b"priority")),
        _number(of(b"atm")),
        _number(started),
        _number(of(b"stc")),
        _text(of(b"deid")),
        _text(of(b"parentKey")),
        _text(of(b"rjk")),
        _text(of(b"defa")),
        of(b"stacktrace"),
        b"sus" in names,
        of(b"jobdkey") or None,
    )


_FRESH = [b"name", b"data", b"opts", b"timestamp", b"delay", b"priority", b"ats"]
"""The fields of a job that was never taken before, in the order in which BullMQ and we add them."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a running job wants written: progress (JSON), a log line (text) or its new data (JSON).

    `keep_logs` bounds the job's log lines; None and 0 keep all, as BullMQ.
    """

    kind: Literal["progress", "log", "data"]
    job_id: str
    payload: bytes
    keep_logs: int | None = None


def annotate(keys: Keys, notes: Sequence[Note]) -> Command[list[int]]:
    """Write notes in order; one code each: 0, or -1 when the job is gone (nothing is written for it then).

    Not safe to send twice when it has a log line.
    """
    words: list[Word] = [2, keys.meta, keys.events, keys.base]
    for note in notes:
        words += (note.kind, encode_id(note.job_id), note.payload, "" if note.keep_logs is None else note.keep_logs)
    return Command(tuple(words), list, script("annotate"))


def decode_id(raw: bytes) -> str:
    """Return an id as text; bytes that are not UTF-8 (a foreign producer's) survive the way back."""
    return raw.decode("utf-8", "surrogateescape")


def decode_ids(raw: Sequence[bytes]) -> list[str]:
    """Return ids as text, as `decode_id`."""
    return [decode_id(each) for each in raw]


def encode_id(job_id: str) -> bytes:
    """Return the bytes of an id, `decode_id` undone."""
    return job_id.encode("utf-8", "surrogateescape")


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "replace")


_MOST = 2**53
"""Larger numbers are none that a producer or a worker has written, and no float or board holds all of them."""


def _number(raw: bytes | None) -> int:
    """Return the whole number a hash field holds; 0 for an absent or broken one (Node's parseInt gives NaN)."""
    if raw is None:
        return 0
    try:
        value = int(raw)
    except ValueError:
        try:
            value = int(float(raw))
        except (ValueError, OverflowError):
            return 0
    return value if -_MOST < value < _MOST else 0
