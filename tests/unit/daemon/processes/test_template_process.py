"""What a template tells of workers that nobody waits for."""

from __future__ import annotations

import asyncio

from jobd.daemon.processes.template_process import Template
from jobd.daemon.processes.worker_spec import TemplateKey
from jobd.protocol.worker import Exited, Load, RedisTarget


def test_the_status_of_a_worker_that_nobody_waits_for_is_not_kept() -> None:
    key = TemplateKey("python", (), (), None, True)
    load = Load("1", 1, [], {}, [], [], RedisTarget("unix:///r", "bull"))

    async def work() -> int:
        template = Template(key, load, {})
        for pid in range(100, 200):
            template._received(Exited("1.1.1", pid, 9), [])
        return len(template._statuses)

    assert asyncio.run(work()) == 0
