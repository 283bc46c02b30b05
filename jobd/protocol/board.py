"""The board: shared memory in which a worker shows what its slots do (docs/internals.md).

The worker writes without a system call, about a microsecond a record; the daemon reads at any time, also after the
worker's death. A record is written into the older of a slot's two places under a checksum, so that a SIGKILL in
mid-write leaves the last complete one. That a run is over is one word beside it, which holds the record's number.
One word goes the other way: when the daemon last renewed the worker's locks.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from jobd.protocol.counts import SIZE as COUNTS_SIZE
from jobd.protocol.counts import CountsReader, CountsWriter

LAYOUT = 5
"""Number of this layout; daemon and template compare it in their handshake."""

SLOTS = 1024
"""Slots allocated, whatever the concurrency: a resize needs no new board."""

BUCKETS = 64
"""Counters of runs by duration: bucket b holds runs below 2^(b/2) * 0.1 ms, so p95 is right within a factor 1.42."""

_MAGIC = 0x6A6F6264  # "jobd"
_HEADER_BYTES = 4096 + 8 * SLOTS
_RECORD_BYTES = 288
_SLOT_BYTES = 2 * _RECORD_BYTES
_COUNTS_AT = _HEADER_BYTES + SLOTS * _SLOT_BYTES
SIZE = _COUNTS_AT + COUNTS_SIZE

_PREAMBLE = struct.Struct("<III")
_HEAD = struct.Struct("<QI")
_BODY = struct.Struct("<HHQddd180s56s")
_ID_BYTES = 180
_NAME_BYTES = 56

# Eight-byte words of the header behind the preamble, by index.
_BEAT, _TURN_SENT, _FETCHED, _RENEWED = 2, 3, 4, 5
_DONE, _FAILED, _BUSY, _COMPLETED_FOR_GOOD, _FAILED_FOR_GOOD = 8, 9, 10, 11, 12
_HISTOGRAM = 16
_FIRST_BUCKET_S = 0.0001
_FATE = 512
_CLEARED = 1 << 63


class SlotState(IntEnum):
    """What a slot does; an empty one has no view."""

    RUNNING = 1
    RETURNED = 2
    """The handler is through; the result may not be in Redis yet."""


@dataclass(frozen=True, slots=True)
class SlotView:
    """One slot as the daemon sees it. Moments are monotonic seconds, 0 none.

    `job_id` is None when the id is longer than a record holds: ask Redis by token prefix then.
    """

    slot: int
    state: SlotState
    job_id: str | None
    name: str
    ats: int
    started_at: float
    deadline_at: float
    kill_at: float


def create() -> int:
    """Return the descriptor of a new board, zeroed, all its memory allocated (a write can not run out of it)."""
    fd = os.memfd_create("jobd-board", os.MFD_CLOEXEC)
    os.posix_fallocate(fd, 0, SIZE)
    with mmap.mmap(fd, SIZE) as memory:
        _PREAMBLE.pack_into(memory, 0, _MAGIC, LAYOUT, SLOTS)
    return fd


class _Mapped:
    def __init__(self, fd: int) -> None:
        """Map a board; the descriptor stays the caller's and may be closed."""
        self._memory = mmap.mmap(fd, SIZE)
        magic, layout, slots = _PREAMBLE.unpack_from(self._memory, 0)
        if (magic, layout, slots) != (_MAGIC, LAYOUT, SLOTS):
            self._memory.close()
            raise ValueError("not a board of this version")
        header = memoryview(self._memory)[:_HEADER_BYTES]
        self._floats = header.cast("d")
        self._counts = header.cast("Q")
        header.release()

    def _counts_memory(self) -> memoryview:
        return memoryview(self._memory)[_COUNTS_AT:]

    def close(self) -> None:
        """Unmap; nothing of the board may be used afterwards."""
        self._floats.release()
        self._counts.release()
        self._memory.close()


class BoardWriter(_Mapped):
    """The worker's side. `counts` is for one thread."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.counts = CountsWriter(self._counts_memory())
        self._seq = [0] * SLOTS

    def close(self) -> None:
        """Unmap."""
        self.counts.release()
        super().close()

    def run(self, slot: int, job_id: str, name: str, ats: int, moments: tuple[float, float, float]) -> None:
        """Show that `slot` runs a job. `moments` are started_at, deadline_at and kill_at; 0 for none."""
        identity = job_id.encode("utf-8", "surrogatepass")
        length = len(identity)
        if length > _ID_BYTES:
            identity, length = hashlib.sha256(identity).digest(), 0xFFFF
        label = name.encode("utf-8", "replace")[:_NAME_BYTES]
        body = _BODY.pack(length, len(label), ats, *moments, identity, label)
        seq = self._seq[slot] = self._seq[slot] + 1
        place = _HEADER_BYTES + slot * _SLOT_BYTES + (seq & 1) * _RECORD_BYTES
        record = _HEAD.pack(seq, zlib.crc32(body, seq & 0xFFFFFFFF)) + body
        self._memory[place : place + len(record)] = record

    def returned(self, slot: int) -> None:
        """Show that the handler in `slot` is through; its result still has to reach Redis."""
        self._counts[_FATE + slot] = self._seq[slot]

    def clear(self, slot: int) -> None:
        """Show that `slot` is empty: its result is in Redis, or the job is not ours any more."""
        self._counts[_FATE + slot] = self._seq[slot] | _CLEARED

    def beat(self, now: float) -> None:
        """Show that the worker's loop turns."""
        self._floats[_BEAT] = now

    def turn_sent(self, at: float) -> None:
        """Show when the oldest turn under way was sent; 0 when no reply may lie unread."""
        self._floats[_TURN_SENT] = at

    def fetched(self, at: float) -> None:
        """Show when Redis last answered a take or the wait for a marker."""
        self._floats[_FETCHED] = at

    @property
    def renewed_at(self) -> float:
        """When the daemon last renewed what this worker holds; 0 never."""
        return float(self._floats[_RENEWED])

    def busy(self, count: int) -> None:
        """Show how many jobs run."""
        self._counts[_BUSY] = count

    def count_run(self, duration_s: float, failed: bool) -> None:
        """Count one finished run."""
        counts = self._counts
        counts[_DONE] += 1
        if failed:
            counts[_FAILED] += 1
        # Where there are many runs, most are this short: not worth a call.
        counts[_HISTOGRAM if duration_s < _FIRST_BUCKET_S else _HISTOGRAM + bucket_of(duration_s)] += 1

    def count_finals(self, completed: int, failed: int) -> None:
        """Count jobs of which Redis has said that they ended for good."""
        self._counts[_COMPLETED_FOR_GOOD] += completed
        self._counts[_FAILED_FOR_GOOD] += failed


class BoardReader(_Mapped):
    """The daemon's side. Reading never waits and never raises on a half-written record; it writes one word."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.counts = CountsReader(self._counts_memory())

    def close(self) -> None:
        """Unmap."""
        self.counts.release()
        super().close()

    @property
    def beat_at(self) -> float:
        """When the worker's loop last turned."""
        return float(self._floats[_BEAT])

    @property
    def turn_sent_at(self) -> float:
        """When the oldest turn whose reply has not been read was sent; 0 none."""
        return float(self._floats[_TURN_SENT])

    @property
    def fetched_at(self) -> float:
        """When Redis last answered a take or the wait for a marker; 0 never."""
        return float(self._floats[_FETCHED])

    def renewed(self, at: float) -> None:
        """Tell the worker when its locks were renewed: it does so itself when that was too long ago."""
        self._floats[_RENEWED] = at

    @property
    def jobs_done(self) -> int:
        """Runs that ended, failed ones included."""
        return int(self._counts[_DONE])

    @property
    def jobs_failed(self) -> int:
        """Runs that ended in an error."""
        return int(self._counts[_FAILED])

    @property
    def finals(self) -> tuple[int, int]:
        """Jobs that completed, and that failed for good, as Redis has confirmed to the worker."""
        return int(self._counts[_COMPLETED_FOR_GOOD]), int(self._counts[_FAILED_FOR_GOOD])

    @property
    def busy(self) -> int:
        """How many jobs run."""
        return int(self._counts[_BUSY])

    def histogram(self) -> tuple[int, ...]:
        """Runs by duration since the worker started; see BUCKETS."""
        return tuple(self._counts[_HISTOGRAM : _HISTOGRAM + BUCKETS])

    def slots(self, limit: int = SLOTS) -> list[SlotView]:
        """Return the slots below `limit` that are not empty."""
        views = (self.slot(number) for number in range(min(limit, SLOTS)))
        return [view for view in views if view is not None]

    def slot(self, number: int) -> SlotView | None:
        """Return one slot by its last complete record, or None when it is empty."""
        newest, body = self._record(number)
        fate = self._counts[_FATE + number]
        if newest == 0 or fate == newest | _CLEARED:
            return None
        return _view(number, SlotState.RETURNED if fate == newest else SlotState.RUNNING, body)

    def latest(self, limit: int = SLOTS) -> SlotView | None:
        """Return what started last in the slots below `limit`, over or not; None when nothing ever did."""
        records = [(number, self._record(number)) for number in range(min(limit, SLOTS))]
        views = [_view(number, SlotState.RETURNED, body) for number, (newest, body) in records if newest]
        return max(views, key=lambda view: view.started_at, default=None)

    def _record(self, number: int) -> tuple[int, bytes]:
        """Return the last complete record of a slot with its number, 0 when there is none."""
        base = _HEADER_BYTES + number * _SLOT_BYTES
        newest, body = 0, b""
        for place in (base, base + _RECORD_BYTES):
            seq, crc = _HEAD.unpack_from(self._memory, place)
            if seq > newest:
                candidate = self._memory[place + _HEAD.size : place + _HEAD.size + _BODY.size]
                if zlib.crc32(candidate, seq & 0xFFFFFFFF) == crc:
                    newest, body = seq, candidate
        return newest, body


def _view(number: int, state: SlotState, body: bytes) -> SlotView:
    length, label, ats, started, deadline, kill, identity, name = _BODY.unpack(body)
    job_id = None if length > _ID_BYTES else identity[:length].decode("utf-8", "surrogatepass")
    return SlotView(number, state, job_id, name[:label].decode("utf-8", "replace"), ats, started, deadline, kill)


def bucket_of(duration_s: float) -> int:
    """Return the bucket that counts a run of this length."""
    scaled = int(duration_s * 10_000)
    if scaled <= 0:
        return 0
    # Half-octaves: the bit length gives the octave, the bit below the top one its half.
    octave = scaled.bit_length()
    upper = octave >= 2 and (scaled >> (octave - 2)) & 1
    return min(BUCKETS - 1, 2 * octave - 1 + upper)


def bucket_limit_s(bucket: int) -> float:
    """Return the upper bound of a bucket in seconds."""
    if bucket == 0:
        return 0.0001
    octave, upper = divmod(bucket + 1, 2)
    top: int = 1 << octave
    return (top if upper else top * 3 // 4) / 10_000 if octave > 1 or upper else 0.0002
