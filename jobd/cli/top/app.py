"""The application: looks once a second, and does what the keys say after a question."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import App
from textual.binding import Binding, BindingType

from jobd.cli.daemon_or_redis import ask
from jobd.cli.persistent_connections import PersistentConnections
from jobd.cli.top.dialogs import Help, Question
from jobd.cli.top.screens import Looking, Overview, Subject
from jobd.cli.top.snapshot import Snapshot, SnapshotReader
from jobd.errors import JobdError
from jobd.operations import table
from jobd.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobd.cli.settings import Settings
    from jobd.operations.operation import Operation

LOOK_EVERY_S = 1.0


class Top(App[None]):
    """The full-screen view."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "jobd"
    CSS = """
    Screen { layout: vertical; background: $background; }
    .hidden { display: none; }
    #headline, #trouble { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #nothing { height: 1; padding: 0 1; }
    #trouble { color: $text-error; }
    #queues { height: auto; min-height: 4; max-height: 50%; }
    #workers { height: auto; min-height: 4; max-height: 30%; border-top: solid $panel; }
    #log { height: 1fr; min-height: 3; border-top: solid $panel; padding: 0 1; background: $background;
           scrollbar-size: 0 0; }
    #filter { height: 3; }
    #factbox { height: auto; max-height: 8; padding: 0 1; }
    #jobs { height: 1fr; border-top: solid $panel; }
    #job { height: 1fr; padding: 0 1; }
    DataTable { background: $background; scrollbar-size: 0 1; }
    DataTable:focus { background-tint: $foreground 0%; }
    ModalScreen { align: center middle; background: $background 60%; }
    .dialog { width: auto; max-width: 90%; height: auto; max-height: 90%; border: round $primary; padding: 0 1;
              background: $surface; }
    .dialog Static { width: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "pause"),
        Binding("u", "resume", "resume"),
        Binding("plus", "scale('+1')", "more", key_display="+"),
        Binding("minus", "scale('-1')", "less", key_display="-"),
        Binding("r", "retry", "retry"),
        Binding("k", "cancel", "cancel"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.redis = printable(settings.redis or "")
        self.snapshot = Snapshot()
        self.looked = False
        self.reads = PersistentConnections(settings)
        self._reader = SnapshotReader(settings)
        self._looking = False

    def on_mount(self) -> None:
        """Begin to look."""
        self.push_screen(Overview())
        self.set_interval(LOOK_EVERY_S, self.look)
        self.look()

    def close(self) -> None:
        """Close the connections that were kept; after the end, since a look may have to be waited for."""
        self._reader.close()
        self.reads.close()

    def look(self) -> None:
        """Look, unless the last look is not over yet."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look(), group="look")

    async def _look(self) -> None:
        try:
            self.snapshot = await asyncio.to_thread(self._reader.look)
            self.looked = True
        finally:
            self._looking = False
        for screen in self.screen_stack:
            if isinstance(screen, Looking):
                screen.renew()

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    def action_filter(self) -> None:
        """Filter the queues."""
        if isinstance(self.screen, Overview):
            self.screen.filter()

    def action_pause(self) -> None:
        """Pause the queue."""
        if queue := self._queue():
            text = f"pause {printable(queue)}, for every worker everywhere?"
            self._do(text, table.QUEUE_PAUSE, {"queue": queue, "reason": "from top"}, f"{queue} is paused")

    def action_resume(self) -> None:
        """Resume it."""
        if queue := self._queue():
            self._do(f"resume {printable(queue)}?", table.QUEUE_RESUME, {"queue": queue}, f"{queue} is resumed")

    def action_scale(self, to: str) -> None:
        """Run one worker more or less."""
        if queue := self._queue():
            word = "more" if to == "+1" else "less"
            text = f"run one worker {word} of {printable(queue)}, until a restart?"
            self._do(text, table.QUEUE_SCALE, {"queue": queue, "to": to}, f"{queue}: one worker {word}")

    def action_retry(self) -> None:
        """Run failed jobs again."""
        subject = self._subject()
        if subject.queue is None:
            self._tell("choose a queue or a job first")
        elif subject.job is not None:
            params = {"queue": subject.queue, "ids": [subject.job]}
            self._do(f"retry job {printable(subject.job)}?", table.JOB_RETRY, params, f"job {subject.job} runs again")
        else:
            self.run_worker(self._retry_all(subject.queue))

    async def _retry_all(self, queue: str) -> None:
        params: dict[str, Any] = {"queue": queue, "state": "failed"}
        found = await self._ask(table.JOB_RETRY, {**params, "dry_run": True})
        if found is None:
            return
        if not found["done"]:
            self._tell(f"{queue} has no failed jobs")
            return
        jobs = plural(found["done"], "failed job")
        await self._asked(f"retry {jobs} of {printable(queue)}?", table.JOB_RETRY, params, f"{jobs} run again")

    def action_cancel(self) -> None:
        """Cancel what runs."""
        subject = self._subject()
        ids = [subject.job] if subject.job is not None else list(subject.running)
        if subject.queue is None or not ids:
            self._tell("choose a job, or a worker that runs one")
            return
        what = f"job {printable(ids[0])}" if len(ids) == 1 else f"{len(ids)} jobs"
        params = {"queue": subject.queue, "ids": ids}
        self._do(f"cancel {what} of {printable(subject.queue)}?", table.JOB_CANCEL, params, f"{what} cancelled")

    # --- inside ------------------------------------------------------------------------------------------------------

    def _subject(self) -> Subject:
        return self.screen.subject() if isinstance(self.screen, Looking) else Subject()

    def _queue(self) -> str | None:
        queue = self._subject().queue
        if queue is None:
            self._tell("choose a queue first")
        return queue

    def _do(self, question: str, operation: Operation[Any, Any], params: Mapping[str, Any], done: str) -> None:
        self.run_worker(self._asked(question, operation, params, done))

    async def _asked(self, question: str, operation: Operation[Any, Any], params: Mapping[str, Any], done: str) -> None:
        if await self.push_screen_wait(Question(question)):
            found = await self._ask(operation, params)
            if found is not None:
                gone = found.get("gone") and not found.get("done")
                self._tell("not possible: it is not there any more, or in another state" if gone else done)
                self.look()

    async def _ask(self, operation: Operation[Any, Any], params: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the document of an operation; None, and the reason on the screen, when it did not succeed."""
        try:
            return cast("Mapping[str, Any]", await asyncio.to_thread(ask, self.settings, operation, params))
        except (JobdError, TimeoutError, OSError) as error:
            self.notify(printable(str(error).splitlines()[0]), severity="error", markup=False)
            return None

    def _tell(self, text: str) -> None:
        self.notify(printable(text), markup=False)
