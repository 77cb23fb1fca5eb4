"""Options of a command out of the fields of a config model: name, type, text and default are stated there alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PLAIN = (str, int, float, bool, Path, NoneType)
_CONTEXT = "context"


@dataclass(frozen=True)
class Spelling:
    """How the command line spells a field, where that is not as the model does.

    Attributes:
        names: of the option, instead of the field's.
        kind: type of what is typed, `default` its value where nothing is, `text` its help, instead of the field's.
        read: from what is typed to a value of the field.
    """

    names: tuple[str, ...] = ()
    kind: Any = None
    default: Any = None
    text: str = ""
    read: Callable[[Any], Any] = lambda value: value


def with_fields(
    model: type[BaseModel],
    *,
    only: Sequence[str] = (),
    leave_out: Sequence[str] = (),
    spellings: Mapping[str, Spelling] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command options for the fields of a model in place of its parameter `fields`.

    The command takes as `fields` a dictionary of those that the user has typed, so that the model's own defaults, or
    a file's values, stand for the others.

    Raises: TypeError for a field that no option can be made of: spell it, or leave it out.
    """
    names = [name for name in only or model.model_fields if name not in leave_out]
    spelled = {name: (spellings or {}).get(name, Spelling()) for name in names}
    options = [_option(name, model.model_fields[name], spelling) for name, spelling in spelled.items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(**given: Any) -> None:
            context = given.pop(_CONTEXT)
            values = {name: given.pop(name) for name in names}
            typed = {name: spelled[name].read(value) for name, value in values.items() if _is_typed(context, name)}
            command(**given, fields=typed)

        signature = _replaced(inspect.signature(command, eval_str=True), options)
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {name: given.annotation for name, given in signature.parameters.items()}
        return wrapper

    return decorate


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name in ("COMMANDLINE", "DEFAULT_MAP")  # or in squat.toml


def _replaced(signature: inspect.Signature, options: Sequence[inspect.Parameter]) -> inspect.Signature:
    """A command's signature with options in place of `fields`, and the context that knows what was typed."""
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context]
    for name, parameter in signature.parameters.items():
        parameters += options if name == "fields" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
    return signature.replace(parameters=parameters)


def _option(name: str, field: FieldInfo, spelling: Spelling) -> inspect.Parameter:
    """Parameter of a command for a field of a model."""
    kind = spelling.kind or field.annotation
    if spelling.kind is None and not _is_plain(kind):
        raise TypeError(f"{name}: no option can be made of {kind}; spell it, or leave it out")
    text = " ".join((spelling.text or field.description or "").split())
    default = field.get_default(call_default_factory=True) if spelling.kind is None else spelling.default
    option = typer.Option(*spelling.names, help=text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def _is_plain(kind: Any) -> bool:
    """Whether typer reads this type, or each of the types of a union, from one word."""
    if get_origin(kind) in (Union, UnionType):
        return all(map(_is_plain, get_args(kind)))
    return kind in _PLAIN or get_origin(kind) is Literal
