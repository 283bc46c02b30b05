from __future__ import annotations

from jobd import Job
from shop.database import session
from shop.models import User


def greet(job: Job) -> dict[str, object]:
    user = session().get_one(User, job.data["userId"])
    user.greetings += 1
    if job.data.get("fails"):
        raise RuntimeError("after the change: it is rolled back with this")
    return {"greeted": user.email}
