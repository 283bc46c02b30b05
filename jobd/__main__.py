"""`python -m jobd` is the command `jobd`."""

import os
import sys

try:
    _here = os.getcwd()  # noqa: PTH109 - nothing more may be imported before this
except FileNotFoundError:
    _here = ""  # the current folder was removed, as a deploy does with an old release
if sys.path and sys.path[0] == _here:
    # `-m` puts the current folder first, where a file of the application called queue.py would hide the real one.
    del sys.path[0]

from jobd.cli import main

if __name__ == "__main__":
    sys.exit(main())
