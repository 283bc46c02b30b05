"""Let the reference's reader (griffe) see sections of docstrings that follow each other without an empty line."""

from __future__ import annotations

import re
from typing import Any

import griffe

_SECTION = re.compile(r"(?<=\S)\n(Args|Returns|Raises|Source):( |\n)")


class Sections(griffe.Extension):
    """Puts the empty line in."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the text of one docstring before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = _SECTION.sub(r"\n\n\1:\2", obj.docstring.value)
