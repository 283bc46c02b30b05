from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from jobd.daemon.notify import PULSE_S, Notifier, Pulse, without_own
from tests.support.notify_socket import NotifySocket


def test_ready_arrives_at_a_path(short_tmp: Path) -> None:
    with NotifySocket(short_tmp / "n") as manager:
        Notifier(manager.env).ready("serving 2 queues")
        assert manager.read() == [{"READY": "1", "STATUS": "serving 2 queues"}]


def test_abstract_address_is_reached() -> None:
    with NotifySocket() as manager:
        Notifier(manager.env).stopping()
        assert manager.read() == [{"STOPPING": "1"}]


def test_reloading_carries_the_monotonic_clock_and_asks_for_time_at_once() -> None:
    with NotifySocket() as manager:
        before = time.monotonic_ns() // 1000
        Notifier(manager.env).reloading()
        message = manager.read()[0]
        assert message["RELOADING"] == "1"
        assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert message["EXTEND_TIMEOUT_USEC"] == "10000000"


def test_status_cannot_smuggle_another_assignment() -> None:
    with NotifySocket() as manager:
        Notifier(manager.env).stopping("fine\nMAINPID=1")
        assert manager.read() == [{"STOPPING": "1", "STATUS": "fine MAINPID=1"}]


def test_extend_timeout_is_in_microseconds() -> None:
    with NotifySocket() as manager:
        notifier = Notifier(manager.env)
        notifier.extend_timeout(1500)
        notifier.watchdog()
        assert manager.read() == [{"EXTEND_TIMEOUT_USEC": "1500000"}, {"WATCHDOG": "1"}]


@pytest.mark.parametrize(("progress", "asked"), [(True, True), (False, False)])
def test_more_time_is_asked_for_only_while_something_makes_progress(progress: bool, asked: bool) -> None:
    with NotifySocket() as manager:
        pulse = Pulse(Notifier(manager.env), lambda: progress)
        assert 0 < pulse.run_once() <= PULSE_S
        told = manager.read()
        assert ({"EXTEND_TIMEOUT_USEC": "10000000"} in told) is asked
        assert {"WATCHDOG": "1"} in told


def test_the_watchdog_is_fed_as_often_as_it_needs() -> None:
    with NotifySocket() as manager:
        notifier = Notifier({**manager.env, "WATCHDOG_USEC": "3000000"})
        assert Pulse(notifier, lambda: False).run_once() == 1.5


def test_a_pulse_starts_and_stops_twice_without_harm() -> None:
    async def run() -> None:
        pulse = Pulse(Notifier({}), lambda: True)
        await pulse.stop()
        pulse.start()
        pulse.start()
        await pulse.stop()
        await pulse.stop()

    asyncio.run(run())


def test_without_a_manager_nothing_happens() -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()


def test_a_manager_that_is_gone_stops_nobody(short_tmp: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(short_tmp / "nobody")})
    notifier.ready()
    notifier.stopping()


def test_a_manager_that_does_not_read_stops_nobody() -> None:
    with NotifySocket() as manager:
        notifier = Notifier(manager.env)
        for _ in range(2000):
            notifier.watchdog()


def test_watchdog_is_half_of_what_systemd_waits() -> None:
    assert Notifier({"WATCHDOG_USEC": "10000000"}).watchdog_s == 5.0
    assert Notifier({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 5.0


def test_watchdog_of_another_process_or_none_is_off() -> None:
    assert Notifier({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    for value in ("", "0", "-5", "soon", "٣"):
        assert Notifier({"WATCHDOG_USEC": value}).watchdog_s is None


def test_children_cannot_speak_in_the_daemons_name() -> None:
    given = {"PATH": "/bin", "NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2"}
    assert without_own(given) == {"PATH": "/bin"}
