"""What a Redis URL says, which one is refused, and that nothing of a password is ever shown."""

from __future__ import annotations

import contextlib
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobd.config.load import load
from jobd.config.problems import ConfigProblems
from jobd.errors import ConfigError, JobdError
from jobd.locate import (
    RedisSource,
    UrlError,
    absolute_files,
    check_tls_files,
    mask_url,
    parse_redis_url,
    redact,
    redis_source,
)
from tests.unit.config.test_fuzz import QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestRead:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("redis://h", ("h", 6379, 0, None, None)),
            ("redis://h:", ("h", 6379, 0, None, None)),
            ("REDIS://127.0.0.1:7/3", ("127.0.0.1", 7, 3, None, None)),
            ("redis://[::1]:7/0", ("::1", 7, 0, None, None)),
            ("redis://u:p%2Fw@h/0", ("h", 6379, 0, "u", "p/w")),
            ("redis://:a@b@h/0", ("h", 6379, 0, None, "a@b")),
            ("redis://:a[b@h/0", ("h", 6379, 0, None, "a[b")),
            ("redis://h/0?db=2&username=u&password=p", ("h", 6379, 2, "u", "p")),
        ],
    )
    def test_place_and_credentials(self, url: str, said: tuple[str, int, int, str | None, str | None]) -> None:
        found = parse_redis_url(url)
        assert (found.host, found.port, found.database, found.username, found.password) == said

    def test_socket_with_password_and_database(self) -> None:
        found = parse_redis_url("unix://:pw@/run/a%20b.sock?db=4")
        assert (found.path, found.database, found.password) == ("/run/a b.sock", 4, "pw")

    def test_options_have_the_types_of_redis_py(self) -> None:
        found = parse_redis_url(
            "rediss://h?ssl_cert_reqs=CERT_NONE&ssl_min_version=1.2&ssl_check_hostname=no&timeout=2.5"
        )
        assert found.options == {
            "ssl_cert_reqs": "none", "ssl_min_version": ssl.TLSVersion.TLSv1_2, "ssl_check_hostname": False,
            "timeout": 2.5,
        }  # fmt: skip

    def test_sentinels_their_master_and_their_own_password(self) -> None:
        found = parse_redis_url("redis+sentinel://u:pw@a,b:1,[::1]/my-master.1/2?sentinel_password=s")
        assert found.nodes == (("a", 26379), ("b", 1), ("::1", 26379))
        assert (found.master, found.database) == ("my-master.1", 2)
        assert (found.username, found.password, found.sentinel_auth) == ("u", "pw", ("s",))
        assert (found.tls, found.is_cluster) == (False, False)

    def test_nodes_of_a_cluster(self) -> None:
        found = parse_redis_url("rediss+cluster://:pw@a:7000,b?ssl_cert_reqs=none")
        assert (found.nodes, found.database, found.password) == ((("a", 7000), ("b", 6379)), 0, "pw")
        assert (found.tls, found.is_cluster) == (True, True)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("redis://:abc/SECRETPART@host/0", "expected a host.*%2F"),
            ("redis://u:1/SECRETPART@host/0", "number of a database.*%2F"),
            ("redis://u:SECRET?PART@host/0", "port.*%2F"),
            ("redis://:SECRET#PART@host/0", "`#`"),
            ("redis://[SECRET/0", "IPv6"),
            ("redis://u:SECRET/0", "port"),
            (":SECRET@host:6379", "starts with redis://"),
            ("SECRET", "starts with redis://"),
            ("redsi://h", "did you mean `redis://`"),
            ("redis+cluster://h/1", "database 0 only"),
            ("redis+sentinel://h:26379", "expected the master's name"),
            ("redis+sentinel://h/SEC%52ET/x", "number of a database"),
            ("redis+cluster://a,,b", "expected a host"),
            ("redis+cluster://a?sentinel_password=x", "cannot read the options"),
            ("redis://a,b:1/0", "has one host"),
            ("redis:///0", "expected a host"),
            ("redis://h/mail", "number of a database"),
            ("redis://h:0", "port"),
            ("redis://h:99999", "port"),
            ("redis://h/-1", "number of a database"),
            ("redis://SEC RET@h", "%20"),
            ("unix://run/redis.sock", "path of a socket"),
            ("redis://h?foo=1", "unknown option `foo`"),
            ("redis://h?socket_timout=1", "did you mean `socket_timeout`"),
            ("redis://h?ssl_ca_certs=/x", "belongs to rediss://"),
            ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required, got \"maybe\""),
            ("rediss://h?ssl_check_hostname=maybe", "true or false"),
            ("redis://h?socket_timeout=x", "number of seconds"),
            ("redis://:SECRET?foo=1@h", "expected a host|port|options"),
            ("rediss://h?ssl_cert_reqs=SECRET@h", "none, optional or required"),
        ],
    )  # fmt: skip
    def test_what_is_refused_names_the_reason_and_no_password(self, url: str, reason: str) -> None:
        with pytest.raises(UrlError) as caught:
            parse_redis_url(url)
        assert re.search(reason, str(caught.value)), str(caught.value)
        assert "SECRET" not in str(caught.value)
        assert "PART" not in str(caught.value)


class TestShown:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
            ("redis+sentinel://a:1,b:2/0", "redis+sentinel://a:1,b:2/0"),
            ("redis+sentinel://:pw@a:1,b/mymaster/0", "redis+sentinel://:***@a:1,b/mymaster/0"),
            ("redis+sentinel://a/m?sentinel_password=x", "redis+sentinel://a/m?sentinel_password=***"),
            ("redis+cluster://a:1,b:2", "redis+cluster://a:1,b:2"),
            ("redis://:pw@h", "redis://:***@h"),
            ("redis://u:p@w:x@h/1", "redis://u:***@h/1"),
            ("redis://pw@h", "redis://***@h"),
            ("redis://:abc/SECRETPART@host/0", "redis://***"),
            ("redis://:a?b#c@host/0", "redis://***"),
            ("redis://h/0?password=a@b", "redis://***"),
            ("redis://:pw", "redis://***"),
            ("redis://h:1/pw", "redis://h:1/***"),
            ("redis://h:1/0?foo=pw", "redis://h:1/0?***"),
            ("redis://h:1/0#pw", "redis://h:1/0#***"),
            ("rediss://h/0?ssl_password=pw&ssl_ca_certs=/ca.pem", "rediss://h/0?ssl_password=***&ssl_ca_certs=/ca.pem"),
            ("unix:///s?password=pw&db=1", "unix:///s?password=***&db=1"),
            ("unix:///run/a@b.sock", "unix:///run/a@b.sock"),
            ("unix://:pw@/run/s", "unix://:***@/run/s"),
            (":pw@host:6379", "***"),
            ("", ""),
        ],
    )
    def test_a_url_without_what_may_be_a_password(self, url: str, shown: str) -> None:
        assert mask_url(url) == shown
        assert RedisSource(url).shown == shown

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("plain text, a@b", "plain text, a@b"),
            ("cannot reach redis://u:pw@h:1/0: refused", "cannot reach redis://u:***@h:1/0: refused"),
            ("at rediss://:a/b@h then", "at rediss://*** then"),
            ("https://docs.example/a/b?x=1#c", "https://docs.example/a/b?x=1#c"),
            ("postgres://u:pw@h/db", "postgres://u:***@h/db"),
            ("https://h/?token=abc&x=1", "https://h/?token=***&x=1"),
        ],
    )
    def test_any_text_without_passwords_of_its_urls(self, text: str, shown: str) -> None:
        assert redact(text) == shown


_passwords = st.text(
    st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("/@:?#[]%&=+é\u00a0"), min_size=0, max_size=12
).map(lambda junk: f"Zq{junk}qZ")
_shapes = st.sampled_from(
    [
        "redis://:{}@host/0", "redis://user:{}@host:6379/0", "redis://{}@host", "rediss://:{}@[::1]:6379/0?ssl_cert_reqs=none",
        "redis://:{}@", "redis:{}@host", ":{}@host:6379", "{}@host", "unix://:{}@/run/redis.sock", "redis://h/0?password={}",
        "redis://host/0?passwort={}", "rediss://h?ssl_password={}", "redsi://:{}@h", "redis+sentinel://:{}@a:1,b:2/0",
        "redis://:{}", "redis://host:{}", "redis://host/0#{}", "redis//:{}@h", "http://u:{}@h",
    ]
)  # fmt: skip


def told(folder: Path, text: str, env: dict[str, str] | None = None, redis_url: str | None = None) -> Iterator[str]:
    """Yield whatever a person could read about this file."""
    (folder / "jobd.toml").write_text(text)
    try:
        config = load(folder / "jobd.toml", env=env or {}, redis_url=redis_url)
        source = config.redis_source(env or {})
        assert source is not None
        yield source.shown + repr(source) + repr(config.redis)
        from jobd.config.as_toml import show, show_toml

        yield show_toml(config) + repr(show(config)) + repr(config.warnings)
    except ConfigProblems as error:
        yield str(error) + repr(error.details) + repr(error.problems)
    except JobdError as error:
        yield str(error) + repr(error)
    with contextlib.suppress(ConfigError):
        try:
            yield redis_source(redis_url, config=folder / "jobd.toml", env=env or {}).shown
        except JobdError as error:
            yield str(error) + repr(error)
            raise


@QUICK
@given(_passwords, _shapes, st.booleans())
def test_no_part_of_a_password_is_shown_whatever_the_url(
    tmp_path_factory: pytest.TempPathFactory, password: str, shape: str, broken: bool
) -> None:
    import tomli_w

    assume("@" in shape or "@" not in password)  # then it is a password and a host, as URLs go
    folder = tmp_path_factory.getbasetemp() / "urls"
    folder.mkdir(exist_ok=True)
    url = shape.format(password)
    parts = {password, *re.split(r"[/@:?#\[\]%&=+ ]", password)}
    secret = [part for part in parts if "Zq" in part or "qZ" in part]
    queue = '[queues.q]\nhandler = "a:b"\n'
    line = tomli_w.dumps({"url": url}) + ("password = 5\n" if broken else "")
    texts = [
        *told(folder, f"[redis]\n{line}{queue}"),
        *told(folder, f"redis = {{ {tomli_w.dumps({'url': url}).strip()}, prefix = 5 }}\n{queue}"),
        *told(folder, f"[redis]\nurl = {url}\n{queue}"),
        *told(folder, queue, {"JOBD_REDIS_URL": url}),
        *told(folder, f'[redis]\nurl = "${{U}}"\n{queue}', {"U": url}),
        *told(folder, queue, redis_url=url),
        redact(f"error with {url} there") if "://" in url and len(password.split()) == 1 else "",
        mask_url(url),
    ]
    for text in texts:
        for part in secret:
            assert part not in text


class TestFiles:
    def test_a_certificate_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UrlError, match=r'cannot read ssl_ca_certs "/no/ca.pem": no such file'):
            check_tls_files(parse_redis_url("rediss://h?ssl_ca_certs=/no/ca.pem"))
        with pytest.raises(UrlError, match="needs `ssl_certfile`"):
            check_tls_files(parse_redis_url(f"rediss://h?ssl_keyfile={__file__}"))

    def test_a_file_that_is_no_certificate_is_named(self) -> None:
        for option in ("ssl_ca_certs", "ssl_certfile"):
            with pytest.raises(UrlError, match=f"{option}.*test_url"):
                check_tls_files(parse_redis_url(f"rediss://h?{option}={__file__}"))

    def test_relative_ones_are_taken_from_the_folder_of_the_file(self, tmp_path: Path) -> None:
        assert absolute_files("rediss://h/0?ssl_ca_certs=ca.pem&db=1", tmp_path) == (
            f"rediss://h/0?ssl_ca_certs={tmp_path}/ca.pem&db=1"
        )
        (tmp_path / "jobd.toml").write_text('[redis]\nurl = "rediss://h/0?ssl_ca_certs=ca.pem"\n[queues]\nq = "a:b"\n')
        with pytest.raises(ConfigProblems, match=f'2:7   cannot read ssl_ca_certs "{tmp_path}/ca.pem"'):
            load(tmp_path / "jobd.toml", env={})
        with pytest.raises(ConfigError, match=f'jobd.toml:2: .* "{tmp_path}/ca.pem"'):
            redis_source(config=tmp_path / "jobd.toml", env={})


class TestWhoMadeTheMistake:
    def test_of_the_file_is_one_of_the_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.toml").write_text('[redis]\nurl = "redis://h?foo=1"\n')
        with pytest.raises(ConfigError, match=r"jobd.toml:2: .*`foo`"):
            redis_source(config=tmp_path / "jobd.toml", env={})
        with pytest.raises(ConfigError, match=r"\$JOBD_REDIS_URL: .*`foo`"):
            redis_source(env={"JOBD_REDIS_URL": "redis://h?foo=1"})

    def test_of_the_command_line_is_one_of_usage(self, tmp_path: Path) -> None:
        (tmp_path / "jobd.toml").write_text('[redis]\nurl = "redis://h"\n[queues]\nq = "a:b"\n')
        with pytest.raises(UrlError, match="`foo`"):
            load(tmp_path / "jobd.toml", env={}, redis_url="redis://h?foo=1")
