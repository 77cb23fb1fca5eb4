"""Random networks over every option that lowering accepts; the same seed draws the same network."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from brevitas.quant.fixed_point import (
    Int8BiasPerTensorFixedPointInternalScaling,
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerTensorFixedPoint,
)
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat
from brevitas.quant.ternary import SignedTernaryWeightPerTensorConst
from snntorch.functional.quant import state_quant as snntorch_state_quant
from torch import nn

from squat_deploy import HlsConfig, InputSpec
from squat_deploy.errors import ConfigError
from squat_deploy.snn.layers import IntThenScaleLinear
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, state_quant

INTEGER_QUANTIZERS = (
    Int8WeightPerTensorFixedPoint,
    Int8WeightPerChannelFixedPoint,
    Int8WeightPerTensorFloat,
    Int8WeightPerChannelFloat,
)
INPUT_RANGES = ((0, 1), (0, 1), (0, 15), (-8, 7), (0, 255), (-1, 1), (1, 3))


@dataclass(frozen=True)
class Drawn:
    """A trained-looking model, its inputs, and how to fold it."""

    model: nn.Module
    spec: InputSpec
    steps: int
    inputs: np.ndarray
    config: HlsConfig
    options: str


def draw(seed: int) -> Drawn:
    """Everything about one network follows from the seed."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    low, high = rng.choice(INPUT_RANGES)
    step = 1.0 if (low, high) == (0, 1) else 2.0 ** -rng.randint(0, 6)
    declared = step if rng.random() < 0.9 else 0.1  # a grid of the user's own, without InputQuantizer
    shape = rng.choice([(rng.randint(1, 24),), (rng.randint(1, 5), rng.randint(1, 5))])
    convolved = rng.random() < 0.25
    if convolved:
        shape = (rng.choice([1, 2, 4]), rng.randint(3, 7), rng.randint(3, 7))
    spec = InputSpec(shape, low, high, declared, rng.choice(["direct", "sequence"]))
    notes = [f"input {low}..{high} * {step} {spec.encoding} {shape}"]
    gain = 1.5 / (step * max(abs(low), high))
    modules: list[nn.Module] = []
    if convolved:
        modules, features = _convolutions(rng, shape, gain, notes)
        gain = 2.0
    else:
        features = spec.size
    modules += [nn.Flatten()] if len(shape) > 1 or rng.random() < 0.2 else []
    if rng.random() < 0.4 and declared == step:
        modules.insert(0 if convolved else rng.randint(0, len(modules)), InputQuantizer(step, low, high))
    sizes = [features, *(rng.randint(1, 20) for _ in range(rng.randint(0 if convolved else 1, 3)))]
    for fan_in, fan_out in pairwise(sizes):
        modules += _layer(rng, fan_in, fan_out, gain, notes)
        gain = 2.0
    for inner in modules[:-1]:
        if isinstance(inner, snn.Leaky):  # torch hands on what neurons return: spikes alone
            inner.init_hidden, inner.output = True, False
    steps = rng.randint(1, 7)
    config = HlsConfig(
        pe=rng.randint(1, min(sizes[1:] or [min(features, 64)])),
        form=rng.choice(["auto", "auto", "threshold"]),
        events=1 if seed % 4 == 0 else 2,
    )
    samples = rng.randint(1, 12)
    lead = (samples,) if spec.encoding == "direct" else (steps, samples)
    inputs = np.random.default_rng(seed).integers(low, high + 1, (*lead, *shape))
    return Drawn(nn.Sequential(*modules).eval(), spec, steps, inputs, config, "; ".join(notes))


def _convolutions(
    rng: random.Random, shape: tuple[int, ...], gain: float, notes: list[str]
) -> tuple[list[nn.Module], int]:
    """One or two convolutional layers, and how many spikes come out."""
    modules: list[nn.Module] = []
    for _ in range(rng.choice([1, 1, 2])):
        channels, height, width = shape
        groups = rng.choice([g for g in (1, 1, 2, channels) if channels % g == 0])
        kernel = (rng.randint(1, min(3, height)), rng.randint(1, min(3, width)))
        dilation = tuple(rng.choice([1, 2]) if 2 * k - 1 <= s else 1 for k, s in zip(kernel, shape[1:], strict=True))
        padding = tuple(rng.randint(0, d * (k - 1)) for d, k in zip(dilation, kernel, strict=True))
        options = {"stride": (rng.randint(1, 2), rng.randint(1, 2)), "padding": padding, "dilation": dilation}
        bias = rng.choice(["none", "none", "float", "quantized"])
        conv = QuantConv2d(
            channels,
            groups * rng.randint(1, 3),
            kernel,
            groups=groups,
            bias=bias != "none",
            bias_quant=Int8BiasPerTensorFixedPointInternalScaling if bias == "quantized" else None,
            weight_quant=rng.choice(INTEGER_QUANTIZERS),
            weight_bit_width=rng.randint(2, 8),
            **options,
        )
        with torch.no_grad():
            conv.weight.normal_(0.1, gain / conv.weight[0].numel() ** 0.5)
            if bias != "none":
                conv.bias.normal_(0, 0.3)
            shape = tuple(conv(torch.zeros(1, *shape)).shape[1:])
        neuron, about = _neuron(rng, 1, most_bits=5)  # HLS has a table a neuron
        notes.append(f"QuantConv2d {conv.weight.shape} {options} groups={groups} bias={bias} -> {about}")
        modules += [conv, neuron]
        gain = 2.0
    return modules, int(np.prod(shape))


def _layer(rng: random.Random, fan_in: int, fan_out: int, gain: float, notes: list[str]) -> list[nn.Module]:
    linear, name = _linear(rng, fan_in, fan_out, gain)
    modules: list[nn.Module] = [linear]
    if rng.random() < 0.2:
        modules.append(_norm(rng, fan_out))
        name += " norm"
    if rng.random() < 0.2:
        modules.append(nn.Dropout(0.3))
    neuron, about = _neuron(rng, fan_out)
    notes.append(f"{name} -> {about}")
    return [*modules, neuron]


def _linear(rng: random.Random, fan_in: int, fan_out: int, gain: float) -> tuple[nn.Module, str]:
    kind = rng.choice(["int", "int", "int", "int", "scaled", "ternary", "binary"])
    bias = rng.choice(["none", "none", "float", "quantized"])
    options: dict[str, object] = {"bias": bias != "none"}
    if bias == "quantized":
        options["bias_quant"] = Int8BiasPerTensorFixedPointInternalScaling
    if kind in ("int", "scaled"):
        options["weight_quant"] = rng.choice(INTEGER_QUANTIZERS)
        options["weight_bit_width"] = rng.randint(2, 8)
        options["weight_narrow_range"] = rng.random() < 0.7
    else:
        ternary = kind == "ternary"
        options["weight_quant"] = SignedTernaryWeightPerTensorConst if ternary else SignedBinaryWeightPerTensorConst
        options["weight_scaling_const"] = rng.choice([0.1, 0.125, 0.25])
    kind_of_layer = IntThenScaleLinear if kind == "scaled" and bias != "quantized" else QuantLinear
    layer = kind_of_layer(fan_in, fan_out, **options)
    with torch.no_grad():
        layer.weight.normal_(0.1, gain / fan_in**0.5)
        if bias != "none":
            layer.bias.normal_(0, 0.3)
    bits = options.get("weight_bit_width", "")
    return layer, f"{kind_of_layer.__name__} {options['weight_quant'].__name__} {bits} bias={bias}"


def _norm(rng: random.Random, width: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(width, affine=rng.random() < 0.8)
    norm.running_mean.normal_(0, 0.5)
    norm.running_var.uniform_(0.3, 3)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm


def _custom_neuron(rng: random.Random) -> tuple[snn.Leaky, str]:
    """A level table of the user's own: any number of levels, sometimes with 0.0 among them."""
    count = rng.randint(2, 13)
    levels = sorted({round(rng.uniform(-1.5, 1.6), 3) for _ in range(count)} | {1.7} | ({0.0} if count % 2 else set()))
    neuron = snn.Leaky(
        beta=rng.choice([0.5, 0.9]),
        reset_mechanism=rng.choice(["subtract", "zero", "none"]),
        reset_delay=rng.random() < 0.6,
        init_hidden=True,
        state_quant=StateQuantizer(np.array(levels, dtype=np.float32)),
    )
    return neuron, f"Leaky with levels {levels}"


def _neuron(rng: random.Random, width: int, most_bits: int = 8) -> tuple[snn.Leaky, str]:
    bits = min(most_bits, rng.choice([1, 2, 2, 3, 4, 4, 5, 6, 7, 8]))
    uniform, centred = rng.choice([(True, True), (False, True), (False, False)])
    threshold = rng.choice([1.0, 1.0, 0.5, 2.3])
    limits = rng.choice([(0, 0.2), (0, 1), (0.25, 0.125), (0.1, 1.5)])
    table = (bits, uniform, centred, threshold, *limits)
    closure = rng.random() < 0.4
    if rng.random() < 0.15:
        return _custom_neuron(rng)
    try:
        quantizer = state_quant(*table)
    except ConfigError:  # a repeated level; the reason is tested elsewhere
        return _neuron(rng, width, most_bits)
    beta: float | torch.Tensor = rng.choice([0.5, 0.9, 0.95, 0.3679, 1.0])
    fires: float | torch.Tensor = threshold
    if rng.random() < 0.15:
        beta = torch.rand(width)
    if rng.random() < 0.15:
        fires = threshold * (0.6 + 0.5 * torch.rand(width))
    reset, delay = rng.choice(["subtract", "zero", "none"]), rng.random() < 0.6
    neuron = snn.Leaky(
        beta=beta,
        threshold=fires,
        learn_beta=rng.random() < 0.3,
        learn_threshold=rng.random() < 0.3,
        reset_mechanism=reset,
        reset_delay=delay,
        init_hidden=rng.random() < 0.5,
        output=rng.random() < 0.2,
        state_quant=snntorch_state_quant(*table) if closure else quantizer,
    )
    return neuron, f"Leaky {table} reset={reset} delay={delay} closure={closure}"
