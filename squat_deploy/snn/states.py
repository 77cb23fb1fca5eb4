"""States that a model takes and returns: where a sequence starts, and what one call leaves to the next.

`forward(x, state) -> (out, state)`, or several of them: `forward(x, mem1, mem2) -> (out, mem1, mem2)`. A state is
whatever the user's code makes: tensors, None, and any container or object of these.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

from torch import Tensor, nn

from squat_deploy.errors import ConfigError, Fault, LoweringError
from squat_deploy.snn.adopting import Adopted, as_written
from squat_deploy.snn.batch_first import without_time
from squat_deploy.snn.copying import frozen_copy
from squat_deploy.snn.layers import QuantizedInput

_DEPTH = 6  # of containers in containers
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, eq=False)
class Start:
    """What a model is given beside its inputs when a sequence starts.

    Attributes:
        values: one a parameter of forward, in their order.
        where: file and line of forward.
        fitted: whether tensors of two axes or more begin with that of the batch, and are made as long as it is.
    """

    values: tuple[Any, ...]
    where: str
    fitted: bool = True

    def first(self, batch: int) -> tuple[Any, ...]:
        """The states of `batch` samples before the first step: copies, detached and on the CPU."""
        memo: dict[int, Any] = {id(tensor): self._sized(tensor, batch) for tensor in tensors_in(self.values)}
        try:
            return copy.deepcopy(self.values, memo)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise ConfigError(f"initial_state: cannot be copied: {why}; give tensors, or containers of them") from error

    def _sized(self, tensor: Tensor, batch: int) -> Tensor:
        own = tensor.detach().cpu()
        if not self.fitted or own.ndim < 2 or own.shape[0] in (0, batch):
            return own.clone()
        return own[:1].expand(batch, *own.shape[1:]).clone()

    def left(self, result: Any) -> tuple[Any, tuple[Any, ...]]:
        """What one call put out, and the states that the next one takes. Raises: LoweringError for other forms."""
        count, form = len(self.values), type(result).__name__
        if isinstance(result, tuple | list) and len(result) > 1:
            *out, last = result
            if count == 1:
                return out, (last,)
            if len(result) == count + 1:
                return out[0], tuple(result[1:])
            if len(result) == 2 and isinstance(last, tuple | list) and len(last) == count:
                return out[0], tuple(last)
            form = f"{form} of {len(result)}"
        rule, hint = (
            "a step returns its output and then its state",
            "return (out, state), the state as forward takes it",
        )
        raise LoweringError((Fault(self.where, rule, f"a {form} of a forward that takes {_count(count)}", hint),))


def tensors_in(value: Any, depth: int = _DEPTH) -> Iterator[Tensor]:
    """Every tensor in containers, dataclasses and other plain objects."""
    if isinstance(value, Tensor):
        yield value
    elif depth and not isinstance(value, type | nn.Module):
        parts: Any = ()
        if isinstance(value, Mapping):
            parts = value.values()
        elif isinstance(value, tuple | list):
            parts = value
        elif hasattr(value, "__dict__") or hasattr(value, "__slots__"):
            named = (*getattr(value, "__dict__", ()), *_slots(value))
            parts = [getattr(value, name) for name in named if hasattr(value, name)]
        for part in parts:
            yield from tensors_in(part, depth - 1)


def _slots(value: Any) -> tuple[str, ...]:
    slots = getattr(type(value), "__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def made_state(initial_state: Any) -> Any:
    """The value of an initial state that is given as one, or as a function of no arguments.

    A method of a module is called on a copy of that: snnTorch's `init_*` put the neurons themselves to rest.
    Raises: ConfigError where the function fails.
    """
    if not callable(initial_state) or isinstance(initial_state, Tensor):
        return initial_state
    try:
        if isinstance(owner := getattr(initial_state, "__self__", None), nn.Module):
            copied = frozen_copy(owner)
            with copied.exchanged() if isinstance(copied, Adopted) else contextlib.nullcontext():
                return MethodType(initial_state.__func__, as_written(copied))()
        return initial_state()
    except Exception as error:
        text = f"initial_state: it is a function of no arguments, and failed: {type(error).__name__}: {error}"
        raise ConfigError(text) from error


def starts_of(model: nn.Module, initial_state: Any) -> tuple[list[Start], bool]:
    """Ways to give a model its first state, the most likely first; and whether forward takes inputs alone as well.

    Raises: ConfigError where a state is stated and forward takes none, or several others.
    """
    own = _as_written(model)
    required, optional, rest = _places(own, stated=initial_state is not None)
    where = _where(own)
    if initial_state is None:
        counts = [required] if required else list(dict.fromkeys((optional, min(optional, 1))))
        return [Start((None,) * count, where) for count in counts if count], not required
    values = _spread(initial_state, required, optional, rest)
    if values is None:
        takes, hint = "inputs alone", "leave initial_state away"
        if required:
            takes, hint = _count(required), f"give a tuple of {required}"
        text = f"initial_state: forward at {where} takes {takes}; got {_described(initial_state)}"
        raise ConfigError(f"{text}; {hint}")
    return [Start(values, where), Start(values, where, fitted=False)], not required


def _as_written(model: nn.Module) -> nn.Module:
    """The user's own model inside."""
    inner = as_written(without_time(model))
    return as_written(inner.model) if isinstance(inner, QuantizedInput) else inner


def _spread(given: Any, required: int, optional: int, rest: bool) -> tuple[Any, ...] | None:
    """A stated state as one value a parameter (a named tuple is one value), or None where it does not fit."""
    several = type(given) in (tuple, list)
    if required > 1:
        return tuple(given) if several and len(given) == required else None
    if several and not required and (rest or len(given) == optional > 1):
        return tuple(given)
    return (given,) if required or optional or rest else None


def _places(model: nn.Module, *, stated: bool) -> tuple[int, int, bool]:
    """Parameters of forward behind the inputs: those without default, those of None, whether any number.

    Args: stated: whether a state is, so that the second parameter takes it whatever its default is.
    """
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):  # of TorchScript
        return 0, 0, False
    if not parameters or parameters[0].kind not in _POSITIONAL:
        return 0, 0, False
    required = optional = 0
    for parameter in parameters[1:]:
        if parameter.kind not in _POSITIONAL:
            rest = parameter.kind is inspect.Parameter.VAR_POSITIONAL
            return required, optional, rest and not required + optional
        if parameter.default is not inspect.Parameter.empty and parameter.default is not None:
            return required, optional or int(stated and not required), False
        required += parameter.default is inspect.Parameter.empty
        optional += parameter.default is None
    return required, optional, False


def _where(model: nn.Module) -> str:
    code = getattr(getattr(model.forward, "__func__", model.forward), "__code__", None)
    return "model" if code is None else f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def _count(count: int) -> str:
    return "a state" if count == 1 else f"{count} states"


def _described(value: Any) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list | Mapping) else "")
