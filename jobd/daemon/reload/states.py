"""The way of one reload: its states, one method per event. Decisions only; `Reload` (reload.py) carries them out."""

from __future__ import annotations

from enum import StrEnum


class ReloadState(StrEnum):
    """Where a reload is. Before APPLYING nothing that runs is touched; the last six are ends."""

    READING = "reading"
    """The files, and what in them is wrong."""
    PLANNING = "planning"
    CHECKING = "checking"
    """New and changed handlers are imported by templates that nothing uses yet."""
    TRIAL = "trial"
    """One worker of each renewed queue gets ready and takes nothing."""
    APPLYING = "applying"
    """The new configuration is in force; workers are replaced."""
    DONE = "done"
    REFUSED = "refused"
    """Nothing was started that works; the configuration before stays."""
    ROLLED_BACK = "rolled back"
    """A trial worker could not work; all of them are gone, the configuration before stays."""
    CALLED_OFF = "called off"
    """The daemon stops before it was applied; the configuration before stays."""
    CUT_SHORT = "cut short"
    """The daemon stops while workers are replaced; the new configuration is in force."""
    UNFINISHED = "unfinished"
    """Something failed while workers were replaced; the new configuration is in force."""

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return self in _ENDS

    @property
    def is_in_force(self) -> bool:
        """Whether the new configuration is what the daemon runs by."""
        return self in _IN_FORCE

    @property
    def is_stopped(self) -> bool:
        """Whether the daemon's stop has ended it."""
        return self in (ReloadState.CALLED_OFF, ReloadState.CUT_SHORT)


_IN_FORCE = frozenset({ReloadState.APPLYING, ReloadState.DONE, ReloadState.CUT_SHORT, ReloadState.UNFINISHED})
_ENDS = _IN_FORCE - {ReloadState.APPLYING} | {ReloadState.REFUSED, ReloadState.ROLLED_BACK, ReloadState.CALLED_OFF}


class ReloadCourse:
    """The machine. A step that does not follow is a mistake of the caller; a failure or a stop may come at any time."""

    def __init__(self) -> None:
        self.state = ReloadState.READING

    # --- steps -------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """The files are read, and right."""
        self._go(ReloadState.READING, ReloadState.PLANNING)

    def planned(self, *, changes: bool) -> None:
        """The steps are known; without any the reload is through."""
        self._go(ReloadState.PLANNING, ReloadState.CHECKING if changes else ReloadState.DONE)

    def imported(self) -> None:
        """Whatever is new or changed imports."""
        self._go(ReloadState.CHECKING, ReloadState.TRIAL)

    def tried(self) -> None:
        """Every trial worker is ready."""
        self._go(ReloadState.TRIAL, ReloadState.APPLYING)

    def replaced(self) -> None:
        """Every pool has the workers it is to have, or cannot get them now."""
        self._go(ReloadState.APPLYING, ReloadState.DONE)

    # --- what may come at any time -----------------------------------------------------------------------------------

    def failed(self) -> None:
        """A step could not be done, or whoever waited for it went away."""
        match self.state:
            case ReloadState.READING | ReloadState.PLANNING | ReloadState.CHECKING:
                self.state = ReloadState.REFUSED
            case ReloadState.TRIAL:
                self.state = ReloadState.ROLLED_BACK
            case ReloadState.APPLYING:
                self.state = ReloadState.UNFINISHED
            case _:
                return

    def stop_came(self) -> bool:
        """The daemon stops; return whether that ends the reload."""
        if self.state.is_end:
            return False
        self.state = ReloadState.CUT_SHORT if self.state.is_in_force else ReloadState.CALLED_OFF
        return True

    def _go(self, was: ReloadState, to: ReloadState) -> None:
        if self.state is not was:
            raise AssertionError(f"a reload cannot go from {self.state.value} to {to.value}")
        self.state = to
