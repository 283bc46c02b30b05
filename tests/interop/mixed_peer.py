"""PyPI's `bullmq` beside a daemon: the same lines as mixed_peer.cjs. argv: port, prefix."""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from typing import Any

from bullmq import FlowProducer, Queue, UnrecoverableError, Worker  # type: ignore[import-not-found]

PORT, PREFIX = sys.argv[1:]
AT = {"connection": f"redis://127.0.0.1:{PORT}", "prefix": PREFIX}
queues: dict[str, Any] = {}


def queue(name: str) -> Any:
    if name not in queues:
        queues[name] = Queue(name, dict(AT))
    return queues[name]


async def handle(job: Any, _token: str) -> Any:
    await job.log(f"working on {job.name}")
    if job.name == "fail" or (job.name == "flaky" and job.attemptsMade == 0):
        raise RuntimeError("boom")
    if job.name == "fatal":
        raise UnrecoverableError("fatal")
    if job.name == "sum":
        return sum(each["n"] for each in (await job.getChildrenValues()).values())
    return {"n": 2, "data": job.data}


async def add(request: dict[str, Any]) -> Any:
    return [(await queue(request["queue"]).add(name, data, opts)).id for name, data, opts in request["jobs"]]


async def flow(request: dict[str, Any]) -> Any:
    producer = FlowProducer(dict(AT))
    node = await producer.add(request["tree"])
    await producer.close()
    return node["job"].id


async def work(request: dict[str, Any]) -> bool:
    left, done = request["ends"], asyncio.Event()

    def ended(*_: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    workers = [Worker(name, handle, dict(AT)) for name in request["queues"]]
    for worker in workers:
        worker.on("completed", ended)
        worker.on("failed", lambda job, *_: ended() if job.finishedOn else None)
    await done.wait()
    for worker in workers:
        await worker.close()
    return True


async def pause(request: dict[str, Any]) -> bool:
    await queue(request["queue"]).pause()
    return True


async def resume(request: dict[str, Any]) -> bool:
    await queue(request["queue"]).resume()
    return True


async def look(request: dict[str, Any]) -> Any:
    from bullmq import Job

    of = queue(request["queue"])
    # The state before the fields: a job that has ended by then is read with its end.
    state = await of.getJobState(request["id"])
    job = await Job.fromId(of, request["id"])
    if job is None:
        return None
    return {
        "name": job.name, "data": job.data, "state": state, "result": job.returnvalue,
        "reason": job.failedReason, "attempts": job.attemptsMade, "progress": job.progress, "logs": None,
    }  # fmt: skip


async def acts(request: dict[str, Any]) -> bool:
    from bullmq import Job

    job = await Job.fromId(queue(request["queue"]), request["id"])
    await getattr(job, request["do"])(*(["failed"] if request["do"] == "retry" else []))
    return True


VERBS = {
    "add": add, "flow": flow, "work": work, "pause": pause, "resume": resume, "look": look,
    "retry": acts, "promote": acts, "remove": acts,
}  # fmt: skip


async def main() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        try:
            answer = await VERBS[request["do"]](request)
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


asyncio.run(main())
