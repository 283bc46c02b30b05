"""A job that was handed back again and again: it outlasts every stop, so it may never come to its end."""

from __future__ import annotations

from jobd.duration import format_duration

HANDED_BACK_OFTEN = 3
"""Twice may be bad luck: a deploy that was corrected at once."""


def outlasts(times: int, grace_ms: int | None = None) -> str:
    """Return what a person needs to know of such a job; `grace_ms` is how long a stop waits, None: unknown."""
    grace = "" if grace_ms is None else f" ({format_duration(grace_ms)})"
    return (
        f"handed back {times} times without coming to its end: it runs longer than a stop waits{grace}; "
        "raise [daemon] grace, or let it do its work in parts"
    )
