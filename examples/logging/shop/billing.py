from __future__ import annotations

import logging

log = logging.getLogger(__name__)


def book(amount: int) -> None:
    log.warning("booked %d", amount)
