"""Results, progress, logs, data: what a job's code hands out."""

from __future__ import annotations

from tests.interop.with_workers import add, does, worked

COMPAT = "results, progress, logs, data"
VALUES = (
    None, 0, 1, -1.5, 1e21, 2**53, True, False, "", "text", "wörld 🙂", "with \\ / \" and \n", [], {}, [None, [1]],
    {"a": {"b": [1, {"c": None}]}}, {"": ""}, "null", "</script>",
)  # fmt: skip

ROWS = {
    **{f"returns {value!r}": worked(add(does([["return", value]]))) for value in VALUES},
    "progress of every kind": worked(add(does([["progress", value] for value in VALUES if value is not None]))),
    "data of every kind": worked(*(add(value) for value in VALUES if value is not None)),
    "returns nothing": worked(add(does([]))),
    "returns much": worked(add(does([["big", 300_000]]))),
    "progress again and again": worked(add(does([["progress", n] for n in range(20)]))),
    "progress, then fails": worked(add(does([["progress", 10], ["throw", "boom"]]), attempts=2)),
    "logs": worked(add(does([["log", "a"], ["log", "wörld"], ["log", ""], ["log", "two\nlines"]]))),
    **{
        f"keepLogs {keep}": worked(add(does([["log", str(n)] for n in range(6)]), keepLogs=keep)) for keep in (0, 1, 3)
    },
    "logs over attempts": worked(add(does([["log", "a"], ["throw", "boom"]], [["log", "b"]]), attempts=2)),
    "logs of a program outside": [
        add(does([["note", "in"], ["gate", "on"], ["log", "again"]]), jobId="a"), ["work", "q", {}],
        ["noted", "in"], ["log", "q", "a", "from outside"], ["open", "on"], ["idle", "q"],
    ],
    "data is changed": worked(add(does([["data", {"b": [1, "ü", None]}], ["return", 1]]))),
    "data is changed, then fails": worked(add(does([["data", {"b": 2}], ["throw", "boom"]]), attempts=2)),
    "data is changed to a text": worked(add(does([["data", "text"]]))),
    "progress and data and logs": worked(
        add(does([["progress", 1], ["log", "a"], ["data", {"x": 1}], ["progress", {"at": 2}], ["return", "end"]])),
    ),
    "adds to another queue": worked(
        add(does([["add", "other", "job", {"n": 1}, {"delay": 5000, "attempts": 2}], ["return", 1]])),
    ),
    "adds to its own queue": worked(add(does([["add", "q", "job", 1, {}], ["return", 1]])), add(2)),
}  # fmt: skip
