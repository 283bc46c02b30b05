from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from jobd.daemon.signals import Interrupts, Signals, Wish, handled_signals, wish_of


def test_interrupts_escalate_and_stay_at_kill() -> None:
    interrupts = Interrupts()
    assert [interrupts.next() for _ in range(4)] == [Wish.STOP, Wish.HAND_BACK, Wish.KILL, Wish.KILL]


@pytest.mark.parametrize(
    ("number", "wish"),
    [
        (signal.SIGTERM, Wish.STOP),
        (signal.SIGQUIT, Wish.HAND_BACK),
        (signal.SIGHUP, Wish.RELOAD),
        (signal.SIGTSTP, Wish.QUIET),
        (signal.SIGCONT, Wish.UNQUIET),
        (signal.SIGTTIN, Wish.STACKS),
        (signal.SIGUSR1, None),
    ],
)
def test_each_signal_asks_for_what_the_manual_says(number: signal.Signals, wish: Wish | None) -> None:
    assert wish_of(number) is wish


def test_on_a_terminal_ctrl_z_suspends_as_usual() -> None:
    assert signal.SIGTSTP not in handled_signals(stdin_is_terminal=True)
    assert signal.SIGCONT not in handled_signals(stdin_is_terminal=True)
    assert signal.SIGTSTP in handled_signals(stdin_is_terminal=False)


@pytest.fixture
def _handlers_come_back() -> Iterator[None]:
    numbers = handled_signals(stdin_is_terminal=False)
    before = {number: signal.getsignal(number) for number in numbers}
    # Whoever started the tests may have them blocked, and then none would come.
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers_come_back")
def test_signals_arrive_on_the_loop_in_order_and_do_nothing_after_stop() -> None:
    async def main() -> list[Wish]:
        came: list[Wish] = []
        signals = Signals(came.append, stdin_is_terminal=False)
        signals.stop()
        signals.start()
        signals.start()
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTTIN):
            before = len(came)
            os.kill(os.getpid(), number)
            async with asyncio.timeout(30):
                while len(came) == before:
                    await asyncio.sleep(0)
        signals.stop()
        signals.stop()
        os.kill(os.getpid(), signal.SIGTERM)
        return came

    assert asyncio.run(main()) == [Wish.RELOAD, Wish.STOP, Wish.HAND_BACK, Wish.STOP, Wish.STACKS]
