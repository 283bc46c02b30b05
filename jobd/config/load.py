"""TOML text to one frozen Config: read whole, checked whole, refused whole with every problem."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from jobd.config.environment import lay_environment_over
from jobd.config.model import Config
from jobd.config.problems import ConfigProblems, in_order
from jobd.config.resolve import resolve_app, resolve_daemon, resolve_queue, resolve_redis
from jobd.config.rules import check
from jobd.config.secrets import check_secrets, secret_names
from jobd.config.tree import expand_values, read_tree
from jobd.config.validate import normalize, validate
from jobd.errors import NoRedisConfigured
from jobd.locate import absolute_files, check_tls_files, config_places, find_config, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jobd.config.tables import Settings
    from jobd.config.tree import Tree


def load(
    config_path: str | Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    resolve_secrets: bool = False,
    redis_url: str | None = None,
) -> Config:
    """Return the configuration of a file, its drop-ins and the environment.

    Args:
        config_path: --config; None looks in the usual places.
        resolve_secrets: Read every secret once, to tell now which cannot be read. None is kept.
        redis_url: --redis, in place of what file and environment say.

    Raises:
        ConfigProblems: something is wrong; it holds all of it.
        NoRedisConfigured: there is no file.
        UrlError: `redis_url` cannot be used; whoever typed it made the mistake, not the file.
    """
    variables = os.environ if env is None else env
    main = find_config(config_path, variables)
    if main is None:
        text = f"no configuration file was found; looked at {', '.join(config_places())}; jobd init writes one"
        raise NoRedisConfigured(text, [text])
    if redis_url:
        redis_url = absolute_files(redis_url)
        check_tls_files(parse_redis_url(redis_url))
    tree = read_tree(main)
    _stop_at_problems(tree)  # broken syntax hides the rest
    lay_environment_over(tree, variables, redis_url)
    names = expand_values(tree, variables)
    normalize(tree)
    settings = validate(tree)
    config = _configuration(tree, settings, variables, names)
    if resolve_secrets:
        check_secrets(tree, settings, variables)
    _stop_at_problems(tree, _importable(tree, config))
    return config


def unreadable_secrets(config: Config, env: Mapping[str, str], redis_url: str | None) -> ConfigProblems | None:
    """Return which secrets of a loaded configuration cannot be read, each with its place; None when all can."""
    try:
        load(config.path, env=env, redis_url=redis_url, resolve_secrets=True)
    except ConfigProblems as problems:
        return problems
    return None


def _configuration(tree: Tree, settings: Settings, env: Mapping[str, str], names: frozenset[str]) -> Config:
    base = tree.main.parent
    queues = {name: resolve_queue(name, table, settings, base) for name, table in settings.queues.items()}
    check(tree, settings, queues, env)
    return Config(
        path=tree.main,
        app=resolve_app(settings.app, base),
        redis=resolve_redis(settings.redis, base),
        daemon=resolve_daemon(settings.daemon, base),
        defaults=settings.defaults,
        presets=dict(settings.presets),
        queues=queues,
        schedules=dict(settings.schedules),
        web=settings.web,
        files=tuple(tree.files),
        warnings=tuple(in_order(tree.warnings, [file.name for file in tree.files])),
        secret_names=secret_names(settings, names, env),
        origins=tree.origins,
    )


def _importable(tree: Tree, config: Config) -> Config:
    """Return the queues whose imports can show more problems: not those whose program or folder is not there."""
    places = {
        name: [config.origin_path(("queues", name, key)) for key in ("python", "working_dir")] for name in config.queues
    }
    able = {name: queue for name, queue in config.queues.items() if not any(map(tree.is_broken, places[name]))}
    return replace(config, queues=able)


def _stop_at_problems(tree: Tree, partial: Config | None = None) -> None:
    if tree.problems:
        problems = in_order(tree.problems, [tree.main.name, *(file.name for file in tree.files)])
        raise ConfigProblems(problems, tree.main.name, partial)
