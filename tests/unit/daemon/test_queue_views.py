"""The words a queue's row has beside its state."""

from __future__ import annotations

from jobd.daemon.queue_views import held_note


def test_the_first_line_says_why_a_queue_is_held_and_for_how_long() -> None:
    assert held_note("3 crashes in 1m", 40.2) == "3 crashes in 1m; retry in 40s"
    reason = "setup failed: RuntimeError: no db\nTraceback (most recent call last):\n  …"
    first, *rest = held_note(reason, -1).splitlines()
    assert first == "setup failed: RuntimeError: no db; retry in 0ms"
    assert rest == reason.splitlines()[1:]
