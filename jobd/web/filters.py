"""The filters of a list of jobs: as they stand in its address, as operations take them, as a person reads them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from jobd.duration import parse_duration
from jobd.engine.reading import COUNTED
from jobd.errors import InputError
from jobd.web import formats

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES = tuple(state.value for state in COUNTED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; empty text: not asked for. `since` and `older` are durations such as "1h"."""

    state: str = ""
    name: str = ""
    error: str = ""
    since: str = ""
    older: str = ""
    id: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Wanted:
        """Return the filters of a query or a form.

        Raises:
            InputError: there is no such state.
        """
        found = cls(**{part.name: given.get(part.name, "").strip() for part in fields(cls)})
        if found.state and found.state not in STATES:
            raise InputError(f'no such state: "{found.state}"; known are {", ".join(STATES)}')
        return found

    def given(self, **instead: str) -> dict[str, str]:
        """Return the filters that are asked for, some of them with another value."""
        own = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in {**own, **instead}.items() if value}

    def params(self) -> dict[str, Any]:
        """Return the filters as operations take them.

        Raises:
            DurationError: an age is no duration.
        """
        found: dict[str, Any] = {
            name: getattr(self, name) for name in ("state", "name", "error") if getattr(self, name)
        }
        if self.since:
            found["since_ms"] = parse_duration(self.since)
        if self.older:
            found["older_ms"] = parse_duration(self.older)
        return found

    def choice(self, queue: str) -> dict[str, Any]:
        """Return the parameters of a change of all that fit."""
        if self.id:
            return {"queue": queue, "ids": [self.id]}
        return {"queue": queue, **(self.params() or {"all": True})}

    @property
    def only_state(self) -> bool:
        """Whether the state is all that is asked for."""
        return bool(self.state) and not (self.name or self.error or self.since or self.older or self.id)

    @property
    def narrow(self) -> bool:
        """Whether anything but the state is asked for."""
        return bool(self.name or self.error or self.since or self.older or self.id)

    def words(self) -> list[str]:
        """Return each filter as a person reads it."""
        names = {"since": "in the last", "older": "older than"}
        return [f"{names.get(name, name)} {value}" for name, value in self.given().items()]

    def address(self, queue: str, **instead: str) -> str:
        """Return the address of the list with these filters, some of them with another value."""
        return formats.address(formats.path("queues", queue, "jobs"), **self.given(**instead))
