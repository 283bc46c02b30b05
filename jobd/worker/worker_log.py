"""A worker's own lines. The application may configure `logging` as it likes; it must not silence these by that."""

from __future__ import annotations

import logging
import os


class _ToStderr(logging.Handler):
    """Writes to descriptor 2 itself: `sys.stderr` may be closed, replaced or captured by the application."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.write(2, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return  # The daemon is gone, and nobody reads it.


# Not from getLogger: dictConfig and fileConfig disable every logger they find registered.
log = logging.Logger("jobd.worker", logging.WARNING)
log.addHandler(_ToStderr())
