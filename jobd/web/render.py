"""Templates: HTML that is escaped unless it was made here, and the parts of an open page that are sent again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jobd.web import formats

if TYPE_CHECKING:
    from jinja2 import Template

LIVE = "live_"
"""Blocks of a template with this prefix are sent again when what they show changes; each is one element of that id."""


_PARTS = ("state", "shape", "act", "when", "payload")


@dataclass(frozen=True, slots=True)
class View:
    """What a page is: its template, what it is given, and the status of the answer."""

    template: str
    context: dict[str, Any]
    status: int = 200
    live: bool = field(default=True)
    """Whether the browser asks for what changes meanwhile."""


class Renderer:
    """The templates of the page, compiled once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("jobd.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, enable_async=False,
        )  # fmt: skip
        self._environment.filters |= {
            "count": formats.count, "seconds": formats.seconds, "milliseconds": formats.milliseconds,
            "size": formats.size, "moment": formats.moment, "iso": formats.iso, "ago": formats.ago,
            "pretty": formats.pretty, "shown": formats.shown, "first_line": formats.first_line,
        }  # fmt: skip
        self._environment.globals |= {"path": formats.path, "address": formats.address, "many": formats.many}
        # As globals, because a block that is rendered alone has no imports of its page.
        parts = self._environment.get_template("parts.html").module
        self._environment.globals |= {name: getattr(parts, name) for name in _PARTS}
        # Compiled before the first visitor comes, who would wait for it.
        for name in self._environment.list_templates(["html"]):
            self._environment.get_template(name)

    def page(self, view: View, frame: dict[str, Any]) -> str:
        """Return the whole page; `frame` is what every page is given."""
        return self._template(view).render({**frame, **view.context, "is_live": view.live})

    def live_parts(self, view: View, frame: dict[str, Any]) -> dict[str, str]:
        """Return {id of the element: its inner HTML} of the parts that may change."""
        template = self._template(view)
        context = template.new_context({**frame, **view.context, "is_live": view.live})
        # The blocks of the frame, such as the line on top, are those of its own template.
        blocks = {**self._environment.get_template("frame.html").blocks, **template.blocks}
        return {name: "".join(block(context)) for name, block in blocks.items() if name.startswith(LIVE)}

    def _template(self, view: View) -> Template:
        return self._environment.get_template(view.template)


def safe(html: str) -> Markup:
    """Return HTML that was made here, of escaped parts, as what needs no escaping."""
    return Markup(html)  # noqa: S704 - the callers are charts and templates
