"""The reader of Markdown pages that test_readme.py relies on."""

from __future__ import annotations

import pytest

from tests.support.readme import Kind, Step, blocks, differs, steps

_PAGE = """
# Title

<!-- run: start -->
```console
$ jobd version
jobd 0.1.0
$ jobd check   # with a mistake: exit 78
error: ...
```

<!-- file: start shop/jobs.py -->
```python
x = 1
```

```console
$ unmarked
```
"""


def test_marks_are_read_with_the_block_below_them() -> None:
    run, file, unmarked = blocks(_PAGE)
    assert (run.mark, run.name, run.line) == (Kind.RUN, "start", 4)
    assert (file.mark, file.name, file.path, file.body) == (Kind.FILE, "start", "shop/jobs.py", "x = 1\n")
    assert (unmarked.mark, unmarked.language) == (None, "console")


def test_commands_carry_their_exit_code_and_what_is_shown() -> None:
    assert steps(blocks(_PAGE)[0].body) == [
        Step("jobd version", 0, ("jobd 0.1.0",)),
        Step("jobd check   # with a mistake: exit 78", 78, ("error: ...",)),
    ]


def test_a_command_over_two_lines_is_one() -> None:
    assert [step.command for step in steps("$ a \\\n    b\nout\n")] == ["a     b"]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["done. 2 finished"], "done. 13 finished", True),
        (["ready in 0.4s"], "ready in 380ms", True),
        (["a b"], "a      b", True),
        (['{"sent": 7}'], '{"sent": 8}', False),
        (["first", "last"], "first\nlast", True),
        (["first", "last"], "first\nmiddle\nlast", False),
        (["first", "...", "last"], "first\nmiddle\nlast", True),
        (["pid ... is up"], "pid a1 is up", True),
        (["gone"], "", False),
    ],
)
def test_shown_lines_match_what_is_printed(shown: list[str], printed: str, *, same: bool) -> None:
    assert (differs(tuple(shown), printed) is None) is same
