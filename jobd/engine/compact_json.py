"""JSON as it is stored, by an encoder that is made once.

`json.JSONEncoder.encode` makes its encoder in C anew at each call, two thirds of the time that a small document takes.
"""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any


def compact(default: Callable[[Any], Any] | None = None) -> Callable[[Any], str]:
    """Return what writes a value as JSON without spaces, in Unicode; `default` is as in `json.dumps`.

    It raises as `json.dumps` with `allow_nan=False` does, but for a value that contains itself: RecursionError.
    """
    plain = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # not CPython, or one without its accelerators
        return plain.encode
    # No dictionary of what is being written, which finds circles: after an error it would find some that are none.
    write = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(write(value, 0))
