"""Handlers of what has no weights: pooling, sums of branches, concatenation, reshaping; as modules or as functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.draft import Currents, Draft, Integers, Shape, Value, plain_name
from squat_deploy.lowering.options import plain_function
from squat_deploy.lowering.program import Call
from squat_deploy.lowering.rounding import (
    EXACT_LIMIT,
    Floats,
    addition_error,
    average_error,
    lowest_bit,
    powers_of_two,
    sums_exactly,
)
from squat_deploy.network import INPUT
from squat_deploy.network.layers import Add, Concat, Pool2d
from squat_deploy.network.layers.pool2d import PoolKind

FunctionHandler = Callable[[Draft, Call, Sequence[Value]], Value | None]
_POOL_OPTIONS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override")


def max_pool(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Handler of MaxPool2d: the largest current belongs to the largest synaptic sum, since every current ascends."""
    return _pool(draft, name, "max", vars(module), value)


def average_pool(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Handler of AvgPool2d: the sum is of integers, the divisor is part of what one integer is worth."""
    return _pool(draft, name, "sum", vars(module), value)


def _pool(draft: Draft, name: str, kind: PoolKind, given: Mapping[str, Any], value: Value | None) -> Value | None:
    options = {key: given[key] for key in _POOL_OPTIONS if given.get(key) is not None}
    if options.get("ceil_mode") or _pair(options.get("dilation", 1)) != (1, 1):
        got = f"ceil_mode={options.get('ceil_mode', False)}, dilation={options.get('dilation', 1)}"
        draft.fault(name, "windows lie inside and have no gaps", got, "use ceil_mode=False and dilation=1")
        return None
    if value is None:
        return None
    if len(value.shape) != 3:
        draft.fault(name, "takes (channels, height, width) values", value.shape, "put no nn.Flatten before it")
        return None
    kernel = _pair(options["kernel_size"])
    stride, padding = _pair(options.get("stride") or kernel), _pair(options.get("padding", 0))
    channels, height, width = value.shape
    try:
        layer = Pool2d(plain_name(name), kind, (channels, height, width), kernel, stride, padding)
    except ConfigError as error:
        draft.fault(name, "the windows of a pooling fit its inputs", error, "change the kernel, padding or input")
        return None
    if kind == "max":
        return _pooled(draft, name, layer, value, 1)
    if padding != (0, 0) and options.get("count_include_pad", True) is False:
        got, hint = "count_include_pad=False", "use count_include_pad=True or padding=0"
        draft.fault(name, "every window has one divisor", got, hint)
        return None
    divisor = int(options.get("divisor_override", math.prod(kernel)))
    if not 1 <= divisor < EXACT_LIMIT:
        draft.fault(name, f"the divisor of an average is 1 to {EXACT_LIMIT - 1}", divisor, "use divisor_override=None")
        return None
    return _average(draft, name, layer, value, divisor)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, Sequence):
        return int(value[0]), int(value[-1])
    return int(value), int(value)  # NumPy's integers too


def _average(draft: Draft, name: str, layer: Pool2d, value: Value, divisor: int) -> Value | None:
    if isinstance(value, Integers) or (not divisor & (divisor - 1) and _pools_exactly(draft, layer, value)):
        return _pooled(draft, name, layer, value, divisor)
    got = f"a divisor of {divisor} and currents by the rule '{value.current.rule}'"
    hint = "pool the spikes, or use power-of-two scales and windows of 2, 4, 8 ... inputs"
    draft.fault(name, "averages of currents must be exact in float32", got, hint)
    return None


def _pooled(draft: Draft, name: str, layer: Pool2d, value: Value, divisor: int) -> Value | None:
    if isinstance(value, Currents) and not _is_uniform(layer, value.current):
        got, hint = "others in one window, as behind a view or padding", "pool channels of a convolution, or spikes"
        draft.fault(name, "all currents of a window are the same function of their sums", got, hint)
        return None
    source = draft.add(layer, value.source)
    if isinstance(value, Integers):
        error, largest = value.error, draft.largest_at(value.source)
        if layer.kind == "sum":
            error = average_error(math.prod(layer.kernel), divisor, largest, value.unit, value.error)
        return Integers(source, layer.output_shape, value.unit / divisor, error)
    current = value.current.select(layer.first_inputs())
    if layer.kind == "sum":
        inside = layer.apply(np.ones((1, layer.input_sizes[0]), dtype=np.int64))[0]
        current = replace(current, unit=current.unit / divisor, bias=current.bias * inside / divisor)
    else:  # any of the window may be the largest
        current = replace(current, sum_error=layer.apply(value.current.sum_error[None])[0])
    return Currents(source, layer.output_shape, current)


def _is_uniform(layer: Pool2d, current: Current) -> bool:
    """Whether equal sums make equal currents wherever one window looks: only then does it pool sums."""
    parts = (current.unit, current.bias, current.scale, current.channel)
    seen = [layer.windows(part.astype(np.float64)[None], np.nan) for part in parts if part is not None]
    return all(bool((np.nanmin(part, axis=(4, 5)) == np.nanmax(part, axis=(4, 5))).all()) for part in seen)


def _pools_exactly(draft: Draft, layer: Pool2d, value: Currents) -> bool:
    """Whether float32 sums of the currents of a window are exact in any order."""
    current = value.current
    if not current.on_grid or not powers_of_two(current.unit):
        return False
    grid = layer.windows(_grid(current)[None], np.inf).min(axis=(4, 5)).reshape(-1)
    return sums_exactly(layer.apply(_magnitude(draft, value.source, current)[None])[0], grid)


def _grid(current: Current) -> Floats:
    """What every current `integer * unit + bias` is a multiple of, a power of two, (N,)."""
    return np.minimum(lowest_bit(current.unit), lowest_bit(current.bias))


def _magnitude(draft: Draft, source: int, current: Current) -> Floats:
    """Largest magnitudes of sum and bias together, (N,)."""
    low, high = draft.range_at(source)
    return np.maximum(np.abs(low), np.abs(high)) * current.unit + np.abs(current.bias)


def as_currents(draft: Draft, name: str, value: Value) -> Currents | None:
    """Integers as the currents that they are worth."""
    if isinstance(value, Currents):
        return value
    if value.error or not powers_of_two(np.array([value.unit])):
        entering = value.source == INPUT
        nearest = "make the step of the inputs a power of two" if entering else "use windows of 2, 4, 8 ... inputs"
        hint = f"{nearest}, or put synapses in between"
        draft.fault(name, "values that are no synaptic sums are multiples of a power of two", value.unit, hint)
        return None
    return Currents(value.source, value.shape, Current.exact(math.prod(value.shape), value.unit))


def _add(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    return add_branches(draft, call.label, values)


def add_branches(draft: Draft, label: str, values: Sequence[Value]) -> Value | None:
    """A residual branch of spikes or of currents, or recurrent synapses."""
    if len({value.shape for value in values}) != 1 or len(values) != 2:
        got = " and ".join(str(value.shape) for value in values)
        draft.fault(label, "both branches of a sum have one shape", got, "make the sizes match")
        return None
    branches = [as_currents(draft, label, value) for value in values]
    if None in branches:
        return None
    first, second = (branch for branch in branches if branch is not None)
    units = [np.unique(branch.current.unit) for branch in (first, second)]
    if not (_is_linear(first) and _is_linear(second)) or any(unit.size > 1 for unit in units):
        rules = " and ".join(f"'{branch.current.rule}'" for branch in (first, second))
        hint = "use one power-of-two weight scale a layer (Int8WeightPerTensorFixedPoint) in both, norms behind the sum"
        if all(_has_one_scale(branch.current) for branch in (first, second)):
            hint += ", or lower sd.exact(model, spec, steps) (--exact)"
        draft.apart |= draft.synapses_behind(first.source) | draft.synapses_behind(second.source)
        draft.fault(label, "both branches of a sum are on one grid", f"the rules {rules}", hint)
        return None
    bit = float(min(lowest_bit(known)[0] for known in units))
    wholes = [int(known[0] / bit) for known in units]
    unit, factors = bit * math.gcd(*wholes), tuple(whole // math.gcd(*wholes) for whole in wholes)
    if max(factors) >= EXACT_LIMIT:
        got = f"steps of {units[0][0]:g} and {units[1][0]:g}"
        draft.fault(label, "the steps of both branches are less than 2**24 apart", got, "use similar weight scales")
        return None
    size = math.prod(first.shape)
    source = draft.add(Add(_name(draft, "add"), size, factors), first.source, second.source)
    result = Currents(source, first.shape, _added(draft, source, unit, first.current, second.current))
    exact = result.current.rule == "exact grid"
    return Integers(source, first.shape, unit) if exact and _all_integers(values) else result


def _added(draft: Draft, source: int, unit: float, first: Current, second: Current) -> Current:
    """The current of a sum of branches, with the error of one more addition where that rounds."""
    size = len(draft.range_at(source)[0])
    error = first.sum_error + second.sum_error
    current = replace(Current.exact(size, unit), bias=first.bias + second.bias)
    magnitude = _magnitude(draft, source, current)
    grid = np.minimum(_grid(first), _grid(second))
    if not error.any() and sums_exactly(magnitude, grid):
        return current
    return replace(current, rule="error bound", sum_error=addition_error(error, magnitude))


def _is_linear(value: Currents) -> bool:
    """Whether every current is integer times unit plus bias: exactly, or up to rounding for a power of two."""
    current = value.current
    linear = current.scale is None and current.norm is None
    return linear and (powers_of_two(current.unit) or current.on_grid)


def _has_one_scale(current: Current) -> bool:
    """Whether `exact` can put it on a grid with others."""
    worth = current.unit if current.scale is None else current.unit * current.scale
    return current.norm is None and np.unique(worth).size == 1


def _all_integers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, Integers) for value in values)


def _name(draft: Draft, kind: str) -> str:
    return f"{kind}{len(draft.layers)}"


def _concat(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """Channels one after another."""
    shapes = [value.shape for value in values]
    if call.options.get("dim", 0) not in (1, -len(shapes[0])) or len({shape[1:] for shape in shapes}) != 1:
        got = f"dim={call.options.get('dim', 0)} of {', '.join(map(str, shapes))}"
        draft.fault(call.label, "values are joined channel by channel", got, "use torch.cat(..., dim=1)")
        return None
    source = [value.source for value in values]
    shape: Shape = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    layer = Concat(_name(draft, "concat"), tuple(math.prod(size) for size in shapes))
    spikes = [value for value in values if isinstance(value, Integers)]
    if len(spikes) == len(values) and len({value.unit for value in spikes}) == 1:
        return Integers(draft.add(layer, *source), shape, spikes[0].unit, max(value.error for value in spikes))
    branches = [as_currents(draft, call.label, value) for value in values]
    if None in branches:
        return None
    currents = [branch.current for branch in branches if branch is not None]
    if not all(current.on_grid for current in currents):
        rules = ", ".join(current.rule for current in currents)
        hint = "put neurons or norms behind the concatenation"
        draft.fault(call.label, "all parts of a concatenation follow the rule 'exact grid'", rules, hint)
        return None
    joined: dict[str, Any] = {
        key: np.concatenate([getattr(c, key) for c in currents]) for key in ("unit", "bias", "sum_error")
    }
    return Currents(draft.add(layer, *source), shape, replace(currents[0], **joined))


def _reshape(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """The same values in the same order; only the batch axis must stay."""
    if call.shape is None or math.prod(call.shape) != math.prod(values[0].shape):
        got = "the batch in another axis" if call.shape is None else call.shape
        draft.fault(call.label, "a reshape keeps the batch axis", got, "use x.flatten(1)")
        return None
    return replace(values[0], shape=call.shape)


def _function_max_pool(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    return _pool(draft, call.label, "max", call.options, values[0])


def _function_average_pool(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    return _pool(draft, call.label, "sum", call.options, values[0])


def _dropout(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    if call.options.get("training", call.options.get("train", True)):
        hint = "use nn.Dropout, or F.dropout(..., training=self.training)"
        draft.fault(call.label, "dropout rests after training", "training=True", hint)
        return None
    return values[0]


FUNCTIONS: dict[str, FunctionHandler] = {
    "add": _add,
    "cat": _concat,
    "clone": _reshape,
    "contiguous": _reshape,
    "detach": _reshape,
    "flatten": _reshape,
    "reshape": _reshape,
    "unflatten": _reshape,
    "view": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "max_pool2d": _function_max_pool,
    "avg_pool2d": _function_average_pool,
    "dropout": _dropout,
    "dropout2d": _dropout,
}


def function_handler(name: str) -> FunctionHandler | None:
    """The handler of a torch function by its name, or None."""
    return FUNCTIONS.get(plain_function(name))
