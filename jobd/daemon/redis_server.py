"""The embedded server: a private Redis or Valkey with an append-only file, run and restarted by the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import redis.exceptions as failures

from jobd.daemon import exec_server
from jobd.daemon.logs import event_log
from jobd.daemon.notify import without_own
from jobd.daemon.redis_binary import ServerBinary, find_server, write_stamp
from jobd.daemon.restarts import RestartDelay
from jobd.engine.connect import async_client
from jobd.errors import Refused
from jobd.locate import RedisSource, write_url_file
from jobd.locate.redis import URL_FILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis

SOCKET_NAME = "redis.sock"
PASSWORD_NAME = "redis.password"  # noqa: S105 - the name of a file
_SOCKET_PATH_MAX = 107
"""Bytes of a Unix socket's path (unix(7)); redis-py and Redis itself know no way around it."""

_START_LIMIT_S = 30.0
"""Until it first answers anything. Loading a large file may take as long as it takes after that."""

_STOP_LIMIT_S = 30.0
"""Until it has written out its file after SIGTERM; then it is killed."""

_LAST_LINES = 20
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
        self.data = settings.state_dir / "redis"
        self.binary: ServerBinary | None = None
        self._socket = usable_socket(settings.runtime_dir / SOCKET_NAME)
        self._password: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._on_change: Callable[[bool, str], None] = lambda _up, _text: None
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)

    @property
    def pid(self) -> int | None:
        """The server's pid, None while there is none; its exit status is waited for here."""
        return self._process.pid if self._process is not None else None

    @property
    def source(self) -> RedisSource:
        """Where it is; the same after a restart."""
        url = f"unix://{quote(str(self._socket))}"
        return RedisSource(url, None, self._password, self.settings.prefix, "embedded", embedded=True)

    def watch(self, on_change: Callable[[bool, str], None]) -> None:
        """Have `on_change(up, text)` called when the server died and when it is up again."""
        self._on_change = on_change

    async def start(self) -> RedisSource:
        """Run the server and return where it is, once it has loaded its data and answers.

        Raises:
            Refused: no server can be run, its folder cannot be used, or it ended; carries its last lines.
        """
        if self._keeper is None:
            self.binary = find_server(self.settings.server, self.data)
            self._prepare()
            await self._launch()
            self._keeper = asyncio.create_task(self._keep(), name="embedded redis")
        return self.source

    async def stop(self) -> None:
        """End the server once it has written out its data; call it when nobody uses it any more."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
        await self._end()
        (self.settings.runtime_dir / URL_FILE).unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)
        _log.info("embedded redis stopped")

    def _prepare(self) -> None:
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.settings.runtime_dir, self._socket.parent):
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
        process = self._spawn()
        self._process, self._gone = process, asyncio.Event()
        _watch_exit(process, self._gone)
        try:
            await self._until_ready(started)
        except BaseException:
            await self._end()
            raise
        write_url_file(self.settings.runtime_dir, self.source.url, self._password)
        _log.info(
            "embedded redis ready",
            pid=process.pid, server=self.binary and self.binary.shown, data=str(self.data),
            took_ms=round((time.monotonic() - started) * 1000),
        )  # fmt: skip

    def _spawn(self) -> subprocess.Popen[bytes]:
        binary = self.binary
        if binary is None:
            raise Refused("server-missing", "the embedded server was not looked for yet")
        wrapper = [sys.executable, "-IS", exec_server.__file__, str(os.getpid()), str(self.data / "lock")]
        self._last_lines.clear()
        process = subprocess.Popen(
            # Its settings come by standard input: the password is on no command line.
            [*wrapper, str(binary.path), "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, env=wrapper_env(),
        )  # fmt: skip
        if process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(server_settings(self.settings, self.data, self._socket, self._password))
            _follow(process.stdout.fileno(), self._said)
        return process

    def _said(self, line: str) -> None:
        self._last_lines.append(line)
        _log.debug("embedded redis says", line=line)

    async def _until_ready(self, started: float) -> None:
        """Return when it answers; while it loads its data, say so now and then and wait on."""
        client = async_client(self.source, answer_limit_s=5.0)
        told = started
        loading = False
        try:
            while True:
                if self._gone.is_set():
                    raise self._ended()
                answer = await _asked(client)
                if answer == "ready":
                    return
                now = time.monotonic()
                loading = loading or answer == "loading"
                if loading and now - told > 5:
                    told = now
                    _log.info("embedded redis loads its data", since_s=round(now - started))
                if not loading and now - started > _START_LIMIT_S:
                    raise Refused("embedded-failed", f"the embedded server did not answer in {_START_LIMIT_S:.0f}s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gone.wait(), 0.1 if loading else 0.005)
        finally:
            await client.aclose()

    def _ended(self) -> Refused:
        process = self._process
        status = process.wait() if process is not None else None
        if status == exec_server.EXIT_LOCKED:
            text = f'another server uses "{self.data}" and does not end'
        else:
            last = " | ".join(list(self._last_lines)[-3:]) or "it said nothing"
            text = f"it ended with status {status}: {last}"
        return Refused("embedded-failed", f"the embedded server does not start: {text}")

    async def _keep(self) -> None:
        """Start it again whenever it dies; its data is what the append-only file holds."""
        delay = RestartDelay()
        while True:
            up_at = time.monotonic()
            await self._gone.wait()
            await self._end()
            text = " | ".join(list(self._last_lines)[-3:])
            _log.error("embedded redis ended", last_lines=text)
            self._on_change(False, text)
            while True:
                await asyncio.sleep(delay.after_exit(time.monotonic() - up_at))
                up_at = time.monotonic()
                try:
                    await self._launch()
                except (Refused, OSError) as error:
                    _log.error("embedded redis does not start", error=str(error))
                    self._on_change(False, str(error))
                else:
                    self._on_change(True, "")
                    break

    async def _end(self) -> None:
        """Return when the process is gone: asked first, killed when it does not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        if not self._gone.is_set():
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _STOP_LIMIT_S)
        if not self._gone.is_set():
            process.kill()
            await self._gone.wait()
        process.wait()


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


def wrapper_env() -> dict[str, str]:
    """Return the server's environment: ours without what is the daemon's own or a secret of the configuration."""
    return {name: value for name, value in without_own(os.environ).items() if not name.startswith("JOBD_")}


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


def _watch_exit(process: subprocess.Popen[bytes], gone: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    fd = os.pidfd_open(process.pid)

    def ended() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        gone.set()

    loop.add_reader(fd, ended)


def _follow(fd: int, on_line: Callable[[str], None]) -> None:
    """Pass on each line that comes through a pipe, until all who hold its other end have closed it."""
    loop = asyncio.get_running_loop()
    own = os.dup(fd)
    os.set_blocking(own, False)
    rest = bytearray()

    def came() -> None:
        try:
            piece = os.read(own, 65536)
        except BlockingIOError:
            return
        rest.extend(piece)
        *lines, tail = bytes(rest).split(b"\n")
        rest[:] = tail[-4096:]
        for line in lines if piece else [*lines, tail]:
            if line.strip():
                on_line(line.decode("utf-8", "replace").strip()[:1000])
        if not piece:
            loop.remove_reader(own)
            os.close(own)

    loop.add_reader(own, came)
