"""Each script's header says what its wrapper sends: KEYS and ARGV by number, the folder and the wrappers one set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import jobd.engine
from jobd.engine.adding import add_flow, add_job, add_jobs
from jobd.engine.admin import (
    cancel_job,
    pause_queue,
    promote_job,
    remove_job,
    resume_queue,
    retry_job,
    trim_history,
)
from jobd.engine.clearing import drop_jobs, forget_queue
from jobd.engine.iterations import next_iteration
from jobd.engine.job import Finish, Keep, Limiter, Taken, TurnRequest
from jobd.engine.job_changes import _remove_orphans, change_delay, change_priority
from jobd.engine.keys import Keys
from jobd.engine.locks import (
    adopt_jobs,
    check_stalled,
    hand_back_jobs,
    recover_jobs,
    renew_locks,
    renew_prefix,
)
from jobd.engine.metrics import Finals, count_finals
from jobd.engine.options import new_job
from jobd.engine.outcome import job_outcome
from jobd.engine.own_schedules import look
from jobd.engine.reading import get_job, get_state, list_jobs, queue_facts
from jobd.engine.runner import Command
from jobd.engine.schedulers import (
    Repeat,
    Template,
    list_schedulers,
    pause_scheduler,
    remove_scheduler,
    upsert_scheduler,
)
from jobd.engine.states import Outcome, State
from jobd.engine.turn import Note, annotate, turn

LUA = Path(jobd.engine.__file__).parent / "lua"
PARTS = ("Promise", "KEYS", "ARGV", "Returns", "Events", "Complexity")
KEYS = Keys("bull", "q")
JOB = new_job("n", {}, now_ms=1)
QUICK = Finish("1", "i:w:1", Outcome.COMPLETED, made=0)
OTHER = Finish("2", "i:w:2", Outcome.FAILED)
UPSERT = upsert_scheduler(KEYS, "s", Repeat(every_ms=1000), Template("n"), now_ms=1)
ITERATION = Taken("repeat:s:1", "i:w:1", "n", b"{}", b"{}", 1, 0, 0, 0, 1, 0, None, None, "s", None, None, False)

# Each with how many arguments follow the numbered ones: as many as one repeated group has, times the groups.
COMMANDS: list[tuple[Command[Any], int]] = [
    (add_job(KEYS, JOB), 4),
    (add_jobs(KEYS, [JOB, JOB]), 8),
    (add_flow([(KEYS, JOB), (KEYS, JOB)], 1), 10),
    (pause_queue(KEYS, who="me", why=None, now_ms=1), 0),
    (resume_queue(KEYS), 0),
    (retry_job(KEYS, "1"), 0),
    (promote_job(KEYS, "1"), 0),
    (cancel_job(KEYS, "1", who="me", now_ms=1), 0),
    (remove_job(KEYS, "1"), 0),
    (change_delay(KEYS, "1", delay_ms=1, now_ms=1), 0),
    (change_priority(KEYS, "1", priority=1), 0),
    (_remove_orphans(KEYS, ["1", "2"]), 2),
    (drop_jobs(KEYS, State.WAITING), 0),
    (forget_queue(KEYS), 0),
    (trim_history(KEYS, KEYS.completed, Keep(10), now_ms=1), 0),
    (job_outcome(KEYS, "1"), 0),
    (get_job(KEYS, "1"), 0),
    (get_state(KEYS, "1"), 0),
    (list_jobs(KEYS, State.WAITING), 0),
    (queue_facts(KEYS), 0),
    (renew_locks(KEYS, [("1", "t"), ("2", "u")], 1000), 4),
    (renew_prefix(KEYS, "i:w:", 1000), 0),
    (adopt_jobs(KEYS, "i:w:", ["1", "2"], 1000), 2),
    (recover_jobs(KEYS, "i:", begun=[("1", 1)], counted=True, max_crashes=1, reason="why", now_ms=1), 2),
    (hand_back_jobs(KEYS, "i:w:"), 0),
    (check_stalled(KEYS, now_ms=1, interval_ms=1000, max_crashes=1), 0),
    (count_finals(KEYS, "inc", Finals(2, 1), Finals(), at_ms=1, most=10), 0),
    (annotate(KEYS, [Note("log", "1", b"line")]), 4),
    (turn(KEYS, TurnRequest(1, 1000, "i:w:", "name")), 0),
    *([(UPSERT, 0)] if UPSERT else []),
    (next_iteration(KEYS, ITERATION, now_ms=1, chance=0.5), 0),
    (remove_scheduler(KEYS, "s"), 0),
    (pause_scheduler(KEYS, "s", who="me", now_ms=1), 0),
    (list_schedulers(KEYS), 0),
    (turn(KEYS, TurnRequest(1, 1000, "i:w:", "name", [QUICK, OTHER], 5, 0, Limiter(1, 1000))), 2 + 12),
    (look(KEYS, ["s", "t"], app="shop", daemon="d", now_ms=1), 2),
]


def header(name: str) -> dict[str, str]:
    """Return {part: its text} of a script's first lines."""
    lines = (LUA / f"{name}.lua").read_text().splitlines()
    assert lines[0].startswith(f"-- {name}: "), f"{name}.lua does not begin with its header"
    found: dict[str, str] = {}
    part = ""
    for line in lines[1:]:
        if not line.startswith("-- ") or line.startswith("-- include"):
            break
        named = re.match(r"-- ([A-Z][A-Za-z]+): +", line)
        part = named[1] if named else part
        found[part] = f"{found.get(part, '')} {line[named.end() if named else 3 :]}"
    return found


def numbers(text: str) -> list[int]:
    """Return the numbers that name a place: "2 stalled (set)". What begins "3 on" names no single one."""
    return [int(number) for number in re.findall(r"(?:^ |  |,   )(\d+) (?!on\b)", text)]


@pytest.mark.parametrize("name", sorted(path.stem for path in LUA.glob("*.lua")))
def test_a_script_begins_with_its_whole_header(name: str) -> None:
    assert tuple(header(name)) == PARTS


@pytest.mark.parametrize(
    ("command", "repeated"), COMMANDS, ids=[command.script.name for command, _ in COMMANDS if command.script]
)
def test_a_header_numbers_every_key_and_argument_of_its_wrapper(command: Command[Any], repeated: int) -> None:
    assert command.script is not None
    told = header(command.script.name)
    keys = command.words[0]
    assert isinstance(keys, int)
    assert numbers(told["KEYS"]) == list(range(1, keys + 1))
    assert numbers(told["ARGV"]) == list(range(1, len(command.words) - keys - repeated))


def test_every_script_has_a_wrapper_and_every_library_a_user() -> None:
    assert {path.stem for path in LUA.glob("*.lua")} == {
        command.script.name for command, _ in COMMANDS if command.script
    }
    include = re.compile(r"^ *-- include(?: here)?(?: when used)?: (\w+)$", re.M)
    used = {name for path in LUA.rglob("*.lua") for name in include.findall(path.read_text())}
    assert {path.stem for path in (LUA / "lib").glob("*.lua")} == used
