"""Who may use the page: each line is somebody who tries to get in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobd.cli import main
from tests.support.daemon_process import DaemonProcess
from tests.support.redis_server import RedisServer
from tests.support.web_page import WebPage

PATHS = ["/", "/queues/mail", "/queues/mail/jobs", "/queues/mail/jobs/1", "/schedules", "/config", "/events", "/logs",
         "/live/", "/static/style.css", "/nowhere"]  # fmt: skip


@pytest.fixture(scope="module")
def page(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebPage]:
    """A page on a Redis without a daemon, with a queue that was paused once."""
    client = redis_server.client()
    client.hset("door:mail:meta", "opts.maxLenEvents", "10000")
    folder = tmp_path_factory.mktemp("door")
    (folder / "jobd.toml").write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "door"\n[queues]\n')
    with WebPage(folder) as web:
        yield web.enter()
    client.delete("door:mail:meta")
    client.close()


@pytest.mark.parametrize("path", PATHS)
def test_without_the_cookie_nothing_is_there(page: WebPage, path: str) -> None:
    assert page.get(path, cookie="").status == 401
    assert page.get(path, cookie=page.cookie.split("=")[0] + "=" + page.token).status == 401  # type: ignore[union-attr]
    assert page.get(path + "?token=wrong", cookie="").status == 401


def test_a_post_without_the_cookie_is_refused_whatever_it_brings(page: WebPage) -> None:
    csrf = dict(page.get("/queues/mail").form("/queues/mail/pause").fields)["csrf"]
    answer = page.post(f"/queues/mail/pause?token={page.token}", [("csrf", csrf)], cookie="")
    assert answer.status == 401


def test_the_link_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(page: WebPage) -> None:
    answer = page.get("/queues/mail?token=" + page.token + "&x=1", cookie="")
    assert (answer.status, answer.headers["location"]) == (303, "/queues/mail?x=1")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert re.search("samesite=strict", cookie, re.IGNORECASE)
    assert page.token not in cookie


def test_the_token_is_printed_once(page: WebPage) -> None:
    page.get("/?token=" + page.token, cookie="")
    assert page.output().count(page.token) == 1


def test_who_stops_it_on_its_first_line_sees_it_end_well(redis_server: RedisServer, short_tmp: Path) -> None:
    for _ in range(3):
        with WebPage(short_tmp, "--redis", redis_server.url) as one:
            assert one.link
        one.log.unlink()


def test_the_link_cannot_lead_away(page: WebPage) -> None:
    answer = page.get(f"//evil.example/?token={page.token}", cookie="")
    assert answer.headers.get("location", "/").startswith("/evil.example")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example"])
def test_a_foreign_host_is_refused_with_and_without_the_cookie(page: WebPage, host: str) -> None:
    assert page.get("/", host=host).status == 403
    assert page.get("/?token=" + page.token, host=host, cookie="").status == 403


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_origin_is_refused(page: WebPage, path: str) -> None:
    assert page.get(path, origin="http://evil.example").status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_form_that_another_page_sends_is_refused(page: WebPage, headers: dict[str, str]) -> None:
    form = page.get("/queues/mail").form("/queues/mail/pause")
    assert page.post(form.action, form.fields, **headers).status == 403
    assert "running" in page.get("/queues/mail").text


@pytest.mark.parametrize("csrf", ["", "0" * 64, "of another form"])
def test_a_form_without_its_own_token_is_refused(page: WebPage, csrf: str) -> None:
    shown = page.get("/queues/mail")
    token = dict(shown.form("/queues/mail/pause").fields)["csrf"] if csrf == "of another form" else csrf
    path = "/queues/other/pause" if csrf == "of another form" else "/queues/mail/pause"
    assert page.post(path, [("csrf", token)]).status == 403
    assert page.post(path).status == 403


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/static/"]
)
def test_no_path_leads_to_another_file(page: WebPage, path: str) -> None:
    assert page.get(path).status == 404


def test_every_answer_allows_nothing_from_elsewhere(page: WebPage) -> None:
    for path in ["/", "/queues/nobody", "/static/live.js"]:
        headers = page.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert not re.search(r"<script(?! src=\"/static/)| style=| on\w+=\"", page.get("/").text)


def test_a_change_is_logged_with_the_users_name(page: WebPage) -> None:
    form = page.get("/queues/mail").form("/queues/mail/pause")
    page.send(form, reason="cdn down")
    page.send(page.get("/queues/mail").form("/queues/mail/resume"))
    lines = [line for line in page.output().splitlines() if "change asked for" in line]
    assert re.search(r'method=queue\.pause by=\w+ queue=mail reason="cdn down"', lines[-2])
    assert re.search(r"method=queue\.resume by=\w+ queue=mail", lines[-1])


def test_read_only_has_no_route_that_changes(page: WebPage, short_tmp: Path) -> None:
    shown = ["/", "/queues/mail", "/queues/mail/jobs", "/schedules", "/config"]
    assert [form for path in shown for form in page.get(path).forms if form.method == "post"]
    with WebPage(short_tmp, "--read-only", "--config", str(page.folder / "jobd.toml")) as web:
        web.enter()
        assert "/queues/mail" in web.get("/").text
        assert not [form for path in shown for form in web.get(path).forms if form.method == "post"]
        for path in ["/queues/mail/pause", "/queues/mail/jobs", "/config/reload", "/queues/mail/jobs/1/again"]:
            assert web.post(path).status in (404, 405)


def test_a_header_names_the_user_on_a_unix_socket_only(redis_server: RedisServer, short_tmp: Path, prefix: str) -> None:
    client = redis_server.client()
    client.hset(f"{prefix}:mail:meta", "opts.maxLenEvents", "10000")
    (short_tmp / "jobd.toml").write_text(f'[redis]\nurl = "{redis_server.url}"\nprefix = "{prefix}"\n[queues]\n')
    with WebPage(short_tmp, "--auth-header", "X-User", listen=f"unix:{short_tmp}/w.sock") as web:
        assert "token" not in web.output()
        assert (short_tmp / "w.sock").stat().st_mode & 0o777 == 0o660
        assert web.get("/").status == 401
        assert web.get("/", x_user="alice", host="jobs.example.com").status == 200
        form = web.get("/queues/mail", x_user="alice").form("/queues/mail/pause")
        assert web.post(form.action, form.fields, x_user="bob", origin="http://localhost").status == 403
        assert web.post(form.action, form.fields, x_user="alice", origin="http://localhost").status == 303
        assert "by=alice" in web.output()
        assert "by alice" in web.get("/queues/mail", x_user="alice").text
    assert not (short_tmp / "w.sock").exists()
    client.close()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0", "localhost:0"])
def test_a_header_is_trusted_by_no_page_that_listens_on_tcp(
    page: WebPage, listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert page.get("/", cookie="", x_user="root").status == 401
    assert main(["web", "--auth-header", "X-User", "--listen", listen]) == 2
    assert "--auth-header needs --listen unix:PATH" in capsys.readouterr().err


def test_the_daemon_is_told_for_whom_the_page_asks(make: Callable[..., DaemonProcess], short_tmp: Path) -> None:
    daemon = make('[queues]\nmail = "daemon_handlers:ok"')
    listen = f"unix:{short_tmp}/w.sock"
    with WebPage(daemon.folder, "--auth-header", "X-User", "--config", str(daemon.config), listen=listen) as web:
        form = web.get("/queues/mail", x_user="alice").form("/queues/mail/pause")
        assert web.post(form.action, form.fields, x_user="alice", origin="http://localhost").status == 303
    assert daemon.queue("mail")["paused_by"].startswith("alice through ")
    assert daemon.logged("change asked for")[-1]["by"].startswith("alice through ")
