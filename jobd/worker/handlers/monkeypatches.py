"""Tell when a module of the application replaced what a worker stands on.

Threads, sockets and waits (gevent, eventlet), or JSON.

A worker runs its loop and its handlers on real threads. With green ones in their place the first job never ends, and
neither `timeout` nor `kill_after` can do anything about it. What counts is the functions themselves, not who did it.
"""

from __future__ import annotations

import _thread
import contextlib
import json
import select
import selectors
import socket
import threading
from typing import Any

_WATCHED = {
    "threading": (
        (_thread, "start_new_thread"), (_thread, "allocate_lock"), (_thread, "get_ident"),
        (threading, "_start_new_thread"), (threading, "get_ident"), (threading, "Lock"), (threading, "local"),
    ),
    "select": ((select, "select"), (select, "poll"), (select, "epoll"), (selectors, "DefaultSelector")),
}  # fmt: skip
"""Left out is what others replace for good reasons: Thread.start (tracers), getaddrinfo, time.sleep (clocks of tests),
and socket.socket by a subclass of it (proxies)."""

_real_socket = socket.socket


def _now() -> dict[tuple[str, str], Any]:
    found = {(area, name): getattr(home, name, None) for area, all_ in _WATCHED.items() for home, name in all_}
    if not issubclass(socket.socket, _real_socket):
        found["socket", "socket"] = socket.socket
    return found


_last = _now()


def newly_replaced() -> str | None:
    """Return what was replaced since the last look, and by whom: "threading, select (gevent)"; None: nothing was."""
    now = _now()
    changed = {key: what for key, what in now.items() if what is not _last.get(key)}
    _last.update(now)
    if not changed:
        return None
    areas = ", ".join(dict.fromkeys(area for area, _ in changed))
    homes = [getattr(what, "__module__", None) for what in changed.values() if what is not None]
    by = next((home.partition(".")[0] for home in homes if home), None)
    return f"{areas} ({by})" if by else areas


_JSON = {"dumps": json.dumps, "loads": json.loads}
_SAMPLE = {"text": "é", "list": [1, None]}


def broken_json() -> str | None:
    """Return "json.dumps" or "json.loads" when an import made it useless, and put both back; None: they work.

    A faster one in its place is fine: what counts is that it takes what jobd gives it and that text comes back whole.
    """
    given = {name: getattr(json, name, None) for name in _JSON}
    # It may be the application's function, which raises what it likes.
    with contextlib.suppress(BaseException):
        text: object = json.dumps(_SAMPLE, ensure_ascii=False, separators=(",", ":"))
        if isinstance(text, str) and json.loads(text) == _SAMPLE:
            return None
    vars(json).update(_JSON)
    return next((f"json.{name}" for name, function in _JSON.items() if given[name] is not function), None)
