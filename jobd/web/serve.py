"""Listen, print the link once, serve until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from jobd.errors import InputError, Refused
from jobd.web.access import AccessRules
from jobd.web.app import build
from jobd.web.audit_log import AuditLog
from jobd.web.daemon_or_redis import DaemonOrRedis, Target
from jobd.web.queue_names import QueueNames
from jobd.web.render import Renderer
from jobd.web.site import Site, globs_of_file
from jobd.web.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_LISTEN = "127.0.0.1:9465"
_CLOSE_LIMIT_S = 2
"""Pages that are open are streams without end: so long they may take their last bytes."""

_SOCKET_MODE = 0o660
"""The proxy's user is let in by group; for anybody else of the machine the socket is shut."""


@dataclass(frozen=True, slots=True)
class WebOptions:
    """How `jobd web` was called."""

    target: Target
    listen: str
    read_only: bool = False
    auth_header: str | None = None


def main(options: WebOptions, tell: Callable[[str], None], opened: Callable[[str], None] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. `tell` prints a line; `opened` is called with the link when it listens.

    Raises:
        InputError: the place to listen at is none, or `auth_header` is given without a Unix socket.
        Refused: it cannot be listened at.
    """
    place = _Place.of(options.listen)
    if options.auth_header is not None and place.path is None:
        raise InputError(
            "--auth-header needs --listen unix:PATH: over TCP anybody on this machine could send the header"
        )
    owner = _owner()
    tokens = Tokens()
    with place.listening() as sock:
        address, port = place.bound(sock)
        # Cookies know no ports: two pages of one host must not throw each other's out.
        rules = AccessRules(
            tokens, owner, address, cookie_name=f"jobd_web_{port or 'unix'}", header=options.auth_header
        )
        reach = DaemonOrRedis(options.target)
        site = Site(
            reach, rules, Renderer(), QueueNames(reach, owner), AuditLog(), read_only=options.read_only,
            config=options.target.config, hide=globs_of_file(options.target.config),
        )  # fmt: skip
        link = f"http://{place.shown(port)}/?token={tokens.link}"

        def listening() -> None:
            if options.auth_header is not None:
                tell(f"jobd web listens on {options.listen}; the proxy says who asks ({options.auth_header})")
            else:
                tell(f"jobd web: {link}" + (f"  (on {options.listen})" if place.path else ""))
            if address is not None and address not in ("127.0.0.1", "::1", "localhost"):
                tell("anybody on the way can read the token: put a proxy that speaks TLS before this page")
            if opened is not None:
                opened(link)

        asyncio.run(_serve(site, sock, listening))
    return 0


async def _serve(site: Site, sock: socket.socket, listening: Callable[[], None]) -> None:
    config = uvicorn.Config(
        build(site), log_level="critical", access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=_CLOSE_LIMIT_S, proxy_headers=False, h11_max_incomplete_event_size=64 * 1024,
    )  # fmt: skip
    server = _Server(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave)
    site.names.start()
    # Not before the signals have their handlers: who reads the line may stop it at once.
    listening()
    try:
        await server.serve(sockets=[sock])
    finally:
        await site.names.close()
        await site.reach.close()


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which end the process by the signal instead of with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def leave(self) -> None:
        """Stop; at the second time without waiting."""
        self.force_exit = self.should_exit
        self.should_exit = True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where to listen: host and port, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    @classmethod
    def of(cls, listen: str) -> _Place:
        if listen.startswith("unix:"):
            path = listen.removeprefix("unix:").removeprefix("//")
            if not path:
                raise InputError("--listen unix: needs the path of a socket")
            return cls(path=Path(path).absolute())
        host, colon, port = listen.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not port.isdecimal() or not port.isascii() or int(port) > 65535 or not host:
            raise InputError(f'--listen: expected an address and a port such as "{DEFAULT_LISTEN}", or unix:PATH, '
                             f'got "{listen}"')  # fmt: skip
        return cls(host, int(port))

    def shown(self, port: int) -> str:
        """Return the host of the link."""
        if self.path is not None:
            return "localhost"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def bound(self, sock: socket.socket) -> tuple[str | None, int]:
        """Return address and port that are listened on; no address on a Unix socket."""
        return (None, 0) if self.path is not None else (self.host, sock.getsockname()[1])

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Listen while this lasts.

        Raises:
            Refused: the address is in use, or cannot be used.
        """
        sock = self._unix() if self.path is not None else self._tcp()
        inode = self.path.lstat().st_ino if self.path is not None else 0
        try:
            yield sock
        finally:
            sock.close()
            if self.path is not None:
                with contextlib.suppress(OSError):
                    # Another one may have taken the place over meanwhile.
                    if self.path.lstat().st_ino == inode:
                        self.path.unlink()

    def _tcp(self) -> socket.socket:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, kind, protocol)
        except OSError as error:
            raise self._cannot(error) from error
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(128)
        except OSError as error:
            sock.close()
            raise self._cannot(error) from error
        return sock

    def _unix(self) -> socket.socket:
        assert self.path is not None  # noqa: S101 - the caller looked
        sock = socket.socket(socket.AF_UNIX)
        try:
            if stat.S_ISSOCK(self.path.lstat().st_mode):
                with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
                    probe.settimeout(1)
                    if probe.connect_ex(str(self.path)) == 0:
                        raise Refused("socket-in-use", f"somebody listens at {self.path} already")
                self.path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._cannot(error) from error
        before = os.umask(0o777 & ~_SOCKET_MODE)
        try:
            sock.bind(str(self.path))
            sock.listen(128)
        except OSError as error:
            sock.close()
            raise self._cannot(error) from error
        finally:
            os.umask(before)
        return sock

    def _cannot(self, error: OSError) -> Refused:
        where = self.path or f"{self.host}:{self.port}"
        return Refused("cannot-listen", f"cannot listen at {where}: {error.strerror or error}")


def _owner() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
