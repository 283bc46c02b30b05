"""What `doctor` finds on this host."""

from __future__ import annotations

import mmap
import os
import re
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import jobd
from jobd.daemon.processes.hold import HeldBy
from jobd.daemon.processes.kernel import group_limit
from jobd.daemon.processes.worker_spec import open_files_needed
from jobd.duration import format_size
from jobd.operations.documents.doctor import warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobd.daemon.supervisor import Supervisor
    from jobd.operations.documents.doctor import Finding

_HERE = "this host"


def host_findings(daemon: Supervisor, strangers: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong here; `strangers` are lines on daemons of other hosts that run something else."""
    yield from _own_version()
    yield from _files(daemon)
    yield from _queues(daemon)
    yield from _machine(daemon)
    yield from _hardening()
    for line in strangers:
        host = line.split(" ", 1)[0]
        yield warning(
            "other-host-differs",
            host,
            line,
            then="the same job is run by other code or other settings, depending on who takes it",
            mend=f"jobd reload --code    # on {host} and here, with the same files",
        )


def _own_version() -> Iterator[Finding]:
    """Notice that pip has replaced jobd, or taken it away, under this daemon."""
    try:
        found = re.search(r'^__version__ = "([^"]+)"', Path(jobd.__file__).read_text(), re.MULTILINE)
    except OSError:
        what = "jobd is not installed any more where this daemon was started from"
    else:
        if found is None or found[1] == jobd.__version__:
            return
        what = f"jobd {found[1]} is installed, this daemon runs {jobd.__version__}"
    yield warning(
        "jobd-replaced",
        _HERE,
        what,
        then="`jobd reload --code` is refused; workers go on with the old code until the daemon restarts",
        mend="systemctl restart jobd    # or: jobd stop, then jobd run",
    )


def _files(daemon: Supervisor) -> Iterator[Finding]:
    if daemon.config.changed_on_disk():
        yield warning(
            "file-not-loaded",
            _HERE,
            f"{daemon.config.path} was changed and is not loaded",
            then="the next restart runs something else than now",
            mend="jobd plan; jobd reload",
        )
    changed = daemon.code_changed()
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        yield warning(
            "code-newer",
            _HERE,
            f"code is newer than what runs: {shown}",
            then="workers run the old code until they are replaced",
            mend="jobd reload --code",
        )
    for entry in daemon.config.warnings:
        text = str(entry)
        kind = "unbounded-history" if "keep_completed" in text else "configuration"
        yield warning(kind, _HERE, text, then="see there", mend="jobd check")


def _queues(daemon: Supervisor) -> Iterator[Finding]:
    for pool in daemon.fleet.pools.values():
        if pool.hold.by is HeldBy.BREAKER:
            yield warning(
                "breaker-open",
                pool.name,
                f"held back: {pool.hold.reason}",
                then="its jobs wait until the next try",
                mend=f"jobd logs {pool.name} --level warning; jobd queue reset {pool.name}",
            )
        elif pool.hold.is_on:
            yield warning(
                "workers-do-not-start",
                pool.name,
                pool.hold.reason.splitlines()[0],
                then="its jobs wait until a worker starts",
                mend=f"jobd logs {pool.name} --level warning",
            )
        elif pool.is_quiet:
            yield warning(
                "quiet",
                pool.name,
                "quiet on this host",
                then="this host takes none of its jobs",
                mend=f"jobd queue unquiet {pool.name}",
            )


def _machine(daemon: Supervisor) -> Iterator[Finding]:
    queues = [pool.queue for pool in daemon.fleet.pools.values()]
    needed, (_, hard) = open_files_needed(queues), resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        yield warning(
            "open-files",
            _HERE,
            f"{needed} open files are needed, the hard limit is {hard}",
            then="workers will not start",
            mend="systemctl edit jobd    # [Service] LimitNOFILE=65536",
        )
    most = sum(pool.wanted * (pool.queue.memory_max_bytes or 0) for pool in daemon.fleet.pools.values())
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = group_limit("memory.max")
    if most > min(total, limit or total):
        whose = "the machine has" if limit is None or total <= limit else "the service or container is limited to"
        yield warning(
            "memory-max",
            _HERE,
            f"memory_max allows {format_size(most)} in all, {whose} {format_size(min(total, limit or total))}",
            then="the kernel kills whom it likes before memory_max does",
            mend="jobd config show --origin    # lower memory_max or workers",
        )
    # Each slot of a `def` handler is a thread; the daemon, the templates and each worker have a few beside.
    tasks = 16 + sum(pool.wanted * (pool.queue.concurrency + 4) for pool in daemon.fleet.pools.values())
    most_tasks = group_limit("pids.max")
    if most_tasks is not None and tasks > most_tasks:
        yield warning(
            "tasks-max",
            _HERE,
            f"about {tasks} processes and threads are needed, the service or container may have {most_tasks}",
            then="workers and threads will not start",
            mend="systemctl edit jobd    # [Service] TasksMax=infinity",
        )


def _hardening() -> Iterator[Finding]:
    """Notice what a hardened unit takes away that Python code commonly needs."""
    if "INVOCATION_ID" not in os.environ:
        return
    in_the_way = []
    if not os.access("/tmp", os.W_OK):  # noqa: S108 - the folder itself is what is asked about
        in_the_way.append("/tmp cannot be written")  # noqa: S108 - only told
    if not Path("/proc/self/status").exists():
        in_the_way.append("/proc is hidden")
    if not Path("/proc/meminfo").exists():
        in_the_way.append("/proc/meminfo and the like are hidden (ProcSubset=pid; libraries that ask for memory fail)")
    if not _may_map_executable():
        in_the_way.append("no pages that are written and then run (MemoryDenyWriteExecute; JIT compilers fail)")
    if in_the_way:
        yield warning(
            "hardening",
            _HERE,
            f"the unit's hardening is in the way: {', '.join(in_the_way)}",
            then="handlers that need it fail",
            mend="jobd systemd print --profile standard",
        )


def _may_map_executable() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True
