"""The schedules of a configuration as they are set in Redis, and what this host remembers of those it loaded."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING, Any

from jobd.clock import SYSTEM_CLOCK
from jobd.daemon.logs import event_log
from jobd.engine.own_schedules import OwnSchedule
from jobd.engine.schedulers import Policies, Repeat, Template

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.config.model import Config, Schedule

log = event_log(__name__)

FILE_NAME = "schedules.json"


def schedules_of(config: Config) -> list[OwnSchedule]:
    """Return the schedules of a file, also those of queues that this daemon does not run: the file lists them."""
    return [_own(config, name, schedule) for name, schedule in config.schedules.items()]


def _own(config: Config, name: str, schedule: Schedule) -> OwnSchedule:
    pattern = schedule.cron
    repeat = Repeat(
        schedule.every_ms, pattern, schedule.timezone if pattern is not None else None, schedule.limit,
        schedule.start_at, schedule.end_at, schedule.offset_ms, schedule.immediately,
    )  # fmt: skip
    data = {} if schedule.data is None else schedule.data
    options = {"priority": schedule.priority} if schedule.priority else {}
    template = Template.of(schedule.name or name, data, options, now_ms=SYSTEM_CLOCK.now_ms())
    policies = Policies(schedule.overlap.value, schedule.catch_up.value, schedule.jitter_ms)
    place = ":".join(config.origins.place(("schedules", name)).split(":")[:2])
    return OwnSchedule(schedule.queue, name, repeat, template, policies, config.app.name, place)


class Loaded:
    """Which definitions the file of this host had when they were looked at last: {"queue/id": digest}.

    It outlives restarts: a daemon that starts with an unchanged file must not set what another host has changed since.
    `daemon` is a name of this state folder, under which it lists its schedules.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._digests: dict[str, str] = {}
        self.daemon = secrets.token_hex(8)
        self._on_disk = True
        try:
            found = json.loads(self._path.read_bytes())
            self.daemon = str(found["daemon"])
            self._digests = {str(key): str(digest) for key, digest in found["loaded"].items()}
        except FileNotFoundError:
            pass  # what is not there says that nothing was loaded, as the first `replace` may
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._on_disk = False
            log.warning("record of loaded schedules cannot be read", path=str(self._path), error=repr(error))

    def digest_of(self, queue: str, sid: str) -> str | None:
        """Return what the file had, None when it had none of that id."""
        return self._digests.get(f"{queue}/{sid}")

    def replace(self, schedules: list[OwnSchedule]) -> None:
        """Remember these instead; a record that cannot be written is remembered until the daemon ends."""
        digests = {f"{schedule.queue}/{schedule.id}": schedule.digest for schedule in schedules}
        if digests == self._digests and self._on_disk:
            return
        self._digests = digests
        fresh = self._path.with_name(f".{FILE_NAME}.{os.getpid()}")
        content: dict[str, Any] = {"daemon": self.daemon, "loaded": digests}
        try:
            fresh.write_text(json.dumps(content))
            fresh.rename(self._path)
            self._on_disk = True
        except OSError as error:
            self._on_disk = False
            fresh.unlink(missing_ok=True)
            log.warning("record of loaded schedules cannot be written", path=str(self._path), error=str(error))
