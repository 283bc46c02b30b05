"""Keep the state folder: the lock that makes this daemon its only one, and the record the next start needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.logs import event_log
from jobd.errors import Refused

if TYPE_CHECKING:
    from jobd.daemon.incarnation import IncarnationRecord

log = event_log(__name__)

TICK_S = 1.0


class StateFolder(Duty):
    """Looks once a second whether the folder is still there, and makes it again when somebody has removed it."""

    name = "state folder"

    def __init__(self, record: IncarnationRecord) -> None:
        super().__init__()
        self._record = record
        self._told = False

    async def run_once(self) -> float:
        """Hold the folder again and write the record, where they are gone; what keeps us from it is logged once."""
        try:
            if self._record.restore():
                log.warning("state folder was removed: it is made again", path=str(self._record.folder))
        except Refused as error:
            if not self._told:
                log.warning("state folder is no longer ours", path=str(self._record.folder), error=str(error))
            self._told = True
        else:
            self._told = False
        return TICK_S
