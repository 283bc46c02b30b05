"""Who may: every request passes here before any page sees it. Pure rules, and the middleware that applies them.

- `Host` must be a name of this machine's loopback or the address that is listened on: a foreign name that resolves to
  127.0.0.1 (DNS rebinding) would let any web page read this one.
- A request of another origin is refused whatever cookie it brings; a change must come with its form's own token.
- Then the cookie, or on a Unix socket the proxy's header, says who asks.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from jobd.web.tokens import Tokens

SAFE_METHODS = ("GET", "HEAD")
USER_MAX = 128
"""Characters of a user's name."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    # No inline script or style, nothing from elsewhere, in nobody's frame.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: then a browser sends `Origin: null` with the forms of this page, too.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What access is decided by.

    `address` is the host that is listened on, None on a Unix socket. `header` names the proxy's header with the user,
    None without a proxy: then the token counts, and `owner` is the user's name.
    """

    tokens: Tokens
    owner: str
    address: str | None
    cookie_name: str = "jobd_web"
    header: str | None = None
    names: frozenset[str] = field(default_factory=frozenset)
    """Further names that pass as Host."""

    def host_passes(self, host: str) -> bool:
        """Return whether a request may have this Host."""
        if self.address is None:
            return True
        name = _host_name(host)
        if name in _LOOPBACK or name == self.address.lower() or name in self.names:
            return True
        # Bound to every address: an address cannot be rebound, and the machine's own names are known.
        return _is_any(self.address) and (_is_address(name) or name in _own_names())

    def origin_passes(self, origin: str | None, host: str, fetch_site: str | None, *, safe: bool) -> bool:
        """Return whether a request comes from this page itself or, when it changes nothing, from no page at all."""
        if origin is not None:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
                return False
        return safe or fetch_site in (None, "same-origin", "none")

    def user_of(self, headers: Headers) -> str | None:
        """Return who asks, None when nobody says so."""
        if self.header is not None:
            named = headers.getlist(self.header)
            # Twice: the client's own beside the proxy's. Which is which, nobody can tell.
            good = len(named) == 1 and named[0].strip().isprintable() and 0 < len(named[0].strip()) <= USER_MAX
            return named[0].strip() if good else None
        values = [_cookie(text, self.cookie_name) for text in headers.getlist("cookie")]
        return self.owner if any(value is not None and self.tokens.is_cookie(value) for value in values) else None


class AccessControl:
    """The middleware: refuses, lets in who brings the link's token, and puts the user's name into the scope."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_RAW_HEADERS]
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, rules = Headers(scope=scope), self._rules
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else ""
        if len(hosts) != 1 or not rules.host_passes(host):
            return _plain(403, "This page answers to its own address only, not to the name it was asked by.")
        safe = scope["method"] in SAFE_METHODS
        if not rules.origin_passes(headers.get("origin"), host, headers.get("sec-fetch-site"), safe=safe):
            return _plain(403, "This request comes from another page.")
        user = rules.user_of(headers)
        if user is None:
            return self._let_in(scope, headers) if safe and rules.header is None else _nobody(rules)
        scope["user"] = user
        # Routes match what was sent: a queue or an id may hold a slash, written as %2F.
        scope["path"] = scope.get("raw_path", scope["path"].encode()).decode("ascii", "replace")
        return None

    def _let_in(self, scope: Scope, headers: Headers) -> Response:
        """Answer the link that was printed: the token goes into a cookie and out of the address."""
        query = parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)
        token = dict(query).get("token", "")
        if not self._rules.tokens.opens(token):
            return _nobody(self._rules)
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        place = "/" + scope["path"].lstrip("/\\") + (f"?{rest}" if rest else "")
        answer: Response = RedirectResponse(place, status_code=303)
        if headers.get("sec-fetch-site") == "cross-site":
            # From a chat or a mail: a strict cookie would not go with the redirect, with a fresh visit it does.
            answer = HTMLResponse(
                '<!doctype html><title>jobd</title><meta http-equiv="refresh" content="0; url=/">', headers=_UNCACHED
            )
        answer.set_cookie(self._rules.cookie_name, self._rules.tokens.cookie, httponly=True, samesite="strict")
        answer.headers["cache-control"] = "no-store"
        return answer


_RAW_HEADERS = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
_UNCACHED = {"cache-control": "no-store"}


def _nobody(rules: AccessRules) -> Response:
    if rules.header is not None:
        return _plain(401, f"The proxy before this page does not say who asks (header {rules.header}).")
    return _plain(401, "Open the link that jobd web printed when it started: it carries the token.")


def _plain(status: int, text: str) -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width"><title>jobd</title></head>'
        f"<body><h1>{status}</h1><p>{text}</p></body></html>"
    )
    return HTMLResponse(page, status, headers=_UNCACHED)


def _cookie(text: str, name: str) -> str | None:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return None
    return found.value if found is not None else None


def _host_name(host: str) -> str:
    """Return the name of a Host header without its port, an address of IPv6 without its brackets."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return "" if parts.netloc != host or "@" in host else unquote(name).rstrip(".").lower()


def _is_any(address: str) -> bool:
    return address in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> frozenset[str]:
    return frozenset({os.uname().nodename.lower(), socket.getfqdn().lower()})
