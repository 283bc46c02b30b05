"""What opens over a screen: the help, and the question before a change."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

HELP = """\
Look
  arrows      move                    Tab      next table
  Enter       open the queue, the worker, the job
  Escape      back                    /        filter queues by name, Enter keeps it, Escape ends it
  q           quit

Change, each asks first: y or Enter is yes, Escape is no
  p           pause the queue, everywhere, Node's workers too
  u           resume it
  + -         one worker more, one less, until a restart
  r           run failed jobs again: the chosen one, else all of the queue
  k           cancel what runs: the chosen job, else those of the worker

Charts are the last minutes, the newest at the right, each scaled to its own largest value:
THROUGHPUT runs that ended, WAITED how long the next job had waited. A ? could not be asked.

Escape or ? closes this."""


class Help(ModalScreen[None]):
    """The keys."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,enter", "close", "close")]

    def compose(self) -> ComposeResult:
        """Draw it."""
        with VerticalScroll(classes="dialog"):
            yield Static(Text(HELP))

    def action_close(self) -> None:
        """Close it."""
        self.dismiss(None)


class Question(ModalScreen[bool]):
    """A question; the answer is True for yes."""

    BINDINGS: ClassVar[list[BindingType]] = [("y,enter", "yes", "yes"), ("escape,n", "no", "no")]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """Draw it."""
        with VerticalScroll(classes="dialog question"):
            yield Static(Text(f"{self._text}\n\ny, Enter: yes      Escape: no"))

    def action_yes(self) -> None:
        """Do it."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Leave it."""
        self.dismiss(False)
