"""The program of a model whose forward is Python: it is run once on a small example, and every call is recorded.

Models come in two forms: `forward` is one time step, with the membranes inside the neurons, or `forward` holds the
loop over the time steps. The loop is folded: each step must make the same calls as the one before.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squat_deploy.errors import Fault, LoweringError, SquatError
from squat_deploy.lowering.folding import Event, fold
from squat_deploy.lowering.program import Program, label_of
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.training.neurons import NEURONS, kind_of, reset_neurons
from squat_deploy.training.ptq import QuantizedInput
from squat_deploy.training.sequence import loops_over_time, watched

_BATCH = 3
_LIBRARIES = ("torch", "snntorch", "brevitas", "squat_deploy")
_LOOKS_AT_DATA = frozenset(
    ["__bool__", "__int__", "__float__", "__index__", "__array__", "__contains__", "item", "tolist", "numpy", "nonzero"]
)
_ARGUMENTS = {
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "dropout": ("p", "training", "inplace"),
    "dropout2d": ("p", "training", "inplace"),
    "cat": ("dim",),
}


class _Traced(torch.Tensor):
    """A tensor that knows which event made it."""

    event: Event

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        name = func.__self__.__name__ if func.__name__ == "__get__" else func.__name__  # type: ignore[attr-defined]
        if name in _LOOKS_AT_DATA:
            hint = "let spikes and membranes flow through the layers, and decide by none of them"
            raise _fault(users_line(), "no control flow depends on the data", f"{name} of a tensor", hint)
        if name == "__setitem__" and isinstance(args[0], _Traced):
            raise _fault(users_line(), "no value is changed in place", "an assignment to elements", "use torch.where")
        if name == "__iter__":
            return iter([args[0][index] for index in range(len(args[0]))])
        plain_args, plain_given = _plain(args), _plain(given)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*plain_args, **plain_given)
        if not _has_tensor(result):
            return result
        marked = _wrap(result, name, args, given)
        if name.endswith("_") and not name.endswith("__") and isinstance(args[0], _Traced):
            args[0].event = marked.event
        return marked


def _fault(where: str, rule: str, got: str, hint: str) -> LoweringError:
    return LoweringError((Fault(where, rule, got, hint),))


def _plain(value: Any) -> Any:
    """The same without a record."""
    if isinstance(value, _Traced):
        return value.as_subclass(torch.Tensor)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return type(value)(_plain(part) for part in value) if type(value) in (tuple, list) else value


def _has_tensor(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, tuple | list) and any(map(_has_tensor, value)))


def _wrap(result: Any, name: str, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
    """Records a function call, one event a resulting tensor."""
    tensors = [part for arg in (*args, *given.values()) for part in (arg if isinstance(arg, tuple | list) else [arg])]
    inputs = tuple(part.event if isinstance(part, _Traced) else part for part in tensors if isinstance(part, Tensor))
    base = name.strip("_").removesuffix("_")
    base = {"select": "getitem"}.get(base, base)
    options = dict(zip(_ARGUMENTS.get(base, ()), args[1:], strict=False)) | given
    if base == "getitem":
        options = {"index": args[1]}
    numbers = [arg for arg in args[1:] if isinstance(arg, int | float) and not isinstance(arg, bool)]
    label = f"{base} at {users_line()}"
    function = base if base not in ("add", "radd", "iadd") or not numbers else f"{base} with a number"

    def one(tensor: Any, index: int | None = None) -> Any:
        if not isinstance(tensor, Tensor):
            return tensor
        chosen = options if index is None else {**options, "index": index}
        return _marked(tensor, Event(label, function, inputs, chosen, tuple(tensor.shape)))

    if type(result) in (tuple, list):
        return type(result)(one(part, index) for index, part in enumerate(result))
    return one(result)


def _marked(tensor: Tensor, event: Event) -> _Traced:
    traced = tensor.as_subclass(_Traced)
    traced.event = event
    return traced


def users_line() -> str:
    """File and line of the innermost frame that belongs to none of the libraries."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        name = frame.f_globals.get("__name__", "").split(".")[0]
        if name not in (*_LIBRARIES, "contextlib", "functools"):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "model"


@dataclass
class _Recorder:
    """What was called while the model ran."""

    names: dict[int, str]
    neurons: list[Event] = field(default_factory=list)
    states: dict[int, list[list[Tensor | None]]] = field(
        default_factory=dict
    )  # by module: spikes and states of each call
    inside: bool = False  # a library's module, whose own parts are no calls of the user

    def call(self, original: Callable[..., Any], module: nn.Module, *args: Any, **given: Any) -> Any:
        """In place of `nn.Module.__call__`: libraries' modules are calls, the user's own are looked into."""
        if self.inside or not _is_leaf(module):
            return original(module, *args, **given)
        self.inside = True
        try:
            result = original(module, *_plain(args), **_plain(given))
        finally:
            self.inside = False
        traced = [arg for arg in (*args, *given.values()) if isinstance(arg, Tensor)]
        label = label_of(self.names.get(id(module), "module"), module)
        inputs = tuple(arg.event if isinstance(arg, _Traced) else arg for arg in traced)
        first = result[0] if isinstance(result, tuple) else result
        if not isinstance(module, NEURONS):
            event = Event(label, "module", inputs, {}, tuple(first.shape), module)
            return _marked(first, event) if first is result else (_marked(first, event), *result[1:])
        place = len(self.states.setdefault(id(module), []))
        event = Event(label, "module", inputs, {}, tuple(first.shape), module, place)
        self.neurons.append(event)
        names = ("spk", *kind_of(module).states)
        self.states[id(module)].append([module._buffers.get(name, first) for name in names])
        if not isinstance(result, tuple):
            return _marked(result, event)
        states = [
            _marked(part, Event(label, "state", (event,), {"part": number}, tuple(part.shape), module, place))
            for number, part in enumerate(result[1:], start=1)
        ]
        return (_marked(first, event), *states)


def _is_leaf(module: nn.Module) -> bool:
    """A module of a library, or of a class made from one: a subclass may override anything."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Module, QuantizedInput)
    bases = [base for base in type(module).__mro__ if base.__module__.split(".")[0] in _LIBRARIES]
    return any(base not in containers for base in bases)


@contextlib.contextmanager
def _recording(recorder: _Recorder) -> Iterator[None]:
    original = nn.Module.__call__
    nn.Module.__call__ = lambda module, *args, **given: recorder.call(original, module, *args, **given)  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def traced_program(model: nn.Module, spec: InputSpec, steps: int) -> Program:
    """Runs a model in eval mode on a small example and returns what one of its time steps does.

    Raises: LoweringError where it cannot be run, decides by its data, or does not repeat itself.
    """
    direct = spec.encoding == "direct"
    inputs = _example(spec, steps)
    try:
        looped = _ran(lambda: loops_over_time(model, inputs, steps, direct=direct))
    except SquatError as error:
        raise _of_encoding(error, model, spec, steps) from error
    entry = inputs if direct or looped else inputs[0]
    recorder = _Recorder({id(module): name for name, module in model.named_modules()})
    root = Event("input", "input", (), {}, tuple(entry.shape))
    reset_neurons(model)
    with torch.no_grad(), _recording(recorder):
        result = _ran(lambda: model(_marked(entry, root)))
    return fold(recorder.neurons, recorder.states, root, _traced_parts(result), stepwise=looped and not direct)


def _example(spec: InputSpec, steps: int) -> Tensor:
    batch = _BATCH + (steps == _BATCH)  # never as many as steps, so that none is taken for the other
    lead = (batch,) if spec.encoding == "direct" else (steps, batch)
    values = np.random.default_rng(0).integers(spec.low, spec.high + 1, (*lead, *spec.shape))
    return torch.from_numpy((values * spec.step).astype(np.float32))


def _of_encoding(error: SquatError, model: nn.Module, spec: InputSpec, steps: int) -> SquatError:
    """The same error, or that the model takes inputs of the other encoding, where it runs on those."""
    other: Encoding = "sequence" if spec.encoding == "direct" else "direct"
    shapes = {"direct": "(batch, ...)", "sequence": "(steps, batch, ...)"}
    if not _runs_on(model, _example(replace(spec, encoding=other), steps), steps, batch_axis=int(other == "sequence")):
        return error
    got = f'encoding="{spec.encoding}", and on {shapes[spec.encoding]} it says: {_first_line(error)}'
    hint = f'it runs on {shapes[other]}: InputSpec(encoding="{other}"), --encoding {other}'
    return _fault("model", "inputs are of the encoding that the model takes", got, hint)


def _runs_on(model: nn.Module, inputs: Tensor, steps: int, *, batch_axis: int) -> bool:
    """Whether one call takes whole inputs: as many steps as there are, and spikes of one sample each."""
    reset_neurons(model)
    try:
        with torch.no_grad(), watched(model) as traces:
            model(inputs)
    except Exception:  # noqa: BLE001 (whatever the user's code raises)
        return False
    samples = inputs.shape[batch_axis]
    shown = [(len(trace.spikes), *{spikes.shape[:1] for spikes in trace.spikes}) for trace in traces.values()]
    return bool(shown) and all(entry == (steps, (samples,)) for entry in shown)


def _first_line(error: SquatError) -> str:
    return error.faults[0].got if isinstance(error, LoweringError) else str(error).splitlines()[0]


def _ran(call: Callable[[], Any]) -> Any:
    """Whatever the user's code raises becomes a fault with its line."""
    try:
        return call()
    except SquatError:
        raise
    except Exception as error:
        frame, where = error.__traceback__, "model"
        while frame is not None:
            if frame.tb_frame.f_globals.get("__name__", "").split(".")[0] not in _LIBRARIES:
                where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            frame = frame.tb_next
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        hint = "make model(inputs) work for inputs of the declared shape, in batches of any size"
        raise _fault(where, "the model runs on its declared inputs", got, hint) from error


def _traced_parts(result: Any) -> list[Event]:
    if isinstance(result, _Traced):
        return [result.event]
    if isinstance(result, dict):
        result = tuple(result.values())
    return [event for part in result for event in _traced_parts(part)] if isinstance(result, tuple | list) else []
