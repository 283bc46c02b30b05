"""Why nothing of a queue runs, in words, and the command that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jobd.words import shell_word

if TYPE_CHECKING:
    from jobd.operations.documents.queues import QueueRow


class Reason(NamedTuple):
    """Why a queue takes no job, and what one would type next."""

    text: str
    next_command: str


_REASONS = {
    "paused": Reason("it is paused everywhere", "jobd queue resume {q}"),
    "quiet": Reason("this host was told to take none of its jobs", "jobd queue unquiet {q}"),
    "breaker": Reason("its workers crashed too often, so it is held back", "jobd queue reset {q}"),
    "no_workers": Reason("no worker of this host is ready", "jobd status {q}"),
    "redis_down": Reason("Redis does not answer", "jobd doctor"),
    "rate_limited": Reason("its rate limit is used up for now", "jobd config show --origin    # rate_limit"),
    "maxed": Reason("as many jobs run as its global concurrency allows", "jobd job list {q} --state active"),
    "nothing_due": Reason("every job of it is due later", "jobd job list {q} --state delayed"),
}
_NOBODY_ANYWHERE = Reason(
    "no worker anywhere takes its jobs", "jobd run --queue {q}    # on a host whose jobd.toml has it"
)


def state_word(row: QueueRow) -> str:
    """Return the state as people are told it: one that nobody takes jobs from, or can, does not run."""
    if "fault" in row:
        return "broken"
    served = "workers" in row or row["why"] != "no_workers" or row["state"] != "running"
    return row["state"] if served else "no workers"


def why_nothing_runs(row: QueueRow) -> Reason | None:
    """Return why no job of this queue is taken, None when nothing is known to be in the way."""
    why = row.get("why")
    told = _REASONS.get(str(why))
    if why == "no_workers" and "workers" not in row:
        told = _NOBODY_ANYWHERE
    return None if told is None else Reason(told.text, told.next_command.format(q=shell_word(row["name"])))
