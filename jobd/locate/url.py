"""A Redis URL: what it says, and whether it can be used.

Read here and not by urllib or redis-py: their messages quote what they cannot read, and that may be a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobd.errors import InputError
from jobd.locate.files import absolute, read_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SENTINEL = ("redis+sentinel", "rediss+sentinel")
CLUSTER = ("redis+cluster", "rediss+cluster")
SCHEMES = ("redis", "rediss", "unix", *SENTINEL, *CLUSTER)
SENTINEL_PORT = 26379

_ENCODE = "in a user or a password `/` is written %2F, `?` %3F, `#` %23 and `@` %40; or put it into `password`"

# Patterns are compiled when they are first used: every producer imports this module, few need them.
HOST = r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[\w.\-]+)(:\d{1,5})?"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    from jobd.words import nearest  # only whoever made a mistake needs it

    return nearest(name, known)


class UrlError(InputError):
    """A Redis URL that cannot be used. `reason` never quotes a part that may be a password; `hint` may be None."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(f"cannot use the Redis URL: {reason}" + (f"; {hint}" if hint else ""))
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What a URL says. `path` is that of a Unix socket; `options` has redis-py's names and types.

    With Sentinel or a Cluster `nodes` are those to ask where the server is, and `host` is the first of them. `master`
    is the name Sentinel knows it by; `sentinel_auth` what Sentinel itself asks for.
    """

    scheme: str
    host: str = ""
    port: int = 6379
    path: str = ""
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: dict[str, str | int | float | bool] = field(default_factory=dict, repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_auth: tuple[str, ...] = field(default=(), repr=False)

    @property
    def tls(self) -> bool:
        """Whether the connections are encrypted."""
        return self.scheme.startswith("rediss")

    @property
    def is_cluster(self) -> bool:
        """Whether keys lie on several servers, by their slots."""
        return self.scheme in CLUSTER


def parse_redis_url(url: str) -> RedisAddress:
    """Return what a URL says.

    Raises:
        UrlError: it is no URL of a Redis, or an option in it is unknown or has a value it cannot have.
    """
    from urllib.parse import unquote

    scheme, authority, path, query, fragment = _split(url)
    lost = _ENCODE if "@" in path + query + fragment else None
    userinfo, _, place = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    if fragment:
        raise UrlError("a Redis URL has no `#` part", _ENCODE)
    nodes, database, master = [("", 0)], 0, ""
    if scheme != "unix":
        nodes = _nodes(scheme, place, lost)
        master, path = _master(scheme, unquote(path), lost)
        database = _database(unquote(path), lost)
    options = _options(scheme, query)
    username, secret = options.pop("username", None), options.pop("password", None)
    sentinel_auth = [str(options.pop(name, "")) for name in ("sentinel_username", "sentinel_password")]
    if scheme in CLUSTER and (database or options.get("db")):
        raise UrlError("a Redis Cluster has database 0 only")
    return RedisAddress(
        scheme,
        nodes=tuple(nodes) if scheme in SENTINEL + CLUSTER else (),
        master=master,
        sentinel_auth=tuple(part for part in sentinel_auth if part) if sentinel_auth[1] else (),
        host=nodes[0][0],
        port=nodes[0][1],
        path=_socket_path(place, unquote(path)) if scheme == "unix" else "",
        database=int(options.pop("db", database)),
        username=unquote(user) or (str(username) if username else None),
        password=unquote(password) or (str(secret) if secret else None),
        options=options,
    )


def _split(url: str) -> tuple[str, str, str, str, str]:
    """Return scheme, authority, path, query, fragment."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        near = _nearest(scheme.lower(), SCHEMES) if mark else None
        hint = f"did you mean `{near}://`?" if near else None
        known = "redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        raise UrlError(f"expected a URL that starts with {known}", hint)
    scheme = scheme.lower()
    if not rest.isprintable() or " " in rest:
        raise UrlError("a URL has no blanks and no control characters", "in a user or a password a blank is %20")
    head, _, fragment = rest.partition("#")
    head, _, query = head.partition("?")
    authority, slash, path = head.partition("/")
    return scheme, authority, slash + path, query, fragment


def _socket_path(place: str, path: str) -> str:
    if place or not path.strip("/"):
        raise UrlError('expected the path of a socket, as in "unix:///run/redis.sock"')
    return path


def _nodes(scheme: str, place: str, lost: str | None) -> list[tuple[str, int]]:
    port = SENTINEL_PORT if scheme in SENTINEL else 6379
    if scheme in SENTINEL + CLUSTER:
        return [_host_and_port(part, lost, port) for part in place.split(",")]
    if "," in place:
        raise UrlError(f"{scheme}:// has one host", lost or "several are for redis+sentinel:// and redis+cluster://")
    return [_host_and_port(place, lost, port)]


def _master(scheme: str, path: str, lost: str | None) -> tuple[str, str]:
    """Return the name of the master in a URL of Sentinel, and what is left of the path."""
    if scheme not in SENTINEL:
        return "", path
    name, _, database = path.strip("/").partition("/")
    if not re.fullmatch(r"[\w.\-]{1,200}", name, re.ASCII):
        example = f'"{scheme}://sentinel-1:{SENTINEL_PORT},sentinel-2:{SENTINEL_PORT}/mymaster/0"'
        raise UrlError(f"expected the master's name after the hosts, as in {example}", lost)
    return name, database


def _host_and_port(place: str, lost: str | None, usual_port: int) -> tuple[str, int]:
    if not place or place.startswith(":"):
        raise UrlError('expected a host, as in "redis://127.0.0.1:6379/0"', lost)
    if place.startswith("[") != ("]" in place):
        raise UrlError('cannot read the URL: expected an IPv6 address as in "redis://[::1]:6379/0"', lost)
    host, _, port = place.rpartition(":") if re.search(r":[^\]]*$", place) else (place, "", "")
    if port == "" and place.endswith(":"):
        port = str(usual_port)
    if (port or place != host) and not (re.fullmatch(r"\d{1,5}", port, re.ASCII) and 0 < int(port) < 65536):
        raise UrlError("cannot read the URL: expected a port from 1 to 65535", lost)
    if not re.fullmatch(HOST, host):
        raise UrlError("cannot read the URL: expected the name or address of a host", lost)
    return host.strip("[]"), int(port or usual_port)


def _database(path: str, lost: str | None) -> int:
    text = path.strip("/")
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise UrlError('expected the number of a database after the host, as in "redis://127.0.0.1:6379/0"', lost)
    return int(text)


# --- options ---------------------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError("a whole number")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise ValueError("a number of seconds")
    return float(text)


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false", "yes", "no", "on", "off", "1", "0"}:
        raise ValueError("true or false")
    return text.lower() in {"true", "yes", "on", "1"}


def _requirement(text: str) -> str:
    word = text.lower().removeprefix("cert_")  # Celery writes CERT_NONE
    if word not in {"none", "optional", "required"}:
        raise ValueError("none, optional or required")
    return word


def _tls_version(text: str) -> int:
    import ssl

    word = re.sub(r"^tls[_ ]?v?", "", text.lower()).replace("_", ".")
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    if word in versions:
        return versions[word]
    if text in {str(int(version)) for version in versions.values()}:
        return int(text)
    raise ValueError("1.2 or 1.3")


_COMMON: dict[str, Callable[[str], str | int | float | bool]] = {
    "db": _number,
    "username": str,
    "password": str,
    "client_name": str,
    "health_check_interval": _number,
    "max_connections": _number,
    "protocol": _number,
    "retry_on_timeout": _flag,
    "socket_connect_timeout": _seconds,
    "socket_timeout": _seconds,
    "timeout": _seconds,
}
_NETWORK: dict[str, Callable[[str], str | int | float | bool]] = {"socket_keepalive": _flag}
_TLS: dict[str, Callable[[str], str | int | float | bool]] = {
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": _requirement,
    "ssl_certfile": str,
    "ssl_check_hostname": _flag,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_min_version": _tls_version,
    "ssl_password": str,
}
_SENTINEL: dict[str, Callable[[str], str | int | float | bool]] = {"sentinel_username": str, "sentinel_password": str}
_UNUSED = frozenset({"decode_responses", "encoding", "encoding_errors"})
"""Options that other programs need in a shared URL and jobd decides for itself: passed over."""

OPTIONS = frozenset(_COMMON) | frozenset(_NETWORK) | frozenset(_TLS) | frozenset(_SENTINEL)
_MAX_CERTIFICATES = 16 * 2**20
"""Bytes of one file of certificates; the bundle of a whole system has 200 kB."""
TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
HIDDEN_OPTIONS = frozenset({"password", "username", "ssl_password", "sentinel_username", "sentinel_password"})


def _options(scheme: str, query: str) -> dict[str, str | int | float | bool]:
    from urllib.parse import parse_qsl

    known = _COMMON | (_NETWORK if scheme != "unix" else {}) | (_TLS if scheme.startswith("rediss") else {})
    known |= _SENTINEL if scheme in SENTINEL else {}
    found: dict[str, str | int | float | bool] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _UNUSED:
            continue
        if name not in known:
            raise UrlError(*_unknown_option(name, scheme, [*known], query))
        try:
            found.setdefault(name, known[name](value))
        except ValueError as error:
            shown = "" if name in HIDDEN_OPTIONS or "@" in query else f', got "{value}"'
            raise UrlError(f"option `{name}`: expected {error}{shown}") from None
    return found


def _unknown_option(name: str, scheme: str, known: list[str], query: str) -> tuple[str, str | None]:
    if name in _TLS:
        return f"option `{name}` belongs to rediss://, and this is {scheme}://", None
    secret = any(f"{option}=" in query for option in HIDDEN_OPTIONS)
    if secret or "@" in query or f"{name}=" not in query or not re.fullmatch(r"[A-Za-z][\w\-]{0,40}", name, re.ASCII):
        return "cannot read the options after `?`; one is unknown", f"known: {', '.join(known)}"
    near = _nearest(name.replace("-", "_"), known)
    hint = f"did you mean `{near}`?" if near else "known: " + ", ".join(n for n in known if n not in HIDDEN_OPTIONS)
    return f"unknown option `{name}` in the URL", hint


def absolute_files(url: str, base: Path | None = None) -> str:
    """Return the URL with the TLS files in it made absolute, taken from `base`, else from the current folder.

    Daemon, workers and handlers work in different folders; what a relative path means is decided once.
    """
    if "ssl_" not in url:
        return url
    head, mark, query = url.partition("?")
    parts = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if name in TLS_FILES and value:
            from urllib.parse import quote, unquote_plus

            value = quote(str(absolute(unquote_plus(value), base)), safe="/")
        parts.append(name + equals + value)
    return head + mark + "&".join(parts)


def check_tls_files(address: RedisAddress) -> None:
    """Read the certificates and the key that a URL names, as a connection would.

    Raises:
        UrlError: one is not there or is not what it should be; it is named. redis-py would call this "Redis is away".
    """
    named = {name: str(address.options[name]) for name in TLS_FILES if address.options.get(name)}
    if not named:
        return
    import ssl

    for name, text in named.items():
        try:
            if name == "ssl_ca_path":
                next(Path(text).iterdir(), None)
            else:
                read_regular(Path(text), _MAX_CERTIFICATES)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UrlError(f'cannot read {name} "{text}": {str(reason).lower()}') from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "ssl_ca_certs" in named:
        try:
            context.load_verify_locations(cafile=named["ssl_ca_certs"])
        except ssl.SSLError:
            raise UrlError(f'ssl_ca_certs "{named["ssl_ca_certs"]}" holds no certificate in PEM form') from None
    if "ssl_certfile" in named:
        password = str(address.options.get("ssl_password") or "")
        try:
            context.load_cert_chain(named["ssl_certfile"], named.get("ssl_keyfile"), lambda: password)
        except ssl.SSLError as error:
            what = f'ssl_certfile "{named["ssl_certfile"]}"'
            if "ssl_keyfile" in named:
                what += f' and ssl_keyfile "{named["ssl_keyfile"]}"'
            reason = (error.reason or "not in PEM form").lower().replace("_", " ")
            raise UrlError(f"cannot use {what}: {reason}", "is `ssl_password` right?" if password else None) from None
    elif "ssl_keyfile" in named:
        raise UrlError("`ssl_keyfile` needs `ssl_certfile` beside it")
