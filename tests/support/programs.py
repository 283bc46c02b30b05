"""Programs of the machine that some tests are about."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def find_program(name: str, package: str) -> str:
    """Return the path of a program; without it the test is skipped, and fails under CI."""
    return shutil.which(name) or missing(f"{name} is needed: apt-get install {package}")


def missing(what: str) -> NoReturn:
    """Skip the test for want of something; under CI everything has to be there, so it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
