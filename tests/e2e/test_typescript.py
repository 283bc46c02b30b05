"""`jobd schema jobs --ts` of every kind of type: TypeScript's compiler takes what fits and refuses what does not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobd.cli import main
from jobd.client import Queue
from jobd.testing import FakeQueue
from tests.support.node import node_binary, node_modules

pytestmark = pytest.mark.node

FOLDER = Path(__file__).parents[1] / "fixtures" / "typed"
NAMES = re.findall(r"^def (\w+)", (FOLDER / "typed_handlers.py").read_text(), re.M)
FITS = {
    "order": [
        {"id": "12345678-1234-5678-1234-567812345678", "at": "2020-01-01T00:00:00Z", "day": "2020-01-01",
         "to": {"street": "s", "zip": None}, "lines": [{"sku": "a", "n": 1}]},
        {"id": "12345678-1234-5678-1234-567812345678", "at": "2020-01-01T00:00:00Z", "day": "2020-01-01",
         "to": {"street": "s"}, "lines": [], "color": "blue", "level": 2, "mixed": "b", "tags": ["a"], "meta": {"n": 1},
         "pair": [1, "b"], "many": [1, 2], "kind": 3, "price": "1.50", "wait": "PT5S", "anything": [{}], "raw": "x"},
    ],
    "td": [{"a": 1}, {"a": 1, "b": "x"}],
    "td2": [{"a": 1, "b": [{"sku": "a", "n": 1}]}],
    "page": [{"items": [{"userId": 1, 'weird-name "x"': "y", "friends": []}], "next": None}],
    "page2": [{"items": [1], "next": 2}],
    "pet": [{"kind": "cat", "lives": 9}, {"kind": "dog", "tricks": []}],
    "opt": [None, {"street": "s"}],
    "kw": [{"user_id": 1}, {"user_id": 1, "lang": "el", "color": "red"}],
    "kwargs": [{"a": 1, "more": [1]}],
    "loose": [{"a": 1, "more": [1]}],
    "lst": [[1, 2]],
    "text": ["x"],
    "batch": [{"userId": 1, 'weird-name "x"': "y"}],
}  # fmt: skip
"""By handler: data that it takes."""
DOES_NOT = {
    "order": [{"id": "x"}],
    "td": [{"a": "x"}],
    "page2": [{"items": ["x"]}],
    "pet": [{"kind": "dog", "lives": 1}],
    "kw": [{"user_id": 1, "nope": 2}, {"user_id": 1, "color": "green"}, {}],
    "strict": [{"a": 1, "b": 2}],
    "lst": [["x"]],
    "batch": [[{"userId": 1, 'weird-name "x"': "y"}]],
}


def test_the_compiler_and_the_handlers_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = "\n".join(f'{name} = "typed_handlers:{name}"' for name in NAMES if name != "batch")
    (tmp_path / "jobd.toml").write_text(
        f'[app]\npath = ["{FOLDER}"]\n[redis]\nembedded = true\n[queues.q.jobs]\n{handlers}\n'
        '[queues.b]\nbatch = { max = 3 }\n[queues.b.jobs]\nbatch = "typed_handlers:batch"\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "jobs", "--ts"]) == 0
    made = capsys.readouterr().out
    assert not re.search(r"\bany\b", made)
    (tmp_path / "jobs.ts").write_text(made)
    uses = ["import type { Jobs } from './jobs.js'"]
    for refused, table in ((False, FITS), (True, DOES_NOT)):
        for name, values in table.items():
            for value in values:
                uses += ["// @ts-expect-error"] if refused else []
                queue = "b" if name == "batch" else "q"
                uses.append(f"export const c{len(uses)}: Jobs['{queue}']['{name}'] = {json.dumps(value)}")
                assert _ends(queue, name, value) == ("failed" if refused else "completed"), (name, value)
    (tmp_path / "use.ts").write_text("\n".join(uses))
    tsc = node_modules() / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [node_binary(), str(tsc), "--noEmit", "--strict", "--target", "es2022",
         "--module", "nodenext", "use.ts", "jobs.ts"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def _ends(queue: str, name: str, value: Any) -> str:
    """How a job with this data ends."""
    with FakeQueue.patch() as added:
        Queue(queue).add(name, value)
        (done,) = added.drain()
        return done.outcome
