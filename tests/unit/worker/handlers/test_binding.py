from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import pydantic
import pytest

import jobd
from jobd import Unrecoverable
from jobd.engine.job import Taken
from jobd.errors import HandlerError
from jobd.worker.handlers.binding import bind
from jobd.worker.handlers.job import Job

if TYPE_CHECKING:
    from jobd import Job as HiddenJob


class Welcome(pydantic.BaseModel):
    user_id: int
    lang: str = "en"


@dataclass
class Point:
    x: int
    y: int = 0


class Row(TypedDict):
    id: int


class _NoSink:
    stopping = False


def job(data: Any) -> Job:
    raw = json.dumps(data).encode()
    taken = Taken("1", "t", "n", raw, None, 0, 0, 0, 0, 1, 0, None, None, None, None, None, False)
    return Job(taken, "q", 1, _NoSink())  # type: ignore[arg-type]


def test_unannotated_parameter_gets_the_job_and_costs_no_wrapper() -> None:
    def handler(job):  # type: ignore[no-untyped-def]
        return job

    assert bind(handler, "p") is handler


def test_job_annotation_is_found_as_text_and_under_type_checking() -> None:
    def by_text(job: Job) -> Any:
        return job

    def hidden(job: HiddenJob) -> Any:
        return job

    hidden.__annotations__["job"] = "Job"
    hidden.__globals__  # noqa: B018
    assert bind(by_text, "p") is by_text
    assert bind(hidden, "p") is hidden


def test_builtin_without_signature_gets_the_job() -> None:
    assert bind(max, "p") is max


@pytest.mark.parametrize("kind", [Welcome, Point, Row])
def test_annotated_parameter_gets_validated_data(kind: Any) -> None:
    data = {"user_id": 7, "x": 1, "id": 3}

    def handler(data: Any) -> Any:
        return data

    handler.__annotations__["data"] = kind
    assert bind(handler, "p")(job(data)) in (Welcome(user_id=7), Point(1), {"id": 3})


def test_job_and_data_together() -> None:
    def handler(job: Job, data: Welcome) -> Any:
        return job.id, data.user_id

    assert bind(handler, "p")(job({"user_id": 7})) == ("1", 7)


@pytest.mark.parametrize(
    ("data", "field"),
    [({"user_id": "x"}, "user_id"), ({}, "user_id"), ({"user_id": 1, "lang": 5}, "lang"), (5, "data")],
)
def test_data_that_does_not_fit_fails_for_good_and_names_the_field(data: Any, field: str) -> None:
    def handler(data: Welcome) -> None: ...

    with pytest.raises(Unrecoverable, match=field):
        bind(handler, "p")(job(data))


def test_keyword_only_parameters_are_members_of_data() -> None:
    def handler(*, user_id: int, lang: str = "en") -> Any:
        return user_id, lang

    call = bind(handler, "p")
    assert call(job({"user_id": 1})) == (1, "en")
    assert call(job({"user_id": 1, "lang": "el"})) == (1, "el")


@pytest.mark.parametrize(
    ("data", "field"),
    [({}, "user_id: missing"), ({"user_id": 1, "more": 2}, "more: unknown"), ({"user_id": "1"}, "user_id: expected"),
     ({"user_id": True}, "user_id"), ([1], "expected an object")],
)  # fmt: skip
def test_members_that_do_not_fit_fail_for_good_and_are_named(data: Any, field: str) -> None:
    def handler(*, user_id: int) -> None: ...

    with pytest.raises(Unrecoverable, match=field):
        bind(handler, "p")(job(data))


def test_rest_parameter_takes_the_other_members() -> None:
    def handler(*, user_id: int, **rest: Any) -> Any:
        return rest

    assert bind(handler, "p")(job({"user_id": 1, "more": 2})) == {"more": 2}


def test_job_with_members() -> None:
    def handler(job: Job, *, n: float) -> Any:
        return job.id, n

    assert bind(handler, "p")(job({"n": 2})) == ("1", 2.0)


def test_optional_member_takes_null() -> None:
    def handler(*, lang: str | None) -> Any:
        return lang

    assert bind(handler, "p")(job({"lang": None})) is None


def test_method_and_callable_object_are_bound_alike() -> None:
    class Mailer:
        def send(self, data: Welcome) -> Any:
            return data.user_id

        def __call__(self, job: Job) -> Any:
            return job.id

    assert bind(Mailer().send, "p")(job({"user_id": 7})) == 7
    assert bind(Mailer(), "p")(job({})) == "1"


def test_annotation_that_means_nothing_is_a_signature_error() -> None:
    def handler(data: Any) -> None: ...

    handler.__annotations__["data"] = "NoSuchType"
    with pytest.raises(HandlerError, match="NoSuchType") as caught:
        bind(handler, "p")
    assert caught.value.kind == "signature"


def test_type_without_pydantic_is_a_signature_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(data: Welcome) -> None: ...

    monkeypatch.setitem(__import__("sys").modules, "pydantic", None)
    with pytest.raises(HandlerError, match="needs pydantic"):
        bind(handler, "p")


def test_jobd_exports_the_job_class() -> None:
    assert jobd.Job is Job
