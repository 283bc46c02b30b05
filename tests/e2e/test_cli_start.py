"""How the command starts: light, and with a word of help where the daemon extra is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = str(Path(__file__).parents[2])

_WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {module!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from jobd.cli import main
sys.exit(main({words!r}))
"""


def _python(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": _ROOT, "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("click", ["status"]),
        ("click", []),
        ("pydantic", ["run"]),
        ("pydantic", ["check"]),
        ("pydantic", ["exec", "q", "n"]),
    ],
)
def test_without_the_daemon_extra_one_line_says_what_to_install(module: str, words: list[str], tmp_path: Path) -> None:
    done = _python(_WITHOUT.format(module=module, words=words), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "pip install '.[daemon,embedded]'" in done.stderr


@pytest.mark.parametrize("words", [["status"], ["health"], ["version"], ["--help"], ["queue", "quiet", "q"], ["stop"]])
def test_what_asks_the_daemon_imports_neither_daemon_nor_config_nor_redis(words: list[str], tmp_path: Path) -> None:
    program = f"""
import sys
from jobd.cli import main
main({words!r})
heavy = ("pydantic", "redis", "rich", "asyncio", "jobd.config", "jobd.daemon", "jobd.worker", "jobd.client", "tomllib")
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    assert _python(program, tmp_path).stderr.splitlines()[-1] == "[]"


def test_python_m_jobd_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "jobd", "--version"], env={"PYTHONPATH": _ROOT}, cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout[:5], done.stderr) == (0, "jobd ", "")
