"""Handlers of functions without weights: sums of branches, concatenation, reshaping, dropout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from squat_deploy.lowering.common_units import with_common_units
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.draft import Currents, Draft, Integers, Shape, Value
from squat_deploy.lowering.program import Call
from squat_deploy.lowering.rounding import (
    EXACT_LIMIT,
    Floats,
    addition_error,
    lowest_bit,
    powers_of_two,
    sums_exactly,
)
from squat_deploy.network import INPUT
from squat_deploy.network.layers import Add, Concat


def grid_of(current: Current) -> Floats:
    """What every current `integer * unit + bias` is a multiple of, a power of two, (N,)."""
    return np.minimum(lowest_bit(current.unit), lowest_bit(current.bias))


def magnitude_of(draft: Draft, source: int, current: Current) -> Floats:
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


def add(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """Handler of sums of two."""
    return add_branches(draft, call.label, values)


def add_branches(draft: Draft, label: str, values: Sequence[Value]) -> Value | None:
    """A residual branch of spikes or of currents."""
    branches = linear_branches(draft, label, values)
    if branches is None:
        return None
    added = added_branches(draft, label, *branches)
    if added is None or added.current.rule != "exact grid" or not _all_integers(values):
        return added
    return Integers(added.source, added.shape, float(added.current.unit[0]))


def linear_branches(draft: Draft, label: str, values: Sequence[Value]) -> tuple[Currents, Currents] | None:
    """Two values of one shape as currents that can be added: integers times units that both share, or have alone."""
    if len({value.shape for value in values}) != 1 or len(values) != 2:
        got = " and ".join(str(value.shape) for value in values)
        draft.fault(label, "both branches of a sum have one shape", got, "make the sizes match")
        return None
    branches = [as_currents(draft, label, value) for value in values]
    if None in branches:
        return None
    first, second = (branch for branch in branches if branch is not None)
    if not (_is_linear(first) and _is_linear(second)):
        rules = " and ".join(f"'{branch.current.rule}'" for branch in (first, second))
        draft.apart |= draft.synapses_behind(first.source) | draft.synapses_behind(second.source)
        hint = _hint_of_grids(first.current, second.current)
        draft.fault(label, "both branches of a sum are on one grid", f"the rules {rules}", hint)
        return None
    return with_common_units(draft, label, first, second)


def added_branches(draft: Draft, label: str, first: Currents, second: Currents) -> Currents | None:
    """The sum of what `linear_branches` returns."""
    units = [branch.current.unit for branch in (first, second)]
    bit = np.minimum(*map(lowest_bit, units))
    wholes = [np.rint(known / bit).astype(object) for known in units]
    common = np.gcd(*wholes)
    factors = tuple(int((whole // common).max()) for whole in wholes)  # the same in all elements
    if max(factors) >= EXACT_LIMIT:
        got = f"steps of {units[0][0]:g} and {units[1][0]:g}"
        draft.fault(label, "the steps of both branches are less than 2**24 apart", got, "use similar weight scales")
        return None
    unit = bit * common.astype(np.float64)
    size = math.prod(first.shape)
    source = draft.add(Add(_name(draft, "add"), size, factors), first.source, second.source)
    return Currents(source, first.shape, _added(draft, source, unit, first.current, second.current))


def _hint_of_grids(*currents: Current) -> str:
    """What puts both on one grid."""
    one = "use one power-of-two weight scale a layer (Int8WeightPerTensorFixedPoint) in both"
    if all(current.norm is None for current in currents):
        return (
            f"{one}, or lower sd.exact(model, spec, steps) (--exact); where it is that already, use fewer weight bits"
        )
    fold = "torch.nn.utils.fusion.fuse_linear_bn_eval(layer, norm), or fuse_conv_bn_eval"
    return (
        f"put norms behind the sum, or fold each into its layer and leave it out ({fold}), and {one}, or then lower "
        "sd.exact(model, spec, steps) (--exact)"
    )


def _added(draft: Draft, source: int, unit: Floats, first: Current, second: Current) -> Current:
    """The current of a sum of branches, with the error of one more addition where that rounds."""
    size = len(draft.range_at(source)[0])
    error = first.sum_error + second.sum_error
    current = replace(Current.exact(size, unit), bias=first.bias + second.bias)
    magnitude = magnitude_of(draft, source, current)
    grid = np.minimum(grid_of(first), grid_of(second))
    if not error.any() and sums_exactly(magnitude, grid):
        return current
    return replace(current, rule="error bound", sum_error=addition_error(error, magnitude))


def _is_linear(value: Currents) -> bool:
    """Whether every current is integer times unit plus bias: exactly, or up to rounding for a power of two."""
    current = value.current
    linear = current.scale is None and current.norm is None
    return linear and (powers_of_two(current.unit) or current.on_grid)


def _all_integers(values: Sequence[Value]) -> bool:
    return all(isinstance(value, Integers) for value in values)


def _name(draft: Draft, kind: str) -> str:
    return f"{kind}{len(draft.layers)}"


def concat(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
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


def reshape(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """The same values in the same order; only the batch axis must stay."""
    if call.shape is None or math.prod(call.shape) != math.prod(values[0].shape):
        got = "the batch in another axis" if call.shape is None else call.shape
        draft.fault(call.label, "a reshape keeps the batch axis", got, "use x.flatten(1)")
        return None
    return replace(values[0], shape=call.shape)


def dropout(draft: Draft, call: Call, values: Sequence[Value]) -> Value | None:
    """Handler of dropout, which rests."""
    if call.options.get("training", call.options.get("train", True)):
        hint = "use nn.Dropout, or F.dropout(..., training=self.training)"
        draft.fault(call.label, "dropout rests after training", "training=True", hint)
        return None
    return values[0]
