"""Which file, which Redis, which socket."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jobd.config.load import load
from jobd.errors import ConfigError, InputError, NoRedisConfigured, RedisUnavailable
from jobd.locate import (
    BrokenFile,
    LooseText,
    RedisSource,
    Secret,
    drop_ins,
    expand,
    find_config,
    read_secret,
    redis_source,
    run_socket,
    secret_of,
    socket_candidates,
    state_dir,
    write_url_file,
)
from jobd.locate.files import current_folder

URL = "redis://127.0.0.1:6379/0"


def write(folder: Path, text: str, name: str = "jobd.toml") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


class TestWhichFile:
    def test_argument_wins_over_variable_over_working_folder(self, tmp_path: Path) -> None:
        here = write(tmp_path, "")
        assert find_config("a.toml", {"JOBD_CONFIG": "b.toml"}, tmp_path) == tmp_path / "a.toml"
        assert find_config(None, {"JOBD_CONFIG": "b.toml"}, tmp_path) == tmp_path / "b.toml"
        assert find_config(None, {"JOBD_CONFIG": ""}, tmp_path) == here

    def test_never_upward(self, tmp_path: Path) -> None:
        write(tmp_path, "")
        below = tmp_path / "below"
        below.mkdir()
        assert find_config(None, {}, below) in {None, Path("/etc/jobd/jobd.toml")}

    def test_drop_ins_are_those_beside_the_file_in_name_order(self, tmp_path: Path) -> None:
        main = write(tmp_path, "", "shop.toml")
        for name in ("20-b.toml", "10-a.toml", ".hidden.toml", "note.txt"):
            write(tmp_path / "shop.d", "", name)
        write(tmp_path / "jobd.d", "", "other.toml")
        assert [path.name for path in drop_ins(main)] == ["10-a.toml", "20-b.toml"]


class TestExpansion:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("plain", "plain"),
            ("${A}", "1"),
            ("x${A}y${B}z", "x1y2z"),
            ("${NO:-default}", "default"),
            ("${EMPTY:-default}", "default"),
            ("${NO:-}", ""),
            ("${NO:-${A}}", "1"),
            ("${NO:-${NO2:-deep}}!", "deep!"),
            ("$${A}", "${A}"),
            ("$A $ {A}", "$A $ {A}"),
            ("${A:?needed}", "1"),
            ("${REF}", "${A}"),
        ],
    )
    def test_replaces(self, text: str, expected: str) -> None:
        assert expand(text, {"A": "1", "B": "2", "EMPTY": "", "REF": "${A}"}) == expected

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("${NO}", "$NO is not set"),
            ("${NO:?set it in the unit}", "set it in the unit"),
            ("${EMPTY:?}", "$EMPTY is not set"),
            ("${A", "not closed"),
            ("${}", "written are"),
            ("${1A}", "written are"),
            ("${A-b}", "written are"),
        ],
    )
    def test_refuses(self, text: str, said: str) -> None:
        with pytest.raises(InputError) as caught:
            expand(text, {"A": "1", "EMPTY": ""})
        assert said in str(caught.value)

    def test_only_a_value_that_is_wholly_one_reference_may_be_a_number(self) -> None:
        assert isinstance(expand("${A}", {"A": "1"}), LooseText)
        assert not isinstance(expand("${A}${A}", {"A": "1"}), LooseText)
        assert not isinstance(expand(" ${A}", {"A": "1"}), LooseText)


class TestSecrets:
    def test_each_kind_is_read(self, tmp_path: Path) -> None:
        write(tmp_path, "from file\n", "s")
        env = {"PW": "from env", "CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert read_secret(secret_of({"env": "PW"}), env=env) == "from env"
        assert read_secret(secret_of({"file": "s"}, base=tmp_path), env=env) == "from file"
        assert read_secret(secret_of({"credential": "s"}), env=env) == "from file"

    @pytest.mark.parametrize(
        "table", [{}, {"env": "A", "file": "b"}, {"evn": "A"}, {"env": 5}, {"env": ""}, {"credential": "../x"}]
    )
    def test_anything_else_is_refused(self, table: dict[str, object]) -> None:
        with pytest.raises(InputError):
            secret_of(table)

    @pytest.mark.parametrize("secret", [Secret("env", "NO"), Secret("file", "/no/such"), Secret("credential", "x")])
    def test_one_that_cannot_be_read_says_which(self, secret: Secret) -> None:
        with pytest.raises(InputError) as caught:
            read_secret(secret, env={})
        assert secret.name in str(caught.value)

    def test_binary_file_is_refused_without_its_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "s").write_bytes(b"hunter2\xff")
        with pytest.raises(InputError) as caught:
            read_secret(Secret("file", str(tmp_path / "s")), env={})
        assert "hunter2" not in str(caught.value)


class TestWhichRedis:
    def test_argument_wins_and_brings_its_own_prefix(self, tmp_path: Path) -> None:
        write(tmp_path, f'[redis]\nurl = "{URL}"\nprefix = "shop"')
        env = {"JOBD_REDIS_URL": "redis://env", "JOBD_REDIS__PREFIX": "env"}
        source = redis_source("redis://arg", env=env, cwd=tmp_path)
        assert (source.url, source.prefix, source.origin) == ("redis://arg", "bull", "argument")

    def test_variable_wins_over_the_file_and_takes_nothing_from_it(self, tmp_path: Path) -> None:
        write(tmp_path, f'[redis]\nurl = "{URL}"\nprefix = "shop"\npassword = "files"')
        source = redis_source(env={"JOBD_REDIS_URL": "redis://env"}, cwd=tmp_path)
        assert (source.url, source.prefix, source.password) == ("redis://env", "bull", None)
        assert source.origin == "$JOBD_REDIS_URL"

    def test_variable_with_its_companions(self, tmp_path: Path) -> None:
        (tmp_path / "pw").write_text("s3cret")
        env = {"JOBD_REDIS__URL": "redis://env", "JOBD_REDIS__PREFIX": "p"}
        env["JOBD_REDIS__PASSWORD"] = f'{{ file = "{tmp_path}/pw" }}'
        source = redis_source(env=env, cwd=tmp_path)
        assert (source.prefix, source.password) == ("p", "s3cret")

    def test_both_variables_may_be_set_only_alike(self, tmp_path: Path) -> None:
        both = {"JOBD_REDIS_URL": URL, "JOBD_REDIS__URL": URL}
        assert redis_source(env=both, cwd=tmp_path).url == URL
        with pytest.raises(ConfigError):
            redis_source(env=both | {"JOBD_REDIS_URL": "redis://other"}, cwd=tmp_path)

    def test_file_names_its_line(self, tmp_path: Path) -> None:
        write(tmp_path, f'[app]\nname = "x"\n[redis]\nurl = "{URL}"\nprefix = "shop"\nunknown = 5')
        source = redis_source(env={}, cwd=tmp_path)
        assert (source.url, source.prefix, source.origin) == (URL, "shop", "jobd.toml:4")

    def test_drop_in_wins_over_the_file(self, tmp_path: Path) -> None:
        write(tmp_path, '[redis]\nembedded = true\nprefix = "shop"')
        write(tmp_path / "jobd.d", '[redis]\nurl = "${WHERE}"\npassword = { env = "PW" }', "10.toml")
        source = redis_source(env={"WHERE": "redis://there", "PW": "s3cret"}, cwd=tmp_path)
        assert (source.url, source.prefix, source.password) == ("redis://there", "shop", "s3cret")
        assert source.origin == "jobd.d/10.toml:2"

    def test_prefix_argument_goes_with_any_source(self, tmp_path: Path) -> None:
        write(tmp_path, f'[redis]\nurl = "{URL}"\nprefix = "shop"')
        assert redis_source(prefix="mine", env={}, cwd=tmp_path).prefix == "mine"

    def test_ordinary_redis_url_is_not_read(self, tmp_path: Path) -> None:
        with pytest.raises(NoRedisConfigured) as caught:
            redis_source(env={"REDIS_URL": URL}, cwd=tmp_path)
        for place in ("$JOBD_REDIS_URL", "./jobd.toml", "/etc/jobd/jobd.toml", "embedded = true"):
            assert place in str(caught.value)

    def test_file_without_redis_is_no_source(self, tmp_path: Path) -> None:
        write(tmp_path, "[queues]")
        with pytest.raises(NoRedisConfigured):
            redis_source(env={}, cwd=tmp_path)

    def test_broken_syntax_stops_it_with_the_place(self, tmp_path: Path) -> None:
        write(tmp_path, '[redis]\nurl = "a')
        with pytest.raises(BrokenFile) as caught:
            redis_source(env={}, cwd=tmp_path)
        assert str(caught.value).startswith("jobd.toml:2:")

    def test_embedded_server_is_found_where_the_daemon_wrote_it(self, tmp_path: Path) -> None:
        write(tmp_path, '[redis]\nembedded = true\nprefix = "shop"')
        (tmp_path / ".jobd").mkdir()
        file = write_url_file(tmp_path / ".jobd", "unix:///x/redis.sock", "s3cret")
        assert file.stat().st_mode & 0o777 == 0o600
        source = redis_source(env={}, cwd=tmp_path)
        assert source == RedisSource("unix:///x/redis.sock", None, "s3cret", "shop", "embedded", embedded=True)

    @pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"url": 5}', "null"])
    def test_embedded_server_that_is_not_there_says_how_to_start_it(self, tmp_path: Path, content: str | None) -> None:
        write(tmp_path, "[redis]\nembedded = true")
        if content is not None:
            write(tmp_path / ".jobd", content, "redis.url")
        with pytest.raises(RedisUnavailable, match="jobd run"):
            redis_source(env={}, cwd=tmp_path)

    def test_printing_a_source_shows_no_password(self) -> None:
        source = RedisSource("redis://u:hunter2@h/0", password="hunter3")
        assert "hunter" not in repr(source)
        assert source.shown == "redis://u:***@h/0"


class TestWhichSocket:
    def test_named_one_is_the_only_one(self, tmp_path: Path) -> None:
        config = write(tmp_path, '[daemon]\nsocket = "run/c.sock"')
        env = {"JOBD_SOCKET": "/e.sock"}
        assert socket_candidates("/x.sock", config=config, env=env) == [Path("/x.sock")]
        assert socket_candidates(config=config, env=env) == [Path("/e.sock")]
        assert socket_candidates(config=config, env={}) == [tmp_path / "run/c.sock"]

    def test_else_beside_the_file_then_the_systems(self, tmp_path: Path) -> None:
        config = write(tmp_path, "")
        assert socket_candidates(config=config, env={"RUNTIME_DIRECTORY": "/r"}) == [
            tmp_path / ".jobd/control.sock",
            Path("/run/jobd/control.sock"),
        ]

    def test_a_file_that_was_removed_a_moment_ago_does_not_keep_commands_from_its_daemon(self, tmp_path: Path) -> None:
        assert socket_candidates(env={}, cwd=tmp_path) == [
            tmp_path / ".jobd/control.sock",
            Path("/run/jobd/control.sock"),
        ]

    def test_file_of_a_template_unit_names_the_socket_of_its_instance(self) -> None:
        assert socket_candidates(config=Path("/etc/jobd/shop.toml"), env={}) == [
            Path("/etc/jobd/.jobd/control.sock"),
            Path("/run/jobd-shop/control.sock"),
            Path("/run/jobd/control.sock"),
        ]
        assert Path("/run/jobd-jobd/control.sock") not in socket_candidates(config=Path("/etc/jobd/jobd.toml"), env={})

    def test_broken_file_does_not_keep_commands_from_the_daemon(self, tmp_path: Path) -> None:
        config = write(tmp_path, "[daemon")
        assert socket_candidates(config=config, env={})[0] == tmp_path / ".jobd/control.sock"

    @pytest.mark.parametrize(
        "text",
        [
            '[daemon]\nsocket = "run/c.sock"  # here\n[queues]\nbroken\n',
            'broken\n  [daemon] # of this host\nqueues = [\n  "a",\n]\nsocket = "run/c.sock"\n',
            '[queues.a]\nx = [1,\n[daemon]\r\nsocket = "run/c.sock"\r\n\r\n[app]\r\n',
        ],
    )
    def test_file_that_is_broken_elsewhere_tells_where_the_daemon_is(self, tmp_path: Path, text: str) -> None:
        config = write(tmp_path, text)
        assert socket_candidates(config=config, env={}) == [tmp_path / "run/c.sock"]

    def test_run_takes_the_folders_systemd_made(self, tmp_path: Path) -> None:
        config = tmp_path / "jobd.toml"
        env = {"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/var/lib/a"}
        assert run_socket(config=config, env=env) == Path("/run/a/control.sock")
        assert state_dir(config=config, env=env) == Path("/var/lib/a")
        assert run_socket(config=config, env={}) == tmp_path / ".jobd/control.sock"
        assert state_dir(config=config, env={}) == tmp_path / ".jobd"
        assert state_dir(config=config, written=Path("/s"), env=env) == Path("/s")

    def test_file_under_etc_uses_the_systems_places(self) -> None:
        config = Path("/etc/jobd/jobd.toml")
        assert run_socket(config=config, env={}) == Path("/run/jobd/control.sock")
        assert state_dir(config=config, env={}) == Path("/var/lib/jobd")


def test_url_file_names_its_writer(tmp_path: Path) -> None:
    written = json.loads(write_url_file(tmp_path, "unix:///s", None).read_text())
    assert written["url"] == "unix:///s"
    assert written["pid"] > 0


class TestOnlyRegularFiles:
    @pytest.fixture
    def pipe(self, tmp_path: Path) -> Path:
        os.mkfifo(tmp_path / "pipe.toml")
        return tmp_path / "pipe.toml"

    def test_a_pipe_as_the_file_is_refused_at_once(self, pipe: Path) -> None:
        with pytest.raises(ConfigError, match=r"pipe.toml: it is a pipe, not a file"):
            redis_source(config=pipe, env={})
        with pytest.raises(ConfigError, match=r"pipe.toml: it is a pipe, not a file"):
            load(pipe, env={})
        assert socket_candidates(config=pipe, env={})

    def test_a_pipe_among_the_drop_ins_too(self, tmp_path: Path) -> None:
        write(tmp_path, f'[redis]\nurl = "{URL}"')
        (tmp_path / "jobd.d").mkdir()
        os.mkfifo(tmp_path / "jobd.d/1.toml")
        with pytest.raises(ConfigError, match=r"jobd.d/1.toml:1:1 .*it is a pipe, not a file"):
            redis_source(config=tmp_path / "jobd.toml", env={})

    @pytest.mark.parametrize(("path", "what"), [("/dev/zero", "a device"), ("/", "a folder")])
    def test_devices_and_folders_are_called_what_they_are(self, path: str, what: str) -> None:
        with pytest.raises(ConfigError, match=f"it is {what}, not a file"):
            load(path, env={})

    def test_a_secret_that_is_a_pipe_or_without_end_is_refused(self, pipe: Path) -> None:
        with pytest.raises(InputError, match="it is a pipe, not a file"):
            read_secret(Secret("file", str(pipe)), env={})
        with pytest.raises(InputError, match="it is a device, not a file"):
            read_secret(Secret("file", "/dev/zero"), env={})

    def test_a_file_that_became_a_pipe_counts_as_changed(self, tmp_path: Path) -> None:
        main = write(tmp_path, f'[redis]\nurl = "{URL}"\n[queues]\nq = "a:b"')
        config = load(main, env={})
        assert not config.changed_on_disk()
        main.unlink()
        os.mkfifo(main)
        assert config.changed_on_disk()


class TestCurrentFolder:
    def test_a_symlink_the_shell_went_through_stays_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "release").mkdir()
        (tmp_path / "current").symlink_to("release")
        write(tmp_path / "release", "")
        monkeypatch.chdir(tmp_path / "release")
        monkeypatch.setenv("PWD", str(tmp_path / "current"))
        assert find_config(env={}) == tmp_path / "current/jobd.toml"
        assert find_config("other.toml", {}) == tmp_path / "current/other.toml"
        assert socket_candidates("c.sock", env={}) == [tmp_path / "current/c.sock"]

    def test_a_wrong_pwd_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for wrong in ("/", "/no/such", "relative", f"{tmp_path}/../{tmp_path.name}"):
            monkeypatch.setenv("PWD", wrong)
            assert current_folder() == tmp_path

    def test_one_that_is_gone_matters_only_to_a_relative_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        main = write(tmp_path, f'[redis]\nurl = "{URL}"\n[queues]\nq = "a:b"')
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        monkeypatch.setenv("PWD", str(tmp_path / "gone"))
        (tmp_path / "gone").rmdir()
        assert load(main, env={}).changed_on_disk() is False
        assert find_config(env={}) is None or find_config(env={}) == Path("/etc/jobd/jobd.toml")
        assert redis_source(config=main, env={}).url == URL
        assert redis_source(URL, env={}).url == URL
        assert socket_candidates(str(tmp_path / "c.sock"), env={}) == [tmp_path / "c.sock"]
        with pytest.raises(ConfigError, match="the current folder is gone"):
            find_config("jobd.toml", {})
