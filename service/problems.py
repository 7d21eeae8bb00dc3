"""Says what is wrong with a setting: its key, where it was set, its value (masked when secret), and what is allowed."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from domain.errors import PermanentError

MASK = "********"
_LOOKS_SECRET = re.compile(r"pass|secret|token|dsn|url|key|cred|auth", re.IGNORECASE)


class SettingsError(PermanentError):
    """The settings are wrong: one line for each problem."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def describe(
    problem: ErrorDetails,
    tree: Mapping[str, Any],
    origins: Mapping[str, str],
    settings: type[BaseModel],
    env_prefix: str,
) -> str:
    """One line about one of pydantic's problems. `tree` is what was written, `origins` where (by dotted key)."""
    location = tuple(part for part in problem["loc"] if isinstance(part, int) or not part.startswith("function-"))
    if not location:
        return _reason(problem)
    key = dotted(location)
    if len(location) == 1 and problem["type"] == "value_error" and location[0] in settings.model_fields:
        return _reason(problem)  # a section's own check names the keys itself
    found, siblings = _look_up(location, settings)
    is_section = isinstance(found, type) and issubclass(found, BaseModel)
    where = _where(location, origins, env_prefix, has_variable=found is not None and not is_section)
    if problem["type"] == "extra_forbidden":
        section, name = dotted(location[:-1]), str(location[-1])
        close = get_close_matches(name, siblings, n=1, cutoff=0.6)
        secret = any(_LOOKS_SECRET.search(candidate) for candidate in (name, *close))
        allowed = (
            f"did you mean {dotted((*location[:-1], close[0]))}?"
            if close
            else (f"{section + ' has' if section else 'there are'} {', '.join(siblings)}")
        )
        return f"{key}{_shown(location, tree, secret=secret)} is not a setting ({where}); {allowed}"
    if problem["type"] == "missing":
        return f"{key} is missing ({where})"
    secret = found is not None and holds_secret(found)
    return f"{key}{_shown(location, tree, secret=secret)} ({where}) {_reason(problem)}"


def unknown_variable(variable: str, known: Iterable[str], env_prefix: str) -> str:
    """One line about an environment variable with our prefix that is no setting."""
    # Without the prefix, which would make all of them alike.
    names = {name.removeprefix(env_prefix): name for name in known}
    close = get_close_matches(variable.removeprefix(env_prefix), list(names), n=1, cutoff=0.6)
    hint = f"; did you mean {names[close[0]]}?" if close else "; `groundswell config --reference` lists them"
    return f"{variable} (environment) is not a setting{hint}"


def holds_secret(annotation: object) -> bool:
    """Whether a value of this type is, or may contain, something to be masked."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return any(holds_secret(field.annotation) for field in annotation.model_fields.values())
    if isinstance(annotation, type) and issubclass(annotation, SecretStr):
        return True
    return any(holds_secret(argument) for argument in typing.get_args(annotation))


def masked_url(text: str) -> str:
    """A URL with its password and secret parameters masked; other text as it is."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return MASK
    if not parts.scheme or not parts.netloc:
        return text
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    query = "&".join(_masked_parameter(parameter) for parameter in parts.query.split("&")) if parts.query else ""
    return urlunsplit(parts._replace(netloc=f"{user}{colon and colon + MASK}{at}{host}", query=query))


def _masked_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    return f"{name}{equals}{MASK if _LOOKS_SECRET.search(name) else value}"


def dotted(location: Sequence[int | str]) -> str:
    """("rules", 0, "height") as rules[0].height."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _look_up(location: Sequence[int | str], settings: type[BaseModel]) -> tuple[object | None, list[str]]:
    """The annotation at a location (None: there is no such key), and the names of its siblings."""
    annotation: object = settings
    siblings: list[str] = []
    for part in location:
        if isinstance(part, int):
            annotation = next(iter(typing.get_args(annotation)), None)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            siblings = list(annotation.model_fields)
            field = annotation.model_fields.get(part)
            annotation = field.annotation if field else None
    return annotation, siblings


def _where(location: Sequence[int | str], origins: Mapping[str, str], env_prefix: str, *, has_variable: bool) -> str:
    names = [str(part) for part in location[:2] if not isinstance(part, int)]
    if len(location) > 1 and isinstance(location[1], int):
        names = names[:1]
    origin = next((origins[key] for key in (".".join(names), names[0]) if key in origins), "default")
    variable = env_prefix + "_".join(names).upper()
    return f"{variable}, from {origin}" if has_variable else f"in {origin}"


def _shown(location: Sequence[int | str], tree: object, *, secret: bool) -> str:
    value = tree
    for part in location:
        try:
            value = value[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return ""
    if isinstance(value, dict | list):
        return ""
    if secret:
        return f" = {MASK}"
    text = repr(masked_url(value) if isinstance(value, str) else value)
    return f" = {text if len(text) <= 80 else text[:77] + '…'}"


def _reason(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    for subject in ("Input ", "String "):
        message = message.removeprefix(subject)
    return message
