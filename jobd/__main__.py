"""`python -m jobd` is the command `jobd`."""

import os
import sys

if sys.path and sys.path[0] == os.getcwd():  # noqa: PTH109 - nothing more may be imported before this
    # `-m` puts the current folder first, where a file of the application called queue.py would hide the real one.
    del sys.path[0]

from jobd.cli import main

if __name__ == "__main__":
    sys.exit(main())
