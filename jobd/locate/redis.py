"""Which Redis: argument, $JOBD_REDIS_URL, the file, the embedded server; decided alike by daemon, CLI and client."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jobd.errors import ConfigError, InputError, NoRedisConfigured, RedisUnavailable
from jobd.locate.files import config_places, drop_ins, find_config, parse_toml, read_bytes, read_regular, shown_name
from jobd.locate.redact import mask_url
from jobd.locate.sockets import socket_candidates
from jobd.locate.url import UrlError, absolute_files, check_tls_files, parse_redis_url
from jobd.locate.variables import Secret, expand, read_secret, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_PREFIX = "bull"
URL_FILE = "redis.url"
"""Beside the control socket; written by the daemon that runs an embedded server (see `write_url_file`)."""

_HEADER = r"^\s*\[\s*([^\[\]]+?)\s*\]"


class Renewal(Protocol):
    """Where the credentials of a source come from: they may be others by the time of the next connection."""

    def now(self) -> RedisSource:
        """Return the source with the credentials as they are now; the last known ones when those cannot be had."""
        ...

    def refused(self) -> None:
        """Redis refused what `now` returned."""
        ...


class ReadAgain:
    """Reads the secrets once more for each connection: a rotated one is used without a restart."""

    def __init__(self, read: Callable[[], RedisSource]) -> None:
        self._read = read
        self._known: RedisSource | None = None

    def now(self) -> RedisSource:
        """Return what is written now.

        Raises:
            ConfigError: it cannot be read and never could.
        """
        try:
            self._known = self._read()
        except ConfigError:
            # In the middle of a rotation the file may be gone for a moment; Redis says whether the old one still does.
            if self._known is None:
                raise
        return self._known

    def refused(self) -> None:
        """It is read again anyway."""


@dataclass(frozen=True, slots=True)
class RedisSource:
    """A Redis to connect to, and why this one. `origin` is "jobd.toml:3", "$JOBD_REDIS_URL", "argument" or "embedded".

    `password` and `username`, when given, go beside the URL; printing a source shows neither. With a `renewal` each
    new connection asks it for them.
    """

    url: str = field(repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    prefix: str = DEFAULT_PREFIX
    origin: str = "argument"
    embedded: bool = False
    renewal: Renewal | None = field(default=None, repr=False, compare=False)

    @property
    def shown(self) -> str:
        """The URL as it may be printed."""
        return mask_url(self.url)


def environment_url(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Return (variable, URL) of the environment, or None.

    Raises:
        ConfigError: $JOBD_REDIS_URL and $JOBD_REDIS__URL are both set and differ.
    """
    short, long = env.get("JOBD_REDIS_URL"), env.get("JOBD_REDIS__URL")
    if short and long and short != long:
        text = "$JOBD_REDIS_URL and $JOBD_REDIS__URL are both set and differ; unset one of them"
        raise ConfigError(text, [text])
    if short:
        return "JOBD_REDIS_URL", short
    return ("JOBD_REDIS__URL", long) if long else None


def redis_source(
    url: str | None = None,
    *,
    prefix: str | None = None,
    config: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> RedisSource:
    """Return the Redis to use: `url`, else the daemon's (inside a worker), else $JOBD_REDIS_URL, else the file.

    Prefix and credentials come from where the URL comes from; `prefix` overrides it. Unknown keys of the file do not
    matter here, broken TOML does.

    Raises:
        NoRedisConfigured: no place names one; the message lists the places.
        ConfigError: a file cannot be read, or a value that is needed from it is wrong.
        RedisUnavailable: the file says `embedded = true` and no daemon has written where its server is; or this
            program was started by a handler whose worker is gone.
    """
    variables = os.environ if env is None else env
    if url:
        return RedisSource(absolute_files(url, cwd), prefix=prefix or DEFAULT_PREFIX, origin="argument")
    inherited = inherited_source(variables) if config is None else None
    if inherited is not None:
        return replace(inherited, prefix=prefix or inherited.prefix)
    named = environment_url(variables)
    if named:
        settings = _environment_settings(variables)
        return _source_of(settings, absolute_files(named[1], cwd), prefix, f"${named[0]}", variables)
    main = find_config(config, variables, cwd)
    if main is None:
        raise NoRedisConfigured(_nowhere("no file was found"), [_nowhere("no file was found")])
    settings, place = _file_settings(main, variables)
    if settings.get("embedded") in (True, "true"):
        return embedded_source(main, prefix or _text(settings, "prefix"), env=variables)
    found = _text(settings, "url")
    if not found:
        text = _nowhere(f"{main} has neither `url` nor `embedded` in [redis]")
        raise NoRedisConfigured(text, [text])
    return _source_of(settings, absolute_files(found, main.parent), prefix, place, variables)


def _nowhere(why: str) -> str:
    places = ", ".join(["the url argument or --redis", "$JOBD_REDIS_URL", *config_places()])
    return (
        f'no Redis is configured: {why}; looked at {places}. Write url = "redis://127.0.0.1:6379/0" '
        "or embedded = true into [redis]"
    )


def _source_of(
    settings: Mapping[str, Any], url: str, prefix: str | None, origin: str, env: Mapping[str, str]
) -> RedisSource:
    try:
        check_tls_files(parse_redis_url(url))
    except UrlError as error:
        text = f"{origin}: {error}"  # of the file or the environment, so no mistake of whoever called
        raise ConfigError(text, [text]) from None

    def read() -> RedisSource:
        return RedisSource(
            url,
            username=_secret_text(settings, "username", env),
            password=_secret_text(settings, "password", env),
            prefix=prefix or _text(settings, "prefix") or DEFAULT_PREFIX,
            origin=origin,
        )

    if not any(isinstance(settings.get(key), Secret) for key in ("username", "password")):
        return read()
    renewal = ReadAgain(read)
    return replace(renewal.now(), renewal=renewal)


def _text(settings: Mapping[str, Any], key: str) -> str | None:
    value = settings.get(key)
    if value is None or isinstance(value, str):
        return None if value is None else str(value)
    raise ConfigError(f"redis.{key}: expected text", [f"redis.{key}: expected text"])


def _secret_text(settings: Mapping[str, Any], key: str, env: Mapping[str, str]) -> str | None:
    value = settings.get(key)
    if isinstance(value, Secret):
        try:
            return read_secret(value, env=env)
        except InputError as error:
            text = f"redis.{key}: {error}"
            raise ConfigError(text, [text]) from None
    return _text(settings, key)


def _environment_settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Return {key of [redis]: value} of the variables JOBD_REDIS__…"""
    head = "JOBD_REDIS__"
    found = {name.removeprefix(head).lower(): value for name, value in env.items() if name.startswith(head)}
    return {key: _environment_value(value) for key, value in found.items()}


def _environment_value(text: str) -> Any:
    """Return the secret that a variable's text writes (`{ file = "…" }`), else the text."""
    if not text.startswith("{"):
        return text
    import tomllib

    try:
        return secret_of(tomllib.loads(f"v = {text}")["v"])
    except (ValueError, AttributeError):  # InputError is a ValueError; anything else is a password that starts with {
        return text


def _file_settings(main: Path, env: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the [redis] table of all files, variables laid over, and the place of its URL."""
    settings: dict[str, Any] = {}
    place = main.name
    for path in [main, *drop_ins(main)]:
        tree, text = parse_toml(read_bytes(path, main), path, main)
        table = tree.get("redis")
        if not isinstance(table, dict):
            continue
        if "url" in table:
            place = _place_of_url(text, shown_name(path, main))
            settings.pop("embedded", None)
        if table.get("embedded"):
            settings.pop("url", None)
        settings |= table
    wanted = {key: settings[key] for key in ("url", "embedded", "username", "password", "prefix") if key in settings}
    return {key: _ready(key, value, main, env) for key, value in wanted.items()} | _environment_settings(env), place


def _ready(key: str, value: Any, main: Path, env: Mapping[str, str]) -> Any:
    try:
        if isinstance(value, dict):
            expanded = {name: expand(v, env) if isinstance(v, str) else v for name, v in value.items()}
            return secret_of(expanded, base=main.parent)
        return expand(value, env) if isinstance(value, str) else value
    except InputError as error:
        text = f"{main.name}: redis.{key}: {error}"
        raise ConfigError(text, [text]) from None


def _place_of_url(text: str, shown: str) -> str:
    """Return "jobd.toml:3". A look over the lines is enough for a name in a log line; config keeps exact places."""
    table = ""
    for number, line in enumerate(text.split("\n"), start=1):
        header = re.match(_HEADER, line)
        if header:
            table = header[1]
        key = line.partition("=")[0].strip()
        if (table == "redis" and key == "url") or (not table and key in {"redis.url", "redis"}):
            return f"{shown}:{number}"
    return shown


def embedded_source(main: Path, prefix: str | None, *, env: Mapping[str, str]) -> RedisSource:
    """Return the server that the daemon of `main` runs, as the daemon wrote it down.

    Raises:
        RedisUnavailable: no daemon has.
    """
    for socket in socket_candidates(None, config=main, env=env):
        try:
            written = json.loads(read_regular(socket.parent / URL_FILE, 2**16))
            url, password = written["url"], written.get("password")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not there, or cut short by a crash: the same as no server
        if isinstance(url, str) and isinstance(password, str | None):
            return RedisSource(url, None, password, prefix or DEFAULT_PREFIX, "embedded", embedded=True)
    raise RedisUnavailable(f"the embedded server of {main} is not running; start it with: jobd run")


def write_url_file(folder: Path, url: str, password: str | None, tcp_url: str | None = None) -> Path:
    """Write where the embedded server is, for CLI and client; only the owner reads it. Returns the file.

    `tcp_url` is for programs that cannot use a Unix socket; it holds the password.
    """
    path = folder / URL_FILE
    fresh = folder / f".{URL_FILE}.{os.getpid()}"
    content = json.dumps({"url": url, "password": password, "tcp_url": tcp_url, "pid": os.getpid()})
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
    fresh.replace(path)
    return path


# --- inside a worker -------------------------------------------------------------------------------------------------

OFFSPRING_VARIABLE = "JOBD_WORKER_OF"
"""The pid of the daemon below whose workers a program was started: so that none of them outlives its worker."""

WORKER_VARIABLE = "JOBD_WORKER_REDIS"
"""Names the file from which a program that a handler starts reads the daemon's Redis; it holds no secret itself."""


class _HandedDown:
    """The Redis of the daemon that this worker serves; a fork of it has it too."""

    source: RedisSource | None = None
    fd = -1


def hand_down(source: RedisSource, *, to_programs: bool = True) -> None:
    """From now on every client of this process that names no Redis uses this one.

    `to_programs`: and those in programs it starts, too. They find it through $JOBD_WORKER_REDIS in a file without a
    name that the kernel shows to processes of the same user as long as this one lives: it is in no argument, no
    variable and on no disk.
    """
    _HandedDown.source = source
    if not to_programs:
        return
    fresh = os.memfd_create("jobd-redis", os.MFD_CLOEXEC)
    os.fchmod(fresh, 0o600)
    written = {"url": source.url, "username": source.username, "password": source.password, "prefix": source.prefix}
    os.write(fresh, json.dumps({**written, "origin": source.origin, "embedded": source.embedded}).encode())
    if _HandedDown.fd >= 0:
        # The same path goes on naming it: programs that run already read the new one when they look again.
        os.dup2(fresh, _HandedDown.fd, inheritable=False)
        os.close(fresh)
        return
    _HandedDown.fd = fresh
    os.environ[WORKER_VARIABLE] = f"/proc/{os.getpid()}/fd/{fresh}"


def inherited_source(env: Mapping[str, str]) -> RedisSource | None:
    """Return the Redis of the daemon whose worker this is, or whose handler started this program; None elsewhere.

    Raises:
        RedisUnavailable: that worker is gone, or belongs to another user. Any other Redis would be the wrong one.
    """
    if _HandedDown.source is not None:
        return _HandedDown.source
    place = env.get(WORKER_VARIABLE)
    if not place:
        return None
    try:
        return RedisSource(**json.loads(Path(place).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is another file by now"
        raise RedisUnavailable(
            f"cannot tell which Redis the worker that started this program uses: {place}: {why}; pass url, or unset "
            f"${WORKER_VARIABLE}"
        ) from None
