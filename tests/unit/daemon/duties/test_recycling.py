"""When a worker has had its share: workers that started together are not replaced together."""

from __future__ import annotations

from types import SimpleNamespace

from jobd.config.model import Recycle
from jobd.daemon.duties.upkeep import _worn_out


def due_at_s(name: str, rule: Recycle, done: int = 0) -> int:
    """Return the age at which a worker that started at 0 is to be replaced."""
    worker = SimpleNamespace(name=name, pid=1, started_at=0.0, takes_jobs=True, board=SimpleNamespace(jobs_done=done))
    place = SimpleNamespace(worker=worker)
    return next(age for age in range(10_000) if _worn_out(place, rule, float(age)) is not None)  # type: ignore[arg-type]


def test_workers_that_started_together_are_due_at_moments_of_their_own_within_the_last_tenth() -> None:
    rule = Recycle.model_validate({"age": "1000s"})
    ages = [due_at_s(f"mail-{number}", rule) for number in range(20)]
    assert all(900 <= age <= 1000 for age in ages)
    assert len(set(ages)) > 10
    assert max(ages) - min(ages) > 50


def test_so_many_jobs_are_never_more_than_the_file_says() -> None:
    rule = Recycle.model_validate({"jobs": 100})
    assert {due_at_s(f"mail-{number}", rule, done=100) for number in range(20)} == {0}
