"""Reads plain YAML values into frozen dataclasses, and says which option is wrong.

The training configuration is read with this and PyYAML, which transformers needs itself: a machine that trains then
needs none of the libraries that the service checks its settings with.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from typing import Any, TypeVar

from domain.errors import InvalidInput

T = TypeVar("T")


def bad_option(where: str, what: str) -> InvalidInput:
    """The error for an option of the configuration."""
    return InvalidInput("training_config", f"{where or 'the configuration'}: {what}")


def read(kind: type[T], raw: object, where: str = "") -> T:
    """`raw` (of a YAML or JSON file) as `kind`: a dataclass of such, a mapping, a tuple, an enum, None or a scalar.

    Raises InvalidInput, naming the option by its path (`tasks.sentiment.loss.kind`), for an unknown key (with the
    nearest known ones), a missing one, another type, or a value that isn't allowed.
    """
    value: T = _read(kind, raw, where)
    return value


def close(name: str, known: Sequence[str]) -> str:
    """The known names, or those near to `name`, for the end of a message."""
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def _read(kind: Any, raw: object, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _read_one_of(arguments, raw, where)
    if is_dataclass(kind):
        return _read_fields(kind, raw, where)
    if origin is tuple:
        if not isinstance(raw, (list, tuple)):
            raise bad_option(where, f"must be a list, got {raw!r}")
        return tuple(_read(arguments[0], item, f"{where}.{number}") for number, item in enumerate(raw))
    if origin is Mapping:
        if not isinstance(raw, Mapping):
            raise bad_option(where, f"must be a mapping, got {raw!r}")
        return {_name(key, where): _read(arguments[1], value, f"{where}.{key}") for key, value in raw.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        for member in kind:
            if raw == member:
                return member
        raise bad_option(where, f"must be one of {', '.join(kind)}, got {raw!r}")
    return _read_scalar(kind, raw, where)


def _read_one_of(kinds: Sequence[Any], raw: object, where: str) -> Any:
    if raw is None and types.NoneType in kinds:
        return None
    problems = []
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return _read(kind, raw, where)
        except InvalidInput as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    raise bad_option(where, f"{raw!r} is none of what it may be: {'; '.join(map(str, problems))}")


def _read_fields(kind: Any, raw: object, where: str) -> Any:
    if not isinstance(raw, Mapping):
        raise bad_option(where, f"must be a mapping of options, got {raw!r}")
    types_of = typing.get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    for key in raw:
        if key not in known:
            raise bad_option(where, f"there is no option {key!r}; {close(str(key), list(known))}")
    for name, field in known.items():
        if name not in raw and field.default is MISSING and field.default_factory is MISSING:
            raise bad_option(where, f"{name!r} is missing")
    values = {key: _read(types_of[key], value, f"{where}.{key}".lstrip(".")) for key, value in raw.items()}
    try:
        return kind(**values)
    except ValueError as error:  # what a dataclass itself finds wrong with its values
        raise bad_option(where, str(error)) from error


def _read_scalar(kind: Any, raw: object, where: str) -> Any:
    if kind is float and isinstance(raw, (str, int)) and not isinstance(raw, bool):
        # YAML 1.1 takes 1e-4 for a text, since it has no dot.
        try:
            raw = float(raw)
        except (ValueError, OverflowError):
            raise bad_option(where, f"must be a number, got {raw!r}") from None
    if kind is float and isinstance(raw, float) and not math.isfinite(raw):
        raise bad_option(where, f"must be a finite number, got {raw!r}")
    if not isinstance(raw, kind) or (isinstance(raw, bool) and kind is not bool):
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise bad_option(where, f"must be {names[kind]}, got {raw!r}")
    return raw


def _name(key: object, where: str) -> str:
    """A mapping's key; YAML reads labels such as 1 or yes as other things than texts."""
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise bad_option(where, f"write the key {key!r} in quotes")
    return str(key)
