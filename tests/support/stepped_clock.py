"""A wall clock that a test sets, for programs of its own: the machine's clock is left alone.

A library that is preloaded adds an offset to what the system says. libfaketime, which does that and more, lets threads
sleep for ever in the moment of a step, and does not bear Redis' allocator.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.support.programs import find_program

_SOURCE = Path(__file__).with_name("stepped_clock.c")


class SteppedClock:
    """One clock, right at first. `env` is what makes programs look at it; their children do too."""

    def __init__(self, folder: Path) -> None:
        """Compile the library into a folder that is there."""
        library, self._file = folder / "stepped_clock.so", folder / "offset"
        compiler = find_program("gcc", "gcc libc6-dev")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE], check=True)
        self.env = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(self._file)}
        self.set(0)

    def set(self, ahead_s: float) -> None:
        """Put it that far before the right time, at once for all who look at it."""
        value = struct.pack("=q", round(ahead_s * 1e9))
        # In place: it is mapped by whoever looks at it. Eight aligned bytes are written at once.
        with self._file.open("r+b" if self._file.exists() else "wb", buffering=0) as file:
            file.write(value)
