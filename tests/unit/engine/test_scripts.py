"""How a script is put together from its file and lua/lib."""

from __future__ import annotations

import re

import pytest

from jobd.engine.scripts import script


def functions(source: str, name: str) -> int:
    return len(re.findall(rf"^(?:local function {name}|{name} = function)\(", source, re.M))


def test_a_library_is_pulled_in_once_however_often_it_is_named() -> None:
    assert functions(script("recover_jobs").source, "max_events") == 1


def test_what_is_used_rarely_is_made_at_its_first_call_with_what_only_it_needs() -> None:
    before, made = re.split(r"^settle_child = function", script("recover_jobs").source, flags=re.M)
    assert functions(made, "release_parent") == 1
    assert functions(before, "release_parent") == 0


def test_what_the_script_has_in_the_open_is_not_made_again_for_what_is_used_rarely() -> None:
    assert functions(script("recover_jobs").source, "json_of") == 1


def test_what_is_pulled_in_for_one_block_is_there_for_each_that_asks() -> None:
    assert functions(script("turn").source, "next_due") == 2


@pytest.mark.parametrize("name", ["turn", "recover_jobs", "cancel_job"])
def test_no_include_is_left(name: str) -> None:
    assert "-- include" not in script(name).source
