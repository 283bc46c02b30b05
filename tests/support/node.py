"""Node as the other side of a test: BullMQ's own producers and workers against the same Redis."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.programs import find_program, missing

_PINNED = Path(__file__).parents[1] / "interop" / "node_modules"
_PEER_VENV = Path(__file__).parents[2] / ".venv-lowest"
# Taken out of the environment: a daemon that a test starts refuses JOBD_ variables it does not know.
_FOLDER = Path(os.environ.pop("JOBD_NODE_MODULES", "") or _PINNED)


def node_modules() -> Path:
    """Return the folder with bullmq: `$JOBD_NODE_MODULES`, else `tests/interop/node_modules` (`npm ci` there)."""
    if not (_FOLDER / "bullmq").is_dir():
        missing(f"no bullmq in {_FOLDER}: run `npm ci` in tests/interop")
    return _FOLDER.resolve()


def node_binary() -> str:
    """Return the path of node."""
    return find_program("node", "nodejs")


def node_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which `require("bullmq")` works from any folder (CommonJS: a `.cjs` file)."""
    return {**os.environ, "NODE_PATH": str(node_modules()), **(extra or {})}


def run_node(
    script: Path, *args: str, env: Mapping[str, str] | None = None, stdin: str = "", deadline: float = 60.0
) -> str:
    """Run a CommonJS script to its end and return what it printed; an exit code other than 0 fails the test."""
    done = subprocess.run(
        [node_binary(), str(script), *args], env=node_env(env), input=stdin, capture_output=True, text=True,
        timeout=deadline, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{script.name} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def start_node(
    script: Path, *args: str, env: Mapping[str, str] | None = None, own_session: bool = False
) -> subprocess.Popen[str]:
    """Start a CommonJS script with pipes at its stdin, stdout and stderr; whoever called ends it and waits."""
    return subprocess.Popen(
        [node_binary(), str(script), *args], env=node_env(env), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=own_session,
    )  # fmt: skip


class Conversation:
    """A program that reads a line of JSON, does what it says, and writes a line back."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, verb: str, queue: str = "work", **more: Any) -> Any:
        """Return its answer; what it raised fails the test."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"do": verb, "queue": queue, **more}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read() if self._process.stderr else "it ended"
        answer = json.loads(line)
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer


def python_with_bullmq() -> str:
    """Return the Python of the virtualenv with PyPI's `bullmq`, which pins versions that are not ours."""
    found = _PEER_VENV / "bin" / "python"
    return str(found) if found.exists() else missing(f"no {_PEER_VENV}: `make install-test` makes it")
