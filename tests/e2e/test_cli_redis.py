"""`queue` and `job` straight on a Redis: no daemon, any BullMQ deployment."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from jobd.cli import main
from tests.support.redis_server import RedisServer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    redis_server: RedisServer, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:  # fmt: skip
    """Run one command line in this process, on the shared Redis under a prefix of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JOBD_SOCKET", raising=False)
    monkeypatch.setenv("JOBD_REDIS_URL", redis_server.url)
    monkeypatch.setenv("JOBD_REDIS__PREFIX", prefix)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def _json(run: Run, *words: str) -> Any:
    code, out, err = run(*words, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document.pop("schema") == 1
    return document


def test_a_job_is_added_found_and_removed(run: Run) -> None:
    assert run("job", "add", "email", "welcome", '{"userId": 7}') == (0, "1\n", "")
    assert run("job", "add", "email", "digest", "--delay", "1h", "--id", "d-1") == (0, "d-1\n", "")
    code, out, err = run("job", "add", "email", "digest", "--id", "d-1")
    assert (code, out) == (0, "d-1\n")
    assert "nothing was added" in err
    jobs = _json(run, "job", "list", "email")["jobs"]
    assert [(job["id"], job["name"], job["state"]) for job in jobs] == [
        ("1", "welcome", "waiting"), ("d-1", "digest", "delayed"),
    ]  # fmt: skip
    assert _json(run, "job", "show", "email", "1")["job"]["data"] == {"userId": 7}
    assert run("job", "remove", "email", "1") == (0, "removed 1\n", "")
    assert run("job", "show", "email", "1")[0] == 1
    assert [queue["delayed"] for queue in _json(run, "queue", "list")["queues"]] == [1]


def test_a_key_of_somebody_else_that_looks_like_a_queue_hides_no_queue(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome")
    r.set(f"{prefix}:other:meta", "no hash")
    assert [queue["name"] for queue in _json(run, "queue", "list")["queues"]] == ["email"]
    assert "email" in run("doctor")[1]


def test_a_queue_of_the_file_exists_before_its_first_job(run: Run, tmp_path: Path, r: redis.Redis, prefix: str) -> None:
    (tmp_path / "jobd.toml").write_text('[queues]\nemail = "shop:send"\n')
    assert _json(run, "job", "list", "email")["jobs"] == []
    assert run("queue", "pause", "email")[0] == 0
    assert r.hget(f"{prefix}:email:meta", "paused") == "1"
    code, _, err = run("queue", "pause", "emial")
    assert code == 1
    assert "known: email" in err


def test_ids_that_were_left_are_told_with_their_state(run: Run) -> None:
    run("job", "add", "email", "welcome", "--id", "here")
    code, out, err = run("job", "retry", "email", "here", "away")
    assert (code, out) == (1, "retried 0, gone meanwhile 2\n")
    assert err.splitlines() == [
        "here: it is waiting; retry takes only failed and completed jobs", "away: no such job",
    ]  # fmt: skip
    assert run("job", "promote", "email", "here")[2] == "here: it is waiting; promote takes only delayed jobs\n"


def test_a_job_that_fails_under_wait_is_a_document_with_id_and_reason(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome", "--id", "w")
    assert run("job", "cancel", "email", "w")[0] == 0
    code, out, _ = run("job", "wait", "email", "w", "--json")
    assert code == 1
    error = json.loads(out)["error"]
    assert (error["code"], error["detail"]["id"]) == ("job-failed", "w")
    assert "cancelled" in error["detail"]["reason"]


def test_a_pause_is_bullmqs_and_tells_who_and_why(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome")
    assert run("queue", "pause", "email", "--reason", "cdn down")[0] == 0
    assert r.hget(f"{prefix}:email:meta", "paused") == "1"
    queue = _json(run, "queue", "show", "email")["queue"]
    assert (queue["state"], queue["paused_why"]) == ("paused", "cdn down")
    assert queue["paused_by"]
    assert run("queue", "resume", "email")[0] == 0
    assert r.hget(f"{prefix}:email:meta", "paused") is None


def test_bulk_verbs_take_filters(run: Run) -> None:
    for number in range(5):
        run("job", "add", "email", "odd" if number % 2 else "even")
    assert run("job", "remove", "email", "--name", "o*", "--dry-run")[1] == "would remove 2 jobs of email\n2\n4\n"
    assert run("job", "remove", "email", "--name", "o*", "--yes") == (0, "removed 2\n", "2 jobs of email to remove\n")
    assert run("job", "remove", "email", "--all", "--yes")[1] == "removed 3\n"


@pytest.mark.parametrize(
    "words", [["queue", "show"], ["queue", "pause"], ["job", "list"], ["job", "retry", "--all", "--yes"]]
)
def test_an_unknown_queue_is_exit_1_with_the_known_ones(words: list[str], run: Run) -> None:
    run("job", "add", "email", "welcome")
    code, out, err = run(*words, "emial")
    assert (code, out) == (1, "")
    assert "known: email" in err
    code, out, _ = run("--json", *words, "emial")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["detail"]["known"]) == (1, "queue-unknown", ["email"])


def test_data_comes_from_stdin_and_may_be_large(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"text": "ö" * 3_000_000})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("job", "add", "email", "big", "-") == (0, "1\n", "")
    assert len(_json(run, "job", "show", "email", "1")["job"]["data"]["text"]) == 3_000_000


def test_waiting_times_out_with_75_and_the_job_stays(run: Run) -> None:
    code, out, err = run("job", "add", "email", "welcome", "--wait=50ms")
    assert (code, out) == (75, "")
    assert "job 1 did not finish within 0.05s" in err
    assert _json(run, "job", "show", "email", "1")["job"]["state"] == "waiting"


def test_waiting_prints_the_result(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome", "--id", "w-1")
    base = f"{prefix}:email:"
    r.lrem(f"{base}wait", 0, "w-1")
    r.zadd(f"{base}completed", {"w-1": 1})
    r.hset(f"{base}w-1", mapping={"finishedOn": 1, "returnvalue": '{"sent": 7}'})
    assert run("job", "add", "email", "welcome", "--id", "w-1", "--wait")[:2] == (0, '{"sent": 7}\n')
    r.zadd(f"{base}failed", {"w-1": 1})
    r.zrem(f"{base}completed", "w-1")
    r.hset(f"{base}w-1", "failedReason", "no address")
    code, out, _ = run("job", "add", "email", "welcome", "--id", "w-1", "--wait", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "job-failed")


def test_reading_a_queue_list_changes_nothing(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome")
    before = sorted(r.keys(f"{prefix}:*"))
    for words in (
        ("queue", "list"),
        ("queue", "show", "email"),
        ("job", "list", "email"),
        ("job", "logs", "email", "1"),
    ):
        assert run(*words)[0] == 0
    assert sorted(r.keys(f"{prefix}:*")) == before


def test_output_survives_a_terminal_without_unicode(redis_server: RedisServer, prefix: str, run: Run) -> None:
    run("job", "add", "email", "grüße \ud83d")
    run("job", "add", "email", "grüße 🙂", '"🙂"')
    command = [sys.executable, "-m", "jobd", "job", "list", "email"]
    env = {
        "PYTHONIOENCODING": "latin-1",
        "JOBD_REDIS_URL": redis_server.url,
        "JOBD_REDIS__PREFIX": prefix,
        "PATH": "/bin",
    }
    text = subprocess.run(command, env=env, capture_output=True, check=True)
    assert b"gr\xfc\xdfe \\U0001f642" in text.stdout
    document = subprocess.run([*command, "--json"], env=env, capture_output=True, check=True)
    assert json.loads(document.stdout)["jobs"][-1]["name"] == "grüße 🙂"


def test_a_queue_is_emptied_cleaned_and_obliterated_when_that_is_agreed_to(run: Run) -> None:
    for _ in range(2):
        run("job", "add", "email", "welcome")
    run("job", "add", "email", "digest", "--delay", "1h")
    code, _, err = run("queue", "empty", "email")
    assert code == 2
    assert "--yes" in err
    assert run("queue", "empty", "email", "--dry-run") == (0, "would delete 2 jobs of email\n", "")
    code, out, err = run("queue", "empty", "email", "--yes")
    assert (code, out, err) == (0, "deleted 2 jobs of email; left: 1 delayed\n", "2 jobs of email to delete\n")
    code, out, _ = run("queue", "clean", "email", "--state", "delayed", "--yes")
    assert (code, out) == (0, "deleted 1 job of email; nothing is left\n")
    run("job", "add", "email", "welcome")
    code, out, _ = run("queue", "obliterate", "email", "--yes")
    assert (code, out) == (0, "email is gone, and 1 job with it\n")
    assert run("queue", "show", "email")[0] == 1


def test_a_queue_shows_priorities_and_metrics_and_gets_rid_of_orphans(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome")
    assert "priorities" not in run("queue", "show", "email")[1]
    run("job", "add", "email", "welcome", "--priority", "4")
    base = f"{prefix}:email:"
    r.hset(f"{base}metrics:completed", mapping={"count": 9, "prevTS": 1_795_486_615_995, "prevCount": 8})
    r.rpush(f"{base}metrics:completed:data", 5, 0, 3)
    code, out, _ = run("queue", "show", "email")
    lines = [line.split(None, 1) for line in out.splitlines()]
    assert (code, ["priorities", "0: 1, 4: 1"] in lines) == (0, True)
    assert "9, 8 in the last 3 minutes counted" in out
    shown = _json(run, "queue", "show", "email", "--minutes", "1")
    assert (shown["priorities"], shown["metrics"]["completed"]["data"]) == ({"0": 1, "4": 1}, [5])
    assert run("queue", "remove-orphans", "email", "--yes")[:2] == (0, "deleted 0 orphaned jobs of email\n")
    r.hset(f"{base}lost", mapping={"name": "n", "timestamp": 1})
    assert run("queue", "remove-orphans", "email", "--dry-run")[1] == "would delete 1 orphaned job of email\n"
    code, out, err = run("queue", "remove-orphans", "email", "--yes")
    assert (code, out, err) == (
        0, "deleted 1 orphaned job of email\n", "1 orphaned job of email to delete\n"
    )  # fmt: skip
    assert not r.exists(f"{base}lost")


def test_job_wait_prints_the_result_fails_with_the_job_and_times_out(run: Run, r: redis.Redis, prefix: str) -> None:
    base = f"{prefix}:email:"
    for _ in range(3):
        run("job", "add", "email", "welcome")
    r.hset(f"{base}1", "returnvalue", '{"sent": 7}')
    r.zadd(f"{base}completed", {"1": 1})
    r.hset(f"{base}2", "failedReason", "no such user")
    r.zadd(f"{base}failed", {"2": 1})
    assert run("job", "wait", "email", "1") == (0, '{"sent": 7}\n', "")
    assert _json(run, "job", "wait", "email", "1") == {"result": {"sent": 7}}
    code, _, err = run("job", "wait", "email", "2")
    assert code == 1
    assert "no such user" in err
    assert run("job", "wait", "email", "3", "--timeout", "10ms")[0] == 75
    assert run("job", "wait", "email", "99")[0] == 1


def test_a_failed_job_and_a_paused_queue_end_with_the_command_that_helps(run: Run, r: redis.Redis, prefix: str) -> None:
    run("job", "add", "email", "welcome", "--id", "w")
    base = f"{prefix}:email:"
    r.lrem(f"{base}wait", 1, "w")
    r.zadd(f"{base}failed", {"w": 1})
    code, out, err = run("job", "show", "email", "w")
    assert (code, err, out.splitlines()[-1]) == (0, "", "next: jobd job retry email w")
    run("queue", "pause", "email")
    code, out, _ = run("queue", "show", "email")
    assert out.splitlines()[-2:] == ["nothing runs because it is paused everywhere", "next: jobd queue resume email"]


def test_whoever_waits_for_a_job_that_nobody_takes_is_told(run: Run) -> None:
    code, out, err = run("job", "add", "nobodys", "n", "--wait=3500ms")
    assert (code, out) == (75, "")
    assert "the job waits because no worker anywhere takes its jobs; next: jobd run --queue nobodys" in err
