"""The pages and what they do, as a browser without JavaScript has them, on a daemon and without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobd.client import Flow, Queue
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.web_page import Answer, WebPage

QUEUES = """
[queues.mail]
handler = "daemon_handlers:ok"
workers = 2
attempts = 3
[queues.broken]
handler = "daemon_handlers:echo_fails"
[schedules.nightly]
queue = "mail"
cron = "15 3 * * *"
timezone = "Europe/Athens"
[web]
hide = ["password", "*token*"]
"""
SECRET = "hunter2-and-more"


@pytest.fixture(scope="module")
def daemon(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("w")
    with DaemonProcess(folder, redis_server.url, QUEUES, prefix="webpages") as one:
        yield one.start_ready()


@pytest.fixture(scope="module")
def page(daemon: DaemonProcess) -> Iterator[WebPage]:
    with WebPage(daemon.folder, "--config", str(daemon.config)) as web:
        yield web.enter()


@pytest.fixture
def queue(daemon: DaemonProcess, redis_server: RedisServer) -> Iterator[Callable[[str], Jobs]]:
    client = redis_server.client()
    opened: list[Jobs] = []

    def look(name: str) -> Jobs:
        opened.append(Jobs(client, redis_server.url, daemon.prefix, name))
        return opened[-1]

    yield look
    for one in opened:
        one.close()
    client.close()


def test_the_overview_shows_daemon_queues_and_file(page: WebPage, daemon: DaemonProcess) -> None:
    text = page.get("/").text
    for word in ("ready", "mail", "broken", str(daemon.config), "generation"):
        assert word in text


def test_queues_are_found_by_a_part_of_their_name(page: WebPage) -> None:
    found = page.get("/?queue=BRO").text
    assert 'href="/queues/broken"' in found
    assert 'href="/queues/mail"' not in found
    assert "No queue has “&lt;b&gt;” in its name" in page.get("/?queue=%3Cb%3E").text


def test_a_queue_is_paused_with_a_reason_and_resumed(page: WebPage, daemon: DaemonProcess) -> None:
    shown = page.send(page.get("/queues/mail").form("/queues/mail/pause"), reason="cdn <down>")
    assert "cdn &lt;down&gt;" in shown.text
    assert daemon.queue("mail")["paused_why"] == "cdn <down>"
    page.send(page.get("/").form("/queues/mail/resume"))
    assert daemon.queue("mail")["state"] == "running"


def test_a_queue_is_quieted_and_scaled(page: WebPage, daemon: DaemonProcess) -> None:
    page.send(page.get("/queues/mail").form("/queues/mail/quiet"))
    assert daemon.queue("mail")["state"] == "quiet"
    page.send(page.get("/queues/mail").form("/queues/mail/unquiet"))
    shown = page.send(page.get("/queues/mail").form("/queues/mail/scale"), to="+1")
    assert "3 workers" in shown.text
    assert "Drift" in page.get("/").text
    page.send(page.get("/queues/mail").form("/queues/mail/scale"), to="")
    assert daemon.status()["drift"] == []


def test_a_queues_settings_name_their_place(page: WebPage) -> None:
    text = page.get("/queues/mail").text
    assert re.search(r"<code>workers</code>.*?<code>2</code>.*?jobd\.toml:\d+:\d+", text, re.DOTALL)


def test_a_job_tells_its_story_and_hides_what_it_must(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    broken = queue("broken")
    data = {"user": "<b>Ann</b>\x1b[31m", "password": SECRET, "deep": [{"apiToken": SECRET}], "why": f"no {SECRET}"}
    job_id = broken.add(data, name="monthly", attempts=1)
    broken.wait_state(job_id, "failed")
    answer = page.get(f"/queues/broken/jobs/{job_id}")
    assert answer.status == 200
    assert SECRET not in answer.text
    assert "<b>Ann" not in answer.text
    assert "\x1b" not in answer.text
    assert "attempt 1 started" in answer.text
    assert SECRET not in page.get("/queues/broken/jobs?state=failed").text
    assert SECRET not in page.get("/events").text
    assert SECRET not in page.get("/logs").text
    assert SECRET not in page.output()


def test_add_again_keeps_what_was_hidden(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    mail = queue("mail")
    job_id = mail.add({"n": 1, "password": SECRET}, name="welcome")
    mail.result(job_id)
    form = page.get(f"/queues/mail/jobs/{job_id}").form(f"/queues/mail/jobs/{job_id}/again")
    shown = dict(form.fields)["data"]
    assert json.loads(shown) == {"n": 1, "password": "***"}
    answer = page.send(form, data=shown.replace("1", "2"))
    new_id = re.search(r"Added as job (\S+)\.", answer.text)
    assert new_id
    assert json.loads(mail.wait_state(new_id[1], "completed")["data"]) == {"n": 2, "password": SECRET}
    assert page.send(form, data="{").status == 400


def test_ticked_jobs_are_retried_after_the_question_told_how_many(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    broken = queue("broken")
    ids = [broken.add({}, name="bulk", attempts=1) for _ in range(3)]
    for job_id in ids:
        broken.wait_state(job_id, "failed")
    form = page.get("/queues/broken/jobs?state=failed&name=bulk").form("/queues/broken/jobs")
    form.fields += [("id_ticked", job_id) for job_id in ids[:2]]
    question = page.send(form, "retry ticked")
    assert "Retry 2 jobs" in question.text
    assert [broken.hash(job_id)["ats"] for job_id in ids] == ["1", "1", "1"]
    done = page.send(question.form("/queues/broken/jobs", "Retry 2 jobs"))
    assert "retried 2, gone meanwhile 0" in done.text
    wait_until(lambda: [broken.hash(i)["ats"] for i in ids] == ["2", "2", "1"], what="two ran again")


def test_all_that_match_are_removed_after_the_question_told_how_many(
    page: WebPage, queue: Callable[[str], Jobs]
) -> None:
    broken = queue("broken")
    added = {broken.add({}, name="many", attempts=1) for _ in range(55)}
    wait_until(lambda: added <= set(broken.ids("failed")), 20, what="all failed")
    listed = page.get("/queues/broken/jobs?state=failed&name=many")
    assert listed.text.count('name="id_ticked"') == 50
    assert "after=" in listed.text
    question = page.send(listed.form("/queues/broken/jobs"), "remove all")
    done = page.send(question.form("/queues/broken/jobs", "Remove 55 jobs"))
    assert "removed 55" in done.text
    assert page.get("/queues/broken/jobs?state=failed&name=many").text.count('name="id_ticked"') == 0


def test_a_delayed_job_is_promoted_cancelled_and_removed(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    mail = queue("mail")
    first, second, third = (mail.add({}, delay="1h") for _ in range(3))
    page.send(page.get(f"/queues/mail/jobs/{first}").form(f"/queues/mail/jobs/{first}/promote"))
    mail.result(first)
    page.send(page.get(f"/queues/mail/jobs/{second}").form(f"/queues/mail/jobs/{second}/cancel"))
    assert mail.state(second) == "failed"
    question = page.send(page.get(f"/queues/mail/jobs/{third}").form(f"/queues/mail/jobs/{third}/remove"))
    page.send(question.form(f"/queues/mail/jobs/{third}/remove", "Remove 1 job"))
    assert mail.state(third) is None


def test_nothing_ticked_is_nothing_done(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    queue("broken").wait_state(queue("broken").add({}, attempts=1), "failed")
    form = page.get("/queues/broken/jobs?state=failed").form("/queues/broken/jobs")
    assert "No job was selected" in page.send(form, "retry ticked").text


def test_what_waits_is_emptied_after_the_question(
    page: WebPage, daemon: DaemonProcess, queue: Callable[[str], Jobs]
) -> None:
    mail = queue("mail")
    page.send(page.get("/queues/mail").form("/queues/mail/pause"))
    ids = [mail.add({}) for _ in range(4)]
    question = page.send(page.get("/queues/mail").form("/queues/mail/empty"))
    assert "Empty 4 jobs" in question.text
    page.send(question.form("/queues/mail/empty", "Empty 4 jobs"))
    page.send(page.get("/queues/mail").form("/queues/mail/resume"))
    assert [mail.state(job_id) for job_id in ids] == [None] * 4


def test_a_reload_is_done_and_a_broken_file_is_refused_with_its_place(page: WebPage, daemon: DaemonProcess) -> None:
    daemon.write(QUEUES.replace("workers = 2", "workers = 1"))
    assert "workers 2 -&gt; 1" in page.get("/config").text
    assert "is in force" in page.send(page.get("/config").form("/config/reload")).text
    daemon.write(QUEUES.replace("workers = 2", "workerz = 2"))
    answer = page.send(page.get("/config").form("/config/reload"))
    assert answer.status == 409
    assert re.search(r"jobd\.toml:\d+:\d+ +unknown key `workerz`", answer.text)
    assert re.search(r"generation \d+ keeps running", answer.text)
    daemon.write(QUEUES)
    page.send(page.get("/config").form("/config/reload"))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queues/nobody", 404), ("/queues/nobody/jobs", 404), ("/queues/mail/jobs/nobody", 404), ("/nowhere", 404),
        ("/queues/mail/jobs?state=strange", 400), ("/queues/mail/jobs?since=soon", 400),
        ("/queues/mail/jobs?after=x", 400), ("/logs?worker=x", 400),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_as_such(page: WebPage, path: str, status: int) -> None:
    answer = page.get(path)
    assert answer.status == status
    assert "<h1>" in answer.text


def test_an_id_with_a_slash_and_a_quote_has_its_page(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    mail = queue("mail")
    job_id = mail.add({}, job_id="a/b\"'<i>?&#x")
    mail.wait_state(job_id, "completed")
    listed = page.get("/queues/mail/jobs?state=completed").text
    address = re.search(r'href="(/queues/mail/jobs/a%2F[^"]+)"', listed)
    assert address
    assert page.get(address[1]).status == 200
    assert "<i>?" not in listed


def test_without_a_daemon_any_redis_is_served(redis_server: RedisServer, short_tmp: Path, prefix: str) -> None:
    client = redis_server.client()
    mail = Jobs(client, redis_server.url, prefix, "mail")
    ids = [mail.add({"n": n}) for n in range(3)]
    (short_tmp / "jobd.toml").write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\n[queues]\n')
    with WebPage(short_tmp) as web:
        web.enter()
        assert "No daemon answers" in web.get("/").text
        listed = web.get("/queues/mail/jobs?state=waiting").text
        assert [listed.index(f'value="{job_id}"') for job_id in ids] == sorted(
            listed.index(f'value="{job_id}"') for job_id in ids
        )
        assert web.get(f"/queues/mail/jobs/{ids[0]}").status == 200
        for address in ("/", "/queues/mail"):
            text = web.get(address).text
            assert "no workers<" in text and "running<" not in text
        assert "no worker anywhere takes its jobs" in text
        assert web.get("/config").status == 200
        assert web.get("/logs").status == 503
        web.send(web.get("/queues/mail").form("/queues/mail/pause"), reason="why not")
        assert "why not" in web.get("/").text
    mail.close()
    client.close()


def test_a_job_that_no_bullmq_has_written_has_its_page(redis_server: RedisServer, short_tmp: Path, prefix: str) -> None:
    (short_tmp / "jobd.toml").write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\n[queues]\n')
    jobs = {
        "bare": {"name": "n"}, "odd": {"name": "n", "opts": "{}", "progress": "9" * 400},
        "wrong": {"name": "n", "opts": '{"attempts":{"a":[]}}', "timestamp": "9" * 400, "stacktrace": "5"},
    }  # fmt: skip
    with redis_server.client() as client, WebPage(short_tmp) as web:
        for job_id, fields in jobs.items():
            client.hset(f"{prefix}:mail:{job_id}", mapping=fields)
            client.lpush(f"{prefix}:mail:wait", job_id)
        web.enter()
        assert {job_id: web.get(f"/queues/mail/jobs/{job_id}").status for job_id in jobs} == dict.fromkeys(jobs, 200)


def test_with_redis_away_the_page_says_so_and_comes_back(own_redis: RedisServer, short_tmp: Path) -> None:
    toml = '[queues]\nmail = "daemon_handlers:ok"'
    with DaemonProcess(short_tmp / "d", own_redis.url, toml) as daemon:
        daemon.start_ready()
        with WebPage(daemon.folder, "--config", str(daemon.config)) as web:
            web.enter()
            own_redis.stop()
            wait_until(lambda: "does not answer" in web.get("/").text, 15, what="the page says that Redis is away")
            assert web.get("/").status == 200
            assert web.get("/queues/mail/jobs").status == 503
            own_redis.start()
            wait_until(lambda: web.get("/queues/mail/jobs").status == 200, 15, what="the page is back")


def test_schedules_are_shown_run_and_paused(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    shown = wait_until(lambda: _holding(page.get("/schedules"), "15 3 * * *"), what="the file's schedule")
    for word in ("nightly", "Europe/Athens", "jobd.toml:"):
        assert word in shown.text
    before = len(queue("mail").ids("completed"))
    assert "was run" in page.send(shown.form("/schedules/mail/nightly/run")).text
    wait_until(lambda: len(queue("mail").ids("completed")) == before + 1, what="its job ran")
    paused = page.send(shown.form("/schedules/mail/nightly/pause"))
    assert "paused" in paused.text
    assert "Pause" in page.send(paused.form("/schedules/mail/nightly/resume")).text


def test_a_job_has_a_way_to_the_log_where_its_queue_is_this_hosts(page: WebPage, queue: Callable[[str], Jobs]) -> None:
    for name, has in (("mail", True), ("elsewhere", False)):
        address = f"/queues/{name}/jobs/{queue(name).add({'n': 1})}"
        assert ("Its log lines" in page.get(address).text) is has
        assert page.get(f"/events?queue={name}").status == 200


def test_a_flow_is_a_tree_with_links(page: WebPage, redis_server: RedisServer, daemon: DaemonProcess) -> None:
    with Queue("mail", url=redis_server.url, prefix=daemon.prefix) as queue:
        index = Flow("index", queue="broken", attempts=1)
        root = queue.add_flow(Flow("build", children=[Flow("page", children=[Flow("image")]), index]))
        address = f"/queues/mail/jobs/{root.children[0].job.id}"
        shown = wait_until(lambda: _holding(page.get(address), "waiting-children"), what="the tree").text
    tree = shown[shown.index("Flow</h2>") :]
    places = [tree.index(f"{name}<") for name in ("build", "page", "image")]
    assert places == sorted(places)
    assert f'href="/queues/mail/jobs/{root.job.id}"' in tree
    assert "index<" in tree


def _holding(answer: Answer, word: str) -> Answer | None:
    return answer if word in answer.text else None
