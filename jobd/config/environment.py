"""The variables JOBD_…: which exist, what they set, and the nearest name of one that does not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jobd.config.origins import Origin
from jobd.config.problems import Problem
from jobd.config.tables import App, DaemonSettings, QueueKeys, RedisSettings
from jobd.config.tree import Source, Tree, drop_file_redis, lay_over, spell_out, value_of_text
from jobd.errors import ConfigError
from jobd.locate import OFFSPRING_VARIABLE, WORKER_VARIABLE, absolute_files, environment_url
from jobd.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.config.values import Table

SECTIONS: dict[str, type[Table]] = {"app": App, "redis": RedisSettings, "daemon": DaemonSettings, "defaults": QueueKeys}
PLAIN = ("JOBD_CONFIG", "JOBD_SOCKET", "JOBD_REDIS_URL", "JOBD_QUEUES")

_KUBERNETES = re.compile(r"JOBD(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP|SCTP).*)?)")
"""What Kubernetes sets in every container for a Service named jobd or jobd-…: no setting, and nobody's mistake."""


def known_names() -> dict[str, tuple[str, str]]:
    """Return {variable: (section, key)} of every JOBD_<SECTION>__<KEY>."""
    return {
        f"JOBD_{section}__{key}".upper(): (section, key)
        for section, table in SECTIONS.items()
        for key in (info.alias or name for name, info in table.model_fields.items())
    }


def lay_environment_over(tree: Tree, env: Mapping[str, str], redis_url: str | None) -> None:
    """Lay the variables, then `redis_url` (--redis), over what the files say."""
    known = known_names()
    for name in sorted(name for name in env if name.startswith("JOBD_")):
        if (
            name not in known
            and name not in PLAIN
            and name not in (WORKER_VARIABLE, OFFSPRING_VARIABLE)
            and not _KUBERNETES.fullmatch(name)
        ):
            tree.problems.append(_unknown(name, [*known, *PLAIN]))
    _redis_first(tree, env, redis_url)
    for name, (section, key) in known.items():
        if name not in env or (section == "redis" and (redis_url or key == "url")):
            continue
        _set(tree, section, key, value_of_text(env[name]), f"${name}")
    globs = [glob for glob in re.split(r"[,\s]+", env.get("JOBD_QUEUES", "")) if glob]
    if globs:
        _set(tree, "daemon", "queues", globs, "$JOBD_QUEUES")


def _redis_first(tree: Tree, env: Mapping[str, str], redis_url: str | None) -> None:
    try:
        found = environment_url(env)
    except ConfigError as error:
        if not redis_url:
            tree.problems.append(Problem("$JOBD_REDIS_URL", 0, 0, str(error)))
        found = None
    url, origin = (redis_url, "--redis") if redis_url else (found[1], f"${found[0]}") if found else (None, "")
    if url:
        drop_file_redis(tree, origin)
        _set(tree, "redis", "url", absolute_files(url), origin)


def _set(tree: Tree, section: str, key: str, value: Any, origin: str) -> None:
    place = Origin(origin)
    spelled = spell_out({section: {key: value}})
    if not isinstance(tree.values.get(section, {}), dict):
        return  # the file has something else there, which is refused with its place
    lay_over(tree, spelled, Source({(section, key): place}, place))


def _unknown(name: str, known: list[str]) -> Problem:
    near = nearest(name.upper(), known, likeness=0.5)
    hint = f"did you mean `{near}`?" if near else None
    return Problem(f"${name}", 0, 0, f"unknown variable `{name}`", hint)
