"""Find the user's function: from "module:attribute" to something callable, or a HandlerError that says what to mend."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.errors import HandlerError
from jobd.words import is_handler_path, nearest
from jobd.worker.handlers.awaitables import awaited, is_coroutine_function, looks_async, may_be_async, to_its_end
from jobd.worker.handlers.batch_binding import bind_batch
from jobd.worker.handlers.binding import bind
from jobd.worker.handlers.monkeypatches import broken_json, newly_replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from jobd.protocol.worker import Mode
    from jobd.worker.handlers.job import Job


@dataclass(frozen=True, slots=True)
class Handler:
    """A usable handler. `call(job)` runs it: an awaitable in mode async, else the result."""

    path: str
    mode: Mode
    call: Callable[[Any], Any]
    entry: Callable[[Job], Any] | None = None
    """With a batch `call` takes the jobs (batch_binding.Jobs); this makes the handler's entry of one, None the job."""


def load_handler(
    path: str, mode: Mode | None = None, *, searched: list[str] | None = None, batch: bool = False
) -> Handler:
    """Return the handler at `path`, in the mode its kind of function gives unless `mode` names one, which wins.

    Args:
        searched: Folders to name when the module is not found (`[app] path`).
        batch: It is called with a list of jobs.
    Raises:
        HandlerError: kind import, attribute, signature or mode; detail holds suggestion, searched and traceback.
    """
    return handler_of(load_object(path, searched=searched), path, mode, batch=batch)


def handler_of(found: Any, path: str, mode: Mode | None = None, *, batch: bool = False) -> Handler:
    """Return what was found at `path` as a handler, as `load_handler`."""
    function = _as_function(path, found)
    natural: Mode = "async" if looks_async(function) else "thread"
    if mode == "async" and natural != "async" and not may_be_async(function):
        text = (
            f'cannot use "{path}" in mode "async": it is a plain def, which gives no awaitable; '
            'write it as async def, or use mode = "thread"'
        )
        raise HandlerError(path, "mode", text)
    bound = bind_batch(function, path) if batch else (bind(function, path), None)
    call: Callable[[Any], Any] = bound[0]
    entry = bound[1]
    if (mode or natural) != "async":
        return Handler(path, mode or natural, to_its_end(call), entry)
    return Handler(path, "async", call if is_coroutine_function(function) else awaited(call), entry)


def load_function(path: str, *, searched: list[str] | None = None) -> Callable[..., Any]:
    """Return the function of a handler as it is called, not bound to anything yet. Raises as load_handler."""
    return _as_function(path, load_object(path, searched=searched))


def load_object(path: str, *, searched: list[str] | None = None) -> Any:
    """Return what `path` names, importing its module.

    Raises:
        HandlerError: as load_handler, kinds import and attribute.
    """
    if not is_handler_path(path):
        raise HandlerError(path, "import", f'cannot read "{path}": write it as package.module:function')
    module_name, _, attribute = path.partition(":")
    module = _import(path, module_name, searched)
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise _no_attribute(path, found, name, _name_taken(error, searched)) from None
    return found


def load_callable(path: str, *, searched: list[str] | None = None) -> Any:
    """Return what `setup`, `teardown`, `on_failed` or an entry of `wrap` names.

    Raises:
        HandlerError: as load_object; kind signature when it cannot be called, or nothing would run if it were.
    """
    found = load_object(path, searched=searched)
    if not callable(found):
        raise HandlerError(path, "signature", f'cannot use "{path}": it cannot be called')
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        decorator = "contextmanager" if inspect.isgeneratorfunction(found) else "asynccontextmanager"
        text = (
            f'cannot use "{path}": it is a generator (it has a yield), which is never run; '
            f"in `wrap`, write @contextlib.{decorator} above it"
        )
        raise HandlerError(path, "signature", text)
    return found


def _import(path: str, module_name: str, searched: list[str] | None) -> ModuleType:
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _module_missing(path, module_name, error, searched) from error
    # Module code is the user's: sys.exit() in it must not end the template, nor may a Ctrl-C it raises itself.
    except BaseException as error:
        broken_json()  # what it did before it failed must not stand in the way of the report
        place = _place_of(error, module_name)
        text = f'cannot import "{path}": {_say(error)}{place}{_name_taken(error, searched)}'
        raise HandlerError(path, "import", text, detail=_detail(error, searched)) from error
    broken = broken_json()
    if broken:
        text = f'cannot use "{path}": importing {module_name} replaced {broken} by what does not do the same'
        raise HandlerError(path, "signature", text)
    replaced = newly_replaced()
    if replaced:
        text = (
            f'cannot use "{path}": importing {module_name} replaced {replaced}, on which a worker runs; '
            "leave the monkey patching out: jobd runs handlers in threads or on asyncio"
        )
        raise HandlerError(path, "signature", text)
    return module


def _module_missing(
    path: str, module_name: str, error: ModuleNotFoundError, searched: list[str] | None
) -> HandlerError:
    missing = error.name or ""
    detail = _detail(error, searched)
    if missing and (missing == module_name or module_name.startswith(missing + ".")):
        where = f"; searched: {', '.join(map(_folder, searched))}" if searched else ""
        # "shop/mail.py" with dots in place of slashes.
        suggestion = missing.removesuffix(".py") if missing.endswith(".py") else _nearest_module(missing, searched)
        hint = _name_taken(error, searched) or (f"; did you mean {suggestion}?" if suggestion else where)
        detail["suggestion"] = suggestion
        return HandlerError(path, "import", f'cannot import "{path}": {_say(error)}{hint}', detail=detail)
    text = f'cannot import "{path}": {_say(error)}{_place_of(error, module_name)}{_name_taken(error, searched)}'
    return HandlerError(path, "import", text, detail=detail)


def _folder(path: str) -> str:
    return path if Path(path).is_dir() else f"{path} (no such folder)"


def _name_taken(error: BaseException, searched: list[str] | None) -> str:
    """Return a remark when a file of the application and another module want the same name, and that explains it."""
    if isinstance(error, ImportError):
        name = error.name or ""
    else:
        owner = getattr(error, "obj", None)
        name = owner.__name__ if inspect.ismodule(owner) else ""
    top = name.partition(".")[0]
    module = sys.modules.get(top)
    own = _file_of(top, searched or ()) if top and module else None
    if own is None:
        return ""
    taken_by = getattr(module, "__file__", None)
    if taken_by is not None and own in (Path(taken_by), Path(taken_by).parent):
        if top not in sys.stdlib_module_names:
            return ""
        return f"; {own} hides the module `{top}` of the standard library: rename it"
    return f"; `{top}` is {taken_by or 'a built-in module'} here, so {own} cannot be imported: rename it"


def _file_of(top: str, folders: Iterable[str]) -> Path | None:
    for folder in folders:
        for own in (Path(folder) / f"{top}.py", Path(folder) / top):
            if own.exists():
                return own
    return None


def _detail(error: BaseException, searched: list[str] | None) -> dict[str, Any]:
    text = "".join(traceback.format_exception(error, limit=-10))
    return {"searched": list(searched or ()), "traceback": text, "error": _say(error), "suggestion": None}


def _say(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place_of(error: BaseException, module_name: str) -> str:
    """Return " (file:line)" of the innermost line outside the import system, or "" when there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return ""
    return f" ({frames[-1].filename}:{frames[-1].lineno}, while importing {module_name})"


def _is_users(filename: str) -> bool:
    return not filename.startswith("<frozen") and filename not in (__file__, importlib.__file__)


def _nearest_module(missing: str, searched: list[str] | None) -> str | None:
    import pkgutil

    parent, _, last = missing.rpartition(".")
    folders = list(getattr(sys.modules.get(parent), "__path__", ())) if parent else list(searched or ())
    names = [info.name for info in pkgutil.iter_modules(folders)]
    near = nearest(last, names)
    return f"{parent}.{near}" if near and parent else near


def _no_attribute(path: str, owner: Any, name: str, taken: str) -> HandlerError:
    names = [each for each in dir(owner) if not each.startswith("_")]
    near = nearest(name, names)
    hint = taken or (f" (did you mean `{near}`?)" if near else "")
    detail: dict[str, Any] = {"suggestion": near, "searched": [], "traceback": None}
    return HandlerError(path, "attribute", f'cannot import "{path}": no attribute `{name}`{hint}', detail=detail)


def _as_function(path: str, found: Any) -> Callable[..., Any]:
    """Return the callable that runs a job: a class with __call__ gives one instance, used for every job."""
    if inspect.isclass(found):
        if not _defines_call(found):
            text = f'cannot use "{path}" as a handler: it is a class without __call__'
            raise HandlerError(path, "signature", text)
        found = _instance(path, found)
    if not callable(found):
        text = f'cannot use "{path}" as a handler: it is of type {type(found).__name__}, which cannot be called'
        raise HandlerError(path, "signature", text)
    core = _core(found)
    if inspect.isgeneratorfunction(core) or inspect.isasyncgenfunction(core):
        text = f'cannot use "{path}" as a handler: it is a generator (it has a yield), which is never run to its end'
        raise HandlerError(path, "signature", text)
    function: Callable[..., Any] = found
    return function


def _defines_call(kind: type) -> bool:
    return any("__call__" in base.__dict__ for base in kind.__mro__)


def _instance(path: str, kind: type) -> Any:
    try:
        return kind()
    # Its constructor is the user's code, see _import.
    except BaseException as error:
        text = f'cannot use "{path}" as a handler: {kind.__name__}() failed: {_say(error)}'
        raise HandlerError(path, "signature", text, detail=_detail(error, None)) from error


def _core(function: Any) -> Any:
    """Return the innermost function: behind partials, an object's __call__ and decorators made with functools.wraps."""
    while isinstance(function, functools.partial):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__ if not hasattr(function, "__wrapped__") else function
    return inspect.unwrap(function)
