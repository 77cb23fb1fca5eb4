"""Every argument of every function and module that can be lowered, and what becomes of it: one table of each.

Arguments are bound by the real signature (torch's own schemas). One that no table declares is refused by name, so that
a new version of a library cannot add an option that nobody reads; the tests draft the signatures.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

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


Options = Mapping[str, Option]


def _fixed(value: Any, rule: str, hint: str) -> Option:
    return Option("fixed", rule, (value,), hint)


def idle(why: str) -> Option:
    """One that means nothing after training."""
    return Option("no effect", why)


def read(*names: str) -> Options:
    """Those that the handler reads."""
    return dict.fromkeys(names, READ)


_VALUE, READ, SHAPE = Option("value"), Option("read"), Option("shape")
_NO_OUT = _fixed(None, "a result is a new value", "leave out= away and take what is returned")
_LAYOUT = idle("the same values in the same order, laid out otherwise in memory")
_RESTS = idle("dropout rests after training")
_POOL = {"self": _VALUE, **dict.fromkeys(("kernel_size", "stride", "padding", "ceil_mode"), READ)}
INDICES = _fixed(False, "a pooling returns values alone", "use return_indices=False")
_ADAPTIVE = {"self": _VALUE, "input": _VALUE, "output_size": READ}
_OVER_POSITIONS = {"self": _VALUE, "dim": READ, "keepdim": READ, "out": _NO_OUT}
_TYPED = {"dtype": Option("fixed", "values stay float32", (None, torch.float32), "leave dtype= away")}
_CONCAT = {"tensors": _VALUE, "dim": READ, "out": _NO_OUT}
_DROPOUT = {"input": _VALUE, "p": _RESTS, "training": READ, "inplace": _RESTS}

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
    "flatten": {"self": _VALUE, "start_dim": SHAPE, "end_dim": SHAPE},
    "reshape": {"self": _VALUE, "shape": SHAPE},
    "view": {
        "self": _VALUE,
        "size": SHAPE,
        "dtype": _fixed(None, "values are not read as those of another type", "leave the type as it is"),
    },
    "squeeze": {"self": _VALUE, "dim": SHAPE},
    "unsqueeze": {"self": _VALUE, "dim": SHAPE},
    "unflatten": {"self": _VALUE, "dim": SHAPE, "sizes": SHAPE},
    "max_pool1d": {**_POOL, "input": _VALUE, "dilation": READ, "return_indices": INDICES},
    "max_pool2d": {**_POOL, "input": _VALUE, "dilation": READ, "return_indices": INDICES},
    "avg_pool1d": {**_POOL, "count_include_pad": READ, "out": _NO_OUT},
    "avg_pool2d": {**_POOL, "count_include_pad": READ, "divisor_override": READ, "out": _NO_OUT},
    "adaptive_max_pool1d": {**_ADAPTIVE, "return_indices": INDICES},
    "adaptive_max_pool2d": {**_ADAPTIVE, "return_indices": INDICES, "out": _NO_OUT, "indices": _NO_OUT},
    "adaptive_avg_pool1d": {"self": _VALUE, "output_size": READ, "out": _NO_OUT},
    "adaptive_avg_pool2d": {**_ADAPTIVE, "out": _NO_OUT},
    "amax": _OVER_POSITIONS,
    "mean": {**_OVER_POSITIONS, **_TYPED},
    "sum": {**_OVER_POSITIONS, **_TYPED},
    "dropout": {**_DROPOUT, "train": READ},
    "dropout2d": _DROPOUT,
}
_ALIASES = {"concat": "cat", "concatenate": "cat", "iadd": "add", "radd": "add"}  # other names of the same
_NUMPY = {"axis": "dim", "x": "self", "a": "self", "x1": "self", "x2": "other", "input": "self"}  # torch takes both

KERNEL = dict.fromkeys(("kernel_size", "stride", "padding", "ceil_mode"), READ)
_PLACE = dict.fromkeys(
    ("device", "dtype"), idle("the weights themselves are read, wherever and however they were made")
)
LINEAR = dict.fromkeys(("in_features", "out_features", "bias"), READ)
CONV = dict.fromkeys(
    ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "bias"),
    READ,
)
QUANT = {
    **dict.fromkeys(("weight_quant", "bias_quant", "input_quant", "output_quant"), READ),
    "return_quant_tensor": READ,
    "kwargs": idle("they shape the quantizers, whose results are read"),
    **_PLACE,
}
NORM = {
    **dict.fromkeys(("num_features", "eps", "affine", "track_running_stats", "bias"), READ),
    "momentum": idle("it only moves the statistics while training"),
    **_PLACE,
}
_IS_RUN = idle("the table is taken from running the trained neuron with it")
LEARNED = idle("whether a value was learned changes nothing about the value")
NEURON = {
    **dict.fromkeys(("beta", "threshold", "state_quant"), READ),
    "inhibition": _fixed(False, "each neuron decides alone", "train with inhibition=False"),
    **dict.fromkeys(("spike_grad", "surrogate_disable", "reset_mechanism"), _IS_RUN),
    **dict.fromkeys(("learn_beta", "learn_threshold"), LEARNED),
    **dict.fromkeys(("init_hidden", "output"), READ),
}
RESET = {"reset_delay": READ}
SYNAPTIC = {"alpha": READ, "learn_alpha": LEARNED}
RECURRENT = {
    **dict.fromkeys(("V", "all_to_all", "linear_features", "conv2d_channels", "kernel_size"), READ),
    "learn_recurrent": LEARNED,
}
GRADED = {"graded_spikes_factor": READ, "learn_graded_spikes_factor": LEARNED}
AFTER_TRAINING = {"p": _RESTS, "inplace": _RESTS}

# Of a tensor of the same type: the values stay, wherever they lie. What else such calls do is refused by their name.
SAME_VALUES = frozenset(["to", "cpu", "float", "type_as"])
BY_ONE = frozenset(["mul", "rmul", "div", "truediv"])  # the same where the number is 1


def plain_function(name: str) -> str:
    """One name of a function, its operator and its form in place."""
    base = name.strip("_")
    return _ALIASES.get(base, base)


@cache
def schemas(name: str) -> tuple[Any, ...]:
    """torch's own signatures of a function whose first argument is a tensor or tensors."""
    found = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    return tuple(one for one in found if one.arguments and str(one.arguments[0].type) in ("Tensor", "List[Tensor]"))


@cache
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a Python function; torch chooses one of two with equal ones by `return_indices`."""
    return inspect.signature(inspect.getclosurevars(function).nonlocals.get("if_false", function))


def bound(function: Callable[..., Any], name: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call by their names; those that fit no signature are there as "arguments"."""
    if inspect.isfunction(function):
        with contextlib.suppress(ValueError):  # operators, which torch wraps, have none
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


def module_faults(module: nn.Module, table: Options) -> list[tuple[str, str, str]]:
    """The same of a module: what its options say today, not when it was made."""
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
