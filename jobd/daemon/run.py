"""The composition root of `jobd run`: makes every part, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from jobd import __version__
from jobd.clock import SYSTEM_CLOCK
from jobd.config.problems import ConfigProblems
from jobd.daemon import logs
from jobd.daemon.background import Background
from jobd.daemon.control.dispatch import Dispatch
from jobd.daemon.control.methods import Methods
from jobd.daemon.control.servers import control_servers
from jobd.daemon.control.socket_activation import PassedSockets
from jobd.daemon.current_config import CurrentConfig, for_development
from jobd.daemon.default_duties import default_duties
from jobd.daemon.duties.control_sockets import ControlSockets
from jobd.daemon.duties.earlier_incarnations import kill_survivors
from jobd.daemon.duties.metrics import Metrics
from jobd.daemon.duties.presence import Presence
from jobd.daemon.duties.recover import Recover
from jobd.daemon.duties.sample import Sampling
from jobd.daemon.duties.schedules import Schedules
from jobd.daemon.duties.until_empty import until_empty
from jobd.daemon.embedded.redis_server import EmbeddedRedis, EmbeddedSettings
from jobd.daemon.file_schedules import Loaded
from jobd.daemon.history import History
from jobd.daemon.incarnation import IncarnationRecord, new_id
from jobd.daemon.log_memory import LogMemory
from jobd.daemon.notify import Notifier, Pulse
from jobd.daemon.processes.fleet import Fleet
from jobd.daemon.processes.kernel import become_subreaper
from jobd.daemon.processes.template_store import TemplateStore
from jobd.daemon.reload.context import ReloadContext
from jobd.daemon.reload.count_waiting import count_waiting
from jobd.daemon.reload.reloader import Reloader
from jobd.daemon.reload.trial import Imports
from jobd.daemon.signals import Signals, Wish
from jobd.daemon.state_dir import StateDir
from jobd.daemon.stopping import Stopper
from jobd.daemon.supervisor import Supervisor
from jobd.daemon.watch import Watch
from jobd.engine.routing import runner_on
from jobd.engine.runner import AsyncRunner
from jobd.errors import ConfigError, JobdError, Refused
from jobd.locate import URL_FILE, ReadAgain, mask_url
from jobd.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jobd.config.model import Config
    from jobd.daemon.metrics_page import MetricsPage
    from jobd.daemon.processes.fleet import Loss
    from jobd.locate import RedisSource

log = logs.event_log(__name__)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line of `jobd run` says beside the file.

    `queues` are the globs of --queue; without one [daemon] queues holds. `socket` and `redis` are --socket and --redis.
    `dev` is --dev: watch the code, log as text, hand back at once when stopped. `passed` is what systemd listens on.
    """

    queues: tuple[str, ...] = ()
    until_empty: bool = False
    socket: str | None = None
    redis: str | None = None
    dev: bool = False
    passed: PassedSockets = field(default_factory=PassedSockets)


async def main(config: Config, options: RunOptions, page: Callable[[Path], MetricsPage] | None) -> int:
    """Run the daemon until it is stopped; return the exit code of the process.

    `page` makes the page of numbers with a folder of its own; None: the extra is missing.

    Raises:
        ConfigError: a handler does not import, or a secret cannot be read (exit 78).
        Refused: another daemon uses the state folder, or a part of it cannot be started.
    """
    if options.dev:
        config = for_development(config)
    logs.configure(config.daemon.log_format, config.daemon.log_level)
    memory = LogMemory()
    logs.remember(memory)
    daemon = Daemon(config, options, memory, page)
    try:
        return await daemon.run()
    finally:
        logs.flush()


class Daemon:
    """All parts of one `jobd run`."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        memory: LogMemory,
        page: Callable[[Path], MetricsPage] | None,
    ) -> None:
        self.config = config
        self.memory = memory
        folder = config.state_folder(os.environ) / "numbers"
        self.page = None if page is None else page(folder)
        self.options = options
        self.environ = dict(os.environ)
        self.notifier = Notifier(self.environ)
        self.embedded: EmbeddedRedis | None = None
        self.supervisor: Supervisor
        self._serving = False
        self._signals = Signals(self._wished)
        self._pulse = Pulse(self.notifier, self._makes_progress)
        self._starting: asyncio.Task[int] | None = None
        self._stopped = asyncio.Event()
        self._background = Background()

    async def run(self) -> int:
        """Start everything, serve until a stop is through, stop everything."""
        become_subreaper()
        self._signals.start()
        self._pulse.start()
        # Where it is now: a deploy may flip a symlink on the way, and what lies there is still this daemon's.
        state = StateDir(self.config.state_folder(self.environ).resolve(), self._socket)
        try:
            state.acquire()
            self._starting = asyncio.ensure_future(self._run(state))
            return await self._starting
        except asyncio.CancelledError:
            if self._starting is None or not self._starting.cancelled():
                raise
            return 0  # stopped by a signal before there was anything to drain
        finally:
            self._signals.stop()
            await self._pulse.stop()
            state.release()

    async def _run(self, state: StateDir) -> int:
        record = IncarnationRecord(state, new_id())
        # Before the embedded server starts: an orphaned one would be found on its data folder.
        await kill_survivors(record.previous)
        self.options.passed.check(self._socket, status_too=self.config.daemon.status_group is not None)
        try:
            source = await self._redis(state.folder)
            return await self._serve(source, record)
        finally:
            if self.embedded is not None:
                await self.embedded.stop()

    async def _redis(self, state_folder: Path) -> RedisSource:
        source = self.config.redis_source(self.environ)
        if source is None:
            settings = self.config.redis
            wanted = EmbeddedSettings(
                state_dir=state_folder, runtime_dir=self._socket.parent.resolve(), prefix=settings.prefix,
                port=settings.embedded_port, server=settings.server, socket_mode=settings.socket_mode,
            )  # fmt: skip
            self.embedded = EmbeddedRedis(wanted)
            source = await self.embedded.start()
        else:
            # Of the configuration in force by then: a reload may name another secret.
            renewal = ReadAgain(self._redis_named_now)
            source = replace(renewal.now(), renewal=renewal)
        log.info("jobd starts", version=__version__, pid=os.getpid(), redis=source.shown, because=source.origin)
        if self.embedded is not None and self.embedded.tcp_url is not None:
            log.info(
                "embedded Redis for other programs",
                redis=mask_url(self.embedded.tcp_url), password_in=str(self._socket.parent / URL_FILE),
            )  # fmt: skip
        for warning in self.config.warnings:
            log.warning("configuration", warning=str(warning))
        return source

    def _redis_named_now(self) -> RedisSource:
        config = self.supervisor.config if self._serving else self.config
        source = config.redis_source(self.environ)
        if source is None:
            raise ConfigError("the server is embedded", ["the server is embedded"])
        return source

    @property
    def _socket(self) -> Path:
        return self.config.control_socket(self.options.socket, self.environ)

    def _supervise(
        self, source: RedisSource, record: IncarnationRecord, runner: AsyncRunner
    ) -> tuple[Recover, Schedules]:
        """Make the supervisor and what carries out its orders; return those parts that work beside it."""
        templates = TemplateStore(self._worker_environment())
        current_config = CurrentConfig(
            self.config, SYSTEM_CLOCK,
            environ=self.environ, globs=self.options.queues, redis_argument=self.options.redis, dev=self.options.dev,
        )  # fmt: skip
        fleet = Fleet(self.config, source, templates, record, SYSTEM_CLOCK)
        supervisor = self.supervisor = Supervisor(
            current_config, fleet, templates, record, SYSTEM_CLOCK, announce=self.notifier
        )
        recover = Recover(fleet, runner, supervisor.counters.ended_for_good)
        schedules = Schedules(
            current_config, fleet, runner, Loaded(record.folder), supervisor.health.redis_said,
            counters=supervisor.counters,
        )  # fmt: skip
        supervisor.health.of_schedules = schedules.troubles
        parts = ReloadContext(
            current_config, fleet, templates, SYSTEM_CLOCK,
            facts=supervisor.facts, count_waiting=partial(count_waiting, runner, source.prefix),
            renew_connections=lambda: self._renew_connections(runner), schedules=schedules,
        )  # fmt: skip
        supervisor.take_helpers(Reloader(parts), Stopper(supervisor, recover, self._stopped.set))
        supervisor.on_loss = lambda loss: self._worker_ended(loss, recover)
        return recover, schedules

    async def _serve(self, source: RedisSource, record: IncarnationRecord) -> int:
        """Serve until a stop is through; then end what runs beside the workers, last begun first."""
        runner = runner_on(source)
        recover, schedules = self._supervise(source, record, runner)
        supervisor = self.supervisor
        self._serving = True
        told = supervisor.health.redis_said
        if self.embedded is not None:
            self.embedded.on_trouble = partial(told, "embedded")
        metrics = Metrics(supervisor.fleet, runner, supervisor.counters, record.id, told)
        history, presence = History(), Presence(supervisor, runner, told)
        self.methods = Methods(
            supervisor, runner, source, self.notifier,
            memory=self.memory, page=self.page, history=history, strangers=presence.strangers,
        )  # fmt: skip
        dispatch = Dispatch(self.methods, runner, source.prefix)
        servers = control_servers(self._socket, self.config.daemon, dispatch, self.options.passed)
        duties = [
            *default_duties(supervisor, runner, record, self._awaited_pids),
            Sampling(supervisor, runner, history),
            presence,
            metrics,
            schedules,
            ControlSockets(servers, self._moved),
            Watch(supervisor, lambda code: self._reload("watch", code=code)),
        ]
        try:
            for server in servers:
                await server.start()
            if self.page is not None and self.config.daemon.http is not None:
                self.page.serve(self.config.daemon.http, self.methods.numbers, supervisor.live, supervisor.ready)
                log.info("metrics are served", at=self.config.daemon.http)
            for duty in duties:
                if not duty.needs_workers:
                    duty.start()
            if not await self._start(supervisor):
                await self._stopped.wait()
                return 0
            for duty in duties:
                duty.start()
            self._background.start(self._tell_ready(), "tell ready")
            if self.options.until_empty:
                self._background.start(self._until_empty(runner), "until empty")
            await self._stopped.wait()
            return 0
        finally:
            await supervisor.stopper.abandon()
            self._signals.stop()
            await self._background.stop()
            for duty in reversed(duties):
                await duty.stop()
            await recover.stop()
            await metrics.last_words()
            if self.page is not None:
                await self.page.stop()
            for server in servers:
                await server.stop()
            await runner.aclose()

    def _worker_environment(self) -> dict[str, str]:
        """Return what workers inherit, the place for their own numbers too."""
        if self.page is None:
            return self.environ
        self.page.prepare()
        return {**self.environ, **self.page.worker_environment}

    def _worker_ended(self, loss: Loss, recover: Recover) -> None:
        recover.lost(loss)
        if self.page is not None:
            self._background.start(self.page.worker_ended(), "worker's numbers")

    def _moved(self, folder: Path) -> None:
        """The control socket lies in another folder now: commands look there for the embedded server, too."""
        if self.embedded is not None:
            self.embedded.tell_in(folder)

    async def _start(self, supervisor: Supervisor) -> bool:
        """Import the handlers and start the workers; False when a stop came in between."""
        queues = supervisor.current_config.selected(self.config)
        if self.options.queues and not queues:
            known = ", ".join(self.config.queues) or "none"
            raise Refused("queue-unknown", f"no queue matches --queue {' '.join(self.options.queues)}; known: {known}")
        imports = Imports(supervisor.templates, supervisor.current_config, self.config)
        try:
            problems = await imports.make(queues.values())
        except Refused:
            if supervisor.stopping:
                return False  # the stop ended the templates
            raise
        if problems:
            await imports.discard()
            raise ConfigProblems(problems, self.config.name)
        imports.install()
        if supervisor.stopping:
            return False
        supervisor.start_workers()
        return True

    async def _tell_ready(self) -> None:
        supervisor = self.supervisor
        while not supervisor.ready_once:
            await supervisor.fleet.changed(1.0)
        queues = len(supervisor.fleet.pools)
        log.info("ready", queues=queues, state=supervisor.state.value)
        self.notifier.ready(plural(queues, "queue"))

    def _makes_progress(self) -> bool:
        """Whether what systemd waits for goes on: every part of a start, a reload and a stop has a limit of its own."""
        if not self._serving:
            return True  # survivors are waited for, or the embedded server loads its data
        supervisor = self.supervisor
        if supervisor.stopping:
            return True
        return (not supervisor.ready_once or supervisor.is_reloading) and supervisor.makes_progress

    def _renew_connections(self, runner: AsyncRunner) -> None:
        """Have daemon and workers use the credentials that are in force now."""
        fleet = self.supervisor.fleet
        renewal = fleet.source.renewal
        if renewal is not None:
            fleet.use_redis(replace(renewal.now(), renewal=renewal))
            self._background.start(runner.renew(fleet.source), "renew connections")

    async def _until_empty(self, runner: AsyncRunner) -> None:
        await until_empty(self.supervisor, runner)
        log.info("queues are empty")
        await self._stop(None, now=False)

    # --- requests and signals ----------------------------------------------------------------------------------------

    def _wished(self, wish: Wish) -> None:
        if not self._serving:
            if wish in (Wish.STOP, Wish.HAND_BACK, Wish.KILL) and self._starting is not None:
                self._starting.cancel()
            return
        match wish:
            case Wish.STOP:
                self._background.start(self._stop(None, now=False), "stop")
            case Wish.HAND_BACK:
                self._background.start(self._stop(None, now=True), "stop")
            case Wish.KILL:
                self.supervisor.stopper.kill_all()
            case Wish.RELOAD:
                self._background.start(self._reload("signal"), "reload")
            case Wish.QUIET:
                self.supervisor.quiet(None, "signal")
            case Wish.UNQUIET:
                self.supervisor.unquiet(None, "signal")
            case Wish.STACKS:
                self.supervisor.dump_stacks()
            case _:
                assert_never(wish)

    async def _stop(self, grace_ms: int | None, *, now: bool) -> None:
        self.notifier.stopping("draining")
        await self.supervisor.stop(grace_ms, now, lambda text: None)

    async def _reload(self, who: str, *, code: bool = False) -> None:
        try:
            await self.supervisor.reload(code, lambda text: log.info("reload", step=text), who)
        except JobdError as error:
            log.warning("not reloaded", error=str(error))

    def _awaited_pids(self) -> set[int]:
        own = {self.embedded.pid} if self.embedded is not None and self.embedded.pid is not None else set()
        return self.supervisor.fleet.pids() | own
