"""The text forms of documents, as the README shows them."""

from __future__ import annotations

from typing import Any

from jobd.cli.columns import Column, cut, draw
from jobd.cli.commands.reload import plan_lines, reload_lines
from jobd.cli.commands.status import status_lines
from jobd.cli.commands.stop import stop_lines
from jobd.cli.output import json_text
from jobd.words import printable


def _queue(name: str, **known: Any) -> dict[str, Any]:
    return {
        "name": name, "state": "running", "why": None, "note": None, "concurrency": 4, "slots": 8, "busy": 5,
        "waiting": 12, "prioritized": 0, "delayed": 3, "failed": 1, "completed": 9, "active": 5,
        "oldest_waiting_s": 0.4, "longest_active_s": 1.0, "done_per_min": 240, "p95_ms": 180.0,
        "memory_bytes": 61_000_000, "workers": [], **known,
    }  # fmt: skip


def _status(*queues: dict[str, Any], **known: Any) -> dict[str, Any]:
    return {
        "schema": 1, "state": "degraded", "degraded_by": ["reports: breaker"], "pid": 1, "host": "h",
        "version": "0.1.0", "uptime_s": 3 * 86400 + 4 * 3600, "generation": 7, "reloaded_s": 120.0,
        "config": {"path": "/etc/jobd/jobd.toml", "changed_on_disk": True, "changed_s": 20},
        "code": {"changed_on_disk": False},
        "redis": {"url": "redis://localhost:6379", "up": True, "latency_ms": 1.1, "embedded": False,
                  "version": "7.2.4", "origin": "jobd.toml:3", "error": None},
        "drift": ["email scaled 2 -> 3 at runtime by deploy (file says 2)"], "queues": list(queues), **known,
    }  # fmt: skip


def test_status_looks_as_in_the_sample() -> None:
    document = _status(
        _queue("email"),
        _queue("thumbs", state="paused", why="paused", concurrency=1, slots=2, busy=0, waiting=207, delayed=0, failed=0,
               done_per_min=0, p95_ms=None, oldest_waiting_s=300.0, note='by alice: "cdn down"'),
    )  # fmt: skip
    assert list(status_lines(document, None, colored=False)) == [
        "jobd 0.1.0  degraded (reports: breaker)  up 3d 4h  generation 7 (reloaded 2m ago)  "
        "redis 7.2 localhost:6379 1.1ms (jobd.toml:3)",
        "config /etc/jobd/jobd.toml  (changed on disk 20s ago, not loaded: jobd plan)",
        "",
        "QUEUE   STATE    WORKERS  BUSY  WAIT  OLDEST  DELAYED  FAILED  DONE/min    P95   MEM",
        "email   running  2 x 4     5/8    12    0.4s        3       1       240  180ms  61MB",
        'thumbs  paused   2 x 1     0/2   207      5m        0       0         0      -  61MB  by alice: "cdn down"',
        "drift: email scaled 2 -> 3 at runtime by deploy (file says 2)",
    ]


def test_a_row_is_one_line_however_long_its_note_is() -> None:
    held = _queue("a", note="setup failed: RuntimeError: no db; retry in 9s\nTraceback (most recent call last):\n  …")
    lines = list(status_lines(_status(held), None, colored=False))
    assert lines[-2].endswith("  setup failed: RuntimeError: no db; retry in 9s")


def test_the_first_line_stays_short_whatever_is_in_trouble() -> None:
    trouble = [f"queue-{number}: no worker is ready" for number in range(500)]
    first = next(status_lines(_status(degraded_by=["a: " + "x" * 5000, *trouble]), None, colored=False))
    assert len(first) < 500
    assert "queue-3: no worker is ready, 496 more)" in first


def test_what_redis_says_has_a_line() -> None:
    document = _status()
    document["redis"]["error"] = "Redis refused: OOM command not allowed"
    assert "Redis says: Redis refused: OOM command not allowed" in status_lines(document, None, colored=False)


def test_counts_that_redis_did_not_give_are_no_zeros() -> None:
    unknown = dict.fromkeys(("waiting", "prioritized", "delayed", "failed", "oldest_waiting_s"))
    document = _status(_queue("email", why="redis_down", **unknown), redis={
        "url": "unix:///r.sock", "up": False, "latency_ms": None, "embedded": False, "version": None, "origin": "",
        "error": None,
    })  # fmt: skip
    lines = list(status_lines(document, None, colored=False))
    assert "redis unix:///r.sock DOWN" in lines[0]
    assert lines[-2].split()[6:10] == ["?", "-", "?", "?"]
    assert lines[-2].endswith("redis down")


def test_a_narrow_terminal_loses_columns_and_no_line_wraps() -> None:
    document = _status(_queue("email", note="x" * 300))
    for width in (40, 60, 80, 100):
        table = list(status_lines(document, width, colored=False))[3:5]
        assert all(len(line) <= width for line in table)
        assert table[0].startswith("QUEUE  STATE")


def test_colors_do_not_move_columns() -> None:
    document = _status(_queue("running"), _queue("b", state="breaker"))
    plain = list(status_lines(document, None, colored=False))
    colored = list(status_lines(document, None, colored=True))
    import click

    assert [click.unstyle(line) for line in colored] == plain
    assert colored != plain


def test_plan_looks_as_in_the_sample() -> None:
    steps = [
        {
            "mark": "~",
            "queue": "email",
            "what": "concurrency 4 -> 8",
            "how": "in place, no restart",
            "action": "in place",
        },
        {"mark": "+", "queue": "thumbs", "what": "new queue", "how": "2 workers", "action": "add"},
        {"mark": " ", "queue": "reports", "what": "unchanged", "how": "", "action": "keep"},
    ]  # fmt: skip
    document = {"generation": 6, "next_generation": 7, "changes": True, "steps": steps, "notes": []}
    assert list(plan_lines(document)) == [
        "  email      concurrency 4 -> 8          in place, no restart",
        "+ thumbs     new queue                   2 workers",
        "  reports    unchanged",
        "generation 6 -> 7.  Apply with: jobd reload",
    ]
    assert list(plan_lines({**document, "changes": False, "steps": []})) == ["generation 6, no changes."]


def test_reload_ends_with_the_new_generation() -> None:
    document = {"generation": 7, "took_s": 3.2, "interrupted": 0, "notes": [], "steps": [{"action": "in-place"}]}
    end = "reloaded     generation 7 in 3.2s. 0 jobs interrupted."
    assert list(reload_lines(document)) == [end]
    document["steps"] = [{"action": "keep"}, {"action": "keep"}]
    assert list(reload_lines(document)) == ["unchanged    nothing in the files differs from what runs", end]


def test_stop_names_what_it_handed_back() -> None:
    document = {"finished": 2, "handed_back": [{"queue": "video", "id": "91b0", "name": "cut", "times": 2}]}
    assert list(stop_lines(document)) == ["done. 2 finished, 1 handed back (video 91b0; attempt not counted)."]
    document["handed_back"][0]["times"] = 3
    assert list(stop_lines(document))[1] == (
        "warning: video 91b0 was handed back 3 times without coming to its end: it runs longer than a stop waits; "
        "raise [daemon] grace, or let it do its work in parts."
    )
    assert list(stop_lines({"finished": 0, "handed_back": []})) == ["done. 0 finished, 0 handed back."]


def test_text_from_redis_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\nc") == "a\\x1b[2Jb\\nc"
    shown = list(draw([Column("NAME")], [["evil\x1b]0;x\x07"]]))
    assert shown[1] == "evil\\x1b]0;x\\x07"


def test_wide_characters_count_two_cells() -> None:
    lines = list(draw([Column("N"), Column("X")], [["日本", "a"], ["abcd", "b"]]))
    assert lines == ["N     X", "日本  a", "abcd  b"]
    assert cut("日本語", 5) == "日本…"


def test_json_holds_no_half_of_a_surrogate_pair() -> None:
    assert json_text({"a": "x\ud800y", "b": "\U0001f600"}) in (
        '{"a": "x\ufffdy", "b": "\U0001f600"}', '{"a": "x\\ufffdy", "b": "\\ud83d\\ude00"}',
    )  # fmt: skip


def test_a_text_of_megabytes_is_cut_at_once() -> None:
    assert cut("x" * 50_000_000, 10) == "x" * 9 + "…"
    assert cut("名" * 5_000_000, 10) == "名" * 4 + "…"
