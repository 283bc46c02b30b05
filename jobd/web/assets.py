"""The style sheet, the script and the icon: three files by name, read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_TYPES = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}


async def answer(request: Request) -> Response:
    """Return one of them; no other name leads to a file."""
    name = request.path_params["name"]
    if name not in _TYPES:
        raise HTTPException(404)
    return Response(_read(name), media_type=_TYPES[name], headers={"cache-control": "private, max-age=300"})


@cache
def _read(name: str) -> bytes:
    return (files("jobd.web") / "static" / name).read_bytes()
