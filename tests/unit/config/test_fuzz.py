"""Whatever the file holds, the answer is a configuration or problems with places; never a traceback."""

from __future__ import annotations

import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobd.config.load import load
from jobd.config.model import App, BackoffTable, Breaker, DaemonSettings, QueueTable, RedisSettings, Schedule
from jobd.config.problems import ConfigProblems, render_problems
from jobd.errors import JobdError
from jobd.locate import redis_source, socket_candidates

FIXTURES = Path(__file__).parents[3] / "tests/fixtures/config"
QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

_scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(
        ["30s", "30", "5m", "-1s", "1e3s", "a:b", "a.b", ":", "${A}", "${", "${A:-5}", "$${", "512MB", "*"]
    ),
    st.sampled_from([2**63, -(2**80), 10**40, 0, 1, float("inf")]),
    st.datetimes(),
    st.dates(),
    st.times(),
)
_names = st.sampled_from(
    ["env", "file", "credential", "count", "age", "max", "delay", "type", "handler", "jobs", "x", ""]
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=6
)


def _table(*models: Any) -> st.SearchStrategy[dict[str, Any]]:
    keys = sorted({info.alias or name for model in models for name, info in model.model_fields.items()})
    return st.dictionaries(st.sampled_from(keys) | _names, _values, max_size=5)


_names_of_queues = st.sampled_from(["q", "a:b", "é", "x y", "", "\u0000", "q.1"])
_trees = st.fixed_dictionaries(
    {},
    optional={
        "app": _table(App) | _values,
        "redis": _table(RedisSettings) | _values,
        "daemon": _table(DaemonSettings) | _values,
        "defaults": _table(QueueTable) | _values,
        "presets": st.dictionaries(_names_of_queues, _table(QueueTable) | _values, max_size=2) | _values,
        "queues": st.dictionaries(_names_of_queues, _table(QueueTable, BackoffTable, Breaker) | _values, max_size=3),
        "schedules": st.dictionaries(_names_of_queues, _table(Schedule) | _values, max_size=2) | _values,
        "_env_file": _values,
        "tree": _values,
    },
)


def check(data: bytes, env: dict[str, str] | None = None, drop_in: bytes | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        main = Path(folder) / "jobd.toml"
        main.write_bytes(data)
        if drop_in is not None:
            (Path(folder) / "jobd.d").mkdir()
            (Path(folder) / "jobd.d/1.toml").write_bytes(drop_in)
        variables = {"A": "1"} | (env or {})
        try:
            load(main, env=variables)
        except ConfigProblems as error:
            assert error.details
            for problem in error.details:
                assert (problem.line >= 1 and problem.column >= 1) or problem.file.startswith("$")
                assert problem.message.isprintable()
            render_problems(error.details, kept=True).encode()
        locate(main, variables)


def locate(main: Path, env: dict[str, str]) -> None:
    with contextlib.suppress(JobdError):
        redis_source(config=main, env=env)
    socket_candidates(config=main, env=env)


@QUICK
@given(_trees)
def test_any_tree_of_known_keys_and_wild_values(tree: dict[str, Any]) -> None:
    check(tomli_w.dumps(tree).encode())


@QUICK
@given(_trees, _trees)
def test_any_two_files(tree: dict[str, Any], other: dict[str, Any]) -> None:
    check(tomli_w.dumps(tree).encode(), drop_in=tomli_w.dumps(other).encode())


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@QUICK
@given(
    st.sampled_from(["REDIS__URL", "APP__ENV", "DEFAULTS__BACKOFF", "DAEMON__QUEUES", "APP__NAME", "X", "QUEUES"]),
    st.text(),
)
def test_any_variable(name: str, value: str) -> None:
    check(b'[redis]\nurl = "redis://h"\n[queues]\nq = "a:b"', env={f"JOBD_{name}": value})


@QUICK
@given(st.integers(0, 2**32))
def test_any_damage_to_a_good_file(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray((FIXTURES / "full.toml").read_bytes())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        match chance.randrange(6):
            case 0:
                del data[at:]
                data += b"\n"
            case 1:
                data[at] = chance.randrange(256)
            case 2:
                del data[at : at + chance.randint(1, 30)]
                data += b"#"
            case 3:
                data[at:at] = chance.choice(
                    [b"\0", b"\r", b"\t", b'"', b"'''", b"[", b"]]", b"=", b".", b"\xf0\x9f\x98\x80"]
                )
            case 4:
                line = bytes(data).split(b"\n")
                chance.shuffle(line)
                data = bytearray(b"\n".join(line))
            case _:
                data = data.replace(b"\n", b"\r\n")
    check(bytes(data))


def test_thousands_of_queues_are_read_quickly() -> None:
    text = '[redis]\nurl = "redis://h"\n' + "".join(
        f'[queues.q{n}]\nhandler = "a:b"\nworkres = 1\n' for n in range(1000)
    )
    check(text.encode(), drop_in="".join(f"[queues.q{n}]\nworkers = 2\n" for n in range(1000)).encode())
