"""`jobd web` as a child of the test, and a browser without JavaScript: links, cookies, forms as they stand."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.support.daemon_process import ROOT
from tests.support.waiting import wait_until


@dataclass
class Answer:
    """One answer. Header names are lower case."""

    status: int
    headers: dict[str, str]
    text: str
    at: str

    @property
    def forms(self) -> list[Form]:
        """The forms of the page."""
        parser = _Forms()
        parser.feed(self.text)
        return parser.forms

    def form(self, action: str, button: str | None = None) -> Form:
        """Return the form that is sent to this action, and has this text on a button."""
        fits = [
            form
            for form in self.forms
            if form.action == action and form.method == "post" and (button is None or button in form.buttons)
        ]
        assert fits, f"no form to {action} with {button}; there are {[(f.action, f.buttons) for f in self.forms]}"
        return fits[0]


@dataclass
class Form:
    """A form: where it goes, what it holds, and what its buttons say."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"], given.get("method", "get")))
        elif self.forms and tag == "input" and given.get("type") != "checkbox":
            self.forms[-1].fields.append((given["name"], given.get("value", "")))
        elif tag in ("button", "textarea"):
            self._inside = tag
            if self.forms and tag == "button":
                self.forms[-1].buttons.append("")
            elif self.forms:
                self.forms[-1].fields.append((given["name"], ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "button" and self.forms:
            self.forms[-1].buttons[-1] += data
        elif self._inside == "textarea" and self.forms:
            name, value = self.forms[-1].fields[-1]
            self.forms[-1].fields[-1] = (name, value + data)


class WebPage:
    """One `jobd web`. Use as a context manager: nothing of it is left afterwards."""

    def __init__(self, folder: Path, *args: str, listen: str | None = "127.0.0.1:0") -> None:
        """Start it and wait until it listens; `args` come after `jobd web`."""
        self.folder = folder
        self.log = folder / "web.log"
        self.cookie: str | None = None
        command = [sys.executable, "-m", "jobd", "web", *(["--listen", listen] if listen else []), *args]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        env.pop("JOBD_CONFIG", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=env, start_new_session=True
            )
        self.first_line = wait_until(self._first_line, 20, what="jobd web says where it listens")
        self.unix = Path(listen.removeprefix("unix:")) if listen and listen.startswith("unix:") else None
        self.link = next((word for word in self.first_line.split() if word.startswith("http://")), "")
        self.port = urlsplit(self.link).port or 0
        self.origin = f"http://127.0.0.1:{self.port}"
        self.token = self.link.partition("token=")[2]

    def __enter__(self) -> WebPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0, self.output()

    def _first_line(self) -> str | None:
        assert self.process.poll() is None, self.output()
        lines = self.output().splitlines(keepends=True)
        return lines[0] if lines and lines[0].endswith("\n") else None

    def output(self) -> str:
        """Return what it printed."""
        return self.log.read_text()

    def enter(self) -> WebPage:
        """Open the link, as the person does who reads it in the terminal; keep the cookie."""
        answer = self.get("/?token=" + self.token)
        assert answer.status == 303, answer.text
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        return self

    def get(self, path: str, **headers: str) -> Answer:
        """Return a page."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, fields: Any = (), **headers: str) -> Answer:
        """Send a form as a page of this origin does."""
        given = {"content-type": "application/x-www-form-urlencoded", "origin": self.origin, **headers}
        return self.request("POST", path, headers=given, body=urlencode(list(fields)))

    def send(self, form: Form, button: str | None = None, **fields: str) -> Answer:
        """Send a form with some fields filled in and one of its buttons pressed; follow to the page it leads to."""
        given = [(name, fields.pop(name, value)) for name, value in form.fields] + list(fields.items())
        if button is not None:
            given.append(("do", button))
        answer = self.post(form.action, given)
        return self.get(urljoin(form.action, answer.headers["location"])) if answer.status == 303 else answer

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: str | None = None
    ) -> Answer:
        """Send one request with exactly these headers besides Host and the cookie."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if self.unix is not None:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(self.unix))
        given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        host = given.pop("host", "localhost" if self.unix else f"127.0.0.1:{self.port}")
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", host)
        if self.cookie is not None and "cookie" not in given:
            connection.putheader("cookie", self.cookie)
        for name, value in given.items():
            connection.putheader(name, value)
        data = (body or "").encode()
        if method == "POST":
            connection.putheader("content-length", str(len(data)))
        connection.endheaders(data if method == "POST" else None)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text, path)
