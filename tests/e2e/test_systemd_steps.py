"""The steps of systemd/README.md, typed as they stand on a machine that has systemd, Python and nothing of jobd."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.readme import Kind, blocks, differs, steps
from tests.support.systemd_sandbox import SystemdSandbox, need_systemd
from tests.support.wheels import clone, system_python, wheels

_ROOT = Path(__file__).parents[2]
_ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Debian's for root, and sudo's secure_path
_CLONE, _WHEELS, _PIP_CONFIG = "/srv/clone", "/srv/wheels", "/srv/pip.conf"
_SHELL = f"export PATH={_ROOT_PATH} PIP_CONFIG_FILE={_PIP_CONFIG}"

pytestmark = pytest.mark.systemd


@pytest.fixture
def bare() -> Iterator[SystemdSandbox]:
    """A booted machine with a clone; pip finds in a folder what it would fetch, since the machine has no network."""
    need_systemd()
    python = system_python()
    with tempfile.TemporaryDirectory(prefix="jobd-steps-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = clone(folder / "clone")
        fetched = wheels(python, source, folder, extras="daemon,embedded")
        sandbox = SystemdSandbox(folder / "boot", binds={_CLONE: source, _WHEELS: fetched})
        try:
            sandbox.start()
            sandbox.write(_PIP_CONFIG, f"[global]\nno-index = true\nfind-links = {_WHEELS}\n")
            yield sandbox
        finally:
            sandbox.stop()


def test_the_steps_work_as_they_stand(bare: SystemdSandbox) -> None:
    typed = [
        step
        for block in blocks((_ROOT / "systemd/README.md").read_text())
        if block.mark is Kind.RUN
        for step in steps(block.body)
    ]
    assert len(typed) > 8
    folder = _CLONE
    for step in typed:
        # One shell as a person has it: a `cd` holds for the lines after it.
        done = bare.run(f"{_SHELL}; cd {folder}; {step.command}; code=$?; pwd >/tmp/folder; exit $code", deadline=300)
        shown = done.stdout + done.stderr
        journal = "" if done.returncode == step.exit_code else bare.run("journalctl -u jobd | tail -30").stdout
        assert done.returncode == step.exit_code, f"$ {step.command}\n{shown}{journal}"
        missing = differs(step.shown, shown)
        assert missing is None, f"$ {step.command}\nshown:   {missing}\nprinted: {shown}"
        folder = bare.must("cat /tmp/folder").strip()
    assert bare.must("systemctl is-enabled jobd").strip() == "enabled"
    assert bare.must("systemctl show -P Result jobd").strip() == "success"
