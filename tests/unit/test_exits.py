from __future__ import annotations

import pytest
import redis.exceptions

from jobd.cli.output import error_document, problem_text
from jobd.engine.trouble import Trouble
from jobd.errors import (
    ConfigError,
    DaemonAway,
    HandlerError,
    InputError,
    JobFailed,
    NoRedisConfigured,
    NotThere,
    RedisRefused,
    RedisUnavailable,
    Refused,
)
from jobd.exits import exit_of


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (NotThere("queue", "emial", known=["email"]), 1, "queue-unknown"),
        (JobFailed("7", "boom"), 1, "job-failed"),
        (HandlerError("a:b", "import", "no"), 78, "handler-invalid"),
        (RedisRefused("OOM"), 1, "redis-refused"),
        (RedisRefused("denied in a script", trouble=Trouble.NO_PERMISSION), 77, "redis-refused"),
        (Refused("trial-failed", "no", exit_code=1), 1, "trial-failed"),
        (InputError("bad"), 2, "input-invalid"),
        (DaemonAway("none", [("/a.sock", "gone")]), 69, "daemon-away"),
        (RedisUnavailable("away"), 69, "redis-unavailable"),
        (TimeoutError("late"), 75, "timed-out"),
        (Refused("not-permitted", "no", exit_code=77), 77, "not-permitted"),
        (PermissionError(13, "Permission denied", "/x"), 77, "not-permitted"),
        (ConfigError("bad", ["jobd.toml:1:1 bad"]), 78, "config-invalid"),
        (NoRedisConfigured("none"), 78, "redis-not-configured"),
    ],
)
def test_every_error_has_its_exit_code_and_its_name(error: Exception, code: int, name: str) -> None:
    assert exit_of(error) == code
    document = error_document(error)
    assert document["schema"] == 1
    assert document["error"]["code"] == name
    assert set(document["error"]) == {"code", "message", "detail"}


def test_a_refused_login_is_not_permitted() -> None:
    error = RedisRefused("Redis refused the credentials")
    error.__cause__ = redis.exceptions.AuthenticationError("WRONGPASS")
    assert exit_of(error) == 77


def test_text_for_people_says_error_once_and_what_there_is() -> None:
    assert problem_text(ConfigError("error: 2 problems")) == "error: 2 problems"
    assert problem_text(NotThere("queue", "x", known=["a", "b"])) == 'error: no such queue: "x"\nknown: a, b'
    assert problem_text(DaemonAway("no daemon", [("/a.sock", "gone")])) == "error: no daemon\ntried /a.sock: gone"
    assert problem_text(OSError(28, "No space left on device")) == "error: No space left on device"
