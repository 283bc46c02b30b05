"""The page as text, in the format that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from jobd.metrics.families import families

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client.core import Metric

    from jobd.operations.numbers import Numbers


def text_of(numbers: Numbers, own: Sequence[Metric], accept: str) -> tuple[bytes, str]:
    """Return (the page, its content type); `own` are the handlers' numbers, `accept` the header of the request.

    Without a wish it is Prometheus' text, with `application/openmetrics-text` OpenMetrics.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed([*families(numbers), *own]))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Fixed:
    """A collector of what is there already."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """Return it."""
        return self._metrics
