"""`${VAR}` inside values, and secrets that are read only when they are needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobd.errors import InputError
from jobd.locate.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
MAX_SECRET_BYTES = 2**20
"""A secret above this is some other file."""
_KINDS = ("env", "file", "credential")


class LooseText(str):
    """Text whose TOML type its writer could not express: a variable's value, or a value that is wholly one `${…}`.

    A key that wants a number or true/false may read it as one; a key that wants text takes it as it is.
    """

    __slots__ = ()


def expand(text: str, env: Mapping[str, str]) -> str:
    """Return `text` with its `${…}` replaced; a LooseText when the whole of it was one.

    As in a shell, `:-` and `:?` also hold for an empty variable. What a variable holds is not expanded again.

    Raises:
        InputError: a variable is not set and has no default, a message says so, or the writing is wrong.
    """
    parts: list[str] = []
    at = 0
    while True:
        start = text.find("${", at)
        if start < 0:
            break
        if start > at and text[start - 1] == "$":
            parts.append(text[at : start - 1] + "${")
            at = start + 2
            continue
        end = _end_of_reference(text, start)
        parts.append(text[at:start])
        parts.append(_value_of(text[start + 2 : end], env))
        at = end + 1
        if start == 0 and at == len(text):
            return LooseText("".join(parts))
    return "".join(parts) + text[at:] if parts else text


def _end_of_reference(text: str, start: int) -> int:
    depth, at = 0, start
    while at < len(text):
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        if text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise InputError('"${" is not closed; a literal "${" is written "$${"')  # without the text: it may be a password


def _value_of(reference: str, env: Mapping[str, str]) -> str:
    name = re.match(_NAME, reference)
    rest = reference[name.end() :] if name else reference
    if name is None or (rest and rest[:2] not in {":-", ":?"}):
        # Without what was written: it may be a part of a password.
        raise InputError('cannot read a "${…}"; written are ${VAR}, ${VAR:-default} and ${VAR:?message}')
    value = env.get(name[0])
    if not rest:
        if value is None:
            raise InputError(f"${name[0]} is not set; ${{{name[0]}:-default}} gives a default")
        return value
    if value:
        return value
    if rest[:2] == ":-":
        return str(expand(rest[2:], env))
    raise InputError(f"${name[0]} is not set: {rest[2:]}" if rest[2:] else f"${name[0]} is not set")


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is kept. Its value is never in here, so printing one is harmless.

    `kind` is `env` (a variable), `file` (a path) or `credential` (a name in $CREDENTIALS_DIRECTORY, systemd's).
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return "***"


def secret_of(table: Mapping[str, Any], *, base: Path | None = None) -> Secret:
    """Return the secret that `{ env = … }`, `{ file = … }` or `{ credential = … }` names.

    Args:
        base: The folder that a relative file is taken from.

    Raises:
        InputError: not exactly one of the three, or its value is not a name.
    """
    if len(table) != 1 or (kind := next(iter(table))) not in _KINDS:
        raise InputError('a secret is { env = "NAME" }, { file = "path" } or { credential = "name" }')
    name = table[kind]
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(f"a secret's `{kind}` is text that is not empty")
    if kind == "credential" and ("/" in name or name in {".", ".."}):
        raise InputError(f'a credential is a name without "/", got "{name}"')
    if kind == "file" and base is not None:
        name = str(base / name)
    return Secret(kind, str(name))


def read_secret(secret: Secret | str, *, env: Mapping[str, str]) -> str:
    """Return the value of a secret; plain text stands for itself. A file's last line end is not part of it.

    Raises:
        InputError: the variable is not set, or the file cannot be read; the text never shows a value.
    """
    if isinstance(secret, str):
        return str(secret)
    if secret.kind == "env":
        value = env.get(secret.name)
        if value is None:
            raise InputError(f"cannot read secret: ${secret.name} is not set")
        return value
    if secret.kind == "file":
        return _read(Path(secret.name))
    folder = env.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise InputError(
            f'cannot read credential "{secret.name}": $CREDENTIALS_DIRECTORY is not set; '
            "systemd sets it for LoadCredential="
        )
    return _read(Path(folder) / secret.name)


def _read(path: Path) -> str:
    try:
        data = read_regular(path, MAX_SECRET_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f'cannot read secret file "{path}": {reason}') from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InputError(f'cannot read secret file "{path}": it is not UTF-8 text') from None
    return text.removesuffix("\n").removesuffix("\r")
