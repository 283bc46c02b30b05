"""How much of a text may be shown: passwords of URLs are hidden, in a URL alone and in any text around one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobd.locate.url import HIDDEN_OPTIONS, HOST, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

# Patterns are compiled when they are first used: every producer imports this module, few need them.
_REDIS_IN_TEXT = r"(?:[a-z0-9+.\-]*redis[a-z0-9+.\-]*|valkeys?|unix)://(?:[^\n]*@)?"
_OTHER_IN_TEXT = r"([a-z][a-z0-9+.\-]*://[^/\s?#@:]*:)(\S+)(?=@)"
_OPTION_IN_TEXT = r"([?&][^=&\s]*(?:password|secret|token)[^=&\s]*=)([^&#\s\"']+)"


def mask_url(url: str) -> str:
    """Return what is known to be a Redis URL, or meant to be one, with everything as `***` that may be a password.

    Junk is hidden rather than shown: a password with `/`, `?` or `@` in it, or without its URL around it, stays one.
    """
    return _replaced(url, lambda _: "***")


def star_url(url: str) -> str:
    """As mask_url, with as many stars as characters: what follows keeps its column."""
    return _replaced(url, lambda hidden: "*" * len(hidden))


def redact(text: str, stars: Callable[[str], str] = lambda _: "***") -> str:
    """Return any text with the passwords of all URLs in it hidden: errors of connections like to quote them."""
    if "://" not in text:
        return text
    tail = r"(?:\S*[^\s\"'<>`:;,.)\]])?"  # without the mark of the sentence around it
    text = re.sub(_REDIS_IN_TEXT + tail, lambda found: _replaced(found[0], stars), text, flags=re.IGNORECASE)
    text = re.sub(_OTHER_IN_TEXT, lambda found: found[1] + stars(found[2]), text, flags=re.IGNORECASE)
    return re.sub(_OPTION_IN_TEXT, lambda found: found[1] + stars(found[2]), text, flags=re.IGNORECASE)


def _replaced(url: str, stars: Callable[[str], str]) -> str:
    parts, at = [], 0
    for start, end in _hidden(url):
        parts += [url[at:start], stars(url[start:end])]
        at = end
    return "".join(parts) + url[at:]


def _hidden(url: str) -> list[tuple[int, int]]:
    """Return the stretches of a URL that may be a password, in order."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://", url, re.ASCII)
    if scheme is None:
        return [(0, len(url))] if url else []
    found: list[tuple[int, int]] = []
    start = scheme.end()
    socket = scheme[0].lower() == "unix://"
    end = start + len(re.split(r"[/?#]", url[start:], maxsplit=1)[0])
    if "@" in url[end:] and not (socket and end == start):
        return [(start, len(url))]  # a `/`, `?` or `#` in a password: where it ends is anybody's guess
    at = url.rfind("@", start, end)
    if at >= 0:
        user = re.match(r"[\w.\-]*(?=:)", url[start:at])
        found.append((start + len(user[0]) + 1 if user else start, at))
        start = at + 1
    head = re.match(r"(?P<place>[^/?#]*)(?P<path>[^?#]*)", url[start:])
    assert head is not None  # noqa: S101 - both parts match nothing, too
    if head["place"] and not re.fullmatch(rf"{HOST}(,{HOST})*:?", head["place"]):
        found.append((start, start + head.end("place")))
    sentinel = scheme[0].lower().endswith("+sentinel://")
    path = r"/[\w.\-]{0,200}(/\d{0,9})?/?" if sentinel else r"/?\d{0,9}/?"
    if not socket and not re.fullmatch(path, head["path"], re.ASCII):
        found.append((start + head.start("path") + 1, start + head.end("path")))
    return found + _hidden_options(url, start + head.end())


def _hidden_options(url: str, at: int) -> list[tuple[int, int]]:
    found = []
    query_end = url.find("#", at)
    query_end = len(url) if query_end < 0 else query_end
    if url.startswith("?", at):
        start = at + 1
        for part in url[start:query_end].split("&"):
            name, equals, _ = part.partition("=")
            shown = name in OPTIONS
            if not shown and part:
                found.append((start, start + len(part)))
            elif name in HIDDEN_OPTIONS and equals:
                found.append((start + len(name) + 1, start + len(part)))
            start += len(part) + 1
    if query_end + 1 < len(url):
        found.append((query_end + 1, len(url)))
    return found
