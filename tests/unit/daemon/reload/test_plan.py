"""From two configurations to steps; nothing runs here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobd.config.load import load
from jobd.config.model import Config
from jobd.daemon.reload.plan import Facts, has_changes, plan, refusals
from jobd.daemon.views import Action, Mark, Step

REDIS = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n'


@pytest.fixture
def read(tmp_path: Path) -> Any:
    path = tmp_path / "jobd.toml"

    def write_and_load(text: str, redis: str = REDIS) -> Config:
        path.write_text(redis + text)
        return load(path, env={})

    return write_and_load


def steps(before: Config, after: Config, facts: dict[str, Facts] | None = None) -> list[Step]:
    return plan(before, after, (before.queues, after.queues), facts or {})


def only(before: Config, after: Config, facts: dict[str, Facts] | None = None) -> Step:
    (step,) = steps(before, after, facts)
    return step


def test_the_same_file_twice_changes_nothing(read):
    text = '[queues]\nemail = "shop:send"\nreports = "shop:report"\n'
    found = steps(read(text), read(text))
    assert [(step.mark, step.queue, step.what, step.action) for step in found] == [
        (Mark.SAME, "email", "unchanged", Action.KEEP),
        (Mark.SAME, "reports", "unchanged", Action.KEEP),
    ]
    assert not has_changes(found)


def test_a_new_queue_gets_all_of_its_workers(read):
    before = read('[queues]\nemail = "shop:send"\n')
    after = read('[queues.email]\nhandler = "shop:send"\n[queues.thumbs]\nhandler = "shop:thumb"\nworkers = 2\n')
    step = steps(before, after)[1]
    assert (step.mark, step.queue, step.what, step.how) == (Mark.NEW, "thumbs", "new queue", "2 workers")


@pytest.mark.parametrize(
    ("key", "old", "new", "what"),
    [
        ("concurrency", "4", "8", "concurrency 4 -> 8"),
        ("attempts", "3", "5", "attempts 3 -> 5"),
        ("timeout", '"60s"', '"1m30s"', "timeout 1m -> 1m30s"),
        ("kill_after", '"10s"', '"1s"', "kill_after 10s -> 1s"),
        ("keep_completed", "1000", "false", "keep_completed 1000 -> false"),
        ("keep_failed", "true", '{ count = 5, age = "1d" }', "keep_failed true -> { count = 5, age = 1d }"),
        ("quiet", "false", "true", "quiet false -> true"),
        ("global_concurrency", "5", "9", "global_concurrency 5 -> 9"),
        ("lock_duration", '"30s"', '"10s"', "lock_duration 30s -> 10s"),
        ("max_crashes", "1", "0", "max_crashes 1 -> 0"),
        (
            "rate_limit", '{ max = 1, duration = "1s" }', '{ max = 2, duration = "1s" }',
            "rate_limit { max = 1, duration = 1s } -> { max = 2, duration = 1s }",
        ),
    ],
)  # fmt: skip
def test_numbers_are_changed_in_place(read, key, old, new, what):
    text = '[queues.email]\nhandler = "shop:send"\n{} = {}\n'
    step = only(read(text.format(key, old)), read(text.format(key, new)))
    assert (step.action, step.mark, step.what, step.keys) == (Action.IN_PLACE, Mark.CHANGED, what, (key,))
    assert step.how == "in place, no restart"


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("handler", '"shop:send"', '"shop:send2"'),
        ("memory_max", '"1GB"', '"2GB"'),
        ("setup", '"shop:a"', '"shop:b"'),
        ("env", '{ A = "1" }', '{ A = "2" }'),
        ("working_dir", '"/tmp"', '"/"'),
        ("preload", "true", "false"),
        ("mode", '"thread"', '"process"'),
        ("jobs", '{ a = "shop:a" }', '{ a = "shop:b" }'),
        ("jobs", '{ a = "shop:a" }', '{ a = "shop:a", b = "shop:a" }'),
    ],
)
def test_what_a_running_worker_cannot_take_over_replaces_it(read, key, old, new):
    base = "" if key == "handler" else 'handler = "shop:send"\n'
    text = f"[queues.email]\n{base}{key} = {{}}\n"
    step = only(read(text.format(old)), read(text.format(new)), {"email": Facts(workers=3)})
    assert (step.action, step.how) == (Action.REPLACE, "3 workers replaced one by one as they go idle")


def test_numbers_of_one_job_name_are_changed_in_place(read):
    text = '[queues.email.jobs]\na = {{ handler = "shop:a", timeout = "{}" }}\n'
    step = only(read(text.format("1s")), read(text.format("2s")))
    assert (step.action, step.what) == (Action.IN_PLACE, "jobs a")


def test_values_of_the_environment_are_never_shown(read):
    text = '[queues.email]\nhandler = "shop:send"\nenv = {{ API_KEY = "{}" }}\n'
    step = only(read(text.format("hunter2")), read(text.format("hunter3")))
    assert "hunter" not in step.what + step.how
    assert step.what == "env API_KEY"


def test_fewer_workers_drain_and_more_are_started(read):
    text = '[queues.email]\nhandler = "shop:send"\nworkers = {}\n'
    two, five = read(text.format(2)), read(text.format(5))
    assert only(two, five).how == "3 workers more, no restart"
    assert only(five, two).how == "3 workers drain"


def test_a_removed_queue_names_its_running_jobs_and_leaves_the_waiting_ones(read):
    before = read('[queues]\nemail = "shop:send"\nlegacy = "shop:old"\n')
    after = read('[queues]\nemail = "shop:send"\n')
    step = steps(before, after, {"legacy": Facts(1, (("8f21", 42.4),), 118)})[-1]
    assert (step.mark, step.what) == (Mark.REMOVED, "removed")
    assert step.how == "1 worker drains (job 8f21 running 42s), 118 waiting jobs stay in Redis"


def test_a_dropped_global_concurrency_says_that_redis_keeps_it(read):
    with_limit = read('[queues.email]\nhandler = "shop:send"\nglobal_concurrency = 5\n')
    step = only(with_limit, read('[queues.email]\nhandler = "shop:send"\n'))
    assert step.how == "in place, no restart; the limit in Redis stays"


@pytest.mark.parametrize(
    ("redis", "text", "key"),
    [
        ('[redis]\nurl = "redis://127.0.0.1:6380/0"\n', "", "url"),
        ("[redis]\nembedded = true\n", "", "url"),
        (REDIS + 'prefix = "other"\n', "", "prefix"),
        (REDIS, '[daemon]\nsocket = "/tmp/x.sock"\n', "socket"),
        (REDIS, '[daemon]\nstate_dir = "/tmp/x"\n', "state_dir"),
    ],
)
def test_what_cannot_change_hot_is_refused(read, redis, text, key):
    queues = '[queues]\nemail = "shop:send"\n'
    found = refusals(steps(read(queues), read(text + queues, redis)))
    assert key in [key for step in found for key in step.keys]


def test_daemon_settings_are_changed_in_place(read):
    queues = '[queues]\nemail = "shop:send"\n'
    found = steps(read(queues), read('[daemon]\ngrace = "1m"\n' + queues))
    assert (found[0].what, found[0].action) == ("[daemon] grace 25s -> 1m", Action.IN_PLACE)


QUEUES = '[queues]\na = "m:f"\nb = "m:f"\n'
NIGHTLY = '[schedules.n]\nqueue = "a"\ncron = "15 3 * * *"\n'


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("", NIGHTLY, (Mark.NEW, "new schedule", 'a, at "15 3 * * *" UTC', Action.ADD)),
        (NIGHTLY, "", (Mark.REMOVED, "schedule removed", "leaves Redis when no daemon lists it", Action.REMOVE)),
        (
            NIGHTLY, NIGHTLY.replace("15 3", "20 4") + 'limit = 9\n',
            (Mark.CHANGED, "cron 15 3 * * * -> 20 4 * * *, limit none -> 9", "set in Redis", Action.IN_PLACE),
        ),
        (NIGHTLY, NIGHTLY + "data = { a = 1 }\n", (Mark.CHANGED, "data", "set in Redis", Action.IN_PLACE)),
        (
            NIGHTLY, NIGHTLY.replace('"a"', '"b"'),
            (Mark.CHANGED, "queue a -> b", "removed there, set here", Action.REPLACE),
        ),
        (
            '[schedules.n]\nqueue = "a"\nevery = "5m"\n', '[schedules.n]\nqueue = "a"\nevery = "5m"\njitter = "2s"\n',
            (Mark.CHANGED, "jitter 0s -> 2s", "set in Redis, its rhythm stays", Action.IN_PLACE),
        ),
        (
            '[schedules.n]\nqueue = "a"\nevery = "5m"\n', '[schedules.n]\nqueue = "a"\nevery = "6m"\n',
            (Mark.CHANGED, "every 5m -> 6m", "set in Redis", Action.IN_PLACE),
        ),
    ],
)  # fmt: skip
def test_schedules_are_told_by_their_name(read, before, after, told):
    found = [step for step in steps(read(QUEUES + before), read(QUEUES + after)) if step.schedule]
    assert [(step.mark, step.what, step.how, step.action) for step in found] == [told]
    assert (found[0].schedule, found[0].queue) == ("n", "")


def test_unchanged_schedules_have_no_line(read):
    assert not has_changes(steps(read(QUEUES + NIGHTLY), read(QUEUES + NIGHTLY)))
