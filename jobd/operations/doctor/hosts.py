"""What `doctor` says of the hosts on this Redis, and of what is installed on this one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from jobd.duration import format_duration
from jobd.engine import inspect as ask
from jobd.engine.hosts import LIFE_MS, sign_ages
from jobd.operations.documents.doctor import error, warning
from jobd.operations.hosts import signs_of_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.engine.hosts import HostSign
    from jobd.operations.documents.doctor import Finding
    from jobd.operations.operation import Place

_LOCK_MS = 30_000
"""BullMQ's default `lockDuration`, where no daemon tells its own. A clock may be off by a quarter of it."""


async def about_hosts(place: Place) -> tuple[list[HostSign], list[Finding]]:
    """Return the signs of the living hosts, and whose clock is off."""
    signs = await signs_of_hosts(place)
    ages = await place.runner.run_many(sign_ages(place.prefix, [sign.id for sign in signs]))
    now = await place.runner.run(ask.server_time())
    lock_ms = _LOCK_MS if place.host is None else place.host.shortest_lock_ms() or _LOCK_MS
    findings: list[Finding] = []
    for sign, age_ms in zip(signs, ages, strict=True):
        if not sign.now or age_ms is None or not 0 <= age_ms <= LIFE_MS:
            continue
        off_s = abs(sign.now / 1000 - (now - age_ms / 1000))
        if off_s > lock_ms / 4000:
            findings.append(
                error(
                    "host-clock",
                    sign.host,
                    f"its clock is {format_duration(off_s * 1000)} off Redis' clock",
                    then="its jobs may start at the wrong time, and its delays are wrong for everybody",
                    mend=f"timedatectl set-ntp true    # on {sign.host}",
                )
            )
    return signs, findings


def about_packages() -> Iterator[Finding]:
    """Find another package of the same name."""
    try:
        version = distribution("jobd").version
    except PackageNotFoundError:
        return
    yield warning(
        "strange-package",
        "this host",
        f"a package called jobd ({version}) is installed; it is not this one",
        then="both have a module `jobd`, and one hides the other",
        mend="pip uninstall jobd",
    )
