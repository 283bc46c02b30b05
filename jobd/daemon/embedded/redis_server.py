"""The embedded server: a private Redis or Valkey with an append-only file, run and restarted by the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import redis.exceptions as failures

from jobd.daemon.embedded.redis_binary import ServerBinary, find_server, write_stamp
from jobd.daemon.embedded.rescue import FILES, Lifeline, rescue
from jobd.daemon.embedded.server_life import ServerLife, ServerState
from jobd.daemon.embedded.server_process import ServerProcess
from jobd.daemon.embedded.start_failures import why_ended
from jobd.daemon.logs import event_log
from jobd.engine.connect import async_client
from jobd.errors import JobdError, Refused
from jobd.locate import RedisSource, write_url_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

SOCKET_NAME = "redis.sock"
PASSWORD_NAME = "redis.password"  # noqa: S105 - the name of a file
_SOCKET_PATH_MAX = 107
"""Bytes of a Unix socket's path (unix(7)); redis-py and Redis itself know no way around it."""

_START_LIMIT_S = 30.0
"""Until it first answers anything. Loading a large file may take as long as it takes after that."""

_TELL_EVERY_S = 5.0
_LOOK_S = 1.0
"""How often it is looked whether its socket and its data are still there."""
_SAVE_LIMIT_S = 20.0
"""How long a stop waits for the data to be saved whose folder was removed."""
_log = event_log(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """What the configuration says about the embedded server. `state_dir` and `runtime_dir` are absolute."""

    state_dir: Path
    runtime_dir: Path
    prefix: str
    port: int | None = None
    server: Path | None = None
    socket_mode: str = "0600"


class EmbeddedRedis:
    """One embedded server. It is restarted when it dies, with growing delay, until `stop`."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self.settings = settings
        self.life = ServerLife()
        self.data = settings.state_dir / "redis"
        self.binary: ServerBinary | None = None
        self._socket = usable_socket(settings.runtime_dir / SOCKET_NAME)
        self._password: str | None = None
        self._made: dict[Path, tuple[int, int] | None] = {}
        """{what lies in the runtime folder for others to find: (device, inode), None when it is gone}."""
        self._told_in = {settings.runtime_dir}
        self._places: dict[Path, tuple[int, int] | None] = {}
        """{what the running server needs and others may remove: (device, inode)}."""
        self._line: Lifeline | None = None
        self.on_trouble: Callable[[str | None], None] = lambda trouble: None
        """Told what is wrong with it that nobody else sees, and None when it is not any more."""
        self._process: ServerProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        """What saves the present process's data; its end is waited for also when the keeper is not needed any more."""

    @property
    def pid(self) -> int | None:
        """The server's pid, None while there is none; its exit status is waited for here."""
        return self._process.pid if self._process is not None else None

    @property
    def source(self) -> RedisSource:
        """Where it is; the same after a restart."""
        url = f"unix://{quote(str(self._socket))}"
        return RedisSource(url, None, self._password, self.settings.prefix, "embedded", embedded=True)

    @property
    def tcp_url(self) -> str | None:
        """Where Node reaches it, its password included; None without `embedded_port`."""
        port, password = self.settings.port, self._password
        return None if port is None or password is None else f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"

    async def start(self) -> RedisSource:
        """Run the server and return where it is, once it has loaded its data and answers.

        Raises:
            Refused: no server can be run, its folder cannot be used, or it ended; carries its last lines.
        """
        if self.life.start_asked():
            try:
                self.binary = find_server(self.settings.server, self.data)
                self._prepare()
                await self._launch()
            except BaseException:
                self.life.start_failed()
                raise
            self._keeper = asyncio.create_task(self._keep(), name="embedded redis")
        return self.source

    def tell_in(self, folder: Path) -> None:
        """Write down in this folder where the server is, for commands and clients; also after every restart."""
        folder = folder.resolve()
        self._told_in.add(folder)
        written = write_url_file(folder, self.source.url, self._password, self.tcp_url)
        self._made[written] = _mark(written)

    async def stop(self) -> None:
        """End the server once it has written out its data; call it when nobody uses it any more."""
        if not self.life.stop_asked():
            return
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self._last_look()
        await self._end()
        for path, mark in self._made.items():
            # By that name another daemon may have made its own: a deploy flips `current` while the old one still runs.
            if _mark(path) == mark:
                path.unlink(missing_ok=True)
        self._made.clear()
        if self._socket.parent != self.settings.runtime_dir:
            with contextlib.suppress(OSError):
                self._socket.parent.rmdir()
        self.life.stopped()
        _log.info("embedded Redis stopped")

    async def _last_look(self) -> None:
        """Have saved what the server holds if somebody has removed its files, be it a moment ago."""
        process = self._process
        if process is None or process.gone.is_set() or not (self._saving or self._has_lost(*self._places)):
            return
        try:
            await asyncio.wait_for(self._saved(process), _SAVE_LIMIT_S)
        except TimeoutError:
            _log.error("embedded Redis is stopped unsaved", after_s=_SAVE_LIMIT_S, data=str(self.data))

    def _prepare(self) -> None:
        try:
            # From the top: `parents` would open those to everybody that are made on the way.
            for folder in (self.settings.state_dir, self.data, self.settings.runtime_dir, self._socket.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.settings.port is not None:
                self._password = kept_password(self.settings.state_dir / PASSWORD_NAME)
            if self.binary is not None:
                write_stamp(self.data, self.binary)
        except OSError as error:
            message = f'cannot use the folder of the embedded server "{self.data}": {error.strerror or error}'
            raise Refused("embedded-unusable", message) from error

    async def _launch(self) -> None:
        started = time.monotonic()
        process = self._process = self._spawn()
        self._saving = None
        try:
            await self._until_ready(process, started)
            self._made[self._socket] = _mark(self._socket)
            line = self._line = Lifeline(self.source)
            await line.open()
            self._places = {path: _mark(path) for path in (self._socket, self.data, self.data / FILES)}
            for folder in [folder for folder in self._told_in if folder.is_dir()]:
                self.tell_in(folder)
        except BaseException:
            await self._end()
            raise
        if not self.life.answered(time.monotonic()):
            await self._end()
            raise Refused("embedded-failed", "the embedded server was stopped while it started")
        _log.info(
            "embedded Redis ready",
            redis=self.source.url, because="embedded = true", pid=process.pid,
            server=self.binary and self.binary.shown, data=str(self.data),
            took_ms=round((time.monotonic() - started) * 1000),
        )  # fmt: skip

    def _spawn(self) -> ServerProcess:
        if self.binary is None:
            raise Refused("server-missing", "the embedded server has not been looked for yet")
        written = server_settings(self.settings, self.data, self._socket, self._password)
        return ServerProcess(self.binary.path, self.data / "lock", written)

    async def _until_ready(self, process: ServerProcess, started: float) -> None:
        """Return when it answers; while it loads its data, say so now and then and wait on."""
        client = async_client(self.source)
        told = started
        loading = False
        try:
            while not process.gone.is_set():
                answer = await _asked(client)
                if answer == "ready":
                    return
                now = time.monotonic()
                loading = loading or answer == "loading"
                if loading and now - told > _TELL_EVERY_S:
                    told = now
                    _log.info("embedded Redis loads its data", since_s=round(now - started))
                if not loading and now - started > _START_LIMIT_S:
                    raise Refused("embedded-failed", f"the embedded server did not answer in {_START_LIMIT_S:.0f}s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.gone.wait(), 0.1 if loading else 0.005)
        finally:
            await client.aclose()
        raise self._ended(process)

    def _ended(self, process: ServerProcess) -> Refused:
        why = why_ended(process.status, process.told(), self.binary, self.data, self.settings.port)
        return Refused("embedded-failed", f"the embedded server does not start: {why}")

    async def _keep(self) -> None:
        """Start it again whenever it dies; its data is what the append-only file holds."""
        while (process := self._process) is not None:
            await self._until_lost(process)
            if not process.gone.is_set():
                await asyncio.shield(self._saved(process))
                await self._end()
            await self._drop_line()
            self._process = None
            self.life.died(time.monotonic())
            _log.error("embedded Redis ended", status=process.status, last_lines=process.told())
            while self.life.state is ServerState.DOWN:
                await asyncio.sleep(self.life.pause_s)
                self.life.pause_over()
                try:
                    await self._launch()
                except (JobdError, OSError) as error:
                    self.life.start_failed()
                    _log.error("embedded Redis does not start", error=str(error))

    async def _until_lost(self, process: ServerProcess) -> None:
        """Return when it has ended, or somebody has removed its socket or its data: nobody can connect to it any more,
        or what it accepts is kept nowhere.
        """
        while not process.gone.is_set() and not self._has_lost(*self._places):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.gone.wait(), _LOOK_S)

    def _has_lost(self, *paths: Path) -> bool:
        return any(_mark(path) != self._places.get(path) for path in paths)

    def _saved(self, process: ServerProcess) -> asyncio.Task[None]:
        self._saving = self._saving or asyncio.create_task(self._save(process), name="save embedded redis")
        return self._saving

    async def _save(self, process: ServerProcess) -> None:
        """See that nothing is lost with the process; tries again until it is saved."""
        removed = [str(path) for path in self._places if self._has_lost(path)]
        _log.error("embedded Redis lost its files: it is started again", removed=removed, pid=process.pid)
        told = False
        while not process.gone.is_set():
            try:
                # Nobody connects from here on: it would be to one that ends.
                self._socket.unlink(missing_ok=True)
                self._prepare()
                if self._line is not None and self._has_lost(self.data, self.data / FILES):
                    keys = await rescue(self._line, self.data)
                    _log.warning("data of the embedded Redis was removed: saved from its memory", keys=keys)
            except (Refused, OSError) as error:
                if not told:
                    _log.error("embedded Redis cannot be saved", error=str(error))
                told = True
                self.on_trouble(f"its files were removed and cannot be made again: {error}")
                await asyncio.sleep(_LOOK_S)
            else:
                self.on_trouble(None)
                return

    async def _drop_line(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _end(self) -> None:
        await self._drop_line()
        if self._process is not None:
            # Named until it is gone: whoever stops while this is cancelled waits for it, too.
            await self._process.end()
            self._process = None


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def usable_socket(wanted: Path) -> Path:
    """Return `wanted`, or where its path is too long a place in the temporary folder that belongs to it alone."""
    if len(os.fsencode(wanted)) <= _SOCKET_PATH_MAX:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"jobd-{os.geteuid()}-{digest}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    # The name can be guessed and the folder is everybody's: one that another user made is not ours to use.
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise Refused("socket-unusable", f'cannot use "{folder}" for a socket: it is not ours alone; remove it')
    short = folder / SOCKET_NAME
    if len(os.fsencode(short)) > _SOCKET_PATH_MAX:
        raise Refused("socket-unusable", f'the socket path "{wanted}" is longer than {_SOCKET_PATH_MAX} bytes')
    return short


def kept_password(path: Path) -> str:
    """Return the password in the file, which only its owner reads; one is made the first time.

    Raises:
        OSError: it cannot be read or written.
    """
    with contextlib.suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if kept:
            return kept
    made = secrets.token_urlsafe(24)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(made + "\n")
    fresh.replace(path)
    return made


def server_settings(settings: EmbeddedSettings, data: Path, socket: Path, password: str | None) -> bytes:
    """Return the configuration that the server reads.

    Without the preamble redis 7 and 8 and valkey 8 and 9 read each other's files. everysec: a server that is killed
    may lose the last second or two of what it accepted (docs/failure-modes.md).
    """
    lines: list[tuple[str | bytes, ...]] = [
        ("port", str(settings.port or 0)),
        ("bind", "127.0.0.1"),
        ("unixsocket", os.fsencode(socket)),
        ("unixsocketperm", settings.socket_mode),
        ("dir", os.fsencode(data)),
        ("daemonize", "no"),
        ("save", ""),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("aof-use-rdb-preamble", "no"),
        # A queue must never lose jobs to make room for others.
        ("maxmemory-policy", "noeviction"),
    ]
    if password is not None:
        lines.append(("requirepass", password))
    return b"".join(b" ".join([_bytes(name), *map(_quoted, values)]) + b"\n" for name, *values in lines)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _quoted(value: str | bytes) -> bytes:
    escaped = _bytes(value).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


async def _asked(client: Redis) -> str:
    """Return "ready", "loading" or "away"."""
    try:
        await client.execute_command("PING")  # type: ignore[no-untyped-call]
    except failures.BusyLoadingError:
        return "loading"
    except failures.ResponseError as error:
        raise Refused("embedded-failed", f"the embedded server refused: {error}") from error
    except (failures.RedisError, OSError):
        return "away"
    return "ready"
