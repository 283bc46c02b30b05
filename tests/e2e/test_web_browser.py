"""The page in Chromium: with JavaScript and without, live, by keyboard, on a phone, in the dark, for everybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.browser import DESKTOP, PHONE, Browser
from tests.support.daemon_process import DaemonProcess
from tests.support.jobs import Jobs
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.web_page import WebPage

QUEUES = """
[queues.mail]
handler = "daemon_handlers:ok"
[queues.broken]
handler = "daemon_handlers:echo_fails"
[queues.slow]
handler = "daemon_handlers:slow"
[schedules.nightly]
queue = "mail"
cron = "15 3 * * *"
"""


@pytest.fixture(scope="module")
def daemon(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess(tmp_path_factory.mktemp("b"), redis_server.url, QUEUES, prefix="webbrowser") as one:
        yield one.start_ready()


@pytest.fixture(scope="module")
def page(daemon: DaemonProcess) -> Iterator[WebPage]:
    with WebPage(daemon.folder, "--config", str(daemon.config)) as web:
        yield web


@pytest.fixture(scope="module")
def one_browser(page: WebPage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    browser.open(page.link)
    yield browser
    browser.quit()


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    one_browser.set_up()
    one_browser.complaints()
    one_browser.requested()
    return one_browser


@pytest.fixture(scope="module")
def queue(daemon: DaemonProcess, redis_server: RedisServer) -> Iterator[Callable[[str], Jobs]]:
    client = redis_server.client()
    opened: dict[str, Jobs] = {}

    def look(name: str) -> Jobs:
        return opened.setdefault(name, Jobs(client, redis_server.url, daemon.prefix, name))

    yield look
    for one in opened.values():
        one.close()
    client.close()


@pytest.fixture(scope="module")
def failed(queue: Callable[[str], Jobs]) -> str:
    """A job that failed, so that every page has something to show."""
    broken = queue("broken")
    job_id = broken.add({"to": "<script>alert(1)</script>", "list": [1, 2]}, name="monthly", attempts=1)
    broken.wait_state(job_id, "failed")
    queue("mail").result(queue("mail").add({"n": 1}, name="welcome"))
    return job_id


def paths(failed: str) -> list[str]:
    return ["/", "/queues/broken", "/queues/broken/jobs?state=failed", "/queues/mail/jobs?state=waiting",
            f"/queues/broken/jobs/{failed}", "/schedules", "/config", "/events", "/logs", "/nowhere"]  # fmt: skip


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_every_page_shows_and_asks_nobody_else(browser: Browser, page: WebPage, failed: str, scripts: bool) -> None:
    for path in paths(failed):
        browser.set_up(scripts=scripts)
        browser.open(page.origin + path)
        assert browser.text("h1") or browser.one("h1").get_attribute("textContent")
    browser.set_up()
    assert [address for address in browser.requested() if not address.startswith(page.origin + "/")] == []
    assert browser.complaints() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_is_in_anybodys_way(
    browser: Browser, page: WebPage, failed: str, size: tuple[int, int], dark: bool
) -> None:
    found = []
    for path in paths(failed):
        browser.set_up(size=size, dark=dark)
        browser.open(page.origin + path)
        found += [f"{path}: {violation}" for violation in browser.violations()]
        if browser.overflows():
            found.append(f"{path}: wider than the window")
    assert found == []


def test_an_open_page_shows_what_happens(
    browser: Browser, page: WebPage, queue: Callable[[str], Jobs], tmp_path: Path
) -> None:
    slow, gate = queue("slow"), tmp_path / "gate"
    browser.open(page.origin + "/queues/slow")
    browser.wait_text("nothing", "#live_workers")
    job_id = slow.add({"until": str(gate)}, name="encode")
    browser.wait_text("encode", "#live_workers")
    browser.open(f"{page.origin}/queues/slow/jobs/{job_id}")
    browser.wait_text("active", "#live_head")
    gate.touch()
    browser.wait_text("completed", "#live_head")


def test_an_open_page_leaves_focus_folds_and_typed_text_alone(
    browser: Browser, page: WebPage, queue: Callable[[str], Jobs]
) -> None:
    browser.open(page.origin + "/queues/mail")
    browser.one("#built-in summary").click()
    field = browser.type_into("input[name=reason]", "half a rea")
    before = browser.text("#live_head")
    queue("mail").result(queue("mail").add({}))
    wait_until(lambda: browser.text("#live_head") != before, 15, what="the head changed", every=0.1)
    assert field.get_attribute("value") == "half a rea"
    assert browser.one("#built-in").get_attribute("open")


def test_it_says_when_it_is_not_live_and_is_again(browser: Browser, daemon: DaemonProcess, tmp_path: Path) -> None:
    with WebPage(tmp_path, "--config", str(daemon.config)) as web:
        browser.open(web.link)
        browser.wait_text("live", "#pulse")
    browser.wait_text("lost", "#trouble")
    browser.wait_text("seen 1s ago", "#pulse")


def test_all_that_match_are_retried_by_clicks(browser: Browser, page: WebPage, queue: Callable[[str], Jobs]) -> None:
    broken = queue("broken")
    ids = [broken.add({}, name="bulk", attempts=1) for _ in range(3)]
    for job_id in ids:
        broken.wait_state(job_id, "failed")
    browser.open(page.origin + "/queues/broken/jobs?state=failed&name=bulk")
    browser.one("#tick-all").click()
    assert "(3)" in browser.text("#ticked-count")
    browser.press("Retry all")
    browser.press("Retry 3 jobs")
    browser.wait_text("retried 3, gone meanwhile 0", ".told")
    wait_until(lambda: all(broken.hash(job_id).get("ats") == "2" for job_id in ids), what="they ran again")


def test_a_broken_file_is_refused_before_ones_eyes(browser: Browser, page: WebPage, daemon: DaemonProcess) -> None:
    daemon.write(QUEUES + "\n[queues.more]\nhandlr = 3\n")
    browser.open(page.origin + "/config")
    browser.press("Reload")
    browser.wait_text("keeps running", ".refusal")
    assert re.search(r"jobd\.toml:\d+:\d+ +unknown key `handlr`", browser.text(".refusal"))
    daemon.write(QUEUES + '\n[queues.more]\nhandler = "daemon_handlers:ok"\n')
    browser.open(page.origin + "/config")
    browser.wait_text("new queue", "#live_plan")
    browser.press("Reload")
    browser.wait_text("is in force", ".told")


def test_everything_is_reached_by_keyboard(browser: Browser, page: WebPage, failed: str) -> None:
    browser.open(page.origin + "/")
    browser.keys(Keys.TAB)
    assert browser.focused() == "Skip to content"
    browser.keys(Keys.ENTER)
    seen = []
    for _ in range(40):
        browser.keys(Keys.TAB)
        seen.append(browser.focused())
        if seen[-1] == "broken":
            break
    assert seen[-1] == "broken", seen
    browser.keys(Keys.ENTER)
    browser.wait_text("broken", "h1")
    browser.open(f"{page.origin}/queues/broken/jobs?state=failed&name=monthly")
    for _ in range(60):
        browser.keys(Keys.TAB)
        if browser.driver.switch_to.active_element.get_attribute("value") == failed:
            break
    browser.keys(Keys.SPACE)
    assert "(1)" in browser.text("#ticked-count")
    browser.one("button[value='retry ticked']").send_keys(Keys.ENTER)
    browser.wait_text("Retry 1 job?", "h1")
    assert browser.focused() == "Retry 1 job"
    browser.keys(Keys.ENTER)
    browser.wait_text("retried 1", ".told")


def test_markup_in_a_job_is_text(browser: Browser, page: WebPage, failed: str) -> None:
    browser.open(f"{page.origin}/queues/broken/jobs/{failed}")
    assert browser.driver.execute_script("return document.querySelectorAll('main script').length") == 0
    assert "<script>alert(1)</script>" in browser.text()
