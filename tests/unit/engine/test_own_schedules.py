"""What a daemon does about one schedule, from what its file says and what lies in Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobd.engine.own_schedules import Found, OwnSchedule, Verdict, decide
from jobd.engine.schedulers import Policies, Repeat, Template

WANTED = OwnSchedule("q", "s", Repeat(every_ms=1000), Template("n"), Policies(), "shop", "jobd.toml:3")
OTHER = replace(WANTED, repeat=Repeat(every_ms=2000))
NOTHING = Found("s", None, False, False, None, None, False)
MADE = replace(NOTHING, note=WANTED.note(), there=True, as_made=True)
NEWER = replace(MADE, note=OTHER.note())
PAUSED = replace(MADE, there=False, as_made=False, paused={"by": "alice"})
NODE = replace(NOTHING, there=True)
GONE = replace(NOTHING, gone={"app": "shop", "digest": WANTED.digest})


@pytest.mark.parametrize(
    ("wanted", "found", "loaded", "verdict"),
    [
        (WANTED, NOTHING, None, Verdict.SET),
        (WANTED, NOTHING, WANTED.digest, Verdict.SET),
        (WANTED, MADE, None, Verdict.KEEP),
        (WANTED, MADE, WANTED.digest, Verdict.KEEP),
        (WANTED, NEWER, None, Verdict.SET),
        (WANTED, NEWER, OTHER.digest, Verdict.SET),
        (WANTED, NEWER, WANTED.digest, Verdict.KEEP),
        (WANTED, replace(MADE, lost=True), WANTED.digest, Verdict.SET),
        (WANTED, PAUSED, WANTED.digest, Verdict.KEEP),
        (WANTED, PAUSED, None, Verdict.KEEP),
        (OTHER, PAUSED, WANTED.digest, Verdict.SET_PAUSED),
        (OTHER, PAUSED, OTHER.digest, Verdict.KEEP),
        (WANTED, NODE, None, Verdict.FOREIGN),
        (WANTED, replace(MADE, as_made=False), WANTED.digest, Verdict.FOREIGN),
        (WANTED, replace(MADE, note={"app": "other"}), None, Verdict.FOREIGN),
        (WANTED, GONE, WANTED.digest, Verdict.KEEP),
        (WANTED, GONE, None, Verdict.SET),
        (OTHER, GONE, OTHER.digest, Verdict.SET),
        (None, MADE, None, Verdict.REMOVE),
        (None, PAUSED, None, Verdict.REMOVE),
        (None, replace(MADE, listed=True), None, Verdict.KEEP),
        (None, replace(MADE, as_made=False), None, Verdict.KEEP),
    ],
)
def test_verdict(wanted: OwnSchedule | None, found: Found, loaded: str | None, verdict: Verdict) -> None:
    assert decide(wanted, found, loaded) is verdict


@pytest.mark.parametrize(
    "changed",
    [
        replace(WANTED, repeat=Repeat(pattern="* * * * *", timezone="UTC")),
        replace(WANTED, repeat=Repeat(every_ms=1000, limit=3)),
        replace(WANTED, template=Template("m")),
        replace(WANTED, template=Template("n", '{"a":1}')),
        replace(WANTED, policies=Policies("skip")),
        replace(WANTED, policies=Policies(jitter_ms=5)),
    ],
)
def test_every_change_of_a_definition_is_another_digest(changed: OwnSchedule) -> None:
    assert changed.digest != WANTED.digest


def test_the_place_in_the_file_is_no_change() -> None:
    assert replace(WANTED, place="jobd.toml:99").digest == WANTED.digest
