"""Which other daemons are told of in `status`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobd.daemon.duties.presence import unlike
from jobd.engine.hosts import HostSign

OWN = HostSign("i1", "shop", 1, "one", "0.1.0", 1, ("a", "b"), 0, "cafe")
OTHER = replace(OWN, id="i2", pid=2, host="two")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (OTHER, []),
        (replace(OTHER, config="beef"), ["two (pid 2) runs another file on the same queues"]),
        (replace(OTHER, version="0.2.0"), ["two (pid 2) runs version 0.2.0 on the same queues"]),
        (
            replace(OTHER, version="0.2.0", config="beef"),
            ["two (pid 2) runs version 0.2.0 and another file on the same queues"],
        ),
        (replace(OTHER, config="beef", queues=("c",)), []),
        (replace(OTHER, config="beef", app="other"), []),
        (replace(OTHER, generation=9), []),
    ],
)
def test_only_what_differs_on_the_same_queues_of_the_same_app_is_told(other, told):
    assert unlike(OWN, [other]) == told
