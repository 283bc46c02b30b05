"""What a type checker and an editor know of `schedule`: the names and types of its options."""

from __future__ import annotations

from typing import Any, Unpack, get_args

import pytest

from jobd.client import async_queue, queue
from jobd.client.schedules import ScheduledOptions
from jobd.engine.add_options import AddOptions
from jobd.engine.schedulers import NOT_OF_A_TEMPLATE


@pytest.mark.parametrize("kind", [queue.Queue, async_queue.AsyncQueue])
def test_schedule_takes_typed_options(kind: Any) -> None:
    (options,) = get_args(eval(kind.schedule.__annotations__["options"], {**globals()}))
    assert options is ScheduledOptions
    assert Unpack[options]


def test_its_options_are_when_and_those_of_add_that_hold_for_each_job() -> None:
    names = set(ScheduledOptions.__optional_keys__)
    assert {"every", "cron", "timezone", "limit", "start", "end", "offset", "immediately"} <= names
    assert set(AddOptions.__optional_keys__) - names == set(NOT_OF_A_TEMPLATE)
