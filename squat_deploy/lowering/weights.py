"""Handlers of quantized layers: integer weights, the value of a synaptic sum, the error of the model's own sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.activations import numbers, silent_like, unchanged
from squat_deploy.lowering.current import Current
from squat_deploy.lowering.draft import Currents, Draft, Integers, Value, plain_name
from squat_deploy.lowering.rounding import (
    EXACT_LIMIT,
    Floats,
    lowest_bit,
    powers_of_two,
    roundings,
    sums_exactly,
    synaptic_error,
)
from squat_deploy.network import INPUT, MAX_NEURONS
from squat_deploy.network.layers import Conv2d, ConvTranspose2d, Dense, IntArray, Synapses, Weighted
from squat_deploy.network.limits import MAX_VALUES
from squat_deploy.snn.layers import FixedConv2d, FixedLinear, IntThenScale, output_scales, outputs_first

MAX_WEIGHT = 2**15
MAX_ONE_TO_ONE = 2048  # neurons, which make a square of weights


def quant_linear(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Handler of QuantLinear, also integers first, and FixedLinear."""
    assert isinstance(module, QuantLinear | FixedLinear)
    if value is not None and value.shape != (module.in_features,):
        hint = "put nn.Flatten() before it" if len(value.shape) > 1 else "make the sizes match"
        draft.fault(name, f"takes ({module.in_features},) values", value.shape, hint)
        value = None
    return _quantized(draft, name, module, value, partial(Dense, plain_name(name)), (module.out_features,))


def quant_conv(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Handler of all convolutions, transposed and integers first too; one dimension is a plane of height 1."""
    assert isinstance(module, QuantConv2d | QuantConv1d | QuantConvTranspose2d | QuantConvTranspose1d | FixedConv2d)
    axes = module.weight.ndim - 2
    sizes = "(channels, height, width)" if axes == 2 else "(channels, length)"
    if value is not None and (len(value.shape) != 1 + axes or value.shape[0] != module.in_channels):
        hint = f"declare inputs of shape {sizes}, and put no nn.Flatten before it"
        if len(value.shape) == 1 and value.source != INPUT and not value.shape[0] % module.in_channels:
            hint = f"put nn.Unflatten(1, {sizes.replace('channels', str(module.in_channels))}) before it"
        rule = f"takes {sizes.replace('channels', str(module.in_channels))} values"
        draft.fault(name, rule, value.shape, hint)
        value = None
    if got := _odd_padding(module):
        draft.fault(name, "pads with zeros, a stated number of them", got, "use padding=<int> and padding_mode='zeros'")
        value = None
    if value is None:
        return _quantized(draft, name, module, None, partial(Dense, plain_name(name)), ())
    channels, *rest = value.shape
    height, width = (1, *rest)[-2:]
    make = partial(_convolution, plain_name(name), module, (channels, height, width))
    try:
        weight = outputs_first(module, torch.zeros(module.weight.shape, dtype=torch.int64)).numpy()
        blank = weight, np.zeros(module.out_channels, dtype=np.int64)
        shape = make(*blank).output_shape
    except ConfigError as error:
        draft.fault(name, "the sizes of a convolution fit its inputs", error, "change the kernel, padding or input")
        return None
    return _quantized(draft, name, module, value, make, (shape[0], *shape[3 - axes :]))


def _odd_padding(module: nn.Conv2d | nn.Conv1d) -> str:
    """Padding that is no number of zeros on each side, nor "same" of a kernel with one more weight of 0."""
    same = module.padding == "same" or getattr(module, "is_same_padded_strided", False)
    if module.padding_mode != "zeros" or (isinstance(module.padding, str) and module.padding not in ("same", "valid")):
        return f"padding={module.padding!r}, padding_mode={module.padding_mode!r}"
    if same and any(step > 1 for step in module.stride):
        return f"padding='same' with stride={tuple(module.stride)}"
    axes = zip(module.kernel_size, module.dilation, strict=True)
    if same and any(size % 2 == 0 and gap > 1 for size, gap in axes if gap % 2):
        return f"padding='same' of an even kernel {module.kernel_size} with dilation={module.dilation}"
    return ""


_DRAWS = 8  # how often weights that could be random are quantized anew
Trained: TypeAlias = QuantLinear | QuantConv2d | QuantConv1d | QuantConvTranspose2d | QuantConvTranspose1d
Quantized: TypeAlias = Trained | FixedLinear | FixedConv2d
Maker: TypeAlias = Callable[[IntArray, IntArray], Weighted]


def _quantized(
    draft: Draft, name: str, module: Quantized, value: Value | None, make: Maker, shape: tuple[int, ...]
) -> Value | None:
    """What all quantized layers share: `make` builds the layer of integer weights and bias, `shape` is its results'."""
    if isinstance(value, Currents):
        if np.unique(value.current.unit).size > 1:
            hint = "give the joined neurons one graded_spikes_factor, and joined averages one window"
            draft.fault(name, "all that enters synapses is worth the same", "joined values of several units", hint)
        else:
            hint = "put snn.Leaky between them, or merge them"
            draft.fault(name, "synapses feed neurons", "two linear layers in a row", hint)
    if (
        isinstance(value, Integers)
        and not isinstance(module, FixedLinear | FixedConv2d)
        and module.input_quant.is_quant_enabled
    ):
        value = unchanged(draft, name, module.input_quant, value, hands_on=False)
    zeros = None if value is None else silent_like(value)
    faults = [] if isinstance(module, FixedLinear | FixedConv2d) else _weight_faults(module, zeros)
    if math.prod(shape) > MAX_VALUES:
        hint = "use a larger stride or fewer channels"
        faults.append((f"at most {MAX_VALUES} values a layer", str(math.prod(shape)), hint))
    for rule, got, hint in faults:
        draft.fault(name, rule, got, hint)
    if faults or zeros is None or not isinstance(value, Integers):
        return None
    draft.entering.setdefault(plain_name(name), []).append(value)
    return _synapses(draft, name, module, zeros, value, make, shape)


def _convolution(
    name: str, module: _ConvNd, shape: tuple[int, int, int], weight: IntArray, bias: IntArray
) -> Conv2d | ConvTranspose2d:
    def pair(sizes: Sequence[int], missing: int) -> tuple[int, int]:
        first, last = (missing, *map(int, sizes))[-2:]
        return first, last

    outputs, channels, *kernel = weight.shape
    planes = weight.reshape(outputs, channels, *pair(kernel, 1))
    padding = pair(module.padding, 0) if not isinstance(module.padding, str) else (0, 0)
    if module.padding == "same":
        planes, padding = _padded_same(planes, pair(module.dilation, 1))
    geometry = pair(module.stride, 1), padding, pair(module.dilation, 1)
    if module.transposed:
        return ConvTranspose2d(name, planes, bias, shape, *geometry, module.groups, pair(module.output_padding, 0))
    return Conv2d(name, planes, bias, shape, *geometry, module.groups)


def _padded_same(planes: IntArray, dilation: tuple[int, int]) -> tuple[IntArray, tuple[int, int]]:
    """Kernels (O, C, height, width) and zeros on each side, for results of the size of the inputs.

    torch pads an even kernel by one more on the right: a weight of 0 on its left makes it an odd one.
    """
    reach = [gap * (size - 1) for size, gap in zip(planes.shape[2:], dilation, strict=True)]
    missing = [length % 2 for length in reach]
    odd = np.pad(planes, ((0, 0), (0, 0), (missing[0], 0), (missing[1], 0)))
    return odd, ((reach[0] + missing[0]) // 2, (reach[1] + missing[1]) // 2)


def _weight_faults(module: Trained, zeros: Any) -> list[tuple[str, str, str]]:
    """(rule, got, hint) of everything that keeps the weights from being small integers; `zeros` is a silent input."""
    outputs, inputs = (weights := outputs_first(module, module.weight)).shape[0], weights[0].numel()
    faults = []
    if module.output_quant.is_quant_enabled:
        hint = "remove it: the state_quant of the neurons rounds their membranes"
        faults.append(("synaptic sums are not rounded before neurons", "output_quant", hint))
    if not module.weight_quant.is_quant_enabled:
        faults.append(
            ("weights must be quantized", "weight_quant=None", "use weight_quant=Int8WeightPerTensorFixedPoint")
        )
        return faults
    if outputs > MAX_NEURONS or inputs > MAX_NEURONS:
        faults.append((f"at most {MAX_NEURONS} neurons a layer", f"{inputs} to {outputs}", "split it"))
    if module.weight.dtype != torch.float32:
        return [("weights are trained in float32", str(module.weight.dtype), "call model.float() before training")]
    try:
        weight = module.quant_weight()
    except Exception as error:  # noqa: BLE001 (Brevitas raises many types)
        got = str(error).split("\n")[0] or type(error).__name__
        grouped = getattr(module, "transposed", False) and module.groups > 1  # Brevitas counts their channels wrongly
        hint = "use one scale a layer, or groups=1" if grouped else "use a quantizer of brevitas.quant.fixed_point"
        return [("weights are quantized without an input", got, hint)]
    if not isinstance(weight, IntQuantTensor):
        return [("weights are integers times a scale", type(weight).__name__, "use a Brevitas integer quantizer")]
    if output_scales(module, weight) is None:
        shape = tuple(weight.scale.shape)
        return [
            (
                "one scale a layer or one a neuron",
                f"scales of shape {shape}",
                "use a per-tensor or per-channel quantizer",
            )
        ]
    faults += _value_faults(module, weight)
    try:
        with torch.no_grad():
            if zeros is not None:
                module(zeros)
    except RuntimeError as error:
        hint = "use bias_quant=Int8BiasPerTensorFixedPointInternalScaling, which needs no input scale"
        if module.return_quant_tensor:
            hint = "set return_quant_tensor=False, or put a QuantIdentity(return_quant_tensor=True) before it"
        faults.append(("must run on what enters it", str(error).split("\n")[0], hint))
    return faults


def _value_faults(module: Trained, weight: IntQuantTensor) -> list[tuple[str, str, str]]:
    """What keeps quantized weights from being the same small integers times a scale at every call."""
    value, scale, bits = weight.value, weight.scale.detach(), float(weight.bit_width)
    if bool((weight.zero_point != 0).any()):
        hint = "use a signed quantizer, not ShiftedUint8"
        return [("weights must be symmetric", "a zero point that is not 0", hint)]
    if bits > 8:
        return [("weights have 1 to 8 bits", f"{bits:g} bits", "set weight_bit_width to 8 or less")]
    if not bool((scale > 0).all()):
        return [("weight scales are positive", f"{float(scale.min()):g}", "use a Brevitas integer quantizer")]
    if not bool(value.isfinite().all()):
        got = f"NaN or infinity, at {bits:g} bits and a scale up to {float(scale.max()):g}"
        hint = "use weight_bit_width of 2 to 8, or SignedBinaryWeightPerTensorConst for 1 bit"
        return [("quantized weights are finite", got, hint)]
    if any(not torch.equal(module.quant_weight().value, value) for _ in range(_DRAWS)):
        got, hint = "a quantizer that rounds at random", "set deterministic_inference=True in it"
        return [("weights are the same at every call", got, hint)]
    if not torch.equal(torch.round(value / weight.scale) * scale, value):
        rule, hint = "weights must be integer times scale in float32", "use a Brevitas integer quantizer"
        return [(rule, "other values", hint)]
    return []


@torch.no_grad()
def integer_weights(module: Quantized) -> tuple[IntArray, Floats]:
    """Integer weights, outputs first, and their scale (out,)."""
    if isinstance(module, FixedLinear | FixedConv2d):
        own = module.output_scale(module.scale) if isinstance(module, IntThenScale) else module.scale
        return module.integers.numpy(), own.double().numpy()
    quantized = module.quant_weight()
    weight = outputs_first(module, torch.round(quantized.value / quantized.scale)).to(torch.int64).numpy()
    scale = (
        module.output_scale(quantized.scale) if isinstance(module, IntThenScale) else output_scales(module, quantized)
    )
    assert scale is not None
    return weight, scale.expand(len(weight)).double().numpy()


@torch.no_grad()
def acting_bias(module: Quantized, zeros: Any, outputs: int) -> Floats:
    """What a layer gives for a silent input (1, ...), one value an output."""
    bias: Floats = numbers(module(zeros))[0].reshape(outputs, -1)[:, 0].double().numpy()
    return bias


@torch.no_grad()
def _synapses(
    draft: Draft, name: str, module: Quantized, zeros: Any, value: Integers, make: Maker, shape: tuple[int, ...]
) -> Currents | None:
    """The integers of a quantized layer, and its bias as it acts, whatever quantizer made it."""
    if isinstance(module, IntThenScale) and module.input_unit is not None:
        known = _recovered(draft, name, module.input_unit, value)
        if known is None:
            return None
        value = known
    weight, scale = integer_weights(module)
    bias = acting_bias(module, zeros, len(weight))
    build = _int_then_scale if isinstance(module, IntThenScale) else _scaled
    layer, current = build(draft, value, make, weight, scale, bias)
    if isinstance(module, IntThenScale) and module.scale_bits is not None:
        current = _linear(draft, layer, value.source, current)
    return Currents(draft.add(layer, value.source), shape, current)


def _recovered(draft: Draft, name: str, unit: float, value: Integers) -> Integers | None:
    """The integers that a layer finds again in what enters: it divides by their unit, and rounds."""
    off = value.error / unit + roundings(3) * draft.largest_at(value.source)  # of the unit, of the product, divided
    if unit == value.unit and off < 0.5:
        return replace(value, unit=1.0, error=0.0)
    rule = "its input_unit is what one integer of its input is worth"
    got = f"input_unit={unit:.9g}, and integers worth {value.unit:.9g}, up to {off:.2g} of one off"
    draft.fault(name, rule, got, "make it anew for these inputs: sd.exact(model, spec, steps)")
    return None


def _scaled(
    draft: Draft, value: Integers, make: Maker, weight: IntArray, scale: Floats, bias: Floats
) -> tuple[Weighted, Current]:
    """Integer weights times a scale (out,); the float bias (out,) joins the integers where it lies on their grid."""
    unit = scale * value.unit
    steps = np.rint(bias / unit)
    on_grid = powers_of_two(unit) and bool((bias == steps * unit).all()) and bool((np.abs(steps) < EXACT_LIMIT).all())
    layer = make(weight, (steps if on_grid else np.zeros_like(bias)).astype(np.int64))
    real_bias = np.zeros_like(bias) if on_grid else bias
    error, rule = _sum_error(draft, layer, value, scale, real_bias)
    unit, real_bias, error = (_of_neurons(layer, values) for values in (unit, real_bias, error))
    return layer, Current(rule, unit, real_bias, error)


def _int_then_scale(
    draft: Draft, value: Integers, make: Maker, weight: IntArray, scale: Floats, bias: Floats
) -> tuple[Weighted, Current]:
    layer = make(weight, np.zeros(len(bias), dtype=np.int64))
    error, rule = _sum_error(draft, layer, value, np.ones_like(scale), np.zeros_like(bias))
    rule = "int-then-scale" if rule == "exact grid" else rule
    bias, error, scale = (_of_neurons(layer, values) for values in (bias, error, scale))
    return layer, Current(rule, np.full(layer.outputs, value.unit), bias, error, scale=scale)


def _linear(draft: Draft, layer: Synapses, source: int, current: Current) -> Current:
    """The same as integers times a unit and a bias, where float32 multiplies and adds them exactly."""
    assert current.scale is not None
    unit = current.unit * current.scale
    each = _of_neurons(layer, np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1))
    magnitude = each * draft.largest_at(source) * unit + np.abs(current.bias)
    if current.sum_error.any() or not sums_exactly(magnitude, np.minimum(lowest_bit(unit), lowest_bit(current.bias))):
        return current
    return replace(current, rule="exact grid", unit=unit, scale=None)


def _of_neurons(layer: Synapses, values: Floats) -> Floats:
    """Values of the channels (out,) as those of their neurons."""
    return np.repeat(values, layer.outputs // len(values))


def _sum_error(draft: Draft, layer: Synapses, value: Integers, scale: Floats, bias: Floats) -> tuple[Floats, str]:
    """Bound of the float32 error of the model's own sum, (out,), and the rule behind it (exactness.md, section 4).

    The sum is exact in any order where all terms and the bias are multiples of one power of two and stay below 2**24
    of it.
    """
    unit = scale * value.unit
    each = np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1)
    magnitude = (each * draft.largest_at(value.source) + np.abs(layer.bias)) * unit + np.abs(bias)
    powers = powers_of_two(unit) and powers_of_two(np.array([value.unit]))
    if not value.error and powers and sums_exactly(magnitude, np.minimum(unit, lowest_bit(bias))):
        return np.zeros_like(unit), "exact grid"
    return synaptic_error(layer.weight[0].size, magnitude, each * scale * value.error), "error bound"


@torch.no_grad()
def one_to_one(draft: Draft, name: str, weights: Tensor, value: Integers) -> Currents | None:
    """Recurrent weights of each neuron to itself, one value or one a neuron: integers of one power of two."""
    real = np.broadcast_to(weights.detach().double().numpy(), (1, *value.shape)).reshape(-1)
    unit = float(min(lowest_bit(real).min(), 1.0))
    steps = np.rint(real / unit)
    if np.abs(steps).max() > MAX_WEIGHT or steps.size > MAX_ONE_TO_ONE:
        rule = f"V holds multiples of one power of two, up to {MAX_WEIGHT} of it, for at most {MAX_ONE_TO_ONE} neurons"
        got = f"{np.abs(steps).max():.0f} times {unit:g} for {steps.size} neurons"
        draft.fault(name, rule, got, "round V to a few bits, or use all_to_all=True with a QuantLinear")
        return None
    if not powers_of_two(np.array([value.unit])):
        hint = "use a power of two, or all_to_all=True with a QuantLinear"
        draft.fault(name, "spikes times V are exact", f"graded_spikes_factor {value.unit:g}", hint)
        return None
    layer = Dense(plain_name(name), np.diag(steps.astype(np.int64)), np.zeros(steps.size, dtype=np.int64))
    return Currents(draft.add(layer, value.source), value.shape, Current.exact(steps.size, unit * value.unit))
