"""To be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.web.render import View

if TYPE_CHECKING:
    from jobd.web.site import Visit


async def page(visit: Visit) -> View:
    """Show."""
    return View("problem.html", {"title": "schedules", "text": "", "lines": []})
