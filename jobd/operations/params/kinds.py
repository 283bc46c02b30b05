"""What a parameter takes: text, a count, milliseconds, and the model that all parameters are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from jobd.duration import MAX_MS

COUNT_MAX = 2**31 - 1

WAIT_MAX_MS = 1000
"""A request that waits is asked again after that: a caller that has gone away holds nothing for longer."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter takes, in words: for messages and the reference page."""

    words: str


def _encodes(text: str | None) -> str | None:
    """Refuse half of a surrogate pair: it can go neither to Redis nor into a file."""
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "half of a surrogate pair") from None
    return text


def _number_as_text(given: Any) -> Any:
    """Take 3 for "3"; -1 stays a number, which is refused: it could mean one less."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else given


Text = Annotated[str, Kind("text"), Field(min_length=1)]
MaybeText = Annotated[str | None, Kind("text"), AfterValidator(_encodes)]
Flag = Annotated[bool, Kind("true or false")]
Milliseconds = Annotated[int | None, Kind("milliseconds"), Field(ge=0, le=MAX_MS)]
Count = Annotated[int | None, Kind("a whole number of at least 1"), Field(ge=1, le=COUNT_MAX)]
Priority = Annotated[int | None, Kind("a whole number of at least 0"), Field(ge=0, le=COUNT_MAX)]
Offset = Annotated[int, Kind("a whole number of at least 0"), Field(ge=0, le=COUNT_MAX)]
Times = Annotated[int, Kind("a whole number from 1 to 1,000"), Field(ge=1, le=1000)]
Texts = Annotated[list[Annotated[str, AfterValidator(_encodes)]], Kind("a list of texts")]
Table = Annotated[dict[str, Any], Kind("an object")]
Scale = Annotated[
    str | None,
    BeforeValidator(_number_as_text),
    Kind('a number of workers such as 5, or a text such as "+1" or "-1"'),
    Field(pattern=r"^[+-]?[0-9]{1,6}$"),
]
Pid = Annotated[int, Kind("a process id"), Field(ge=1, le=COUNT_MAX)]
Probe = Annotated[Literal["live", "ready"] | None, Kind("one of live, ready")]
Level = Annotated[Literal["debug", "info", "warning", "error"] | None, Kind("one of debug, info, warning, error")]
Wait = Annotated[int | None, Kind("milliseconds"), Field(ge=0, le=WAIT_MAX_MS)]
Whole = Annotated[int | None, Kind("a whole number"), Field(ge=0, le=2**53)]
StreamId = Annotated[str | None, Kind("the id of a stream's entry"), Field(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$")]
StreamIds = Annotated[
    dict[str, Annotated[str, Field(pattern=r"^[0-9]{1,20}(-[0-9]{1,20})?$")]], Kind("an object of stream ids")
]


class Params(BaseModel):
    """The parameters of one operation; null stands for one that is not given."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


class Nothing(Params):
    """No parameters."""


def kind_of(model: type[Params], name: str) -> str:
    """Return what a parameter takes, in words."""
    return next(
        (extra.words for extra in model.model_fields[name].metadata if isinstance(extra, Kind)), "another value"
    )
