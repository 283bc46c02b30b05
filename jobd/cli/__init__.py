"""The command line. Only the standard library is imported here: `main` also runs where the daemon extra is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL_HINT = "pip install '.[daemon,embedded]' in a clone of jobd"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        import click  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        print(f"error: the jobd command needs the daemon extra: {INSTALL_HINT}", file=sys.stderr)
        return 1
    from jobd.cli.app import run

    return run(sys.argv[1:] if argv is None else list(argv))
