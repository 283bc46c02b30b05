"""What a file, its drop-ins and the environment come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from jobd.config.load import load
from jobd.config.model import DEFAULT_BACKOFF, BackoffType, Config, LogLevel, Mode, RateLimit, Unknown
from jobd.config.problems import ConfigProblems
from jobd.engine.job import KEEP_ALL, KEEP_NONE, Keep
from jobd.errors import NoRedisConfigured
from jobd.locate import Secret

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests/fixtures/config"
REDIS = '[redis]\nurl = "redis://127.0.0.1:6379/0"\n'

Loader = Callable[..., Config]


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Write a file (a working [redis] is put before it) and its drop-ins, and load them."""

    def load_text(
        text: str, env: Mapping[str, str] | None = None, *, drop_ins: Mapping[str, str] | None = None, **options: object
    ) -> Config:
        (tmp_path / "jobd.toml").write_text(REDIS + text)
        (tmp_path / "jobd.d").mkdir(exist_ok=True)
        for name, content in (drop_ins or {}).items():
            (tmp_path / "jobd.d" / name).write_text(content)
        return load(tmp_path / "jobd.toml", env=env or {}, **options)  # type: ignore[arg-type]

    return load_text


def said(caught: pytest.ExceptionInfo[ConfigProblems]) -> str:
    return "\n".join(caught.value.problems)


def test_five_lines_do_it(loaded: Loader) -> None:
    config = loaded('[queues]\nemail = "shop.mail:send"')
    queue = config.queues["email"]
    assert (queue.handler, queue.workers, queue.concurrency, queue.attempts) == ("shop.mail:send", 1, 1, 1)
    assert (queue.keep_completed, queue.keep_failed, queue.backoff, queue.mode) == (KEEP_ALL, KEEP_ALL, None, None)
    assert (queue.kill_after_ms, queue.lock_duration_ms, queue.stalled_interval_ms) == (10_000, 30_000, 30_000)
    assert queue.max_crashes == 1
    assert queue.breaker is not None
    assert (queue.breaker.crashes, queue.breaker.within_ms, queue.breaker.retry_ms) == (5, 60_000, 60_000)
    assert queue.unknown is Unknown.FAIL
    assert config.daemon.grace_ms == 25_000
    assert config.redis.prefix == "bull"
    assert config.app.name == "jobd"


def test_the_fuller_file_of_the_interface_is_read() -> None:
    config = load(FIXTURES / "full.toml", env={})
    email, thumbs = config.queues["email"], config.queues["thumbs"]
    assert email.backoff is not None
    assert (email.backoff.type, email.backoff.max_ms, email.backoff.jitter) == (BackoffType.EXPONENTIAL, 300_000, 0.2)
    assert email.jobs["receipt"].handler == "shop.mail:receipt"
    assert (email.jobs["digest"].timeout_ms, email.jobs["digest"].attempts) == (300_000, 10)
    assert email.env["API_KEY"] == Secret("file", str(FIXTURES / "api"))
    assert (thumbs.workers, thumbs.timeout_ms, thumbs.attempts) == (4, 600_000, 3)
    assert config.schedules["nightly"].data == {"kind": "full"}
    assert config.app.path == [FIXTURES]
    assert config.daemon.log_level is LogLevel.INFO


def test_the_sample_works_as_it_stands() -> None:
    config = load(ROOT / "jobd.toml", env={})
    assert set(config.queues) == {"email", "reports"}
    assert config.warnings == ()


class TestLevels:
    def test_queue_over_preset_over_defaults_over_built_in(self, loaded: Loader) -> None:
        config = loaded(
            "[defaults]\nworkers = 2\nconcurrency = 2\nattempts = 2\n[presets.p]\nworkers = 3\nconcurrency = 3\n"
            '[queues.q]\npreset = "p"\nhandler = "a:b"\nworkers = 4'
        )
        queue = config.queues["q"]
        assert (queue.workers, queue.concurrency, queue.attempts, queue.max_crashes) == (4, 3, 2, 1)
        assert queue.written == {"workers", "concurrency", "attempts", "handler"}

    def test_value_is_inherited_whole_but_names_are_merged(self, loaded: Loader) -> None:
        config = loaded(
            '[app]\nenv = { A = "app", B = "app" }\nwrap = ["a:w"]\n'
            '[defaults]\nkeep_completed = { count = 5, age = "1d" }\nenv = { B = "defaults", C = "defaults" }\n'
            '[queues.q]\nhandler = "a:b"\nkeep_completed = { count = 7 }\nenv = { C = "own" }\nwrap = []'
        )
        queue = config.queues["q"]
        assert queue.keep_completed == Keep(count=7)
        assert queue.env == {"A": "app", "B": "defaults", "C": "own"}
        assert queue.wrap == []

    def test_queue_runs_as_app_says_where_it_says_nothing(self, loaded: Loader, tmp_path: Path) -> None:
        config = loaded(
            '[app]\npath = ["src", "/lib"]\nsetup = "a:s"\npreload = false\n[queues.q]\nhandler = "a:b"\nnice = 5'
        )
        queue = config.queues["q"]
        assert queue.path == [tmp_path / "src", Path("/lib")]
        assert (queue.setup, queue.preload, queue.nice) == ("a:s", False, 5)
        assert "setup" not in queue.written

    def test_backoff_is_jobds_own_only_where_attempts_comes_from_the_file(self, loaded: Loader) -> None:
        text = '[queues.a]\nhandler = "a:b"\n[queues.b]\nhandler = "a:b"\nattempts = 3\n[queues.c]\nhandler = "a:b"\n'
        config = loaded(text + 'attempts = 3\nbackoff = "5s"\n[queues.d.jobs]\nx = { handler = "a:b", attempts = 2 }')
        assert config.queues["a"].backoff is None
        assert config.queues["b"].backoff == DEFAULT_BACKOFF
        fixed = config.queues["c"].backoff
        assert fixed is not None
        assert (fixed.type, fixed.delay_ms, fixed.max_ms, fixed.jitter) == (BackoffType.FIXED, 5_000, None, 0)
        assert config.queues["d"].jobs["x"].backoff == DEFAULT_BACKOFF
        assert config.queues["d"].backoff is None

    def test_process_mode_runs_one_at_a_time_whatever_defaults_say(self, loaded: Loader) -> None:
        text = '[defaults]\nconcurrency = 8\n[queues.q]\nhandler = "a:b"\nmode = "process"\n'
        queue = loaded(text).queues["q"]
        assert (queue.mode, queue.concurrency) == (Mode.PROCESS, 1)
        with pytest.raises(ConfigProblems, match="one job at a time"):
            loaded(text + "concurrency = 2")


class TestForms:
    @pytest.mark.parametrize(
        ("written", "rule"),
        [
            ("true", KEEP_ALL),
            ("false", KEEP_NONE),
            ("1000", Keep(count=1000)),
            ("0", KEEP_NONE),
            ('{ count = 10, age = "1d" }', Keep(count=10, age_s=86_400)),
            ('{ age = "1500ms" }', Keep(age_s=2)),
        ],
    )
    def test_keep(self, loaded: Loader, written: str, rule: Keep) -> None:
        assert loaded(f'[queues.q]\nhandler = "a:b"\nkeep_failed = {written}').queues["q"].keep_failed == rule

    def test_breaker_can_be_off(self, loaded: Loader) -> None:
        text = '[queues.q]\nhandler = "a:b"\nbreaker = '
        assert loaded(text + "false").queues["q"].breaker is None
        assert loaded(text + "true").queues["q"].breaker is not None

    def test_recycle(self, loaded: Loader) -> None:
        text = '[queues.q]\nhandler = "a:b"\nrecycle = { jobs = 1000, age = "6h", memory = "500MB" }'
        rule = loaded(text).queues["q"].recycle
        assert rule is not None
        assert (rule.jobs, rule.age_ms, rule.memory_bytes) == (1000, 6 * 3_600_000, 500 * 10**6)

    def test_rate_limit_memory_and_expire(self, loaded: Loader) -> None:
        text = 'rate_limit = { max = 100, duration = "1s" }\nmemory_max = "512MiB"\nexpire = "1m30s"'
        queue = loaded(f'[queues.q]\nhandler = "a:b"\n{text}').queues["q"]
        assert queue.rate_limit == RateLimit.model_validate({"max": 100, "duration": "1s"})
        assert (queue.memory_max_bytes, queue.expire_ms) == (512 * 2**20, 90_000)


class TestDropIns:
    def test_names_merge_and_values_are_replaced_whole(self, loaded: Loader) -> None:
        config = loaded(
            '[app.env]\nA = "1"\nB = { env = "X" }\n[queues.q]\nhandler = "a:b"\n'
            'backoff = { type = "exponential", delay = "1s", max = "5m" }\n[queues.q.jobs]\none = "a:one"',
            drop_ins={
                "10.toml": '[app.env]\nB = "2"\n[queues.q]\nworkers = 3\n[queues.q.backoff]\ntype = "fixed"\n'
                'delay = "2s"\n[queues.q.jobs]\ntwo = "a:two"\n[queues]\nnew = "a:new"'
            },
        )
        queue = config.queues["q"]
        assert queue.env == {"A": "1", "B": "2"}
        assert (queue.handler, queue.workers) == ("a:b", 3)
        assert queue.backoff is not None
        assert (queue.backoff.type, queue.backoff.max_ms) == (BackoffType.FIXED, None)
        assert set(queue.jobs) == {"one", "two"}
        assert config.queues["new"].handler == "a:new"

    def test_short_form_over_a_table_replaces_only_the_handler(self, loaded: Loader) -> None:
        config = loaded('[queues.q]\nhandler = "a:b"\nworkers = 2', drop_ins={"1.toml": '[queues]\nq = "c:d"'})
        assert (config.queues["q"].handler, config.queues["q"].workers) == ("c:d", 2)

    def test_later_names_win_and_places_follow(self, loaded: Loader) -> None:
        both = {"20.toml": "[queues.q]\nworkers = 20", "10.toml": "[queues.q]\nworkers = 10"}
        config = loaded('[queues.q]\nhandler = "a:b"\nworkers = 1', drop_ins=both)
        assert config.queues["q"].workers == 20
        assert config.place(("queues", "q", "workers")) == "jobd.d/20.toml:2:11"
        assert config.place(("queues", "q", "handler")) == "jobd.toml:4:12"

    def test_paths_of_a_drop_in_are_relative_to_the_main_file(self, loaded: Loader, tmp_path: Path) -> None:
        assert loaded("", drop_ins={"1.toml": '[app]\npath = ["lib"]'}).app.path == [tmp_path / "lib"]

    def test_a_change_on_disk_has_the_time_of_what_changed_last(self, loaded: Loader, tmp_path: Path) -> None:
        config = loaded("", drop_ins={"1.toml": ""})
        assert config.changed_at() is None
        (tmp_path / "jobd.d/2.toml").write_text("")
        os.utime(tmp_path / "jobd.d/2.toml", (2000, 2000))
        os.utime(tmp_path / "jobd.toml", (1000, 1000))
        assert config.changed_at() == 2000
        (tmp_path / "jobd.d/2.toml").unlink()
        (tmp_path / "jobd.d/1.toml").unlink()
        os.utime(tmp_path / "jobd.d", (3000, 3000))
        assert config.changed_at() == 3000

    def test_change_on_disk_is_noticed(self, loaded: Loader, tmp_path: Path) -> None:
        config = loaded("", drop_ins={"1.toml": ""})
        assert not config.changed_on_disk()
        (tmp_path / "jobd.d/2.toml").write_text("")
        assert config.changed_on_disk()
        (tmp_path / "jobd.d/2.toml").unlink()
        (tmp_path / "jobd.d/1.toml").write_text("# edited")
        assert config.changed_on_disk()


class TestEnvironment:
    def test_sections_and_keys(self, loaded: Loader) -> None:
        env = {
            "JOBD_APP__NAME": "shop",
            "JOBD_DAEMON__GRACE": "1m",
            "JOBD_DEFAULTS__ATTEMPTS": "7",
            "JOBD_DEFAULTS__KEEP_COMPLETED": "100",
            "JOBD_DEFAULTS__BACKOFF": '{ type = "fixed", delay = "3s" }',
            "JOBD_DEFAULTS__QUIET": "true",
            "JOBD_APP__ENV": '{ B = "env" }',
            "JOBD_DAEMON__QUEUES": '["q*"]',
            "JOBD_CONFIG": "elsewhere",
            "JOBD_SOCKET": "/x",
        }
        config = loaded('[app.env]\nA = "file"\n[queues.q]\nhandler = "a:b"', env)
        queue = config.queues["q"]
        assert (config.app.name, config.daemon.grace_ms, queue.attempts) == ("shop", 60_000, 7)
        assert (queue.keep_completed, queue.quiet) == (Keep(count=100), True)
        assert queue.backoff is not None
        assert queue.backoff.delay_ms == 3_000
        assert queue.env == {"A": "file", "B": "env"}
        assert config.daemon.queues == ["q*"]
        assert config.place(("queues", "q", "attempts")) == "$JOBD_DEFAULTS__ATTEMPTS"

    @pytest.mark.parametrize("text", ["123", "true", "1979-05-27", "${X}", "[not toml", '{a}"', "x = 1\ny = 2"])
    def test_text_that_looks_like_something_else_stays_text_where_text_is_wanted(
        self, loaded: Loader, text: str
    ) -> None:
        assert loaded("", {"JOBD_REDIS__PASSWORD": text}).redis.password == text

    def test_queues_of_this_daemon(self, loaded: Loader) -> None:
        text = '[daemon]\nqueues = ["a"]\n[queues]\nemail = "a:b"\nreports = "a:b"'
        assert loaded(text, {"JOBD_QUEUES": "em*, rep*"}).daemon.queues == ["em*", "rep*"]

    @pytest.mark.parametrize(
        "name",
        [
            "JOBD_SERVICE_HOST", "JOBD_SERVICE_PORT", "JOBD_SERVICE_PORT_METRICS", "JOBD_PORT", "JOBD_PORT_6379_TCP",
            "JOBD_PORT_6379_TCP_ADDR", "JOBD_REDIS_PORT_6379_TCP_PROTO", "JOBD_REDIS_SERVICE_HOST",
        ],
    )  # fmt: skip
    def test_variables_of_a_kubernetes_service_are_passed_over(self, loaded: Loader, name: str) -> None:
        assert loaded("", {name: "tcp://10.0.0.1:6379"}).app.name == "jobd"

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("JOBD_DEAMON__GRACE", "JOBD_DAEMON__GRACE"),
            ("JOBD_DAEMON__GRACES", "JOBD_DAEMON__GRACE"),
            ("JOBD_DAEMON_GRACE", "JOBD_DAEMON__GRACE"),
            ("JOBD_daemon__grace", "JOBD_DAEMON__GRACE"),
            ("JOBD_REDISURL", "JOBD_REDIS_URL"),
            ("JOBD_DAEMON__LOG__LEVEL", "JOBD_DAEMON__LOG"),
            ("JOBD_SERVICE", "JOBD_SOCKET"),
        ],
    )
    def test_unknown_variable_names_the_nearest(self, loaded: Loader, name: str, near: str) -> None:
        with pytest.raises(ConfigProblems) as caught:
            loaded("", {name: "x"})
        assert f"${name} " in said(caught)
        assert near in said(caught)

    def test_wrong_value_names_the_variable(self, loaded: Loader) -> None:
        with pytest.raises(ConfigProblems) as caught:
            loaded("", {"JOBD_DAEMON__GRACE": "30"})
        assert said(caught).startswith("$JOBD_DAEMON__GRACE ")
        assert '"30s"' in said(caught)

    def test_redis_url_of_the_environment_brings_its_own_prefix(self, loaded: Loader) -> None:
        config = loaded('prefix = "shop"\npassword = "files"', {"JOBD_REDIS_URL": "redis://env"})
        assert (config.redis.url, config.redis.prefix, config.redis.password) == ("redis://env", "bull", None)
        assert config.redis_origin == "$JOBD_REDIS_URL"
        assert [warning.line for warning in config.warnings if "is not used" in warning.message] == [3, 4]

    def test_redis_flag_wins(self, loaded: Loader) -> None:
        config = loaded("", {"JOBD_REDIS_URL": "redis://env"}, redis_url="redis://flag")
        assert (config.redis.url, config.redis_origin) == ("redis://flag", "--redis")

    def test_two_urls_that_differ_are_refused(self, loaded: Loader) -> None:
        with pytest.raises(ConfigProblems, match="differ"):
            loaded("", {"JOBD_REDIS_URL": "redis://a", "JOBD_REDIS__URL": "redis://b"})

    def test_variable_replaces_the_embedded_server(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.toml").write_text("[redis]\nembedded = true")
        config = load(tmp_path / "jobd.toml", env={"JOBD_REDIS_URL": "redis://env"})
        assert (config.redis.url, config.redis.embedded) == ("redis://env", False)

    def test_variable_replaces_the_url_by_the_embedded_server(self, loaded: Loader) -> None:
        config = loaded("", {"JOBD_REDIS__EMBEDDED": "true"})
        assert (config.redis.url, config.redis.embedded) == (None, True)


class TestWarnings:
    def test_queue_without_limits_is_one_that_grows(self, loaded: Loader) -> None:
        text = '[queues.q]\nhandler = "a:b"\nkeep_completed = 100\n'
        (warning,) = loaded(text).warnings
        assert "keep_failed" in warning.message
        assert warning.line == 3
        assert loaded(text + "keep_failed = true").warnings == ()

    def test_glob_that_matches_nothing(self, loaded: Loader) -> None:
        text = '[daemon]\nqueues = ["e*", "x*"]\n[queues.email]\nhandler = "a:b"\nkeep_completed = 1\nkeep_failed = 1'
        (warning,) = loaded(text).warnings
        assert '"x*"' in warning.message


class TestReferences:
    def test_stand_for_text_numbers_and_flags(self, loaded: Loader) -> None:
        env = {"N": "4", "Q": "true", "NAME": "42", "M": "shop", "KEEP": "false"}
        config = loaded(
            '[app]\nname = "${NAME}"\n[queues.q]\nhandler = "${M}.mail:send"\nworkers = "${N}"\nquiet = "${Q}"\n'
            'timeout = "${T:-30s}"\nkeep_failed = "${KEEP}"\n[app.env]\nX = "$${literal}"',
            env,
        )
        queue = config.queues["q"]
        assert (queue.handler, queue.workers, queue.quiet) == ("shop.mail:send", 4, True)
        assert (queue.timeout_ms, queue.keep_failed, config.app.name) == (30_000, KEEP_NONE, "42")
        assert queue.env["X"] == "${literal}"

    @pytest.mark.parametrize("text", ['workers = "4"', 'workers = "${N}0"', 'quiet = "true"'])
    def test_text_is_no_number_otherwise(self, loaded: Loader, text: str) -> None:
        with pytest.raises(ConfigProblems, match="expected"):
            loaded(f'[queues.q]\nhandler = "a:b"\n{text}', {"N": "4"})

    def test_unset_variable_is_placed(self, loaded: Loader) -> None:
        with pytest.raises(ConfigProblems) as caught:
            loaded('[app]\nname = "é${NO}"')
        assert said(caught).startswith("jobd.toml:4:9 $NO is not set")


class TestSecrets:
    TEXT = 'password = { env = "PW" }\n[app.env]\nKEY = { file = "no-such" }\n[queues]\nq = "a:b"'

    def test_check_does_not_read_them(self, loaded: Loader) -> None:
        assert loaded(self.TEXT).redis.password == Secret("env", "PW")

    def test_resolve_reports_each_that_cannot_be_read(self, loaded: Loader) -> None:
        with pytest.raises(ConfigProblems) as caught:
            loaded(self.TEXT, resolve_secrets=True)
        assert [text.split(" ")[0] for text in caught.value.problems] == ["jobd.toml:3:12", "jobd.toml:5:7"]

    def test_their_variables_are_kept_from_workers(self, loaded: Loader) -> None:
        text = '[app.env]\nK = { env = "API" }\n[queues.q]\nhandler = "a:b"\nenv = { L = { env = "API2" } }'
        assert {"API", "API2", "JOBD_REDIS_URL", "JOBD_REDIS__PASSWORD"} <= loaded(text).secret_names

    def test_variable_that_became_a_password_is_secret_and_one_without_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "jobd.toml"
        path.write_text('[redis]\nurl = "redis://:${PW}@${HOST}/0"')
        names = load(path, env={"PW": "s3cret", "HOST": "cache"}).secret_names
        assert "PW" in names
        assert "HOST" not in names

    def test_daemon_reads_them_when_it_connects(self, loaded: Loader) -> None:
        source = loaded(self.TEXT).redis_source({"PW": "s3cret"})
        assert source is not None
        assert (source.password, source.origin) == ("s3cret", "jobd.toml:2")


class TestPlaces:
    def test_problem_at_a_handler_points_inside_its_quotes(self, loaded: Loader) -> None:
        problem = loaded('[queues]\nq = "shop.mail:send"').problem_at(("queues", "q", "handler"), "cannot import")
        assert (problem.line, problem.column, problem.width) == (4, 6, 14)

    def test_value_from_a_preset_is_placed_there(self, loaded: Loader) -> None:
        config = loaded('[presets.p]\nhandler = "a:b"\n[queues.q]\npreset = "p"')
        assert config.place(("queues", "q", "handler")) == "jobd.toml:4:12"

    def test_what_was_not_written_is_placed_at_its_table(self, loaded: Loader) -> None:
        assert loaded('[queues.q]\nhandler = "a:b"').place(("queues", "q", "workers")) == "jobd.toml:3:9"


def test_no_file_lists_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jobd.locate.files.SYSTEM_CONFIG", tmp_path / "etc" / "jobd.toml")
    with pytest.raises(NoRedisConfigured, match="JOBD_CONFIG"):
        load(env={})


def test_file_that_was_named_and_is_missing_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigProblems) as caught:
        load(tmp_path / "none.toml", env={})
    assert caught.value.problems[0].startswith("none.toml:1:1 cannot read")
