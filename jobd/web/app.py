"""The routes of the page, and how an error becomes an answer."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from jobd import __version__
from jobd.errors import JobdError
from jobd.locate import redact
from jobd.web import assets
from jobd.web.access import AccessControl
from jobd.web.actions import ACTS
from jobd.web.live import VIEWERS_MAX, Hub
from jobd.web.pages import config as config_page
from jobd.web.pages import events, job, jobs, logs, overview, queue, schedules
from jobd.web.problems import problem, problem_view
from jobd.web.render import View
from jobd.web.site import FRAME_AGE_S, Site, Visit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from jobd.operations.documents.daemon import Status
    from jobd.web.actions import Act
    from jobd.web.live import Parts

PAGES: dict[str, Callable[[Visit], Awaitable[View]]] = {
    "/": overview.page,
    "/queues/{queue}": queue.page,
    "/queues/{queue}/jobs": jobs.page,
    "/queues/{queue}/jobs/{id}": job.page,
    "/schedules": schedules.page,
    "/config": config_page.page,
    "/events": events.page,
    "/logs": logs.page,
}


def build(site: Site) -> AccessControl:
    """Return the application. With `read_only` there is no route that changes anything."""
    hub = Hub()
    routes = [Route("/static/{name}", assets.answer, methods=["GET"])]
    for path, page in PAGES.items():
        routes.append(Route(path, partial(_show, site, page), methods=["GET"]))
        routes.append(Route("/live" + path, partial(_follow, site, hub, page), methods=["GET"]))
    if not site.read_only:
        routes += [Route(path, partial(_act, site, act), methods=["POST"]) for path, act in ACTS.items()]

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        del app
        yield

    app = Starlette(routes=routes, lifespan=life, exception_handlers={HTTPException: partial(_lost, site)})
    app.router.redirect_slashes = False
    return AccessControl(app, site.rules)


async def _show(site: Site, page: Callable[[Visit], Awaitable[View]], request: Request) -> Response:
    visit = Visit(site, request)
    try:
        view = await page(visit)
    except (JobdError, OSError, TimeoutError) as error:
        view = problem(error)
    return await answer(visit, view)


async def _act(site: Site, act: Act, request: Request) -> Response:
    visit = Visit(site, request)
    async with request.form(max_files=0, max_fields=20_000, max_part_size=4 * 2**20) as form:
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    token = next((value for name, value in fields if name == "csrf"), "")
    if not site.rules.tokens.is_form(token, visit.user, visit.path):
        text = "This form has expired or did not come from this page. Go back, reload and try again."
        return await answer(visit, problem_view("Not permitted", text, 403))
    try:
        view = await act(visit, fields)
    except (JobdError, OSError, TimeoutError) as error:
        view = problem(error)
    finally:
        site.reach.forget()
    return view if isinstance(view, Response) else await answer(visit, view)


async def _follow(site: Site, hub: Hub, page: Callable[[Visit], Awaitable[View]], request: Request) -> Response:
    if hub.viewers >= VIEWERS_MAX:
        return PlainTextResponse("too many pages are open", 503)
    request.scope["path"] = request.scope["path"].removeprefix("/live")
    visit = Visit(site, request, max_age_s=FRAME_AGE_S * 0.75)

    async def render() -> Parts:
        view = await page(visit)
        return site.renderer.live_parts(view, await frame(visit))

    key = (visit.user, str(request.url))
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(hub.follow(key, render), media_type="text/event-stream", headers=headers)


async def _lost(site: Site, request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if "user" not in request.scope or status not in (404, 405):
        return PlainTextResponse(getattr(error, "detail", "error"), status)
    text = "There is no such page." if status == 404 else "Nothing can be sent to this address."
    if status == 405 and site.read_only:
        text = "This page was started with --read-only: it changes nothing."
    return await answer(
        Visit(site, request), problem_view("Not found" if status == 404 else "Not possible", text, status)
    )


async def answer(visit: Visit, view: View) -> Response:
    """Return a view as a whole page."""
    html = visit.site.renderer.page(view, await frame(visit))
    return HTMLResponse(html, view.status, headers={"cache-control": "no-store"})


async def frame(visit: Visit) -> dict[str, Any]:
    """Return what every page is given."""
    site = visit.site
    status, away = await _daemon(visit)
    return {
        "version": __version__,
        "user": visit.user,
        "here": visit.path,
        "live_address": "/live" + visit.path + (f"?{visit.request.url.query}" if visit.request.url.query else ""),
        "csrf": partial(site.rules.tokens.form, visit.user),
        "may_change": site.may_change,
        "read_only": site.read_only or site.reach.reads_only,
        "daemon": status,
        "daemon_away": away,
        "running": site.running,
        "told": site.told(visit.query["told"]) if "told" in visit.query else None,
    }


async def _daemon(visit: Visit) -> tuple[Status | None, str | None]:
    from jobd.operations import table

    try:
        return await visit.shared(table.STATUS), None
    except (JobdError, OSError, TimeoutError) as error:
        return None, redact(str(error))
