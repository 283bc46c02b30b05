"""Rules between values: what cannot work is refused with its reason, what is doubtful is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobd.config.load import load
from jobd.config.problems import ConfigProblems

HEAD = '[redis]\nurl = "redis://h"\n'
QUEUE = '[queues.q]\nhandler = "a:b"\n'


def problems(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    (folder / "jobd.toml").write_text(text)
    with pytest.raises(ConfigProblems) as caught:
        load(folder / "jobd.toml", env=env or {})
    return [str(problem) for problem in caught.value.details]


def warnings(main: Path, text: str | None = None, env: dict[str, str] | None = None) -> list[str]:
    if text is not None:
        main.write_text(text)
    return [str(warning) for warning in load(main, env=env or {}).warnings if "keep_completed" not in str(warning)]


def test_a_daemon_of_no_queue_and_groups_that_this_host_lacks_are_told(tmp_path: Path) -> None:
    text = HEAD + QUEUE + '[daemon]\nqueues = []\nsocket_group = "no-such-group"\nstatus_group = "root"\n'
    assert warnings(tmp_path / "jobd.toml", text) == [
        "jobd.toml:6:1 the list is empty: this daemon runs no queue",
        'jobd.toml:7:1 this host has no group "no-such-group"; run needs it',
    ]


class TestBounds:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('lock_duration = "1ms"', "5:17 `lock_duration` 1ms is too short to be renewed in time"),
            ('stalled_interval = "1ms"', "5:20 `stalled_interval` below 100ms"),
            ('memory_max = "1MB"', "5:14 `memory_max` 1MB is less than a worker takes"),
            ("keep_failed = {}", "5:15 queues.q.keep_failed: expected true, false, a count"),
            ('recycle = { memory = "1MB" }', "5:22 `memory` 1MB is less than a worker takes"),
            ('recycle = { age = "1ms" }', "5:19 `age` 1ms replaces workers"),
        ],
    )
    def test_what_cannot_work_is_refused_with_the_reason(self, tmp_path: Path, line: str, said: str) -> None:
        (problem,) = problems(tmp_path, HEAD + QUEUE + line)
        assert problem.startswith(f"jobd.toml:{said}")

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ('per_key = { key = "a..b", concurrency = 2 }', "5:19 queues.q.per_key.key: expected names joined by dots"),
            (
                'per_key = { key = "opts", concurrency = 2 }',
                '5:19 queues.q.per_key.key: expected a path such as "opts.group.id"',
            ),
            (
                'per_key = { key = "a", concurrency = 0 }',
                "5:38 queues.q.per_key.concurrency: expected a whole number of at least 1",
            ),
            ('per_key = { key = "a" }', "5:11 missing key `concurrency`"),
            ('per_key = "a"', '5:11 queues.q.per_key: expected { key = "tenantId", concurrency = 2 }'),
        ],
    )
    def test_a_limit_per_key_has_a_path_and_a_number(self, tmp_path: Path, line: str, said: str) -> None:
        (problem,) = problems(tmp_path, HEAD + QUEUE + line)
        assert problem.startswith(f"jobd.toml:{said}")

    def test_a_misspelt_name_in_a_value_of_env_is_refused(self, tmp_path: Path) -> None:
        (problem,) = problems(tmp_path, HEAD + QUEUE + 'env = { A = "gpu{wroker}" }')
        assert problem.startswith("jobd.toml:5:13 `{wroker}` stands for nothing")
        assert "did you mean `{worker}`?" in problem

    def test_other_braces_in_a_value_of_env_are_text(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.toml").write_text(
            HEAD + QUEUE + """env = { A = '{"a": 1}', B = "{{wroker}}", C = "{message} $${x}" }"""
        )
        env = load(tmp_path / "jobd.toml", env={}).queues["q"].env
        assert (env["B"], env["C"]) == ("{{wroker}}", "{message} ${x}")

    def test_a_batch_has_no_more_jobs_than_a_worker_has_slots(self, tmp_path: Path) -> None:
        line = "concurrency = 40\nbatch = { max = 32 }"
        (problem,) = problems(tmp_path, HEAD + QUEUE + line)
        assert problem.startswith(
            "jobd.toml:6:17 `concurrency` 40 times `max` 32 is more than the 1024 jobs of a worker"
        )
        (tmp_path / "jobd.toml").write_text(HEAD + QUEUE + "concurrency = 32\nbatch = { max = 32 }")
        queue = load(tmp_path / "jobd.toml", env={}).queues["q"]
        assert (queue.jobs_at_once, queue.batch and queue.batch.wait_ms) == (1024, 0)

    def test_one_of_the_defaults_is_told_once(self, tmp_path: Path) -> None:
        text = HEAD + '[defaults]\nmemory_max = "1MB"\n[queues]\na = "a:b"\nb = "a:b"\n'
        assert len(problems(tmp_path, text)) == 1

    def test_a_short_lock_is_warned_of(self, tmp_path: Path) -> None:
        (warning,) = warnings(tmp_path / "jobd.toml", HEAD + QUEUE + 'lock_duration = "500ms"')
        assert warning.startswith("jobd.toml:5:1 `lock_duration` 500ms: a pause of this host or of Redis")
        assert warnings(tmp_path / "jobd.toml", HEAD + QUEUE + 'lock_duration = "1s"') == []


class TestFolders:
    def test_a_path_that_is_not_there_is_warned_of_once(self, tmp_path: Path) -> None:
        text = '[app]\npath = [".", "src"]\n' + HEAD + '[queues]\na = "a:b"\nb = "a:b"\n'
        (warning,) = warnings(tmp_path / "jobd.toml", text)
        assert warning == f"jobd.toml:2:14 there is no folder {tmp_path}/src; handlers are imported from there"

    @pytest.mark.parametrize("key", ["python", "working_dir"])
    def test_a_queue_whose_program_or_folder_is_missing_is_not_asked_for_more(self, tmp_path: Path, key: str) -> None:
        (tmp_path / "jobd.toml").write_text(
            f'{HEAD}[queues]\nok = "a:b"\n[queues.q]\nhandler = "a:b"\n{key} = "no/such"'
        )
        with pytest.raises(ConfigProblems, match=r"there is no (program|folder) .*/no/such") as caught:
            load(tmp_path / "jobd.toml", env={})
        assert caught.value.partial is not None
        assert list(caught.value.partial.queues) == ["ok"]


class TestReleaseFolder:
    @pytest.fixture
    def main(self, tmp_path: Path) -> Path:
        (tmp_path / "release").mkdir()
        (tmp_path / "current").symlink_to("release")
        return tmp_path / "current/jobd.toml"

    def test_state_behind_a_symlink_names_the_two_keys(self, main: Path) -> None:
        (warning,) = warnings(main, HEAD + QUEUE)
        assert f"lie in {main.parent}/.jobd, and {main.parent} is a symlink" in warning
        assert "set `state_dir` and `socket` in [daemon]" in warning

    def test_of_an_embedded_redis_the_jobs_are_named(self, main: Path) -> None:
        (warning,) = warnings(main, "[redis]\nembedded = true\n" + QUEUE)
        assert "with the jobs of the embedded Redis" in warning

    def test_only_what_is_not_set_is_named(self, main: Path) -> None:
        (warning,) = warnings(main, HEAD + '[daemon]\nstate_dir = "/srv/state"\n' + QUEUE)
        assert "set `socket` in [daemon]" in warning
        assert warnings(main, env={"JOBD_SOCKET": "/run/x.sock"}) == []
        assert warnings(main, env={"RUNTIME_DIRECTORY": "/run/x"}) == []

    def test_a_plain_folder_is_none(self, main: Path) -> None:
        main.write_text(HEAD + QUEUE)
        assert warnings(main.parent.with_name("release") / "jobd.toml") == []
