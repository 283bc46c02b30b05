"""The JSON Schema of a handler's data, from its signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from pydantic import BaseModel

from jobd import Job
from jobd.testing import run
from jobd.worker.handlers.binding import binding_of
from jobd.worker.handlers.data_schema import schema_of


@dataclass
class Welcome:
    userId: int
    lang: str = "en"


class Order(TypedDict):
    id: int
    note: NotRequired[str]


class Page(BaseModel):
    kind: Literal["html", "pdf"]
    children: list[Page] = []


def nothing(job: Job) -> None: ...
def a_dataclass(data: Welcome) -> None: ...
def both(job: Job, data: Order) -> Any:
    return data


def a_model(data: Page) -> None: ...
def members(*, userId: int, lang: str = "en", more: Any = None, page: Page | None = None) -> None: ...
def others(job: Job, *, userId, **rest: Any) -> None: ...
def plain(data: int | str | None) -> None: ...
def anything(data: Any) -> None: ...


def schema(function: Any) -> Any:
    binding = binding_of(function, "x:y")
    return schema_of(binding.data if binding is not None else None)


def test_what_each_kind_of_signature_takes() -> None:
    assert schema(nothing) is None
    found = schema(a_dataclass)
    assert (found["required"], list(found["properties"])) == (["userId"], ["userId", "lang"])
    found = schema(both)
    assert (found["required"], list(found["properties"])) == (["id"], ["id", "note"])
    found = schema(a_model)
    assert "Page" in found["$defs"]
    assert schema(plain) == {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}
    assert schema(anything) == {}


def test_keyword_only_parameters_are_members() -> None:
    found = schema(members)
    assert (found["required"], found["additionalProperties"]) == (["userId"], False)
    assert found["properties"]["userId"] == {"type": "integer"}
    assert found["properties"]["more"] == {}
    assert "Page" in found["$defs"]
    found = schema(others)
    assert (found["properties"], found["additionalProperties"]) == ({"userId": {}}, True)


def test_an_optional_member_of_a_typed_dict_is_optional_with_postponed_annotations() -> None:
    assert run(both, {"id": 1}).result == {"id": 1}
    refused = run(both, {"id": 1, "note": 2})
    assert (refused.outcome, "note" in str(refused.error)) == ("failed", True)
