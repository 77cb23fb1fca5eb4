"""Handlers of pooling in one and two dimensions, as modules and as functions, and of means over positions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from torch import nn

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.branches import grid_of, magnitude_of
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.draft import Currents, Draft, Integers, Shape, Value, plain_name
from squat_deploy.lowering.program import Call
from squat_deploy.lowering.rounding import EXACT_LIMIT, average_error, powers_of_two, sums_exactly
from squat_deploy.network.layers import Pool2d
from squat_deploy.network.layers.pool2d import PoolKind
from squat_deploy.network.window import Pair

Axes = Literal[1, 2]
_OPTIONS = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override")
_TWICE = 2  # divisions, of adaptive averages: by the height and by the width of the window


@dataclass(frozen=True)
class _Windows:
    """Windows over planes (C, H, W), and what a sum of one is divided by; one dimension is a plane of height 1.

    Attributes:
        divisions: how many, one after the other, make the division.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    divisor: int = 1
    divisions: int = 1


def pool_module(kind: PoolKind, axes: Axes, draft: Draft, name: str, module: nn.Module, value: Value | None) -> Any:
    """Handler of MaxPool and AvgPool: the largest current belongs to the largest synaptic sum, since all ascend.

    An average is a sum of integers, the divisor a part of what one integer is worth.
    """
    return _pool(draft, name, kind, axes, vars(module), value)


def pool_function(kind: PoolKind, axes: Axes, draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """The same of functions."""
    return _pool(draft, call.label, kind, axes, call.options, values[0])


def adaptive_module(kind: PoolKind, axes: Axes, draft: Draft, name: str, module: Any, value: Value | None) -> Any:
    """Handler of adaptive pooling whose windows have one size and one distance."""
    return _adaptive(draft, name, kind, axes, module.output_size, value)


def adaptive_function(kind: PoolKind, axes: Axes, draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """The same of functions."""
    return _adaptive(draft, call.label, kind, axes, call.options["output_size"], values[0])


def _plane(draft: Draft, name: str, axes: Axes, value: Value) -> tuple[int, int, int] | None:
    """(C, H, W) of what is pooled."""
    if len(value.shape) != axes + 1:
        sizes = "(channels, height, width)" if axes == 2 else "(channels, length)"
        draft.fault(name, f"takes {sizes} values", value.shape, "put no nn.Flatten before it")
        return None
    channels, *rest = value.shape
    height, width = (1, *rest)[-2:]
    return channels, height, width


def _pool(
    draft: Draft, name: str, kind: PoolKind, axes: Axes, given: Mapping[str, Any], value: Value | None
) -> Value | None:
    options = {key: given[key] for key in _OPTIONS if given.get(key) is not None}
    if _pair(options.get("dilation", 1), axes, 1) != (1, 1):
        got = f"dilation={options['dilation']}"
        draft.fault(name, "windows have no gaps", got, "use dilation=1")
        return None
    if value is None or (plane := _plane(draft, name, axes, value)) is None:
        return None
    kernel = _pair(options["kernel_size"], axes, 1)
    stride = _pair(options.get("stride") or options["kernel_size"], axes, 1)
    padding = _pair(options.get("padding", 0), axes, 0)
    if options.get("ceil_mode") and _cut(plane, kernel, stride, padding):
        got = f"ceil_mode=True and windows that do not fit {value.shape[1:]}"
        draft.fault(name, "windows lie inside", got, "use ceil_mode=False")
        return None
    if kind == "max":
        return _windowed(draft, name, kind, axes, _Windows(kernel, stride, padding), value)
    if padding != (0, 0) and options.get("count_include_pad", True) is False:
        got, hint = "count_include_pad=False", "use count_include_pad=True or padding=0"
        draft.fault(name, "every window has one divisor", got, hint)
        return None
    divisor = int(options.get("divisor_override", math.prod(kernel)))
    if not 1 <= divisor < EXACT_LIMIT:
        draft.fault(name, f"the divisor of an average is 1 to {EXACT_LIMIT - 1}", divisor, "use divisor_override=None")
        return None
    return _windowed(draft, name, kind, axes, _Windows(kernel, stride, padding, divisor), value)


def _pair(value: int | Sequence[int], axes: Axes, missing: int) -> Pair:
    """Vertical and horizontal; of one dimension `missing` and that."""
    first, last = (value[0], value[-1]) if isinstance(value, Sequence) else (value, value)
    return (int(first) if axes == 2 else missing), int(last)  # NumPy's integers too


def _cut(plane: tuple[int, int, int], kernel: Pair, stride: Pair, padding: Pair) -> bool:
    """Whether `ceil_mode` would add windows that reach beyond the end."""
    sizes = zip(plane[1:], kernel, stride, padding, strict=True)
    return any((size + 2 * pad - reach) % step for size, reach, step, pad in sizes)


def _adaptive(
    draft: Draft, name: str, kind: PoolKind, axes: Axes, wanted: int | Sequence[int | None] | None, value: Value | None
) -> Value | None:
    if value is None or (plane := _plane(draft, name, axes, value)) is None:
        return None
    given = list(wanted) if isinstance(wanted, Sequence) else [wanted] * axes
    sizes = [size if want is None else int(want) for want, size in zip(given, plane[3 - axes :], strict=True)]
    found = [_regular(size, want) for size, want in zip(plane[3 - axes :], sizes, strict=True)]
    if None in found:
        got = f"{tuple(sizes)} windows over {value.shape[1:]} positions"
        hint = "use output sizes that divide those of the input, 1 for instance"
        draft.fault(name, "adaptive windows have one size and one distance", got, hint)
        return None
    vertical, horizontal = ((1, 1), *(each for each in found if each is not None))[-2:]
    kernel, stride = zip(vertical, horizontal, strict=True)
    divisor = math.prod(kernel) if kind == "sum" else 1
    return _windowed(draft, name, kind, axes, _Windows(kernel, stride, (0, 0), divisor, _TWICE), value)


def _regular(size: int, wanted: int) -> Pair | None:
    """(size, distance) of torch's adaptive windows over one axis, if all have the same."""
    starts = [place * size // wanted for place in range(wanted)]
    ends = [-((place + 1) * size // -wanted) for place in range(wanted)]
    reaches = {end - start for start, end in zip(starts, ends, strict=True)}
    steps = {after - before for before, after in itertools.pairwise(starts)}
    if len(reaches) != 1 or len(steps) > 1 or steps == {0}:
        return None
    (reach,) = reaches
    return reach, steps.pop() if steps else reach


def over_positions(kind: PoolKind, averages: bool, draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """Handler of `mean`, `sum` and `amax` over all places of an axis of positions."""
    (value,) = values
    given = call.options.get("dim")
    dims = [given] if isinstance(given, int) else list(given or ())
    axes = sorted(int(dim) % (len(value.shape) + 1) for dim in dims)
    if not axes or len(value.shape) not in (2, 3) or not all(2 <= axis <= len(value.shape) for axis in axes):
        got = f"dim={given} of (batch, {', '.join(map(str, value.shape))})"
        hint = "use dim=(2, 3) of planes, dim=2 of lines"
        draft.fault(call.label, "means, sums and maxima are over positions", got, hint)
        return None
    sizes = tuple(size if axis in axes else 1 for axis, size in enumerate(value.shape[1:], 2))
    kernel: Pair = (1, *sizes)[-2:]  # type: ignore[assignment]
    windows = _Windows(kernel, kernel, (0, 0), math.prod(kernel) if averages else 1, _TWICE)
    dimensions: Axes = 2 if len(sizes) == 2 else 1
    pooled = _windowed(draft, call.label, kind, dimensions, windows, value)
    if pooled is None or call.options.get("keepdim", False):
        return pooled
    kept: Shape = (value.shape[0], *(size for axis, size in enumerate(pooled.shape[1:], 2) if axis not in axes))
    return replace(pooled, shape=kept)


def _windowed(draft: Draft, name: str, kind: PoolKind, axes: Axes, windows: _Windows, value: Value) -> Value | None:
    channels, *rest = value.shape
    height, width = (1, *rest)[-2:]
    try:
        layer = Pool2d(
            plain_name(name), kind, (channels, height, width), windows.kernel, windows.stride, windows.padding
        )
    except ConfigError as error:
        draft.fault(name, "the windows of a pooling fit its inputs", error, "change the kernel, padding or input")
        return None
    pooled = (
        _pooled(draft, name, layer, value, windows) if kind == "max" else _average(draft, name, layer, value, windows)
    )
    return None if pooled is None else replace(pooled, shape=(channels, *pooled.shape[3 - axes :]))


def _average(draft: Draft, name: str, layer: Pool2d, value: Value, windows: _Windows) -> Value | None:
    divisor = windows.divisor
    if isinstance(value, Integers) or (not divisor & (divisor - 1) and _pools_exactly(draft, layer, value)):
        return _pooled(draft, name, layer, value, windows)
    got = f"a divisor of {divisor} and currents by the rule '{value.current.rule}'"
    hint = "pool the spikes, or use power-of-two scales and windows of 2, 4, 8 ... inputs"
    draft.fault(name, "averages of currents must be exact in float32", got, hint)
    return None


def _pooled(draft: Draft, name: str, layer: Pool2d, value: Value, windows: _Windows) -> Value | None:
    divisor = windows.divisor
    if isinstance(value, Currents) and not _is_uniform(layer, value.current):
        got, hint = "others in one window, as behind a view or padding", "pool channels of a convolution, or spikes"
        draft.fault(name, "all currents of a window are the same function of their sums", got, hint)
        return None
    source = draft.add(layer, value.source)
    if isinstance(value, Integers):
        error, largest = value.error, draft.largest_at(value.source)
        if layer.kind == "sum":
            count = math.prod(layer.kernel)
            error = average_error(count, divisor, largest, value.unit, value.error, windows.divisions)
        handed = value.quantized if layer.kind == "max" else None
        return Integers(source, layer.output_shape, value.unit / divisor, error, handed)
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
    grid = layer.windows(grid_of(current)[None], np.inf).min(axis=(4, 5)).reshape(-1)
    return sums_exactly(layer.apply(magnitude_of(draft, value.source, current)[None])[0], grid)
