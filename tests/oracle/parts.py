"""Random layers of stock torch, snnTorch and Brevitas, with every option of theirs; nothing of the product."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import brevitas.quant.fixed_point as fixed_point
import brevitas.quant.scaled_int as scaled_int
import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.quant.binary import SignedBinaryWeightPerTensorConst
from brevitas.quant.shifted_scaled_int import ShiftedUint8WeightPerTensorFloat
from brevitas.quant.ternary import SignedTernaryWeightPerTensorConst
from snntorch.functional.quant import state_quant
from torch import Tensor, nn

Shape = tuple[int, ...]
EXACT = (fixed_point.Int8WeightPerTensorFixedPoint, fixed_point.Int8WeightPerChannelFixedPoint)
OTHERS = (  # not those of least squares: they are not copied by copy.deepcopy
    scaled_int.Int8WeightPerTensorFloat,
    scaled_int.Int8WeightPerChannelFloat,
    scaled_int.Int4WeightPerTensorFloatDecoupled,
    scaled_int.Int8WeightPerChannelFloatDecoupled,
    scaled_int.Int8WeightNormL2PerChannelFixedPoint,
)
CONSTANT = (SignedTernaryWeightPerTensorConst, SignedBinaryWeightPerTensorConst)
POWERS = (0.125, 0.25, 0.5, 1.0, 2.0)


@dataclass
class Draw:
    """The dice of one model, and notes of what they showed.

    Attributes:
        plain: only what must be proven: powers of two everywhere, nothing out of the way.
    """

    rng: random.Random
    plain: bool
    notes: list[str] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """Never for plain models."""
        return self.rng.random() < share and not self.plain

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Function(nn.Module):
    """A function as a module of the user's own: its forward is looked into."""

    def __init__(self, function: Callable[..., Tensor], *args: Any, **given: Any) -> None:
        super().__init__()
        self.function, self.args, self.given = function, args, given

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.args, **self.given)


def _quantizer(draw: Draw, exact: bool) -> dict[str, Any]:
    kind = EXACT[0] if exact or draw.rng.random() < 0.7 else EXACT[1]
    if draw.chance(0.05 if exact else 0.35):
        kind = draw.pick(*OTHERS)
    elif draw.chance(0.02 if exact else 0.1):
        kind = draw.pick(*CONSTANT)
    elif draw.chance(0.02):
        kind = ShiftedUint8WeightPerTensorFloat
    options: dict[str, Any] = {"weight_quant": kind}
    if kind in CONSTANT:
        options["weight_scaling_const"] = draw.pick(0.1, 0.25, 0.5, 1.0, 0.3)
    elif kind is not scaled_int.Int4WeightPerTensorFloatDecoupled:
        options["weight_bit_width"] = draw.pick(2, 3, 4, 4, 5, 8) if not draw.chance(0.03) else draw.pick(1, 9)
    if draw.chance(0.2):
        options["weight_narrow_range"] = draw.pick(True, False)
    if draw.chance(0.04):
        options["bias_quant"] = draw.pick(
            fixed_point.Int8BiasPerTensorFixedPointInternalScaling,
            scaled_int.Int8BiasPerTensorFloatInternalScaling,
        )
    return options


def _filled(draw: Draw, module: Any, gain: float) -> nn.Module:
    """Weights that make currents of the size of a threshold, sometimes tiny or huge ones."""
    size = gain * draw.pick(0.5, 1.0, 2.0) / module.weight[0].numel() ** 0.5
    if draw.chance(0.08):
        size *= 10.0 ** draw.rng.uniform(-9, 6)
        draw.note("tiny or huge weights")
    with torch.no_grad():
        module.weight.normal_(0.3 * size, size)
        with contextlib.suppress(Exception):
            module.quant_weight()  # Brevitas' binary quantizer clamps the weights themselves at its first use
        if module.bias is not None:
            module.bias.copy_(torch.randint(-4, 5, module.bias.shape) / 8)
            if draw.chance(0.5):
                module.bias.uniform_(-0.5, 0.5)
            if draw.chance(0.1):
                module.bias.mul_(10.0 ** draw.rng.uniform(-6, 4))
    return module


def dense(draw: Draw, fan_in: int, fan_out: int, gain: float = 2.0, exact: bool = False) -> nn.Module:
    """Fully connected synapses; `exact` ones have, as a rule, one power of two as their scale."""
    options = _quantizer(draw, exact)
    draw.note(f"dense {fan_in}x{fan_out} {_told(options)}")
    return _filled(draw, QuantLinear(fan_in, fan_out, bias=draw.rng.random() < 0.4, **options), gain)


def _told(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={getattr(value, '__name__', value)}" for key, value in options.items())


def convolution(draw: Draw, shape: Shape, gain: float = 2.0, channels: int | None = None) -> nn.Module:
    """Of planes or lines; with `channels` given it keeps the sizes."""
    if random.Random(hash(draw.rng.getstate()[1])).random() < 0.2:  # what else is drawn does not depend on it
        return transposed(draw, shape, gain, channels)
    kind = QuantConv2d if len(shape) == 3 else QuantConv1d
    kernel = 3 if channels else draw.rng.randint(1, min(3, *shape[1:]))
    sizes: dict[str, Any] = {"stride": draw.pick(1, 1, 2), "padding": draw.rng.randint(0, kernel - 1)}
    if channels:
        sizes = {"padding": 1}
    elif draw.chance(0.02):
        sizes = {"padding": "same"} if kernel > 1 else sizes
    if draw.chance(0.02):
        sizes["padding_mode"] = draw.pick("circular", "replicate")
    if kernel > 1 and 2 * kernel <= min(shape[1:]) and draw.chance(0.15) and not channels:
        sizes["dilation"] = 2
    outputs = channels or draw.rng.randint(1, 3)
    if outputs % shape[0] == 0 and draw.chance(0.2):
        sizes["groups"] = shape[0]
    options = _quantizer(draw, channels is not None)
    draw.note(f"{kind.__name__} {shape} -> {outputs} kernel={kernel} {_told(sizes)} {_told(options)}")
    module = kind(shape[0], outputs, kernel, bias=draw.rng.random() < 0.3, **sizes, **options)
    return _filled(draw, module, gain)


def transposed(draw: Draw, shape: Shape, gain: float, channels: int | None) -> nn.Module:
    """A transposed convolution; with `channels` given it keeps the sizes."""
    kind = QuantConvTranspose2d if len(shape) == 3 else QuantConvTranspose1d
    outputs, sizes = channels or draw.rng.randint(1, 3), {"kernel_size": 3, "padding": 1}
    if not channels:
        stride = draw.pick(1, 2) if max(shape[1:]) < 8 else 1
        dilation = 2 if draw.chance(0.2) else 1
        kernel = draw.rng.randint(1, 3)
        sizes = {"kernel_size": kernel, "padding": draw.rng.randint(0, min(1, kernel - 1)), "stride": stride}
        sizes |= {"dilation": dilation, "output_padding": draw.rng.randint(0, max(stride, dilation) - 1)}
    if outputs % shape[0] == 0 and draw.chance(0.2):
        sizes["groups"] = shape[0]
    options = _quantizer(draw, channels is not None)
    draw.note(f"{kind.__name__} {shape} -> {outputs} {_told(sizes)} {_told(options)}")
    module = kind(shape[0], outputs, bias=draw.rng.random() < 0.3, **sizes, **options)
    return _filled(draw, module, gain)


def norm(draw: Draw, shape: Shape) -> nn.Module:
    """A trained batch norm, sometimes with negative slopes, without parameters, or of tiny variances."""
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    module = kind(shape[0], affine=not draw.chance(0.2), track_running_stats=not draw.chance(0.03))
    if module.running_mean is not None:
        module.running_mean.normal_(0, 0.3)
        module.running_var.uniform_(0.3, 2)
        if draw.chance(0.1):
            module.running_var.mul_(1e-5)
    if module.affine:
        with torch.no_grad():
            module.weight.uniform_(-1.0 if draw.chance(0.3) else 0.4, 1.5)
            module.bias.normal_(0, 0.3)
    draw.note(f"{kind.__name__} affine={module.affine}")
    return module


def pool(draw: Draw, shape: Shape, modules_only: bool) -> nn.Module:
    """Of any window, as a module or as a function, with positional or named options."""
    largest = min(shape[1:])
    average = draw.rng.random() < 0.5
    window = 2 if draw.plain and average else draw.rng.randint(2, min(largest, 5 if draw.rng.random() < 0.8 else 16))
    padding = draw.rng.randint(0, window // 2) if draw.rng.random() < 0.3 else 0
    options: dict[str, Any] = {"stride": draw.pick(None, 1, 2), "padding": padding}
    if average and draw.chance(0.15):
        options["divisor_override"] = draw.pick(1, 2, 3, 4, 7)
    if average and draw.chance(0.2):
        options["count_include_pad"] = False
    if draw.chance(0.06):
        options["ceil_mode"] = True
    if not average and draw.chance(0.04) and largest >= 2 * window:
        options["dilation"] = 2
    draw.note(f"{'average' if average else 'max'} pool {window} {_told(options)}")
    if modules_only or draw.rng.random() < 0.5:
        return nn.AvgPool2d(window, **options) if average else nn.MaxPool2d(window, **options)
    function = F.avg_pool2d if average else F.max_pool2d
    if draw.rng.random() < 0.5:
        rest = {k: v for k, v in options.items() if k not in ("stride", "padding")}
        return Function(function, window, options["stride"] or window, options["padding"], **rest)
    return Function(function, kernel_size=window, **options)


def table(draw: Draw, threshold: float, bits: int | None = None) -> tuple[Callable[[Tensor], Tensor], dict[str, Any]]:
    """A closure of snnTorch's own, and its options."""
    options: dict[str, Any] = {"num_bits": bits or draw.pick(1, 2, 2, 3, 3, 4, 4, 5)}
    options["uniform"] = draw.rng.random() < 0.4
    if not options["uniform"]:
        options["thr_centered"] = draw.rng.random() < 0.6
    if draw.chance(0.2):
        options["upper_limit"] = draw.pick(0.5, 1.0, 0.3, 2) if draw.rng.random() < 0.8 else draw.pick(0, 0.01)
    if draw.chance(0.2):
        options["lower_limit"] = draw.pick(0.5, 1.0, -0.5, 0.1)
    if not options["uniform"] and draw.chance(0.2):
        odd = draw.rng.random() < 0.3
        options["multiplier"] = draw.pick(1e-3, 1e-5, 2e-8, 1e-8, 2.0) if odd else draw.pick(0.1, 0.3, 0.9, 0.99, 1.5)
    draw.note(f"state_quant {options} of {threshold:g}")
    return state_quant(threshold=threshold, **options), options


def neuron(draw: Draw, shape: Shape, hidden: bool, recurrent: bool = True, output: bool = False) -> Any:
    """Any neuron whose states are quantized, with any reset, delay, parameters of its own, learnable or not."""
    recurrent = (recurrent and not draw.plain) or draw.chance(0.1)  # currents added one after the other may round
    kinds = ["Leaky"] * 5 + ["Lapicque", "Synaptic"] + (["RLeaky", "RLeaky", "RSynaptic"] if recurrent else [])
    kind = "Leaky" if draw.plain and draw.rng.random() < 0.7 else draw.pick(*kinds)
    two = "Synaptic" in kind
    threshold = draw.pick(0.5, 1.0, 1.0, 1.0, 2.0) if not draw.chance(0.3) else round(draw.rng.uniform(0.2, 3), 4)
    bits = draw.pick(1, 2, 2, 3) if two else None
    aside = random.Random(hash(draw.rng.getstate()[1]))  # what else is drawn does not depend on it
    if two and not draw.plain and aside.random() < 0.3:
        bits = aside.choice([4, 5, 6])
    quantizer, told = table(draw, threshold, bits)
    options: dict[str, Any] = {"init_hidden": hidden, "output": output, "state_quant": quantizer}
    options["reset_mechanism"] = draw.pick("subtract", "subtract", "zero", "none")
    options["threshold"] = threshold
    if draw.chance(0.08):
        options["threshold"] = threshold * (0.6 + 0.4 * torch.rand(shape))
        draw.note("thresholds of each neuron")
    for name in ("threshold",) if kind == "Lapicque" else ("beta", "threshold"):
        options[f"learn_{name}"] = draw.rng.random() < 0.2
    if kind != "Lapicque":
        options["beta"] = _rate(draw, shape)
        options["reset_delay"] = draw.rng.random() < 0.75 or (kind == "RSynaptic" and not draw.chance(0.1))
    if two:
        options["alpha"] = draw.pick(0.5, 0.8) if draw.plain else _rate(draw, shape, 2)
    if kind == "Leaky" and draw.chance(0.12):
        options["graded_spikes_factor"] = draw.pick(0.5, 2.0, 0.3, 3.0)
    if kind == "Lapicque":
        options |= {"R": draw.pick(1, 2, 5.0), "C": draw.pick(1, 3, 5), "time_step": draw.pick(1, 1, 0.5)}
    shown = {key: value for key, value in options.items() if not isinstance(value, Tensor) and not callable(value)}
    draw.note(f"{kind} {shown}")
    made = _recurrent(draw, kind, shape, options) if kind.startswith("R") else getattr(snn, kind)(**options)
    made.drawn_table = told  # for aiming: how levels follow from the threshold
    return made


def _rate(draw: Draw, shape: Shape, kinds: int = 0) -> float | Tensor:
    if draw.chance(0.15) and not kinds:
        size = draw.pick((shape[0], *[1] * (len(shape) - 1)), shape)
        return torch.rand(size) if draw.rng.random() < 0.5 else 0.5 + 0.5 * torch.rand(size)
    return draw.pick(0.0, 0.5, 0.8, 0.9, 0.95, 0.9375, 1.0) if not draw.chance(0.15) else draw.rng.random()


def _recurrent(draw: Draw, kind: str, shape: Shape, options: dict[str, Any]) -> nn.Module:
    if len(shape) == 1 and draw.rng.random() < 0.5:
        made = getattr(snn, kind)(linear_features=shape[0], **options)
        made.recurrent = dense(draw, shape[0], shape[0], exact=True)
        return made
    weights: float | Tensor = draw.pick(-0.75, 0.5, 1.0, -0.25)
    if draw.chance(0.06):
        weights = draw.rng.uniform(-1, 1)
    elif draw.rng.random() < 0.3:
        weights = torch.randint(-8, 9, shape) / 8
    return getattr(snn, kind)(all_to_all=False, V=weights, **options)
