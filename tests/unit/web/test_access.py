"""The rules of the door, each by what it lets through and what it does not."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from jobd.web.access import AccessRules
from jobd.web.tokens import Tokens

TOKENS = Tokens()


def rules(address: str | None = "127.0.0.1", header: str | None = None) -> AccessRules:
    return AccessRules(TOKENS, "ann", address, header=header)


@pytest.mark.parametrize(
    ("address", "host", "passes"),
    [
        ("127.0.0.1", "127.0.0.1:9465", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "LOCALHOST.:80", True),
        ("127.0.0.1", "[::1]:9465", True),
        ("127.0.0.1", "evil.example", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "evil@127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1/x", False),
        ("127.0.0.1", "10.0.0.5", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
        ("10.0.0.5", "10.0.0.5:9465", True),
        ("10.0.0.5", "10.0.0.6:9465", False),
        ("0.0.0.0", "10.0.0.6:9465", True),
        ("0.0.0.0", "evil.example", False),
        (None, "anything.example", True),
    ],
)
def test_host(address: str | None, host: str, passes: bool) -> None:
    assert rules(address).host_passes(host) is passes


@pytest.mark.parametrize(
    ("origin", "site", "safe", "passes"),
    [
        (None, None, True, True),
        (None, None, False, True),
        ("http://127.0.0.1:9465", "same-origin", False, True),
        ("http://127.0.0.1:9466", None, False, False),
        ("http://localhost:9465", None, False, False),
        ("http://evil.example", None, True, False),
        ("null", None, False, False),
        (None, "cross-site", False, False),
        (None, "same-site", False, False),
        (None, "cross-site", True, True),
        (None, "none", False, True),
    ],
)
def test_origin(origin: str | None, site: str | None, safe: bool, passes: bool) -> None:
    assert rules().origin_passes(origin, "127.0.0.1:9465", site, safe=safe) is passes


def test_the_cookie_says_who_asks_and_the_link_token_does_not() -> None:
    assert rules().user_of(Headers({"cookie": f"a=b; jobd_web={TOKENS.cookie}"})) == "ann"
    assert rules().user_of(Headers({"cookie": f"jobd_web={TOKENS.link}"})) is None
    assert rules().user_of(Headers({"cookie": "jobd_web=ü"})) is None
    assert rules().user_of(Headers({})) is None


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        ([("x-user", "bob")], "bob"),
        ([("x-user", "bob"), ("x-user", "root")], None),
        ([("x-user", "")], None),
        ([("x-user", "a\tb")], None),
        ([("x-user", "x" * 200)], None),
        ([], None),
    ],
)
def test_a_proxys_header_counts_when_it_is_there_once(headers: list[tuple[str, str]], user: str | None) -> None:
    raw = Headers(raw=[(name.encode(), value.encode()) for name, value in headers])
    assert rules(None, "X-User").user_of(raw) == user


def test_with_a_proxy_the_cookie_counts_for_nothing() -> None:
    assert rules(None, "X-User").user_of(Headers({"cookie": f"jobd_web={TOKENS.cookie}"})) is None


def test_a_form_token_is_good_for_its_path_and_its_user_only() -> None:
    token = TOKENS.form("ann", "/queues/a/pause")
    assert TOKENS.is_form(token, "ann", "/queues/a/pause")
    assert not TOKENS.is_form(token, "ann", "/queues/b/pause")
    assert not TOKENS.is_form(token, "bob", "/queues/a/pause")
    assert not TOKENS.is_form("", "ann", "/queues/a/pause")
    assert not Tokens().is_form(token, "ann", "/queues/a/pause")
