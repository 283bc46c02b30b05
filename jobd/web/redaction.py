"""What the page must not show: members of job data whose name fits a glob of `[web] hide`, wherever they turn up.

A hidden member is `***` in data, options, results and progress. Text (logs, reasons, stacks) is gone through twice: for
what looks like `name: value`, and for the very values that the job's own data hides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobd.operations.documents.jobs import Job

STARS = "***"
_VALUE_MIN = 3
"""A shorter value is not looked for in text: "1" would star out half a log."""

_PAIR = re.compile(
    r"""(?P<quote>\\*["']?)(?P<name>[\w.$-]+)(?P=quote)(?P<sep>\s*(?:=>|[:=])\s*)"""
    r"""(?P<value>"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?|\\+"(?:(?!\\+").)*(?:\\+")?|[\[{(].*|[^\s,;&}\])]+)""",
    re.DOTALL,
)


class Redaction:
    """The globs in force. Names are compared without regard to case: a secret hides behind no capital."""

    def __init__(self, globs: tuple[str, ...] = ()) -> None:
        self.globs = tuple(glob.lower() for glob in globs)

    def name(self, name: str) -> bool:
        """Return whether a member of this name is hidden."""
        low = name.lower()
        return any(fnmatchcase(low, glob) for glob in self.globs)

    def data(self, value: Any, values: Sequence[str] = ()) -> Any:
        """Return JSON with what is hidden as `***`, those values in other members as well."""
        if not self.globs:
            return value
        if isinstance(value, dict):
            return {key: STARS if self.name(key) else self.data(member, values) for key, member in value.items()}
        if isinstance(value, list):
            return [self.data(member, values) for member in value]
        return self.text(value, values) if isinstance(value, str) else value

    def values(self, value: Any) -> list[str]:
        """Return the texts that hidden members of this JSON hold, the longest first."""
        found = set(self._values(value, inside=False)) if self.globs else set()
        return sorted(found, key=len, reverse=True)

    def values_of(self, job: Job) -> list[str]:
        """Return the values that a job's payloads hide; they are hidden wherever else the job has them."""
        return self.values([job["data"], job["opts"], job["result"], job["progress"]])

    def _values(self, value: Any, *, inside: bool) -> Iterator[str]:
        if isinstance(value, dict):
            for key, member in value.items():
                yield from self._values(member, inside=inside or self.name(key))
        elif isinstance(value, list):
            for member in value:
                yield from self._values(member, inside=inside)
        elif inside and value is not None and not isinstance(value, bool):
            for text in {str(value), json.dumps(value).strip('"'), json.dumps(value, ensure_ascii=False).strip('"')}:
                if len(text) >= _VALUE_MIN:
                    yield text

    def text(self, text: str, values: Sequence[str] = ()) -> str:
        """Return a text with hidden members and those values as `***`."""
        if not self.globs:
            return text
        for value in values:
            text = text.replace(value, STARS)
        return _PAIR.sub(self._starred, text)

    def _starred(self, found: re.Match[str]) -> str:
        quote, name, sep, value = found["quote"], found["name"], found["sep"], found["value"]
        if self.name(name.rpartition(".")[2]) or self.name(name):
            end = quote if value.startswith(quote) and quote else ""
            return f"{quote}{name}{quote}{sep}{end}{STARS}{end}"
        # What stands behind the separator may hold pairs of its own.
        inner = _PAIR.sub(self._starred, value) if len(value) > 2 else value
        return f"{quote}{name}{quote}{sep}{inner}"


def put_back(edited: Any, original: Any, hidden: Redaction, values: Sequence[str]) -> Any:
    """Return edited data in which everything that was left as it was shown is again what the original has.

    `values` are those with which it was shown.

    Raises:
        KeyError: a `***` stands for a hidden member that the original does not have in that place.
    """
    return _put_back(edited, original, hidden.data(original, values), hidden)


_NOTHING = object()


def _put_back(edited: Any, original: Any, shown: Any, hidden: Redaction) -> Any:
    if edited == shown and type(edited) is type(shown):
        return original
    if isinstance(edited, dict):
        before, seen = (part if isinstance(part, dict) else {} for part in (original, shown))
        lost = [key for key in edited if edited[key] == STARS and hidden.name(key) and key not in before]
        if lost:
            raise KeyError(lost[0])
        return {
            key: _put_back(value, before.get(key, _NOTHING), seen.get(key, _NOTHING), hidden)
            for key, value in edited.items()
        }
    if isinstance(edited, list):
        before_list, seen_list = (part if isinstance(part, list) else [] for part in (original, shown))
        padded = [(_NOTHING, _NOTHING)] * len(edited)
        padded[: len(before_list)] = list(zip(before_list, seen_list, strict=True))[: len(edited)]
        return [_put_back(value, old, seen, hidden) for value, (old, seen) in zip(edited, padded, strict=True)]
    return edited
