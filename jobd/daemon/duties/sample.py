"""Look at the queues of this host four times a minute, for their history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.daemon.duties.duty import Duty
from jobd.daemon.history import Sample
from jobd.engine.keys import Keys
from jobd.engine.reading import QueueFacts, queue_facts_or_fault
from jobd.engine.states import State
from jobd.errors import JobdError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobd.daemon.history import History
    from jobd.daemon.supervisor import Supervisor
    from jobd.daemon.views import QueueView
    from jobd.engine.runner import AsyncRunner

PAUSE_S = 15.0


class Sampling(Duty):
    """Keeps the history going. With Redis away the runs are counted all the same, what waits is unknown."""

    name = "sample"

    def __init__(self, supervisor: Supervisor, runner: AsyncRunner, history: History) -> None:
        super().__init__()
        self._supervisor = supervisor
        self._runner = runner
        self._history = history

    async def run_once(self) -> float:
        """Look once."""
        views = self._supervisor.views()
        facts = await self._facts(views)
        samples = [self._sample(view, facts.get(view.name)) for view in views]
        self._history.note(samples, self._supervisor.clock.now_ms())
        return PAUSE_S

    async def _facts(self, views: Sequence[QueueView]) -> dict[str, QueueFacts]:
        prefix = self._supervisor.fleet.source.prefix
        try:
            found = await self._runner.run_many([queue_facts_or_fault(Keys(prefix, view.name)) for view in views])
        except JobdError:
            return {}  # whoever needs Redis says that it is away
        named = zip((view.name for view in views), found, strict=True)
        return {name: facts for name, facts in named if isinstance(facts, QueueFacts)}

    def _sample(self, view: QueueView, facts: QueueFacts | None) -> Sample:
        done, failed = self._supervisor.runs(view.name)
        if facts is None:
            return Sample(view.name, done, failed, None, None)
        waiting = facts.counts[State.WAITING] + facts.counts[State.PRIORITIZED]
        oldest = facts.oldest_waiting_at
        age = None if oldest is None else max(0, self._supervisor.clock.now_ms() - oldest) / 1000
        return Sample(view.name, done, failed, waiting, age)
