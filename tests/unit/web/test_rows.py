from __future__ import annotations

from jobd.cli.top.drawing import note_of
from jobd.engine.reading import WrongKey
from jobd.operations.queues import row_of
from jobd.web.rows import Row


def test_a_queue_that_cannot_be_read_is_broken_on_page_and_screen_and_says_what_mends_it() -> None:
    row = row_of("email", WrongKey("bull:email:wait", "string", "list"))
    told = "bull:email:wait is a string where a list belongs; move it away: redis-cli RENAME bull:email:wait"
    shown = Row.of(row, own=False)
    assert (shown.bad, shown.state, shown.waiting, shown.counts["failed"]) == (True, "broken", None, None)
    assert shown.note.startswith(told)
    assert note_of(row).startswith(told)
