"""Every argument of every function and module that can be lowered, and what becomes of it: one table of each.

Arguments are bound by the real signature (torch's own schemas). One that no table declares is refused by name, so that
a new version of a library cannot add an option that nobody reads; the tests draft the signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import snntorch as snn
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from torch import Tensor, nn

from squat_deploy.snn.delay import DELAYS
from squat_deploy.snn.layers import (
    FixedConv2d,
    FixedLinear,
    IntThenScaleConv1d,
    IntThenScaleConv2d,
    IntThenScaleConvTranspose1d,
    IntThenScaleConvTranspose2d,
    IntThenScaleLinear,
    ScaleThenShift1d,
    ScaleThenShift2d,
)
from squat_deploy.snn.quantizers import InputQuantizer
from squat_deploy.snn.recurrence import CurrentsFirstRLeaky, CurrentsFirstRSynaptic

Treatment = Literal["value", "read", "shape", "fixed", "no effect"]


@dataclass(frozen=True)
class Option:
    """What becomes of one argument.

    Attributes:
        treatment: "value" of the network, "read" by the handler, seen in the "shape" of the result, "fixed" to one of
            `allowed`, or of "no effect" after training.
        why: of a fixed one the rule, of one without effect the reason.
        hint: of a fixed one, what works.
    """

    treatment: Treatment
    why: str = ""
    allowed: tuple[Any, ...] = ()
    hint: str = ""


def _fixed(value: Any, rule: str, hint: str) -> Option:
    return Option("fixed", rule, (value,), hint)


def _idle(why: str) -> Option:
    return Option("no effect", why)


_VALUE, _READ, _SHAPE = Option("value"), Option("read"), Option("shape")
_NO_OUT = _fixed(None, "a result is a new value", "leave out= away and take what is returned")
_LAYOUT = _idle("the same values in the same order, laid out otherwise in memory")
_RESTS = _idle("dropout rests after training")
_POOL = {"self": _VALUE, **dict.fromkeys(("kernel_size", "stride", "padding", "ceil_mode"), _READ)}
_INDICES = _fixed(False, "a pooling returns values alone", "use return_indices=False")
_ADAPTIVE = {"self": _VALUE, "input": _VALUE, "output_size": _READ}
_OVER_POSITIONS = {"self": _VALUE, "dim": _READ, "keepdim": _READ, "out": _NO_OUT}
_TYPED = {"dtype": Option("fixed", "values stay float32", (None, torch.float32), "leave dtype= away")}
_CONCAT = {"tensors": _VALUE, "dim": _READ, "out": _NO_OUT}
_DROPOUT = {"input": _VALUE, "p": _RESTS, "training": _READ, "inplace": _RESTS}

FUNCTION_OPTIONS: dict[str, dict[str, Option]] = {
    "add": {
        "self": _VALUE,
        "other": _VALUE,
        "alpha": _fixed(1, "the terms of a sum have no factor", "put alpha into the weights of that branch"),
        "out": _NO_OUT,
    },
    "cat": _CONCAT,
    "clone": {"self": _VALUE, "memory_format": _LAYOUT, "out": _NO_OUT},
    "contiguous": {"self": _VALUE, "memory_format": _LAYOUT},
    "detach": {"self": _VALUE},
    "flatten": {"self": _VALUE, "start_dim": _SHAPE, "end_dim": _SHAPE},
    "reshape": {"self": _VALUE, "shape": _SHAPE},
    "view": {
        "self": _VALUE,
        "size": _SHAPE,
        "dtype": _fixed(None, "values are not read as those of another type", "leave the type as it is"),
    },
    "squeeze": {"self": _VALUE, "dim": _SHAPE},
    "unsqueeze": {"self": _VALUE, "dim": _SHAPE},
    "unflatten": {"self": _VALUE, "dim": _SHAPE, "sizes": _SHAPE},
    "max_pool1d": {**_POOL, "input": _VALUE, "dilation": _READ, "return_indices": _INDICES},
    "max_pool2d": {**_POOL, "input": _VALUE, "dilation": _READ, "return_indices": _INDICES},
    "avg_pool1d": {**_POOL, "count_include_pad": _READ, "out": _NO_OUT},
    "avg_pool2d": {**_POOL, "count_include_pad": _READ, "divisor_override": _READ, "out": _NO_OUT},
    "adaptive_max_pool1d": {**_ADAPTIVE, "return_indices": _INDICES},
    "adaptive_max_pool2d": {**_ADAPTIVE, "return_indices": _INDICES, "out": _NO_OUT, "indices": _NO_OUT},
    "adaptive_avg_pool1d": {"self": _VALUE, "output_size": _READ, "out": _NO_OUT},
    "adaptive_avg_pool2d": {**_ADAPTIVE, "out": _NO_OUT},
    "amax": _OVER_POSITIONS,
    "mean": {**_OVER_POSITIONS, **_TYPED},
    "sum": {**_OVER_POSITIONS, **_TYPED},
    "dropout": {**_DROPOUT, "train": _READ},
    "dropout2d": _DROPOUT,
}
_ALIASES = {"concat": "cat", "concatenate": "cat", "iadd": "add", "radd": "add"}  # other names of the same
_NUMPY = {"axis": "dim", "x": "self", "a": "self", "x1": "self", "x2": "other", "input": "self"}  # torch takes both

_KERNEL = dict.fromkeys(("kernel_size", "stride", "padding", "ceil_mode"), _READ)
_PLACE = dict.fromkeys(
    ("device", "dtype"), _idle("the weights themselves are read, wherever and however they were made")
)
_LINEAR = dict.fromkeys(("in_features", "out_features", "bias"), _READ)
_CONV = dict.fromkeys(
    ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "bias"),
    _READ,
)
_QUANT = {
    **dict.fromkeys(("weight_quant", "bias_quant", "input_quant", "output_quant"), _READ),
    "return_quant_tensor": _READ,
    "kwargs": _idle("they shape the quantizers, whose results are read"),
    **_PLACE,
}
_NORM = {
    **dict.fromkeys(("num_features", "eps", "affine", "track_running_stats", "bias"), _READ),
    "momentum": _idle("it only moves the statistics while training"),
    **_PLACE,
}
_IS_RUN = _idle("the table is taken from running the trained neuron with it")
_LEARNED = _idle("whether a value was learned changes nothing about the value")
_RETURNS = _idle("what is returned and passed on is recorded")
_NEURON = {
    **dict.fromkeys(("beta", "threshold", "state_quant"), _READ),
    "inhibition": _fixed(False, "each neuron decides alone", "train with inhibition=False"),
    **dict.fromkeys(("spike_grad", "surrogate_disable", "reset_mechanism"), _IS_RUN),
    **dict.fromkeys(("learn_beta", "learn_threshold"), _LEARNED),
    **dict.fromkeys(("init_hidden", "output"), _RETURNS),
}
_DELAY = {"reset_delay": _READ}
_SYNAPTIC = {"alpha": _READ, "learn_alpha": _LEARNED}
_RECURRENT = {
    **dict.fromkeys(("V", "all_to_all", "linear_features", "conv2d_channels", "kernel_size"), _READ),
    "learn_recurrent": _LEARNED,
}
_GRADED = {"graded_spikes_factor": _READ, "learn_graded_spikes_factor": _LEARNED}
_AFTER_TRAINING = {"p": _RESTS, "inplace": _RESTS}

_STEPS = {
    **dict.fromkeys(("delay", "max_delay", "kernel", "step_mode"), _READ),
    "channels": _SHAPE,
    "learn_delay": _LEARNED,
    "sigma": _idle("of another kernel"),
}

MODULE_OPTIONS: dict[type[nn.Module], dict[str, Option]] = {
    **dict(zip(DELAYS, ({"delay": _READ}, _STEPS), strict=False)),
    InputQuantizer: dict.fromkeys(("step", "low", "high"), _READ),
    nn.Flatten: dict.fromkeys(("start_dim", "end_dim"), _READ),
    nn.Dropout: _AFTER_TRAINING,
    nn.Dropout1d: _AFTER_TRAINING,
    nn.Dropout2d: _AFTER_TRAINING,
    nn.Identity: dict.fromkeys(("args", "kwargs"), _idle("torch takes and forgets them")),
    nn.Unflatten: dict.fromkeys(("dim", "unflattened_size"), _READ),
    nn.MaxPool1d: {**_KERNEL, "dilation": _READ, "return_indices": _INDICES},
    nn.MaxPool2d: {**_KERNEL, "dilation": _READ, "return_indices": _INDICES},
    nn.AvgPool1d: {**_KERNEL, "count_include_pad": _READ},
    nn.AvgPool2d: {**_KERNEL, "count_include_pad": _READ, "divisor_override": _READ},
    nn.AdaptiveMaxPool1d: {"output_size": _READ, "return_indices": _INDICES},
    nn.AdaptiveMaxPool2d: {"output_size": _READ, "return_indices": _INDICES},
    nn.AdaptiveAvgPool1d: {"output_size": _READ},
    nn.AdaptiveAvgPool2d: {"output_size": _READ},
    QuantConv1d: {**_CONV, **_QUANT},
    QuantConv2d: {**_CONV, **_QUANT},
    QuantConvTranspose1d: {**_CONV, **_QUANT, "output_padding": _READ},
    QuantConvTranspose2d: {**_CONV, **_QUANT, "output_padding": _READ},
    QuantLinear: {**_LINEAR, **_QUANT},
    IntThenScaleConv1d: {**_CONV, **_QUANT},
    IntThenScaleConv2d: {**_CONV, **_QUANT},
    IntThenScaleConvTranspose1d: {**_CONV, **_QUANT, "output_padding": _READ},
    IntThenScaleConvTranspose2d: {**_CONV, **_QUANT, "output_padding": _READ},
    IntThenScaleLinear: {**_LINEAR, **_QUANT},
    FixedConv2d: dict.fromkeys(("integers", "scale", "bias", "stride", "padding", "dilation", "groups"), _READ),
    FixedLinear: dict.fromkeys(("integers", "scale", "bias"), _READ),
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    ScaleThenShift1d: _NORM,
    ScaleThenShift2d: _NORM,
    snn.Leaky: {**_NEURON, **_GRADED, **_DELAY},
    snn.Lapicque: {**_NEURON, **dict.fromkeys(("R", "C", "time_step"), _READ)},
    snn.RLeaky: {**_NEURON, **_RECURRENT, **_DELAY},
    snn.Synaptic: {**_NEURON, **_SYNAPTIC, **_DELAY},
    snn.RSynaptic: {**_NEURON, **_SYNAPTIC, **_RECURRENT, **_DELAY},
    CurrentsFirstRLeaky: {**_NEURON, **_RECURRENT, **_DELAY},
    CurrentsFirstRSynaptic: {**_NEURON, **_SYNAPTIC, **_RECURRENT, **_DELAY},
}


# Of a tensor of the same type: the values stay, wherever they lie. What else such calls do is refused by their name.
SAME_VALUES = frozenset(["to", "cpu", "float", "type_as"])


def plain_function(name: str) -> str:
    """One name of a function, its operator and its form in place."""
    base = name.strip("_")
    return _ALIASES.get(base, base)


@cache
def schemas(name: str) -> tuple[Any, ...]:
    """torch's own signatures of a function whose first argument is a tensor or tensors."""
    found = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return tuple(one for one in found if one.arguments and str(one.arguments[0].type) in ("Tensor", "List[Tensor]"))


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a Python function; torch chooses one of two with equal ones by `return_indices`."""
    return inspect.signature(inspect.getclosurevars(function).nonlocals.get("if_false", function))


def bound(function: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call by their names; those that fit no signature are there as "arguments"."""
    if inspect.isfunction(function):
        return dict(signature(function).bind(*args, **given).arguments)
    for schema in schemas(name):
        if (found := _bound_to(schema, args, given)) is not None:
            return found
    return {"arguments": args[1:], **given}


def _bound_to(schema: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any] | None:
    names = {argument.name for argument in schema.arguments}
    found = {key if key in names else _NUMPY.get(key, key): value for key, value in given.items()}
    free = [argument for argument in schema.arguments if not argument.kwarg_only and argument.name not in found]
    values = list(args)
    if free and len(values) > len(free) and str(free[-1].type) == "List[int]":  # view(2, 3): sizes one by one
        values[len(free) - 1 :] = [tuple(values[len(free) - 1 :])]
    if len(values) > len(free):
        return None
    found |= {argument.name: value for argument, value in zip(free, values, strict=False)}
    kinds = {argument.name: str(argument.type) for argument in schema.arguments}
    found = {key: value for key, value in found.items() if value is not None or kinds.get(key) != "List[int]"}  # as []
    fits = all(key in kinds and _fits(kinds[key], value) for key, value in found.items())
    return found if fits else None


def _fits(kind: str, value: object) -> bool:
    """Whether a value can be an argument of one of torch's types, as far as that tells signatures apart."""
    if kind == "Tensor":
        return isinstance(value, Tensor)
    if kind == "List[Tensor]":
        return isinstance(value, list | tuple) and all(isinstance(part, Tensor) for part in value)
    if kind == "List[int]":
        return isinstance(value, int) or (isinstance(value, tuple | list) and all(isinstance(x, int) for x in value))
    return not isinstance(value, Tensor)


def read_options(function: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that mean something: sizes are seen in the result, and what has no effect may differ."""
    table = FUNCTION_OPTIONS.get(function, {})
    skipped = ("value", "shape", "no effect")
    return {key: value for key, value in options.items() if key not in table or table[key].treatment not in skipped}


def function_faults(function: str, options: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(rule, got, hint) of every option of a function that is not declared, or not as it must be."""
    return _faults(FUNCTION_OPTIONS.get(function, {}), options, function)


def module_faults(module: nn.Module) -> list[tuple[str, str, str]]:
    """The same of a module: what its options say today, not when it was made."""
    table = MODULE_OPTIONS.get(type(module), {})
    fixed = {key: getattr(module, key) for key, option in table.items() if option.treatment == "fixed"}
    return _faults(table, fixed, type(module).__name__)


def _faults(table: Mapping[str, Option], options: Mapping[str, Any], function: str) -> list[tuple[str, str, str]]:
    faults = []
    for key, value in options.items():
        option = table.get(key)
        if option is None:
            rule = f"every option of {function} is one that lowering knows"
            faults.append((rule, f"{key}={_short(value)}", f"leave {key} out"))
        elif option.treatment == "fixed" and not _is_allowed(value, option.allowed):
            faults.append((option.why, f"{key}={_short(value)}", option.hint))
    return faults


def _is_allowed(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(value is one or (not isinstance(value, Tensor) and value == one) for one in allowed)


def _short(value: Any) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else str(value)[:40]
