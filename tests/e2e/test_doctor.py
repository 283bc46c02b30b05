"""`jobd doctor` through a daemon: what only this host knows, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jobd.cli import main
from tests.support.daemon_process import DaemonProcess

QUEUES = '[queues.email]\nhandler = "counting_handlers:ends"\nkeep_completed = 10\nkeep_failed = 10\n'


def test_a_file_that_is_not_loaded_and_a_quiet_queue_are_told(
    make: Callable[..., DaemonProcess], capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = make(QUEUES)

    def doctor(*words: str) -> tuple[int, str]:
        code = main(["--socket", str(daemon.socket), "doctor", *words])
        return code, capsys.readouterr().out

    def codes() -> dict[str, Any]:
        document = json.loads(doctor("--json")[1])
        assert document["schema"] == 1
        return {finding["code"]: finding for finding in document["findings"]}

    assert not {"file-not-loaded", "quiet", "breaker-open"} & {*codes()}
    daemon.write(QUEUES + "workers = 2\n")
    daemon.call("queue.quiet", queue="email")
    told = codes()
    assert "jobd reload" in told["file-not-loaded"]["mend"]
    assert told["quiet"]["mend"] == "jobd queue unquiet email"
    code, text = doctor()
    assert code == 0
    assert "mend   jobd queue unquiet email" in text
    # Nobody serves this one.
    daemon.call("job.add", queue="orphaned", name="n", data={})
    code, text = doctor()
    assert code == 1
    assert text.startswith("error    orphaned: 1 job, and no worker anywhere takes them")
