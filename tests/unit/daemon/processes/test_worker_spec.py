"""What templates and workers are told: secrets never by environment, numbers as the file says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jobd.config.load import load
from jobd.config.model import Config
from jobd.config.tables import MAX_SLOTS
from jobd.daemon.processes.worker_spec import (
    child_environment,
    load_message,
    numbers_of,
    redis_target,
    start_message,
    template_key,
)
from jobd.daemon.reload.import_problems import import_problems
from jobd.engine.backoff import Backoff
from jobd.engine.job import Keep, KeyLimit
from jobd.locate import RedisSource
from jobd.protocol.board import SLOTS
from jobd.protocol.worker import HandlerReport

REDIS = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n'


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def write_and_load(text: str, **env: str) -> Config:
        path = tmp_path / "jobd.toml"
        path.write_text(text if "[redis]" in text else REDIS + text)
        return load(path, env=env)

    return write_and_load


def test_sources_of_secrets_and_the_daemons_own_variables_do_not_reach_user_code(read):
    env = {"PW": "hunter2", "KEY": "k", "JOBD_QUEUES": "*", "NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1", "HOME": "/h"}
    config = read(
        '[redis]\nurl = "redis://h/0"\npassword = { env = "PW" }\n'
        '[app]\nenv = { API = { env = "KEY" } }\n[queues]\na = "m:f"\n',
        **env,
    )
    assert child_environment(config, env) == {"HOME": "/h", "JOBD_WORKER_OF": str(os.getpid())}


def test_the_app_environment_travels_resolved_in_the_load_message(read):
    config = read('[queues.a]\nhandler = "m:f"\nenv = { A = "1", API = { env = "KEY" } }\n', KEY="hunter2")
    queue = config.queues["a"]
    load = load_message(config, template_key(queue), [queue], {"KEY": "hunter2"}, preload=True)
    assert load.env == {"A": "1", "API": "hunter2"}
    assert "hunter2" not in repr(template_key(queue))


def test_what_differs_from_worker_to_worker_goes_to_the_worker_and_the_rest_to_its_template(read):
    config = read(
        '[app]\nname = "shop"\n[queues.a]\nhandler = "m:f"\n'
        'env = { GPU = "{worker}", WHO = "{app}/{queue}-{worker}@{host}", APP = "{app} {{x}}", '
        'KEY = { env = "KEY" } }\n',
        KEY="{worker}",
    )
    queue = config.queues["a"]
    load = load_message(config, template_key(queue), [queue], {"KEY": "{worker}"}, preload=True)
    assert load.env == {"APP": "shop {x}", "KEY": "{worker}"}
    start = start_message(
        queue, numbers_of(queue), worker="1.2.3", incarnation="abc", host="h", app="shop",
        redis=redis_target(RedisSource("redis://h/0")),
    )  # fmt: skip
    assert start.env == {"GPU": "1", "WHO": "shop/a-1@h"}


def test_a_template_imports_each_thing_once_and_nothing_without_preload(read):
    config = read(
        '[app]\nsetup = "m:setup"\nwrap = ["m:wrap"]\n'
        '[queues.a]\nhandler = "m:f"\njobs = { x = "m:g", y = "m:f" }\n[queues.b]\nhandler = "m:g"\n'
    )
    queues = list(config.queues.values())
    key = template_key(queues[0])
    assert template_key(queues[1]) == key
    load = load_message(config, key, queues, {}, preload=True)
    assert ([use.path for use in load.handlers], load.extras) == (["m:f", "m:g"], ["m:setup", "m:wrap"])
    bare = load_message(config, key, queues, {}, preload=False)
    assert (bare.handlers, bare.extras) == ([], [])


@pytest.mark.parametrize("key", ["env", "path", "working_dir", "preload", "python"])
def test_queues_that_differ_in_their_process_keys_have_templates_of_their_own(read, key):
    value = {"env": '{ A = "1" }', "path": '["/tmp"]', "working_dir": '"/"', "preload": "false", "python": '"/bin/sh"'}
    config = read(f'[queues.a]\nhandler = "m:f"\n{key} = {value[key]}\n[queues.b]\nhandler = "m:f"\n')
    assert template_key(config.queues["a"]) != template_key(config.queues["b"])


def test_numbers_carry_the_files_policy_and_a_job_names_own(read):
    config = read(
        '[queues.a]\nhandler = "m:f"\nconcurrency = 4\nattempts = 3\nattempts_max = 9\ntimeout = "60s"\n'
        'backoff = "5s"\nkeep_failed = { count = 7, age = "1d" }\nlock_duration = "10s"\nexpire = "1h"\n'
        'rate_limit = { max = 10, duration = "1s" }\nunknown = "retry"\n'
        'per_key = { key = "opts.group.id", concurrency = 2 }\n'
        '[queues.a.jobs]\nx = { handler = "m:g", timeout = "5m", attempts = 8 }\n'
    )
    numbers = numbers_of(config.queues["a"])
    assert (numbers.concurrency, numbers.lock_ms, numbers.unknown) == (4, 10_000, "retry")
    assert (numbers.limiter_max, numbers.limiter_duration_ms) == (10, 1_000)
    assert numbers.per_key == KeyLimit("opts.group.id", 2)
    assert numbers.keep_failed == Keep(7, 86_400, None)
    assert numbers.default is not None
    assert (numbers.default.timeout_ms, numbers.default.attempts, numbers.default.attempts_max) == (60_000, 3, 9)
    assert numbers.default.backoff == Backoff("fixed", 5_000)
    assert (numbers.attempts, numbers.attempts_max, numbers.backoff) == (3, 9, Backoff("fixed", 5_000))
    own = numbers.jobs["x"]
    assert (own.path, own.timeout_ms, own.attempts, own.expire_ms) == ("m:g", 300_000, 8, 3_600_000)


def test_a_queue_without_a_handler_of_its_own_has_no_default(read):
    config = read('[queues.a.jobs]\nx = "m:g"\n')
    assert numbers_of(config.queues["a"]).default is None


def test_the_password_of_redis_is_in_the_start_message_and_in_no_text_of_it(read):
    queue = read('[queues]\na = "m:f"\n').queues["a"]
    start = start_message(
        queue, numbers_of(queue), worker="1.2.3", incarnation="abc", host="my host",
        redis=redis_target(RedisSource("redis://h/0", "u", "hunter2")),
    )  # fmt: skip
    assert start.redis.password == "hunter2"
    assert "hunter2" not in repr(start)
    assert (start.token_prefix, start.name) == ("abc:1.2.3:", "my host:a")


def test_an_import_that_failed_is_a_problem_at_every_place_that_names_it(read):
    config = read('[queues.a]\nhandler = "shop:makee"\n[queues.b.jobs]\nx = "shop:makee"\ny = "shop:make"\n')
    report = HandlerReport(
        "shop:makee",
        False,
        None,
        "attribute",
        'cannot import "shop:makee": no attribute `makee` (did you mean `make`?)',
    )
    problems = import_problems(config, config.queues.values(), [report, HandlerReport("shop:make", True, "thread")])
    assert [str(problem) for problem in problems] == [
        "jobd.toml:4:12 cannot import `shop:makee`: no attribute `makee` (did you mean `make`?)",
        "jobd.toml:6:6 cannot import `shop:makee`: no attribute `makee` (did you mean `make`?)",
    ]


@pytest.mark.parametrize("told", ["", "; searched: /srv/shop"])
def test_a_module_that_is_missing_is_told_with_the_folders_that_were_searched(read, told):
    config = read('[queues]\na = "shop:f"\n')
    text = f"cannot import \"shop:f\": ModuleNotFoundError: No module named 'av'{told}"
    report = HandlerReport("shop:f", False, None, "import", text, searched=["/srv/shop"])
    (problem,) = import_problems(config, config.queues.values(), [report])
    assert problem.message == "cannot import `shop:f`"
    assert problem.hint == "ModuleNotFoundError: No module named 'av'\nsearched: /srv/shop (from [app] path)"


def test_what_cannot_be_a_handler_is_told_in_one_sentence(read):
    config = read('[queues]\na = "shop:F"\n')
    text = 'cannot use "shop:F" as a handler: it is a class without __call__'
    report = HandlerReport("shop:F", False, None, "signature", text)
    (problem,) = import_problems(config, config.queues.values(), [report])
    assert problem.message == "cannot use `shop:F` as a handler: it is a class without __call__"


def test_a_setup_from_the_app_table_is_placed_there(read):
    config = read('[app]\nsetup = "shop:setup"\n[queues]\na = "shop:f"\n')
    report = HandlerReport("shop:setup", False, None, "attribute", 'cannot import "shop:setup": no attribute `setup`')
    (problem,) = import_problems(config, config.queues.values(), [report])
    assert problem.place == "jobd.toml:4:10"


def test_the_file_allows_as_many_slots_as_a_board_has() -> None:
    assert MAX_SLOTS == SLOTS
