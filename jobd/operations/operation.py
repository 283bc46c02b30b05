"""What an operation is, and what it is given to work with. Light: every `jobd status` imports this."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_type_hints

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from jobd.engine.runner import AsyncRunner
    from jobd.operations.daemon_side import DaemonSide
    from jobd.operations.documents.doctor import Finding
    from jobd.operations.documents.history import QueueHistory
    from jobd.operations.documents.queues import QueueRow
    from jobd.operations.params.kinds import Params

P = TypeVar("P", bound="Params")
R = TypeVar("R", bound="Mapping[str, Any]")


class Effect(StrEnum):
    """What an operation does to the world; changes are logged with who asked for them."""

    READS = "reads"
    CHANGES = "changes"


class Needs(StrEnum):
    """Without what an operation cannot be done."""

    DAEMON = "a daemon"
    REDIS = "Redis"
    """The daemon does it with its own connection; without a daemon the command line does it by itself."""


class Caller(Protocol):
    """Who asks, and how to tell them what is going on meanwhile."""

    @property
    def who(self) -> str:
        """The user's name."""

    @property
    def progress(self) -> Callable[[str], None]:
        """What shows one line at once, before the result."""


class Subscriber(Caller, Protocol):
    """A caller that is fed, entry by entry, until one of both sides has had enough."""

    @property
    def over(self) -> asyncio.Event:
        """Set when nothing more is wanted: the daemon ends."""

    def is_there(self) -> bool:
        """Return whether somebody may still read."""

    async def feed(self, text: str, fed: Mapping[str, Any]) -> None:
        """Pass on one line of text and what it stands for, at the reader's pace.

        Raises:
            Refused: the reader is too slow.
        """


@dataclass(frozen=True, slots=True)
class NamedCaller:
    """A caller that is no connection: the user of this process, or a signal."""

    who: str
    progress: Callable[[str], None] = lambda text: None


class Host(Protocol):
    """What the daemon of this host knows about the queues it runs."""

    async def own_queues(self, wanted: Sequence[str] | None) -> dict[str, QueueRow]:
        """Return {queue: its row} for those of the wanted queues (None: all) that this host runs."""

    async def findings(self) -> list[Finding]:
        """Return what is wrong on this host, for `doctor`."""

    def shortest_lock_ms(self) -> int | None:
        """Return the shortest `lock_duration` of the queues that this host runs; None when it runs none."""

    def look_for_cancelled(self, queue: str) -> None:
        """See now, and not only at the next renewal, which running jobs of the queue were cancelled."""

    def history(self, wanted: Sequence[str] | None) -> dict[str, QueueHistory]:
        """Return {queue: its last hours} for those of the wanted queues (None: all) that this host runs."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operation on Redis happens, and for whom.

    `host` is None without a daemon; `declared` are the queues of the file then, which exist although nothing was
    written to them yet. `field_max` bounds each field of a job that is read whole, in bytes; None reads it
    whatever its size: a command line may wait for it, a daemon's loop may not.
    """

    runner: AsyncRunner
    prefix: str
    caller: Caller
    host: Host | None = None
    field_max: int | None = None
    declared: frozenset[str] = frozenset()

    async def own_queues(self, wanted: Sequence[str] | None = None) -> dict[str, QueueRow]:
        """Return what this host knows of the queues; nothing where there is no daemon."""
        return {} if self.host is None else await self.host.own_queues(wanted)

    def look_for_cancelled(self, queue: str) -> None:
        """As Host.look_for_cancelled; other hosts, and this one without a daemon to ask, see it by themselves."""
        if self.host is not None:
            self.host.look_for_cancelled(queue)


@dataclass(frozen=True, slots=True, eq=False)
class Operation(Generic[P, R]):
    """One thing a person can ask for.

    `logged` are the parameters that say what was asked for and hold no job data. `for_status_group` says whether the
    status socket answers it when it reads.
    """

    name: str
    effect: Effect
    logged: tuple[str, ...] = field(default=(), kw_only=True)
    for_status_group: bool = field(default=True, kw_only=True)

    needs = Needs.DAEMON

    def method(self) -> Callable[..., Awaitable[R]]:
        """The code that does it: its annotations are the types of parameters and result, its docstring the reference.

        Imported when it is asked for: most commands only send the name to a daemon.
        """
        raise NotImplementedError

    @property
    def params(self) -> type[P]:
        """The model of its parameters."""
        model: type[P] = get_type_hints(self.method())["params"]
        return model

    @property
    def result(self) -> type[R]:
        """The document it returns."""
        document: type[R] = get_type_hints(self.method(), include_extras=True)["return"]
        return document


@dataclass(frozen=True, slots=True, eq=False)
class OnRedis(Operation[P, R]):
    """An operation done on Redis, by the daemon or without one."""

    act: Callable[[], Callable[[Place, P], Awaitable[R]]]

    needs = Needs.REDIS

    def method(self) -> Callable[[Place, P], Awaitable[R]]:
        """The function of jobd.operations."""
        return self.act()


@dataclass(frozen=True, slots=True, eq=False)
class ByDaemon(Operation[P, R]):
    """An operation that only the daemon can do, and that it does without Redis."""

    act: Callable[[], Callable[[DaemonSide, P, Any], Awaitable[R]]]

    def method(self) -> Callable[[DaemonSide, P, Any], Awaitable[R]]:
        """The method as DaemonSide declares it; the daemon's own has the same name."""
        return self.act()
