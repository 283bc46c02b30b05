"""Do once in the template what every worker would do after its fork, so that a fork is ready in milliseconds."""

from __future__ import annotations

import asyncio

from jobd.engine.scripts import script
from jobd.protocol import worker as messages

_SCRIPTS = ("turn", "annotate", "adopt_jobs", "renew_locks")


def warm_up() -> None:
    """Read the scripts, the types of the messages, what asyncio and host names need; nothing stays open."""
    for name in _SCRIPTS:
        script(name)
    messages.warm_up()
    # Loads the codec with its tables; the first connection by host name would.
    "localhost".encode("idna")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
