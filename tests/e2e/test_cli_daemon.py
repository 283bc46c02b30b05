"""Commands against a control server that answers what the test says: what is asked, printed, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from jobd.daemon.state_dir import StateDir
from tests.support.fake_control import STATUS, FakeControl, Refusal

Run = Callable[..., tuple[int, str, str]]

_ADDED = {
    "job": {"id": "7", "queue": "email", "name": "w", "duplicate": False, "deduplicated": False, "event_id": "0-0"},
}


@pytest.fixture
def run(short_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command line in this process against `c.sock` in a folder of its own."""
    monkeypatch.chdir(short_tmp)
    monkeypatch.setenv("JOBD_SOCKET", str(short_tmp / "c.sock"))
    monkeypatch.delenv("JOBD_REDIS_URL", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def _fake(folder: Path, answers: dict[str, Any], *progress: str) -> FakeControl:
    return FakeControl(folder / "c.sock", answers, progress)


@pytest.mark.parametrize(
    ("state", "code"), [("ready", 0), ("reloading", 0), ("starting", 4), ("degraded", 4), ("draining", 4)]
)
def test_status_tells_the_state_by_its_exit_code(state: str, code: int, run: Run, short_tmp: Path) -> None:
    with _fake(short_tmp, {"status": {**STATUS, "state": state}}) as daemon:
        assert run("status", "--json")[0] == code
        exit_code, out, _ = run("status", "email", "reports")
    assert exit_code == code
    assert out.startswith(f"jobd 0.1.0  {state}  up 3s  generation 1  redis embedded unix:///r.sock 0.2ms")
    assert daemon.asked == [("status", {"queues": []}), ("status", {"queues": ["email", "reports"]})]


def test_json_is_the_document_as_the_daemon_sent_it(run: Run, short_tmp: Path) -> None:
    with _fake(short_tmp, {"status": STATUS}):
        _, out, err = run("--json", "status")
    assert json.loads(out) == {"schema": 1, **STATUS}
    assert err == ""


@pytest.mark.parametrize(
    ("words", "live", "ready", "code"),
    [((), True, True, 0), ((), True, False, 4), (("--live",), True, False, 0), (("--live",), False, False, 4),
     (("--ready",), True, False, 4)],
)  # fmt: skip
def test_health_is_an_exit_code(
    words: tuple[str, ...], live: bool, ready: bool, code: int, run: Run, short_tmp: Path
) -> None:
    answer = {"state": "degraded", "live": live, "ready": ready, "why": None if ready else "email: no workers"}
    with _fake(short_tmp, {"health": answer}) as daemon:
        exit_code, out, _ = run("health", *words)
    assert exit_code == code
    assert out.startswith("degraded")
    assert daemon.asked == [("health", {"kind": words[0][2:] if words else None})]


def test_a_daemon_that_listens_where_the_file_said_before_is_told_with_its_socket(
    run: Run, short_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBD_SOCKET")
    (short_tmp / "jobd.toml").write_text('[daemon]\nsocket = "new.sock"\nstate_dir = "state"\n')
    state = StateDir(short_tmp / "state", short_tmp / "c.sock")
    state.acquire()
    hint = f"listens at {short_tmp}/c.sock: reach it with --socket {short_tmp}/c.sock"
    with _fake(short_tmp, {"status": STATUS}):
        for words, code in (("reload", 69), ("status", 3)):
            told = run(words)
            assert (told[0], hint in told[2], "takes a restart" in told[2]) == (code, True, True)
    state.release()
    code, _, err = run("reload")
    assert (code, "start one with: jobd run" in err, "listens" in err) == (69, True, False)


def test_plan_exits_10_only_when_asked_and_changed(run: Run, short_tmp: Path) -> None:
    answer = {"generation": 1, "next_generation": 2, "changes": True, "steps": [], "notes": []}
    with _fake(short_tmp, {"plan": answer}) as daemon:
        assert run("plan")[0] == 0
        assert run("plan", "--exit-code", "--config", "new.toml")[0] == 10
        daemon.answers["plan"] = {**answer, "changes": False}
        assert run("plan", "--exit-code")[0] == 0
    assert daemon.asked[1] == ("plan", {"config": str(short_tmp / "new.toml")})


def test_reload_shows_what_it_does_and_what_came_of_it(run: Run, short_tmp: Path) -> None:
    answer = {"generation": 7, "took_s": 3.2, "steps": [], "interrupted": 0, "notes": []}
    with _fake(short_tmp, {"reload": answer}, "checked      2 files", "email        concurrency 4 -> 8") as daemon:
        code, out, err = run("reload", "--code")
        in_json = run("reload", "--json")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "checked      2 files", "email        concurrency 4 -> 8",
        "reloaded     generation 7 in 3.2s. 0 jobs interrupted.",
    ]  # fmt: skip
    assert json.loads(in_json[1]) == {"schema": 1, **answer}
    assert "checked" in in_json[2]
    assert daemon.asked == [("reload", {"code": True}), ("reload", {"code": False})]


def test_a_refused_reload_says_what_keeps_running(run: Run, short_tmp: Path) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Refusal(
            "config-invalid",
            "error: 2 problems in jobd.toml\n\n  jobd.toml:1:1  bad\n\n  jobd.toml:2:1  bad",
            78,
            {"problems": ["jobd.toml:1:1 bad", "jobd.toml:2:1 bad"]},
        )

    with _fake(short_tmp, {"reload": refuse, "status": {**STATUS, "generation": 7}}):
        code, out, err = run("reload")
        in_json = run("reload", "--json")
    assert (code, out) == (78, "")
    said = err.splitlines()
    assert (said[0], said[-1]) == ("error: 2 problems in jobd.toml", "not applied. generation 7 keeps running.")
    assert in_json[0] == 78
    told = json.loads(in_json[1])["error"]
    assert told["message"] == "2 problems in jobd.toml"
    assert told["detail"] == {"problems": ["jobd.toml:1:1 bad", "jobd.toml:2:1 bad"]}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("queue", "pause", "email", "--reason", "x"), ("queue.pause", {"queue": "email", "reason": "x"})),
        (("queue", "resume", "email"), ("queue.resume", {"queue": "email"})),
        (("queue", "quiet", "email"), ("queue.quiet", {"queue": "email", "reason": None})),
        (("queue", "unquiet", "email"), ("queue.unquiet", {"queue": "email"})),
        (("queue", "scale", "email", "-1"), ("queue.scale", {"queue": "email", "to": "-1", "reason": None})),
        (("queue", "scale", "email", "+2", "--json"), ("queue.scale", {"queue": "email", "to": "+2", "reason": None})),
        (("queue", "scale", "email", "--reset"), ("queue.scale", {"queue": "email", "to": None, "reason": None})),
        (("queue", "show", "email"), ("queue.show", {"queue": "email"})),
        (("job", "show", "email", "7"), ("job.show", {"queue": "email", "id": "7"})),
        (("job", "logs", "email", "7"), ("job.logs", {"queue": "email", "id": "7"})),
        (("job", "list", "email", "--state", "failed", "--since", "1h"),
         ("job.list", {"queue": "email", "state": "failed", "since_ms": 3_600_000})),
        (("job", "add", "email", "w", '{"a": 1}', "--delay", "90s", "--priority", "5", "--lifo", "--id", "x",
          "--backoff", "exponential:5s", "--keep-failed", "10", "--keep-completed", "false", "--deduplicate", "d"),
         ("job.add", {"queue": "email", "name": "w", "data": {"a": 1}, "options": {
             "delay": "1m30s", "priority": 5, "lifo": True, "job_id": "x", "keep_failed": 10, "keep_completed": False,
             "backoff": {"type": "exponential", "delay": "5s"}, "deduplicate": "d"}})),
        (("job", "retry", "email", "7", "8"), ("job.retry", {"queue": "email", "ids": ["7", "8"], "dry_run": False})),
        (("job", "remove", "email", "--error", "*x*", "--dry-run"),
         ("job.remove", {"queue": "email", "error": "*x*", "dry_run": True})),
        (("config", "show", "--origin"), ("config.show", {"origin": True})),
        (("worker", "list"), ("worker.list", {})),
    ],
)  # fmt: skip
def test_a_command_is_one_call(
    words: tuple[str, ...], asked: tuple[str, dict[str, Any]], run: Run, short_tmp: Path
) -> None:
    job = {
        "id": "7", "queue": "email", "name": "w", "state": "failed", "failed_reason": "boom", "data": {}, "opts": {},
        "timestamp": 1, "processed_at": None, "finished_at": None, "delay_ms": 0, "priority": 0, "attempts_made": 1,
        "attempts_started": 1, "crashes": 0, "worker": None, "parent_key": None, "progress": 0, "result": None,
        "stacktrace": [], "broken": [], "cut": {},
    }  # fmt: skip
    shown = {"queue": {"name": "email", "state": "running"}}
    answers: dict[str, Any] = {
        **{f"queue.{verb}": shown for verb in ("pause", "resume", "quiet", "unquiet", "show")},
        "queue.scale": {"queue": "email", "workers": 3, "was": 2},
        "job.add": _ADDED, "job.show": {"job": job}, "job.list": {"jobs": [job]},
        "job.logs": {"lines": ["one"]}, "worker.list": {"workers": []},
        "job.retry": {"done": 2, "gone": 0, "ids": ["7", "8"]}, "job.remove": {"done": 1, "gone": 0, "ids": ["9"]},
        "config.show": {"entries": [{"key": "app.name", "value": '"x"', "origin": "built in"}]},
    }  # fmt: skip
    with _fake(short_tmp, answers) as daemon:
        code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out
    assert daemon.asked == [asked]


@pytest.mark.parametrize(
    ("queue", "why", "told"),
    [("emial", "no_workers", 'notice: no worker anywhere takes jobs of "emial"; did you mean "email"?\n'),
     ("video", "no_workers", 'notice: no worker anywhere takes jobs of "video"\n'), ("emial", None, ""),
     ("email", "no_workers", "")],
)  # fmt: skip
def test_a_job_for_a_queue_that_nobody_serves_and_the_file_does_not_name_is_told(
    queue: str, why: str | None, told: str, run: Run, short_tmp: Path
) -> None:
    (short_tmp / "jobd.toml").write_text('[redis]\nembedded = true\n[queues]\nemail = "shop:send"\n')
    shown = {"queue": {"name": queue, "state": "running", "why": why}}
    with _fake(short_tmp, {"job.add": _ADDED, "queue.show": shown}):
        assert run("job", "add", queue, "w") == (0, "7\n", told)


def test_a_bulk_verb_counts_first_and_reports_what_was_gone(run: Run, short_tmp: Path) -> None:
    def retry(params: dict[str, Any]) -> dict[str, Any]:
        return {"done": 815 if params["dry_run"] else 812, "gone": 0 if params["dry_run"] else 3, "ids": []}

    with _fake(short_tmp, {"job.retry": retry}) as daemon:
        code, out, err = run("job", "retry", "email", "--all", "--yes")
    assert (code, out, err) == (0, "retried 812, gone meanwhile 3\n", "815 jobs of email to retry\n")
    assert [params["dry_run"] for _, params in daemon.asked] == [True, False]


def test_many_ids_travel_in_requests_the_daemon_can_read(run: Run, short_tmp: Path) -> None:
    def remove(params: dict[str, Any]) -> dict[str, Any]:
        return {"done": len(params["ids"]), "gone": 0, "ids": params["ids"]}

    ids = [f"{number:0>150}" for number in range(2000)]
    with _fake(short_tmp, {"job.remove": remove}) as daemon:
        code, out, _ = run("job", "remove", "email", *ids)
    assert (code, out) == (0, "removed 2000\n")
    assert [job_id for _, params in daemon.asked for job_id in params["ids"]] == ids
    assert len(daemon.asked) > 1


def test_wait_prints_the_result_as_json(run: Run, short_tmp: Path) -> None:
    ends = iter([False, False, True])

    def wait(_: dict[str, Any]) -> dict[str, Any]:
        result = {"state": "active", "result": {"sent": 1}, "failed_reason": None, "event_id": "9-0", "cut": {}}
        return {"ended": next(ends), **result}

    with _fake(short_tmp, {"job.add": _ADDED, "job.wait": wait}) as daemon:
        assert run("job", "add", "email", "w", "--wait") == (0, '{"sent": 1}\n', "")
    assert [params.get("event_id") for name, params in daemon.asked] == [None, "0-0", "9-0", "9-0"]


def test_wait_fails_with_the_job_and_times_out_with_75(run: Run, short_tmp: Path) -> None:
    job: dict[str, Any] = {"ended": True, "state": "failed", "result": None, "failed_reason": "no address", "cut": {}}
    job["event_id"] = "9-0"
    with _fake(short_tmp, {"job.add": _ADDED, "job.wait": job}) as daemon:
        code, out, err = run("job", "add", "email", "w", "--wait")
        assert (code, out) == (1, "")
        assert "no address" in err
        job |= {"ended": False, "state": "waiting", "failed_reason": None}
        code, out, _ = run("job", "add", "email", "w", "--wait=50ms", "--json")
    assert code == 75
    assert json.loads(out)["error"]["code"] == "timed-out"
    assert daemon.asked[0][0] == "job.add"


@pytest.mark.parametrize(("exit_code", "code"), [(1, "queue-unknown"), (2, "input-invalid"), (69, "redis-unavailable"),
                                                  (77, "not-permitted")])  # fmt: skip
def test_the_daemons_refusal_is_the_commands_exit_code(exit_code: int, code: str, run: Run, short_tmp: Path) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Refusal(code, "because", exit_code, {"known": ["email"]})

    with _fake(short_tmp, {"queue.show": refuse}):
        assert run("queue", "show", "q") == (exit_code, "", "error: because\n")
        in_json = run("queue", "show", "q", "--json")
    error = {"code": code, "message": "because", "detail": {"known": ["email"]}}
    assert (in_json[0], json.loads(in_json[1])) == (exit_code, {"schema": 1, "error": error})


def test_stop_returns_when_the_process_is_gone(short_tmp: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.support.fake_control import FakeControl; import threading\n"
        "over = threading.Event()\n"
        "def stop(params):\n"
        "    threading.Timer(0.3, over.set).start()\n"
        "    return {'finished': 2, 'handed_back': [{'queue': 'video', 'id': '91b0', 'name': 'cut'}]}\n"
        "with FakeControl(Path(sys.argv[1]), {'stop': stop}, ('waiting for 3 jobs',)):\n"
        "    print('up', flush=True); over.wait()\n"
    )
    sock = short_tmp / "c.sock"
    daemon = subprocess.Popen([sys.executable, "-c", program, str(sock)], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == "up\n"
    done = subprocess.run([sys.executable, "-m", "jobd", "stop", "--grace", "5m", "--socket", str(sock)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert daemon.poll() is not None or daemon.wait(1) == 0
    daemon.stdout.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "waiting for 3 jobs", "done. 2 finished, 1 handed back (video 91b0; attempt not counted).",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "colored"),
    [
        ((), False),
        (("--color", "always"), True),
        (("--color",), True),
        (("--color=never",), False),
        (("--color=auto",), False),
    ],
)
def test_colors_come_when_asked_for(words: tuple[str, ...], colored: bool, run: Run, short_tmp: Path) -> None:
    with _fake(short_tmp, {"status": STATUS}):
        assert ("\x1b[" in run("status", *words)[1]) is colored
        assert ("\x1b[" in run(*words, "status")[1]) is colored
        assert "\x1b[" not in run("status", "--json", *words)[1]


def test_a_daemon_that_does_not_answer_is_not_ready(run: Run, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobd.cli.commands.health._ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr("jobd.cli.commands.status._ANSWER_LIMIT_S", 0.05)
    awake = threading.Event()

    def sleep(_: dict[str, Any]) -> dict[str, Any]:
        awake.wait(5)
        return {}

    with _fake(short_tmp, {"health": sleep, "status": sleep}):
        assert run("health", "--live")[0] == 4
        assert run("status")[0] == 4
        awake.set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("words", [("status",), ("queue", "list"), ("stop",)])
def test_a_socket_one_may_not_use_is_exit_77(words: tuple[str, ...], run: Run, short_tmp: Path) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise Refusal("refused", "not now", 1)

    with _fake(short_tmp, dict.fromkeys(("status", "queue.list", "stop"), refuse)):
        assert run(*words)[0] == 1  # also loads every module: nobody may not read root's Python
        os.seteuid(65534)
        try:
            code, out, _ = run(*words, "--json")
        finally:
            os.seteuid(0)
    assert (code, json.loads(out)["error"]["code"]) == (77, "not-permitted")


def test_quiet_waits_for_running_jobs_and_tells_when_they_outlast_it(run: Run, short_tmp: Path) -> None:
    queues = [{"name": "email", "busy": 1}]
    with _fake(short_tmp, {"quiet": {"queues": []}, "status": {**STATUS, "queues": queues}}):
        assert run("quiet")[:2] == (0, "this host is quiet; 1 job still running. Undo with: jobd unquiet\n")
        assert run("quiet", "--wait", "1ms")[0] == 75


def test_unquiet_asks_the_daemon(run: Run, short_tmp: Path) -> None:
    with _fake(short_tmp, {"unquiet": {"queues": []}}) as daemon:
        assert run("unquiet")[0] == 0
    assert daemon.asked == [("unquiet", {})]


def test_health_says_its_state_once(run: Run, short_tmp: Path) -> None:
    answer = {"state": "starting", "live": True, "ready": False, "why": "starting: email, reports"}
    with _fake(short_tmp, {"health": answer}):
        assert run("health") == (4, "starting (email, reports)\n", "")
