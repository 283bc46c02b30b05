"""Secrets and what `[web] hide` names are nowhere: each place that a person or a program reads is looked through."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobd.cli import main
from tests.support.daemon_process import DaemonProcess, Failed
from tests.support.jobs import Jobs
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until
from tests.support.web_page import WebPage

PASSWORD, KEY, TOKEN, CARD, LATER = "r3dis-pass", "key-of-the-bank", "t0ken-in-text", "4242-4242-4242", "an0ther-pass"

QUEUES = """
http = "unix:{folder}/n.sock"
[queues.mail]
handler = "daemon_handlers:echo_fails"
attempts = 1
env = {{ SMTP_PASSWORD = "{token}" }}
[schedules.nightly]
queue = "mail"
cron = "15 3 * * *"
data = {{ card = "{card}" }}
[web]
hide = ["card", "*token*"]
"""
PAGES = ("/", "/queues/mail", "/queues/mail/jobs", "/queues/mail/jobs?state=failed", "/queues/mail/jobs/pay-1",
         "/schedules", "/config", "/events", "/logs")  # fmt: skip
COMMANDS = ("config show", "config show --origin", "plan", "status", "queue show mail", "queue list", "doctor",
            "metrics", "logs", "check", "schedule list", "worker list", "host list")  # fmt: skip

OF_THE_FILE, COMMANDS_OF_THE_FILE = ("/", "/config"), ("config show --origin", "plan", "status", "doctor", "check")


class World:
    """A daemon whose Redis has a password, whose handlers get keys, and a page before it."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder, self.server = folder, server
        self.key, self.password = folder / "key", folder / "password"
        self.key.write_text(KEY)
        self.password.write_text(PASSWORD)
        with server.client() as admin:
            admin.config_set("requirepass", PASSWORD)
        self.text = QUEUES.format(folder=folder, token=TOKEN, card=CARD)
        self.daemon = DaemonProcess(
            folder / "d", server.url, self.text, prefix="secret",
            head=f'env = {{ BANK_KEY = {{ file = "{self.key}" }} }}',
            redis=f'password = {{ file = "{self.password}" }}',
        )  # fmt: skip

    def everything(
        self, web: WebPage, capsys: pytest.CaptureFixture[str], pages: tuple[str, ...] = PAGES,
        commands: tuple[str, ...] = COMMANDS,
    ) -> dict[str, str]:  # fmt: skip
        """Return {where: what is read there}."""
        found = {page: web.get(page).text for page in pages}
        found |= {f"/live{page}": self._first_parts(web, page) for page in pages}
        for words in commands:
            for more in ([], ["--json"]):
                main(["--config", str(self.daemon.config), "--socket", str(self.daemon.socket), *words.split(), *more])
                out = capsys.readouterr()
                found[f"jobd {' '.join([words, *more])}"] = out.out + out.err
        return {**found, "the daemon's log": self.daemon.log.read_text(), "the page's log": web.output()}

    def _first_parts(self, web: WebPage, page: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
        connection.request("GET", f"/live{page}", headers={"cookie": web.cookie or ""})
        answer = connection.getresponse()
        assert answer.status == 200, page
        lines = []
        while not lines or not lines[-1].startswith(b"data:"):
            lines.append(answer.readline())
        connection.close()
        return b"".join(lines).decode()


@pytest.fixture
def world(own_redis: RedisServer, short_tmp: Path) -> Iterator[World]:
    made = World(short_tmp, own_redis)
    with made.daemon:
        made.daemon.start_ready()
        yield made


def holds(texts: dict[str, str], *secrets: str) -> list[str]:
    """Return where one of them is."""
    return [f"{secret} in {where}" for where, text in texts.items() for secret in secrets if secret in text]


@pytest.mark.timeout(120)
def test_secrets_are_nowhere_well_or_not(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    daemon, config = world.daemon, world.daemon.config
    client = redis.Redis(unix_socket_path=str(world.server.socket), password=PASSWORD, decode_responses=True)
    mail = Jobs(client, world.server.url.replace("unix://", f"unix://:{PASSWORD}@"), "secret", "mail")
    mail.add({"card": CARD, "why": f"the card {CARD} was refused", "deep": [{"apiToken": TOKEN}]}, job_id="pay-1")
    mail.wait_state("pay-1", "failed")
    with WebPage(daemon.folder, "--config", str(config)) as web:
        web.enter()
        well = world.everything(web, capsys)
        assert "pay-1" in well["/queues/mail/jobs?state=failed"]
        assert "BANK_KEY" in well["jobd config show"]
        assert holds(well, PASSWORD, KEY) == []
        # What a queue's text holds under a name that sounds secret, and what `hide` names: on no page and in no log.
        seen = {where: text for where, text in well.items() if where.startswith("/")}
        assert holds(seen, TOKEN, CARD) == []
        assert holds({where: well[where] for where in well if "config" in where or "plan" in where}, TOKEN) == []

        world.password.write_text(LATER)
        config.write_text(config.read_text().replace("[queues.mail]", "[queues.more]\nhandler = 'm:f'\n[queues.mail]"))
        assert holds(world.everything(web, capsys), PASSWORD, LATER, KEY) == []

        # A line that is no TOML, a URL with the password in the wrong place, a secret where a number belongs.
        good = world.text
        for wrong in (
            f'[redis.more]\npassword = "{LATER}',
            f'[queues.x]\nhandler = "m:f"\nurl = "redis://:{LATER}@h:x"',
            f'[queues.x]\nhandler = "m:f"\nenv = {{ API_TOKEN = ["{LATER}"] }}',
        ):
            daemon.write(f"{good}\n{wrong}\n")
            with pytest.raises(Failed) as refused:
                daemon.call("reload")
            told = world.everything(web, capsys, OF_THE_FILE, COMMANDS_OF_THE_FILE)
            told["the refusal"] = str(refused.value.error)
            answer = web.send(web.get("/config").form("/config/reload"))
            assert answer.status == 409, wrong
            assert holds({**told, "the page's refusal": answer.text}, LATER, PASSWORD, KEY) == [], wrong
        daemon.write(good)

        # The server knows another password now: everything that connects is refused, and says so.
        client.config_set("requirepass", "of-the-server")
        client.execute_command("AUTH", "of-the-server")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: not daemon.status()["redis"]["up"], 20, what="it knows that it is refused")
        assert holds(world.everything(web, capsys), PASSWORD, LATER, "of-the-server", KEY) == []
    mail.close()
    client.close()
