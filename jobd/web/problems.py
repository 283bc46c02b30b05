"""An error as the page tells it: its status, what is wrong, each place of a wrong file, what there is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.errors import DaemonAway, InputError, JobdError, NotThere, RedisRefused, RedisUnavailable, Refused
from jobd.exits import Exit
from jobd.locate import redact
from jobd.web.render import View

if TYPE_CHECKING:
    from collections.abc import Sequence

_KNOWN = 60
"""Names that are told of what there is instead: as many as fit a screen."""

_STATUS = {"not-permitted": 403, "too-many-connections": 503}
_STATUS_OF_EXIT: dict[int, int] = {
    Exit.USAGE: 400, Exit.UNAVAILABLE: 503, Exit.TIMED_OUT: 504, Exit.NOT_PERMITTED: 403, Exit.CONFIG: 409,
}  # fmt: skip


def problem(error: BaseException) -> View:
    """Return the view of an error: what is wrong, each place of a wrong file, what is known instead."""
    lines: list[str] = []
    known: list[str] = []
    if isinstance(error, Refused):
        lines = [str(line) for line in error.detail.get("problems") or []]
        known = [str(name) for name in error.detail.get("known") or []]
    elif isinstance(error, NotThere):
        known = list(error.known)
    else:
        lines = [str(line) for line in getattr(error, "problems", ())]
    text = redact(str(error) or type(error).__name__)
    return problem_view(_title(error), text, status_of(error), lines=lines, known=known)


def problem_view(title: str, text: str, status: int, *, lines: Sequence[str] = (), known: Sequence[str] = ()) -> View:
    """Return the view of what went wrong; `known` are the names there are instead of an unknown one."""
    context = {
        "title": title,
        "text": text,
        "lines": [redact(line) for line in lines],
        "known": [redact(name) for name in known[:_KNOWN]],
        "more": max(0, len(known) - _KNOWN),
    }
    return View("problem.html", context, status, live=False)


def _title(error: BaseException) -> str:
    if isinstance(error, DaemonAway):
        return "No daemon"
    if isinstance(error, RedisUnavailable | RedisRefused):
        return "Redis is not available"
    return {404: "Not found", 403: "Not permitted", 503: "Not available"}.get(status_of(error), "That did not work")


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error."""
    match error:
        case NotThere():
            return 404
        case Refused() if error.code.endswith("-unknown"):
            return 404
        case Refused():
            return _STATUS.get(error.code) or _STATUS_OF_EXIT.get(error.exit_code, 409)
        case DaemonAway() | RedisUnavailable() | RedisRefused():
            return 503
        case InputError():
            return 400
        case TimeoutError():
            return 504
        case PermissionError():
            return 403
        case JobdError():
            return 409
    return 500
