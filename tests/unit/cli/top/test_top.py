"""The full-screen view by Textual's Pilot: what it shows, what its keys ask and do, on answers of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from jobd.cli import main
from jobd.cli.persistent_connections import PersistentConnections
from jobd.cli.settings import Settings
from jobd.cli.top import app as app_module
from jobd.cli.top import screens
from jobd.cli.top.app import Top
from jobd.cli.top.dialogs import Help, Question
from jobd.cli.top.drawing import chart
from jobd.cli.top.tables import Rows
from jobd.errors import DaemonAway, RedisUnavailable

EVIL = "a\x1b[2J[red]b"


def queue(name: str, **more: Any) -> dict[str, Any]:
    worker = {
        "pid": 7, "queue": name, "state": "ready", "generation": 1, "busy": 1, "uptime_s": 3.0, "why": None,
        "memory_bytes": 9_000_000, "jobs_done": 4, "restarts": 0, "jobs": [{"id": "41", "name": "n", "running_s": 1.5}],
    }  # fmt: skip
    return {
        "name": name, "state": "running", "why": None, "note": None, "slots": 2, "busy": 1, "waiting": 3,
        "prioritized": 0, "delayed": 1, "active": 1, "completed": 5, "failed": 2, "oldest_waiting_s": 0.4,
        "done_per_min": 60, "workers": [worker], **more,
    }  # fmt: skip


def job(job_id: str, state: str) -> dict[str, Any]:
    return {
        "id": job_id, "name": EVIL, "queue": "email", "state": state, "attempts_made": 1, "failed_reason": EVIL,
        "data": {"text": EVIL},
    }  # fmt: skip


class World:
    """Answers as a daemon would, and remembers the changes that were asked for."""

    def __init__(self, *queues: dict[str, Any]) -> None:
        self.queues = list(queues)
        self.changes: list[tuple[str, dict[str, Any]]] = []
        self.away: Exception | None = None
        self.daemon = True

    def ask(self, settings: Settings | None, operation: Any, params: Any = None, **_: Any) -> Any:
        if self.away is not None:
            raise self.away
        params = dict(params or {})
        match operation.name:
            case "status":
                if not self.daemon:
                    raise DaemonAway("no daemon answers", [])
                return {
                    "version": "0.1.0", "state": "ready", "uptime_s": 9.0, "generation": 2, "degraded_by": [],
                    "redis": {"url": "redis://h/0", "up": True, "latency_ms": 0.2, "error": None}, "drift": [],
                    "config": {"changed_on_disk": False}, "code": {"changed_on_disk": False}, "queues": self.queues,
                }  # fmt: skip
            case "logs":
                line = {"time": "2026-01-01T00:00:00.000Z", "level": "info", "event": "output", "queue": "email",
                        "pid": 7, "job": None, "line": EVIL}  # fmt: skip
                return {"lines": [] if "after" in params else [line], "cursor": 1, "more": False, "missed": 0}
            case "history":
                ring = {"done": [1.0, None, 8.0], "failed": [0.0], "oldest_s": [2.0], "waiting": [1.0]}
                return {"queues": [{"name": name, **ring} for name in params["queues"]]}
            case "queue.list":
                return {"queues": [{k: v for k, v in one.items() if k not in ("slots", "busy")} for one in self.queues]}
            case "job.list":
                return {"jobs": [job(f"{params['state']}-1", params["state"])]}
            case "job.show":
                return {"job": job(params["id"], "failed")}
        if not params.get("dry_run"):
            self.changes.append((operation.name, params))
        return {"done": 2, "gone": 0, "ids": []}


Drive = Callable[[Top, Pilot[None]], Coroutine[Any, Any, None]]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the view on a world's answers and drive it."""

    def show(world: World, drive: Drive, size: tuple[int, int] = (80, 24)) -> None:
        monkeypatch.setattr(app_module, "ask", world.ask)
        monkeypatch.setattr(
            PersistentConnections, "ask", lambda self, operation, params=None, **_: world.ask(None, operation, params)
        )

        async def run() -> None:
            view = Top(Settings())
            async with view.run_test(size=size) as pilot:
                await seen(pilot, lambda: view.looked)
                await drive(view, pilot)

        asyncio.run(run())

    return show


async def seen(pilot: Pilot[None], fact: Callable[[], Any]) -> None:
    """Return when a fact holds."""
    async with asyncio.timeout(20):
        while not fact():
            await pilot.pause(0.02)
    await pilot.pause()


def text(view: Top) -> str:
    """Return what the screen shows, row by row."""
    strips = view.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def test_queues_workers_and_log_are_shown_and_nothing_of_them_is_markup_or_escape(show: Any) -> None:
    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await seen(pilot, lambda: "a\\x1b[2J[red]b" in text(view))
        shown = text(view)
        assert "\x1b" not in shown
        assert "jobd 0.1.0  ready  up 9s  generation 2" in shown
        row = next(line for line in shown.splitlines() if line.startswith(" email"))
        assert row.split()[:6] == ["email", "running", "1/2", "3", "0.4s", "2"]
        assert "▂ █" in row
        assert "41 n 1.5s" in shown

    show(World(queue("email"), queue("video")), drive)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_200_queues_scroll_and_filter(size: tuple[int, int], show: Any) -> None:
    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await pilot.press("end")
        await seen(pilot, lambda: "q199" in text(view))
        await pilot.press("slash", "q", "0", "7")
        await seen(pilot, lambda: view.screen.query_one("#queues", Rows).row_count == 10)
        assert "q07" in text(view)
        await pilot.press("enter", "p")
        await seen(pilot, lambda: isinstance(view.screen, Question))
        assert "pause q07" in text(view)
        await pilot.press("escape")
        await pilot.press("escape")
        await seen(pilot, lambda: view.screen.query_one("#queues", Rows).row_count == 200)

    show(World(*(queue(f"q{number:03}") for number in range(200))), drive, size)


def test_a_cell_is_whole_however_early_its_line_was_drawn(show: Any) -> None:
    world = World(queue("email"))

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        table = view.screen.query_one("#queues", Rows)
        (cells,) = table._rows_shown.values()
        world.queues = [queue("email", state="state-of-a-longer-name")]  # a look may come at any moment
        table.show({"email": [*cells[:1], "state-of-a-longer-name", *cells[2:]]})
        assert "state-of" in text(view)  # drawn before the table was idle, and kept
        await pilot.pause()
        assert "state-of-a-longer-name" in text(view)

    show(world, drive)


@pytest.mark.parametrize("daemon", [True, False])
def test_queues_are_in_the_order_of_the_numbers_in_their_names(daemon: bool, show: Any) -> None:
    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await seen(pilot, lambda: "tenant-10" in text(view))
        assert text(view).index("tenant-2 ") < text(view).index("tenant-10")

    world = World(queue("tenant-10"), queue("tenant-2"))
    world.daemon = daemon
    show(world, drive)


@pytest.mark.parametrize(
    ("key", "operation", "params"),
    [
        ("p", "queue.pause", {"queue": "video", "reason": "from top"}),
        ("u", "queue.resume", {"queue": "video"}),
        ("plus", "queue.scale", {"queue": "video", "to": "+1"}),
        ("minus", "queue.scale", {"queue": "video", "to": "-1"}),
        ("r", "job.retry", {"queue": "video", "state": "failed"}),
    ],
)
def test_what_changes_something_asks_first(key: str, operation: str, params: dict[str, Any], show: Any) -> None:
    world = World(queue("email"), queue("video"))

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down", key)
        await seen(pilot, lambda: isinstance(view.screen, Question))
        await pilot.press("escape")
        await seen(pilot, lambda: not isinstance(view.screen, Question))
        assert world.changes == []
        for yes in ("y", "enter"):
            await pilot.press(key)
            await seen(pilot, lambda: isinstance(view.screen, Question))
            await pilot.press(yes)
            await seen(pilot, lambda: world.changes)
            assert world.changes.pop() == (operation, params)

    show(world, drive)


def test_enter_opens_a_queue_then_a_job_which_can_be_retried_and_cancelled(show: Any) -> None:
    world = World(queue("email"))

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await seen(pilot, lambda: "failed-1" in text(view))
        assert "waiting 3  prioritized 0  delayed 1" in text(view)
        await pilot.press("down", "enter")
        await seen(pilot, lambda: "failed_reason" in text(view))
        assert "\x1b" not in text(view)
        for key, operation in (("r", "job.retry"), ("k", "job.cancel")):
            await pilot.press(key)
            await seen(pilot, lambda: isinstance(view.screen, Question))
            await pilot.press("y")
            await seen(pilot, lambda: world.changes)
            assert world.changes.pop() == (operation, {"queue": "email", "ids": ["failed-1"]})
        await pilot.press("escape")
        await pilot.press("escape")
        await seen(pilot, lambda: "WORKER" in text(view))

    show(world, drive)


def test_a_worker_opens_and_its_jobs_are_cancelled_together(show: Any) -> None:
    world = World(queue("email"))

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await pilot.press("tab", "k")
        await seen(pilot, lambda: isinstance(view.screen, Question))
        await pilot.press("y")
        await seen(pilot, lambda: world.changes)
        assert world.changes == [("job.cancel", {"queue": "email", "ids": ["41"]})]
        await pilot.press("enter")
        await seen(pilot, lambda: "worker 7" in text(view) and "41" in text(view))

    show(world, drive)


@pytest.mark.parametrize("close", ["escape", "question_mark"])
def test_help_opens_and_closes(close: str, show: Any) -> None:
    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await seen(pilot, lambda: isinstance(view.screen, Help))
        assert "pause the queue" in text(view)
        await pilot.press(close)
        await seen(pilot, lambda: not isinstance(view.screen, Help))

    show(World(queue("email")), drive)


def test_a_daemon_that_goes_away_and_comes_back(show: Any) -> None:
    world = World(queue("email"))

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        world.away = RedisUnavailable("nobody there\nsecond line")
        await seen(pilot, lambda: "not up to date: nobody there" in text(view))
        assert "jobd 0.1.0  away" in text(view)
        assert " email " in text(view)
        world.away = None
        await seen(pilot, lambda: "not up to date" not in text(view))
        assert "jobd 0.1.0  ready" in text(view)

    show(world, drive)


def test_without_a_daemon_redis_is_read(show: Any) -> None:
    world = World(queue("email", waiting=None, failed=None))
    world.daemon = False

    async def drive(view: Top, pilot: Pilot[None]) -> None:
        await seen(pilot, lambda: " email" in text(view))
        assert "no daemon" in text(view)
        row = next(line for line in text(view).splitlines() if line.startswith(" email"))
        assert row.split()[:4] == ["email", "running", "-", "?"]

    show(world, drive)


def test_nothing_there_says_so(show: Any) -> None:
    async def drive(view: Top, pilot: Pilot[None]) -> None:
        assert "no queues yet" in str(view.screen.query_one("#nothing", Static).render())
        await pilot.press("p", "enter", "r", "k")
        assert not isinstance(view.screen, Question)

    show(World(), drive)


def test_a_screen_whose_parts_are_not_there_yet_bears_a_new_size() -> None:
    screens.Overview().on_resize()


def test_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top"]) == 2
    assert "terminal" in capsys.readouterr().err


def test_charts_are_scaled_to_their_own_largest_value() -> None:
    assert chart([None, 0.0, 1.0, 2.0, 4.0], 6) == "  ▁▃▅█"
    assert chart([], 3) == "   "
    assert chart([0.0, 0.0], 2) == "▁▁"
