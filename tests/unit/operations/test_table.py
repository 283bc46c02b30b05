"""What makes one entry enough: everything else is made from the table, so the table must be whole."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_type_hints, is_typeddict

import pytest

from jobd.daemon.control.methods import Methods
from jobd.operations.daemon_side import DaemonSide
from jobd.operations.operation import ByDaemon, Effect, Needs, OnRedis, Operation
from jobd.operations.params.kinds import Params, kind_of
from jobd.operations.table import OPERATIONS

ALL = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


@ALL
def test_every_operation_has_a_model_a_document_and_a_sentence(operation: Operation[Any, Any]) -> None:
    assert issubclass(operation.params, Params)
    assert is_typeddict(operation.result)
    assert inspect.getdoc(operation.method())
    for name, field in operation.params.model_fields.items():
        assert field.description, name
        assert kind_of(operation.params, name) != "another value", name
    assert set(operation.logged) <= set(operation.params.model_fields)


@ALL
def test_what_is_logged_holds_no_job_data(operation: Operation[Any, Any]) -> None:
    assert not {"data", "options"} & set(operation.logged)
    assert operation.effect is Effect.CHANGES or not operation.logged


def test_the_daemon_has_a_method_for_each_operation_that_needs_one() -> None:
    declared = {name for name, member in vars(DaemonSide).items() if inspect.isfunction(member) and name[0] != "_"}
    named = {name.replace(".", "_") for name, entry in OPERATIONS.items() if isinstance(entry, ByDaemon)}
    assert declared == named
    for name in declared:
        here, there = get_type_hints(getattr(DaemonSide, name)), inspect.signature(getattr(Methods, name))
        assert list(there.parameters) == ["self", "params", "caller"]
        assert there.parameters["params"].annotation == here["params"].__name__


def test_what_needs_redis_needs_no_daemon() -> None:
    for entry in OPERATIONS.values():
        assert entry.needs is (Needs.REDIS if isinstance(entry, OnRedis) else Needs.DAEMON)


def test_the_names_alone_are_light() -> None:
    code = (
        "import sys; from jobd.operations.table import OPERATIONS; print([*OPERATIONS][0], 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "hello False\n"
