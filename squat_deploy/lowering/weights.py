"""Handlers of quantized layers: integer weights, the value of a synaptic sum, the error of the model's own sum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.current import EXACT_LIMIT, Current, Floats, sum_error_bound
from squat_deploy.lowering.walk import PendingLayer, Walk, plain_name
from squat_deploy.network import MAX_NEURONS
from squat_deploy.synapses import Conv2d, Dense, IntArray, Synapses
from squat_deploy.training.layers import FixedConv2d, FixedLinear, IntThenScaleLinear


def quant_linear(walk: Walk, name: str, module: nn.Module) -> None:
    """Handler of QuantLinear, IntThenScaleLinear and FixedLinear."""
    assert isinstance(module, QuantLinear | FixedLinear)
    if walk.shape is not None and walk.shape != (module.in_features,):
        hint = "put nn.Flatten() before it" if len(walk.shape) > 1 else "make the sizes match"
        walk.fault(name, f"takes ({module.in_features},) values", walk.shape, hint)
        walk.broken = True
    _quantized(walk, name, module, (module.out_features,))


def quant_conv2d(walk: Walk, name: str, module: nn.Module) -> None:
    """Handler of QuantConv2d and FixedConv2d."""
    assert isinstance(module, QuantConv2d | FixedConv2d)
    if walk.shape is not None and (len(walk.shape) != 3 or walk.shape[0] != module.in_channels):
        hint = "declare inputs of shape (channels, height, width), and put no nn.Flatten before it"
        walk.fault(name, f"takes ({module.in_channels}, height, width) values", walk.shape, hint)
        walk.broken = True
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        got = f"padding={module.padding!r}, padding_mode={module.padding_mode!r}"
        walk.fault(name, "pads with zeros, a stated number of them", got, "use padding=<int> and padding_mode='zeros'")
        walk.broken = True
    shape = None
    if not walk.broken and walk.shape is not None:
        try:
            channels, height, width = walk.shape
            blank = np.zeros(module.weight.shape, dtype=np.int64), np.zeros(module.out_channels, dtype=np.int64)
            empty = _conv2d(plain_name(name), *blank, module, (channels, height, width))
            shape = empty.output_shape
            if max(empty.inputs, empty.outputs) > MAX_NEURONS:
                got = f"{empty.inputs} to {empty.outputs}"
                walk.fault(name, f"at most {MAX_NEURONS} neurons a layer", got, "use a larger stride or fewer channels")
                walk.broken = True
        except ConfigError as error:
            walk.fault(name, "the sizes of a convolution fit its inputs", error, "change the kernel, padding or input")
            walk.broken = True
    _quantized(walk, name, module, shape)


Quantized: TypeAlias = QuantLinear | QuantConv2d | FixedLinear | FixedConv2d


def _quantized(walk: Walk, name: str, module: Quantized, shape: tuple[int, ...] | None) -> None:
    """What all quantized layers share: `shape` is that of their results."""
    if walk.pending is not None:
        walk.fault(
            name, "synapses feed neurons", "two linear layers in a row", "put snn.Leaky between them, or merge them"
        )
    zeros = torch.zeros(1, *walk.shape) if walk.shape is not None and not walk.broken else None
    fixed = isinstance(module, FixedLinear | FixedConv2d)
    faults = [] if fixed else _weight_faults(module, zeros)
    for rule, got, hint in faults:
        walk.fault(name, rule, got, hint)
    if faults or zeros is None:
        walk.broken = True
    else:
        walk.pending = _synapses(walk, plain_name(name), module, zeros)
    walk.shape = shape


def _conv2d(name: str, weight: np.ndarray, bias: np.ndarray, module: nn.Conv2d, shape: tuple[int, int, int]) -> Conv2d:
    stride, padding, dilation = (
        (int(value[0]), int(value[1])) for value in (module.stride, module.padding, module.dilation)
    )
    return Conv2d(name, weight, bias, shape, stride, padding, dilation, module.groups)


def _weight_faults(module: QuantLinear | QuantConv2d, zeros: Tensor | None) -> list[tuple[str, str, str]]:
    """(rule, got, hint) of everything that keeps the weights from being small integers; `zeros` is a silent input."""
    outputs, inputs = module.weight.shape[0], module.weight[0].numel()
    faults = []
    if module.input_quant.is_quant_enabled or module.output_quant.is_quant_enabled:
        faults.append(("its input and output are not quantized again", "input_quant or output_quant", "remove them"))
    if not module.weight_quant.is_quant_enabled:
        faults.append(
            ("weights must be quantized", "weight_quant=None", "use weight_quant=Int8WeightPerTensorFixedPoint")
        )
        return faults
    if outputs > MAX_NEURONS or inputs > MAX_NEURONS:
        faults.append((f"at most {MAX_NEURONS} neurons a layer", f"{inputs} to {outputs}", "split it"))
    if module.weight.dtype != torch.float32:
        return [("weights are trained in float32", str(module.weight.dtype), "call model.float() before training")]
    if module.return_quant_tensor:
        return [("returns a plain tensor", "return_quant_tensor=True", "set return_quant_tensor=False")]
    try:
        weight = module.quant_weight()
    except Exception as error:  # noqa: BLE001 (Brevitas raises many types)
        got = str(error).split("\n")[0] or type(error).__name__
        return [("weights are quantized without an input", got, "use a quantizer of brevitas.quant.fixed_point")]
    if not isinstance(weight, IntQuantTensor):
        return [("weights are integers times a scale", type(weight).__name__, "use a Brevitas integer quantizer")]
    if weight.scale.numel() not in (1, outputs):
        shape = tuple(weight.scale.shape)
        return [
            (
                "one scale a layer or one a neuron",
                f"scales of shape {shape}",
                "use a per-tensor or per-channel quantizer",
            )
        ]
    ints, scale = weight.value / weight.scale, weight.scale.detach()
    if bool((weight.zero_point != 0).any()):
        faults.append(
            ("weights must be symmetric", "a zero point that is not 0", "use a signed quantizer, not ShiftedUint8")
        )
    elif float(weight.bit_width) > 8:
        faults.append(
            ("weights have 1 to 8 bits", f"{float(weight.bit_width):g} bits", "set weight_bit_width to 8 or less")
        )
    elif not torch.equal(torch.round(ints) * scale, weight.value):
        faults.append(
            ("weights must be integer times scale in float32", "other values", "use a Brevitas integer quantizer")
        )
    try:
        with torch.no_grad():
            if zeros is not None:
                module(zeros)
    except RuntimeError as error:
        hint = "use bias_quant=Int8BiasPerTensorFixedPointInternalScaling, which needs no input scale"
        faults.append(("must run on a plain tensor of spikes", str(error).split("\n")[0], hint))
    return faults


@torch.no_grad()
def _integers(module: Quantized) -> tuple[IntArray, Floats]:
    """Integer weights, and their scale (out,)."""
    if isinstance(module, FixedLinear | FixedConv2d):
        return module.integers.numpy(), module.scale.double().numpy()
    quantized = module.quant_weight()
    scale = quantized.scale.detach().reshape(-1).expand(len(module.weight)).double().numpy()
    return torch.round(quantized.value / quantized.scale).to(torch.int64).numpy(), scale


@torch.no_grad()
def _synapses(walk: Walk, name: str, module: Quantized, zeros: Tensor) -> PendingLayer:
    """The integers of a quantized layer, and its bias as it acts, whatever quantizer made it."""
    weight, scale = _integers(module)
    bias = module(zeros)[0].reshape(len(module.weight), -1)[:, 0].double().numpy()
    if isinstance(module, IntThenScaleLinear):
        return _int_then_scale(walk, name, weight, scale, bias)
    if not isinstance(module, nn.Conv2d):
        return scaled_synapses(walk, partial(Dense, name), weight, scale, bias)
    channels, height, width = walk.shape or ()
    return scaled_synapses(
        walk, lambda w, b: _conv2d(name, w, b, module, (channels, height, width)), weight, scale, bias
    )


def scaled_synapses(
    walk: Walk, make: Callable[[IntArray, IntArray], Synapses], weight: IntArray, scale: Floats, bias: Floats
) -> PendingLayer:
    """Integer weights times a scale (out,); the float bias (out,) joins the integers where it lies on their grid.

    Args:
        make: the layer of integer weights and integer bias.
    """
    unit = scale * walk.step
    on_grid = _powers_of_two(unit) and bool((bias == np.rint(bias / unit) * unit).all())
    layer = make(weight, np.rint(bias / unit).astype(np.int64) if on_grid else np.zeros(len(bias), dtype=np.int64))
    real_bias = np.zeros_like(bias) if on_grid else bias
    error, rule = _sum_error(layer, walk, unit, real_bias)
    positions = layer.outputs // len(unit)  # neurons of a channel
    unit, real_bias, error = (np.repeat(values, positions) for values in (unit, real_bias, error))
    return PendingLayer(layer, Current(rule, unit, real_bias, error))


def _int_then_scale(walk: Walk, name: str, weight: np.ndarray, scale: Floats, bias: Floats) -> PendingLayer:
    dense = Dense(name, weight, np.zeros(len(bias), dtype=np.int64))
    unit = np.full(len(bias), walk.step)
    error, rule = _sum_error(dense, walk, unit, np.zeros_like(bias))
    rule = "int-then-scale" if rule == "exact grid" else rule
    return PendingLayer(dense, Current(rule, unit, bias, error, scale=scale))


def _sum_error(layer: Synapses, walk: Walk, unit: Floats, bias: Floats) -> tuple[Floats, str]:
    """Bound of the float32 error of the model's own sum, (out,), and the rule behind it (exactness.md, section 4).

    The sum is exact in any order where all terms and the bias are multiples of one power of two and stay below 2**24
    of it.
    """
    each = np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1)
    terms = each * max(abs(walk.low), abs(walk.high)) + np.abs(layer.bias)
    magnitude = terms * unit + np.abs(bias)
    if _powers_of_two(unit) and _powers_of_two(np.array([walk.step])):
        grid = np.minimum(unit, _lowest_bit(bias))
        if (magnitude / grid < EXACT_LIMIT).all():
            return np.zeros_like(unit), "exact grid"
    return sum_error_bound(layer.weight[0].size + 1, magnitude), "error bound"


def _powers_of_two(values: Floats) -> bool:
    return bool((np.frexp(values)[0] == 0.5).all())


def _lowest_bit(values: Floats) -> Floats:
    """Value of the lowest set bit of each number (infinity for 0)."""
    mantissa, exponent = np.frexp(values)
    scaled = np.abs(mantissa * 2.0**53).astype(np.int64)
    bit = np.where(scaled == 0, 0, scaled & -scaled).astype(np.float64)
    return np.where(scaled == 0, np.inf, np.ldexp(bit, exponent - 53))
