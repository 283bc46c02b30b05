"""BullMQ's names of the options of a job, as ours."""

from __future__ import annotations

from typing import Any

IF_FAILED = {
    "failParentOnFailure": "fail", "continueParentOnFailure": "continue", "ignoreDependencyOnFailure": "ignore",
    "removeDependencyOnFailure": "remove",
}  # fmt: skip


def our_options(opts: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return BullMQ's names of the options as ours."""
    ours: dict[str, Any] = {}
    for name, value in opts.items():
        if name in IF_FAILED:
            ours["if_failed"] = IF_FAILED[name]
        elif name == "jobId":
            ours["job_id"] = value
        elif name == "parent":
            ours["parent"] = {"id": value["id"], "queue": f"{prefix}:{value['queue']}"}
        elif name == "delay":
            ours["delay"] = value / 1000
        elif name in ("removeOnComplete", "removeOnFail"):
            ours["keep_completed" if name == "removeOnComplete" else "keep_failed"] = (
                not value if isinstance(value, bool) else value
            )
        elif name == "deduplication":
            ours["deduplicate"] = {
                {"keepLastIfActive": "keep_last_if_active"}.get(key, key): item / 1000 if key == "ttl" else item
                for key, item in value.items()
            }
        elif name == "keepLogs":
            ours["keep_logs"] = value
        elif name == "backoff":
            ours["backoff"] = {**value, "delay": value["delay"] / 1000} if isinstance(value, dict) else value / 1000
        else:
            ours[name] = value
    return ours
