"""What is not shown, which variables hold secrets, whether secrets can be read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobd.locate import Secret, mask_url, read_secret, redact, star_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobd.config.positions import Path_
    from jobd.config.tables import Settings
    from jobd.config.tree import Tree

SECRET_NAME = re.compile(r"pas+w|pwd|passphrase|secret|token|credential|api_?key|private", re.IGNORECASE)
"""Names, slips of the keyboard included, whose values are not repeated in messages."""

_KEY = re.compile(r"[A-Za-z0-9_\-.\"']+(?=\s*=)")
_VALUE = re.compile(r"""\"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s\[\]{},="']++(?!\s*=)""")
_STRING = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.)*)(\1?)""")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_REDIS = re.compile(r"[a-z0-9+.\-]*(redis|valkey|unix)[a-z0-9+.\-]*://", re.IGNORECASE)
_ALWAYS = frozenset({"JOBD_REDIS_URL", "JOBD_REDIS__URL", "JOBD_REDIS__USERNAME", "JOBD_REDIS__PASSWORD"})


def is_secret(path: Path_) -> bool:
    """Tell whether the value at `path` is one that is not shown: a password, or a variable that sounds like one."""
    if path[:2] == ("redis", "url"):
        return True  # one that was refused may be a password without its URL
    start = 1 if path[:1] == ("redis",) else path.index("env") + 1 if "env" in path else len(path)
    return any(SECRET_NAME.search(str(part)) for part in path[start:])


def without_secrets(line: str, *, all_values: bool = False) -> str:
    """Return a line of the file with passwords of URLs, and the values of keys that sound secret, as stars.

    As many stars as characters, so that the columns of what follows stay true. `all_values`: the whole line is of a
    secret, as in a list that is spread over several lines.
    """
    clean = _STRING.sub(_string_without_password, redact(line, _stars))
    key = next((found for found in _KEY.finditer(clean) if _sounds_secret(found[0], clean[found.end() :])), None)
    if key is None and not all_values:
        return clean
    start = key.end() if key else 0
    return clean[:start] + _VALUE.sub(lambda found: _stars(found[0]), clean[start:])


def _string_without_password(found: re.Match[str]) -> str:
    quote, inner, end = found[1], found[2], found[3]
    is_url = _REDIS.match(inner) or (_SCHEME.match(inner) and "@" in inner)
    return quote + (star_url(inner) if is_url else redact(inner, _stars)) + end


def broken_line(line: str) -> str:
    """Return a line that is no TOML without secrets; where its URL ends is anybody's guess."""
    head, equals, rest = without_secrets(line).partition("=")
    hidden = "://" in rest or "@" in rest or _sounds_secret(head.strip(), rest)
    return head + equals + (_stars(rest) if hidden else rest)


def _stars(hidden: str) -> str:
    return "*" * len(hidden)


def _sounds_secret(key: str, rest: str) -> bool:
    """A `url` without `://` is junk, and a password may be all of it."""
    return bool(SECRET_NAME.search(key)) or (key.strip("\"'").lower().endswith("url") and "://" not in rest)


def secret_names(settings: Settings, used_by_redis: frozenset[str], env: Mapping[str, str]) -> frozenset[str]:
    """Return the variables that workers must not inherit.

    `used_by_redis` are those that `${…}` put into [redis]: one is secret when a password is made of it. One that holds
    a whole URL, such as REDIS_URL, is the application's own, whatever is in it: its settings read it too.
    """
    named = {secret.name for _, secret in _written(settings) if secret.kind == "env"}
    url = settings.redis.url or ""
    password = settings.redis.password
    for name in used_by_redis:
        value = env.get(name, "")
        if "://" in value:
            continue
        in_url = bool(value) and value in url and value not in mask_url(url)
        if in_url or (value and isinstance(password, str) and value in password):
            named.add(name)
    return frozenset(named) | _ALWAYS


def check_secrets(tree: Tree, settings: Settings, env: Mapping[str, str]) -> None:
    """Read every secret once and note those that cannot be read."""
    for path, secret in _written(settings):
        try:
            read_secret(secret, env=env)
        except ValueError as error:
            tree.refuse(path, str(error))


def _written(settings: Settings) -> Iterator[tuple[Path_, Secret]]:
    for key in ("username", "password"):
        value = getattr(settings.redis, key)
        if isinstance(value, Secret):
            yield ("redis", key), value
    tables: dict[Path_, dict[str, str | Secret]] = {
        ("app",): settings.app.env,
        ("defaults",): settings.defaults.env,
        **{("presets", name): preset.env for name, preset in settings.presets.items()},
        **{("queues", name): queue.env for name, queue in settings.queues.items()},
    }
    for path, values in tables.items():
        for name, value in values.items():
            if isinstance(value, Secret):
                yield (*path, "env", name), value
