"""The screens: everything, one queue, one worker, one job."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, RichLog, Static

from jobd.cli.columns import fields
from jobd.cli.log_lines import line_of
from jobd.cli.top import drawing
from jobd.cli.top.tables import Rows
from jobd.errors import JobdError
from jobd.operations import table
from jobd.operations.reasons import state_word
from jobd.words import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobd.cli.top.app import Top
    from jobd.cli.top.snapshot import Snapshot
    from jobd.operations.documents.queues import QueueRow
    from jobd.operations.documents.workers import Worker

_LISTED = 100
_STATES = ("active", "failed", "waiting", "prioritized", "delayed", "completed")
_WIDE, _ROOMY = 150, 110
_LOG_STYLES = {"warning": drawing.MIND, "error": drawing.BAD, "debug": drawing.DIM}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a key is about. `job` is the chosen one; `running` are those of the chosen worker."""

    queue: str | None = None
    job: str | None = None
    running: tuple[str, ...] = ()


class Looking(Screen[None]):
    """A screen that is brought up to date with every look."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "back", show=False)]
    AUTO_FOCUS = "Rows"
    _mounted = False

    @property
    def top(self) -> Top:
        """The application."""
        return cast("Top", self.app)

    def on_mount(self) -> None:
        """Show what is known already."""
        self._mounted = True
        self.renew()

    def on_resize(self) -> None:
        """Show as much as there is room for."""
        self.renew()

    def renew(self) -> None:
        """Show what was seen last; nothing while the parts of the screen are not there.

        A terminal may be resized before they are mounted, and a look may come to its end while the application closes:
        the parts go first then, one by one, and the screen after them.
        """
        if self._mounted:
            with contextlib.suppress(NoMatches):
                self.show(self.top.snapshot)

    def action_back(self) -> None:
        """Go back to where this was opened."""
        self.dismiss(None)

    def show(self, snapshot: Snapshot) -> None:
        """Show what was seen."""
        raise NotImplementedError

    def subject(self) -> Subject:
        """Return what the keys are about."""
        return Subject()


class Overview(Looking):
    """Queues, workers, the log."""

    def __init__(self) -> None:
        super().__init__()
        self._filter = ""
        self._logged: Sequence[Any] = ()

    def compose(self) -> ComposeResult:
        """Draw it."""
        yield Static(id="headline")
        yield Static(id="trouble")
        yield Input(placeholder="part of a queue's name", id="filter", classes="hidden", disabled=True)
        yield Static(id="nothing", classes="hidden")
        yield Rows(drawing.QUEUE_HEADINGS, "queues")
        yield Rows(drawing.WORKER_HEADINGS, "workers")
        yield RichLog(id="log", max_lines=200, wrap=False, markup=False, highlight=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin at the queues; the log is for reading."""
        self.query_one("#log", RichLog).can_focus = False
        self.query_one("#queues", Rows).focus()
        super().on_mount()

    def show(self, snapshot: Snapshot) -> None:
        """Show what was seen."""
        width = self.app.size.width
        self.query_one("#headline", Static).update(_headline(snapshot, self.top.redis))
        trouble = drawing.troubles(snapshot)
        self.query_one("#trouble", Static).update(Text(trouble, no_wrap=True, overflow="ellipsis"))
        self.query_one("#trouble").set_class(not trouble, "hidden")
        self._show_queues(snapshot, width)
        workers = self.query_one("#workers", Rows)
        workers.leave_out(frozenset() if width >= _ROOMY else frozenset({4, 5, 6}))
        workers.show(
            {f"{w['queue']} {w['pid']} {at}": drawing.worker_cells(w) for at, w in enumerate(snapshot.workers)}
        )
        workers.set_class(not snapshot.workers, "hidden")
        self._show_log(snapshot)

    def _show_queues(self, snapshot: Snapshot, width: int) -> None:
        rows = [row for row in snapshot.queues if self._filter.lower() in row["name"].lower()]
        queues = self.query_one("#queues", Rows)
        bars = 30 if width >= _WIDE else 14 if width >= _ROOMY else 10
        queues.leave_out(frozenset() if width >= _ROOMY else frozenset({5, 7, 9}))
        queues.show({row["name"]: drawing.queue_cells(row, snapshot.history.get(row["name"]), bars) for row in rows})
        said = f'no queue has "{self._filter}" in its name' if self._filter else "no queues yet"
        nothing = self.query_one("#nothing", Static)
        nothing.update(Text(said if self.top.looked else "looking…", style=drawing.DIM))
        nothing.set_class(bool(rows), "hidden")

    def _show_log(self, snapshot: Snapshot) -> None:
        log = self.query_one("#log", RichLog)
        log.set_class(not snapshot.log, "hidden")
        if snapshot.log == self._logged:
            return
        self._logged = list(snapshot.log)
        log.clear()
        for line in snapshot.log:
            log.write(Text(line_of(line), style=_LOG_STYLES.get(line["level"], ""), no_wrap=True))

    def subject(self) -> Subject:
        """The queue or worker under the cursor."""
        workers = self.query_one("#workers", Rows)
        if workers.has_focus and workers.chosen is not None:
            worker = self.top.snapshot.workers[int(workers.chosen.rsplit(" ", 1)[1])]
            return Subject(worker["queue"], running=tuple(str(job["id"]) for job in worker["jobs"] if job["id"]))
        return Subject(self.query_one("#queues", Rows).chosen)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a queue or a worker."""
        rows = cast("Rows", event.data_table)
        if rows.chosen is None:
            return
        if rows.id == "queues":
            self.app.push_screen(QueueScreen(rows.chosen))
        else:
            worker = self.top.snapshot.workers[int(rows.chosen.rsplit(" ", 1)[1])]
            self.app.push_screen(WorkerScreen(worker["queue"], worker["pid"]))

    def action_back(self) -> None:
        """End the filter."""
        self._filter = ""
        box = self.query_one("#filter", Input)
        box.value = ""
        box.add_class("hidden")
        box.disabled = True
        self.query_one("#queues", Rows).focus()
        self.renew()

    def filter(self) -> None:
        """Ask for a part of the name."""
        box = self.query_one("#filter", Input)
        box.remove_class("hidden")
        box.disabled = False
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what fits so far."""
        self._filter = event.value
        self.renew()

    def on_input_submitted(self) -> None:
        """Keep the filter."""
        self.query_one("#filter").set_class(not self._filter, "hidden")
        self.query_one("#queues", Rows).focus()


class _WithJobs(Looking):
    """A screen with a table of jobs, which is read when it opens and every few looks."""

    def __init__(self, queue: str) -> None:
        super().__init__()
        self.queue = queue
        self._reading = False
        self._looks = 0

    def compose(self) -> ComposeResult:
        """Draw it."""
        yield Static(id="headline")
        yield VerticalScroll(Static(id="facts"), id="factbox")
        yield Static(id="nothing", classes="hidden")
        yield Rows(drawing.JOB_HEADINGS, "jobs")
        yield Footer()

    def on_mount(self) -> None:
        """Begin at the jobs."""
        self.query_one("#factbox").can_focus = False
        self.query_one("#jobs", Rows).focus()
        super().on_mount()

    def show(self, snapshot: Snapshot) -> None:
        """Show what was seen, and read the jobs again now and then."""
        self.query_one("#headline", Static).update(_headline(snapshot, self.top.redis))
        facts = self.facts(snapshot)
        self.query_one("#facts", Static).update(Text("\n".join(facts)))
        self._looks += 1
        if self._looks % 2 and not self._reading:
            self.run_worker(self._read(), group="jobs")

    def facts(self, snapshot: Snapshot) -> list[str]:
        """Return lines above the jobs."""
        raise NotImplementedError

    def read(self) -> list[Mapping[str, Any]]:
        """Return the jobs; blocks. Raises JobdError."""
        raise NotImplementedError

    async def _read(self) -> None:
        self._reading = True
        try:
            jobs = await asyncio.to_thread(self.read)
            said = "no jobs"
        except (JobdError, TimeoutError, OSError) as error:
            jobs, said = [], str(error).splitlines()[0]
        finally:
            self._reading = False
        # As in `renew`: the answer may come when the screen is on its way out.
        with contextlib.suppress(NoMatches):
            rows, nothing = self.query_one("#jobs", Rows), self.query_one("#nothing", Static)
            rows.show({str(job["id"]): drawing.job_cells(job) for job in jobs})
            nothing.update(Text(said, style=drawing.DIM))
            nothing.set_class(bool(jobs), "hidden")

    def subject(self) -> Subject:
        """The job under the cursor."""
        return Subject(self.queue, self.query_one("#jobs", Rows).chosen)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a job."""
        chosen = cast("Rows", event.data_table).chosen
        if chosen is not None:
            self.app.push_screen(JobScreen(self.queue, chosen))


class QueueScreen(_WithJobs):
    """One queue: its numbers, its charts, its jobs state by state."""

    def facts(self, snapshot: Snapshot) -> list[str]:
        """Return the queue's numbers and charts."""
        row = next((row for row in snapshot.queues if row["name"] == self.queue), None)
        if row is None:
            return [printable(self.queue), "not there any more"]
        history = snapshot.history.get(self.queue)
        width = max(10, min(120, self.app.size.width - 14))
        lines = [f"{printable(self.queue)}  {state_word(row)}  {drawing.note_of(row)}", _counts(row)]
        if history:
            lines += [
                f"throughput  {drawing.chart(history['done'], width)}",
                f"failed      {drawing.chart(history['failed'], width)}",
                f"waited      {drawing.chart(history['oldest_s'], width)}",
            ]
        return lines

    def read(self) -> list[Mapping[str, Any]]:
        """Return what runs, what failed, what waits."""
        found: list[Mapping[str, Any]] = []
        for state in _STATES:
            asked = {"queue": self.queue, "state": state, "limit": _LISTED - len(found)}
            found += self.top.reads.ask(table.JOB_LIST, asked)["jobs"]
            if len(found) >= _LISTED:
                break
        return found


class WorkerScreen(_WithJobs):
    """One worker: what it is and what it runs."""

    def __init__(self, queue: str, pid: int) -> None:
        super().__init__(queue)
        self._pid = pid

    def _worker(self, snapshot: Snapshot) -> Worker | None:
        return next((w for w in snapshot.workers if w["pid"] == self._pid and w["queue"] == self.queue), None)

    def facts(self, snapshot: Snapshot) -> list[str]:
        """Return the worker's numbers."""
        worker = self._worker(snapshot)
        if worker is None:
            return [f"worker {self._pid} of {printable(self.queue)} has ended"]
        cells = drawing.worker_cells(worker)
        named = zip(drawing.WORKER_HEADINGS, cells, strict=True)
        return ["  ".join(f"{heading.lower()} {cell}" for heading, cell in named if heading != "RUNS"), cells[-1]]

    def read(self) -> list[Mapping[str, Any]]:
        """Return the jobs it runs."""
        worker = self._worker(self.top.snapshot)
        ids = [job["id"] for job in worker["jobs"] if job["id"]] if worker else []
        return [self.top.reads.ask(table.JOB_SHOW, {"queue": self.queue, "id": job_id})["job"] for job_id in ids[:20]]


class JobScreen(Looking):
    """One job, everything about it."""

    def __init__(self, queue: str, job_id: str) -> None:
        super().__init__()
        self._queue, self._job_id = queue, job_id

    def compose(self) -> ComposeResult:
        """Draw it."""
        yield Static(id="headline")
        with VerticalScroll(id="job"):
            yield Static(id="facts")
        yield Footer()

    def show(self, snapshot: Snapshot) -> None:
        """Read it again."""
        self.query_one("#headline", Static).update(_headline(snapshot, self.top.redis))
        self.run_worker(self._read(), group="job", exclusive=True)

    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(
                self.top.reads.ask, table.JOB_SHOW, {"queue": self._queue, "id": self._job_id}
            )
            text = "\n".join(fields(found["job"]))
        except (JobdError, TimeoutError, OSError) as error:
            text = str(error)
        with contextlib.suppress(NoMatches):
            self.query_one("#facts", Static).update(Text(text))

    def subject(self) -> Subject:
        """This job."""
        return Subject(self._queue, self._job_id)


def _headline(snapshot: Snapshot, redis: str) -> Text:
    line = Text(drawing.headline(snapshot, redis=redis), no_wrap=True, overflow="ellipsis", style="bold")
    if snapshot.status is not None:
        state = drawing.AWAY if snapshot.trouble is not None else snapshot.status["state"]
        line.highlight_words([state], drawing.STYLES.get(state, ""))
    return line


def _counts(row: QueueRow) -> str:
    names = ("waiting", "prioritized", "delayed", "active", "completed", "failed")
    counts: Mapping[str, Any] = cast("Mapping[str, Any]", row)
    return "  ".join(f"{name} {drawing.count(counts[name])}" for name in names)
