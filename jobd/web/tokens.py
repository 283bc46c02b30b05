"""The secrets of one `jobd web`: the link's token, the cookie it becomes, and the token of each form."""

from __future__ import annotations

import hashlib
import hmac
import secrets


class Tokens:
    """Made anew at each start: whoever held one of the last start asks for the new link."""

    def __init__(self, link: str | None = None) -> None:
        """Prepare; `link` is the token of the link, a random one without."""
        self.link = link or secrets.token_urlsafe(32)
        self._key = secrets.token_bytes(32)

    def opens(self, token: str) -> bool:
        """Return whether this is the link's token."""
        return hmac.compare_digest(token.encode(), self.link.encode())

    @property
    def cookie(self) -> str:
        """What the browser keeps: not the token, so that a cookie that leaks into a log makes no link."""
        return self._signed("cookie", self.link)

    def is_cookie(self, value: str) -> bool:
        """Return whether this is the cookie."""
        return hmac.compare_digest(value.encode(), self.cookie.encode())

    def form(self, user: str, path: str) -> str:
        """Return the token of the form that is sent to `path`: it is good for that path and that user only."""
        return self._signed("form", user, path)

    def is_form(self, token: str, user: str, path: str) -> bool:
        """Return whether this is the token of that form."""
        return hmac.compare_digest(token.encode(), self.form(user, path).encode())

    def _signed(self, *parts: str) -> str:
        text = b"\0".join(part.encode("utf-8", "surrogateescape") for part in parts)
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
