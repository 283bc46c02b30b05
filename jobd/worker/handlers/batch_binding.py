"""From the jobs of a batch to the one argument of its handler: a list of jobs, or of their data as a type has it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobd.errors import HandlerError
from jobd.worker.handlers.binding import TypedData, annotations_of, parameters_of
from jobd.worker.handlers.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

_KIND = inspect.Parameter
_JOBS_TEXTS = ("list[Job]", "list[jobd.Job]", "List[Job]", "Sequence[Job]")
_LISTS = (list, Sequence, typing.Iterable)


class Jobs(list[Job]):
    """The jobs of one call; `arguments` are what its handler gets for them, in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[Any] = []


def bind_batch(function: Callable[..., Any], path: str) -> tuple[Callable[[Jobs], Any], TypedData | None]:
    """Return `call(jobs)`, which calls `function` with one list, and what makes an entry of it; None: the job itself.

    What makes an entry raises Unrecoverable, naming the field, when that job's data does not fit.

    Raises:
        HandlerError: kind signature; it does not take one list, or the type of its entries cannot be checked.
    """

    def call(jobs: Jobs) -> Any:
        return function(list(jobs.arguments))

    parameters = parameters_of(function)
    if parameters is None:
        return call, None
    positional = [each for each in parameters if each.kind in (_KIND.POSITIONAL_ONLY, _KIND.POSITIONAL_OR_KEYWORD)]
    starred = any(each.kind is _KIND.VAR_POSITIONAL for each in parameters)
    needed = [each for each in positional if each.default is _KIND.empty]
    named = [each.name for each in parameters if each.kind is _KIND.KEYWORD_ONLY and each.default is _KIND.empty]
    if len(needed) > 1 or named or not (positional or starred):
        names = ", ".join([*(each.name for each in needed), *named])
        raise _refusal(path, f"it needs ({names})")
    if not positional:
        return call, None
    parameter = (needed or positional)[0]
    annotations = annotations_of(function, path)
    if isinstance(parameter.annotation, str) and parameter.annotation in _JOBS_TEXTS:
        return call, None  # `Job` may be imported for type checkers only
    annotation = annotations.of(parameter)
    if parameter.annotation is _KIND.empty or annotation is Any or annotation in _LISTS:
        return call, None
    entries = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (list, Sequence, typing.get_origin(typing.Iterable[int])) or not entries:
        raise _refusal(path, f"`{parameter.name}` is no list")
    if entries[0] is Job or entries[0] is Any:
        return call, None
    return call, TypedData(entries[0], annotations.checker(entries[0], parameter.name))


def _refusal(path: str, why: str) -> HandlerError:
    text = f'cannot use "{path}" as a handler with `batch`: {why}; write (jobs: list[Job]) or (jobs: list[Model])'
    return HandlerError(path, "signature", text)
