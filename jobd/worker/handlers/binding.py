"""From a job to the arguments of its handler (docs/handlers.md, "Binding"), worked out once a handler.

`def f(job)` is called as it is. Data with a type goes through pydantic, which must be in the application's environment;
the plain JSON types are checked here.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobd.errors import HandlerError, Unrecoverable
from jobd.worker.handlers.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[Any, str], Any]
    """Return the value as the handler wants it, or raise Unrecoverable naming the field (the second argument)."""

_KIND = inspect.Parameter
_PLAIN = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object",
          list: "a list", type(None): "null"}  # fmt: skip
_JOB_TEXTS = frozenset({"Job", "jobd.Job", "jobd.worker.handlers.job.Job"})


def bind(function: Callable[..., Any], path: str) -> Callable[[Job], Any]:
    """Return `call(job)`, which calls `function` with what its parameters ask for; `function` itself for `f(job)`.

    The call raises Unrecoverable, naming the field, when the job's data does not fit.

    Raises:
        HandlerError: kind signature; no job can ever be passed to it, or a type in it cannot be checked.
    """
    found = binding_of(function, path)
    if found is None:
        return function
    names = found.members
    makers = found.positional

    def call(job: Job) -> Any:
        arguments = [make(job) for make in makers]
        return function(*arguments, **names(job)) if names else function(*arguments)

    return call


@dataclass(frozen=True, slots=True)
class Binding:
    """What makes the arguments of a handler from a job: the positional ones in order, then the members of data."""

    positional: list[Callable[[Job], Any]]
    members: Members | None

    @property
    def data(self) -> TypedData | Members | None:
        """What says which data fits; None when any does."""
        return next((make for make in self.positional if isinstance(make, TypedData)), self.members)


def binding_of(function: Callable[..., Any], path: str) -> Binding | None:
    """Return what makes the arguments of a handler; None when it is called with the job alone. Raises as `bind`."""
    parameters = parameters_of(function)
    if parameters is None:
        return None
    positional = [each for each in parameters if each.kind in (_KIND.POSITIONAL_ONLY, _KIND.POSITIONAL_OR_KEYWORD)]
    starred = any(each.kind is _KIND.VAR_POSITIONAL for each in parameters)
    members = [each for each in parameters if each.kind is _KIND.KEYWORD_ONLY]
    rest = any(each.kind is _KIND.VAR_KEYWORD for each in parameters)
    resolve = annotations_of(function, path)
    makers = _positional_makers(positional, starred, resolve, path)
    if not makers and not members and not rest:
        raise HandlerError(path, "signature", f'cannot use "{path}" as a handler: it takes no parameter; write (job)')
    if not members and not rest and makers == [_the_job]:
        return None
    return Binding(makers, Members(members, rest, resolve) if members or (rest and not makers) else None)


def annotations_of(function: Callable[..., Any], path: str) -> _Annotations:
    """Return what reads the types in a handler's signature."""
    return _Annotations(function, path)


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """Return a function's parameters; None for a builtin that tells nothing about them."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None  # A builtin that tells nothing about its parameters: it gets the job.


def _the_job(job: Job) -> Any:
    return job


def _positional_makers(
    positional: list[inspect.Parameter], starred: bool, resolve: _Annotations, path: str
) -> list[Callable[[Job], Any]]:
    """Return what makes each positional argument: the job first, or data with a type, or both."""
    needed = [each for each in positional if each.default is _KIND.empty]
    wanted = needed or positional[:1]
    if not wanted:
        return [_the_job] if starred else []
    makers: list[Callable[[Job], Any]] = []
    for index, parameter in enumerate(wanted):
        annotation = resolve.of(parameter)
        if annotation is Job or (parameter.annotation is _KIND.empty and index == 0):
            makers.append(_the_job)
        elif parameter.annotation is not _KIND.empty:
            makers.append(TypedData(annotation, resolve.checker(annotation, parameter.name)))
        else:
            makers = []
            break
    if not makers or len(makers) > 2 or (len(makers) == 2 and makers.count(_the_job) != 1):
        names = ", ".join(each.name for each in wanted)
        raise HandlerError(
            path, "signature",
            f'cannot use "{path}" as a handler: it needs ({names}); write (job), (job: Job, data: Type), '
            "or the members of data behind a `*`",
        )  # fmt: skip
    return makers


class TypedData:
    """Makes the argument that is the data, checked against its type."""

    def __init__(self, annotation: Any, check: Check) -> None:
        self.annotation = annotation
        self._check = check

    def __call__(self, job: Job) -> Any:
        """Return the data as the type has it; raises Unrecoverable when it does not fit."""
        return self._check(job.data, "data")


class Members:
    """Makes the keyword arguments out of the members of data.

    `annotations` are the types by name, `Parameter.empty` without one; `rest`: others are taken as well.
    """

    def __init__(self, members: list[inspect.Parameter], rest: bool, resolve: _Annotations) -> None:
        self.annotations = {each.name: resolve.of(each) for each in members}
        self.required = [each.name for each in members if each.default is _KIND.empty]
        self.rest = rest
        self._checks = {
            name: None if annotation is _KIND.empty else resolve.checker(annotation, name)
            for name, annotation in self.annotations.items()
        }

    def __call__(self, job: Job) -> dict[str, Any]:
        """Return the arguments by name; raises Unrecoverable when the data does not fit."""
        data, checks = job.data, self._checks
        if not isinstance(data, dict):
            raise Unrecoverable(f"data does not fit: expected an object, got {_name_of(data)}")
        for name in self.required:
            if name not in data:
                raise Unrecoverable(f"data does not fit: {name}: missing")
        if not self.rest:
            for name in data:
                if name not in checks:
                    raise Unrecoverable(f"data does not fit: {name}: unknown, the handler does not take it")
        return {name: check(value, name) if (check := checks.get(name)) else value for name, value in data.items()}


class _Annotations:
    """The types in one handler's signature."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        self._path = path
        core = inspect.unwrap(getattr(function, "func", function))
        if not inspect.isroutine(core):
            core = type(core).__call__
        self._globals = getattr(core, "__globals__", None) or vars(sys.modules.get(core.__module__, types))

    def of(self, parameter: inspect.Parameter) -> Any:
        """Return the type a parameter is annotated with, text resolved."""
        annotation = parameter.annotation
        if not isinstance(annotation, str):
            return annotation
        try:
            # Text annotations (`from __future__ import annotations`) are the user's own module's expressions.
            return eval(annotation, self._globals)  # noqa: S307
        except Exception as error:
            # `if TYPE_CHECKING: from jobd import Job` leaves no such name to evaluate, yet it is clear who is meant.
            if annotation.strip("'\"") in _JOB_TEXTS:
                return Job
            text = f'cannot use "{self._path}" as a handler: the type `{annotation}` of `{parameter.name}`: {error}'
            raise HandlerError(self._path, "signature", text) from error

    def checker(self, annotation: Any, name: str) -> Check:
        """Return what checks a value against a type."""
        if annotation is Any:
            return _accept
        plain = _plain_types(annotation)
        return _plain_check(plain) if plain else self._pydantic_check(annotation, name)

    def _pydantic_check(self, annotation: Any, name: str) -> Check:
        try:
            from pydantic import TypeAdapter, ValidationError
        except ImportError as error:
            text = (
                f'cannot use "{self._path}" as a handler: `{name}` has a type of its own, which needs pydantic in the '
                "application's environment: pip install pydantic"
            )
            raise HandlerError(self._path, "signature", text) from error
        try:
            adapter = TypeAdapter(pydantic_readable(annotation))
        except Exception as error:
            text = f'cannot use "{self._path}" as a handler: the type of `{name}` cannot be checked: {error}'
            raise HandlerError(self._path, "signature", text) from error

        def check(value: Any, field: str) -> Any:
            try:
                return adapter.validate_json(_to_json(value))
            except ValidationError as error:
                raise Unrecoverable(_say(error.errors(include_url=False), field)) from error

        return check


def _to_json(value: Any) -> str:
    import json

    return json.dumps(value)


def _say(errors: list[Any], field: str) -> str:
    """Return one text for pydantic's problems: each field with what is wrong with it."""
    root = () if field == "data" else (field,)
    lines = []
    for error in errors[:5]:
        place = ".".join(str(part) for part in (*root, *error["loc"])) or field
        lines.append(f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]}")
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return f"data does not fit: {'; '.join(lines)}{more}"


def _plain_types(annotation: Any) -> tuple[type, ...] | None:
    """Return the JSON types an annotation like `int` or `str | None` allows; None when it says more than that."""
    if annotation is None:
        return (type(None),)
    if isinstance(annotation, type) and annotation in _PLAIN and not typing.get_args(annotation):
        return (annotation,)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        arms = [_plain_types(arm) for arm in typing.get_args(annotation)]
        if all(arm is not None for arm in arms):
            return tuple(kind for arm in arms if arm is not None for kind in arm)
    return None


def _plain_check(allowed: tuple[type, ...]) -> Check:
    expected = " or ".join(_PLAIN[kind] for kind in allowed)
    exact = frozenset(allowed)

    def check(value: Any, field: str) -> Any:
        kind = type(value)
        if kind in exact:
            return value
        if kind is int and float in exact:
            return float(value)
        raise Unrecoverable(f"data does not fit: {field}: expected {expected}, got {_name_of(value)}")

    return check


def _accept(value: Any, field: str) -> Any:
    del field
    return value


def _name_of(value: Any) -> str:
    return _PLAIN.get(type(value), type(value).__name__)


def pydantic_readable(annotation: Any) -> Any:
    """Return the annotation with every typing.TypedDict in it, nested ones too, made one that pydantic reads.

    Before Python 3.12 pydantic reads only those of typing_extensions.
    """
    if sys.version_info >= (3, 12):
        return annotation
    return _readable(annotation, {})


def _readable(annotation: Any, made: dict[Any, Any]) -> Any:
    if typing.is_typeddict(annotation) and type(annotation).__module__ == "typing":
        if annotation not in made:
            made[annotation] = _remake(annotation, made)
        return made[annotation]
    parts = typing.get_args(annotation)
    if parts and hasattr(annotation, "copy_with"):
        return annotation.copy_with(tuple(_readable(part, made) for part in parts))
    origin = typing.get_origin(annotation)
    if parts and origin in (list, dict, tuple, set, frozenset):
        return origin[tuple(_readable(part, made) for part in parts)]
    return annotation


def _remake(kind: Any, made: dict[Any, Any]) -> Any:
    from typing import NotRequired, Required

    from typing_extensions import TypedDict

    fields: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        said = typing.get_origin(hint)
        # `from __future__ import annotations` hides the word from __required_keys__, so the hint itself comes first.
        needed = said is typing.Required or (said is not typing.NotRequired and name in kind.__required_keys__)
        inner = _readable(typing.get_args(hint)[0] if said in (typing.Required, typing.NotRequired) else hint, made)
        fields[name] = Required[inner] if needed else NotRequired[inner]
    return TypedDict(kind.__name__, fields)  # type: ignore[operator]
