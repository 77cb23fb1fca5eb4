"""Small models at the edges of float32: each family is one way in which a wrong result once passed for proven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import snntorch as snn
import torch
import torch.nn.functional as F
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from brevitas.quant.scaled_int import Int8WeightPerChannelFloat
from snntorch.functional.quant import state_quant
from torch import nn

from tests.oracle.parts import Draw, Function, Shape


@dataclass(frozen=True)
class Edge:
    """Stages of modules, and what enters: `(shape, low, high, step)`; `second` is a branch beside the last synapses."""

    modules: list[nn.Module]
    entry: tuple[Shape, int, int, float]
    second: nn.Module | None = None
    alpha: float = 1.0


def _linear(fan_in: int, fan_out: int, bits: int = 4, bias: bool = False, quantizer: Any = None) -> Any:
    quantizer = quantizer or Int8WeightPerTensorFixedPoint
    return QuantLinear(fan_in, fan_out, bias=bias, weight_quant=quantizer, weight_bit_width=bits)


def _leaky(dice: Draw, beta: float, bits: int, **table: Any) -> Any:
    dice.note(f"Leaky beta={beta} state_quant {bits} bits {table}")
    neuron = snn.Leaky(beta=beta, state_quant=state_quant(bits, threshold=1.0, **table), init_hidden=True)
    neuron.drawn_table = {"num_bits": bits, **table}
    return neuron


def _pooled(dice: Draw) -> Edge:
    """Averages of inputs whose step is no power of two: float32 rounds every addition."""
    size = dice.pick(6, 8, 12, 16)
    low, high = dice.pick((0, 1), (0, 15), (0, 255))
    step = dice.pick(0.1, 0.3, 1 / 3, 1 / 255, 0.7)
    window = dice.pick(size, size, size // 2)
    given = {"divisor_override": dice.pick(1, 2)} if dice.rng.random() < 0.2 else {}
    pools = nn.AvgPool2d(window, **given), Function(F.avg_pool2d, window, **given)
    linear = _linear((size // window) ** 2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.randint(1, 4, linear.weight.shape) / 4)
    dice.note(f"average of {window} x {window} inputs {given}")
    return Edge([dice.pick(*pools), nn.Flatten(), linear, _leaky(dice, 0.0, 1)], ((1, size, size), low, high, step))


def _bent(dice: Draw) -> Edge:
    """Level tables of odd multipliers: float32 cannot tell levels apart, and the nearest one is not monotone."""
    size = dice.rng.randint(12, 40)
    linear = _linear(size, 2)
    with torch.no_grad():
        linear.weight.fill_(2.0 ** -dice.rng.randint(3, 6))
    multiplier = 10.0 ** (dice.rng.uniform(-9, -3) if dice.rng.random() < 0.8 else dice.rng.uniform(0.5, 4))
    table = {"uniform": False, "thr_centered": dice.rng.random() < 0.3, "multiplier": multiplier}
    neuron = _leaky(dice, dice.pick(0.0, 0.0, 0.5), dice.pick(1, 2, 2, 2, 3), **table)
    return Edge([linear, neuron], ((size,), 0, dice.pick(1, 1, 3), 1.0))


def _scaled_branch(dice: Draw) -> Edge:
    """A branch that is added times something."""
    alpha = dice.pick(2, 4, 0.5, -1, 3, 0.3, 0)
    dice.note(f"second branch times {alpha}")
    first, second = _linear(8, 3), _linear(8, 3)
    neuron = _leaky(dice, 0.5, 3)
    return Edge([first, neuron], ((8,), 0, 3, 0.5), second, alpha)


def _tiny(dice: Draw) -> Edge:
    """Weights far below the bias, or far above: integers of many bits, sums that float32 does not hold."""
    linear = _linear(dice.rng.randint(2, 12), 3, dice.pick(2, 4, 8), bias=True)
    exponent = dice.pick(-10, -16, -22, -26, -30, -35, -40, -60, 10, 20, 40)
    with torch.no_grad():
        linear.weight.normal_(0.1, 1.0).mul_(2.0**exponent)
        linear.bias.uniform_(-1, 1)
        if dice.rng.random() < 0.5:
            linear.bias.mul_(8).round_().div_(8)
    dice.note(f"weights of 2**{exponent}")
    low, high = dice.pick((0, 1), (0, 255), (0, 65535), (-32768, 32767))
    entry = ((linear.in_features,), low, high, 2.0 ** -dice.rng.randint(0, 16))
    return Edge([linear, _leaky(dice, dice.pick(0.0, 0.5, 0.9), 3)], entry)


def _wide(dice: Draw) -> Edge:
    """Sums about and beyond 2**24, of one scale or a float scale a channel."""
    quantizer = dice.pick(None, None, Int8WeightPerChannelFloat)
    linear = _linear(dice.pick(8, 32, 200), 2, 8, bias=dice.rng.random() < 0.5, quantizer=quantizer)
    low, high = dice.pick((0, 255), (0, 4095), (0, 65535))
    step = 1.0 / (high + 1) if dice.rng.random() < 0.7 else 1.0 / high
    with torch.no_grad():
        linear.weight.normal_(0, 2.0 / linear.in_features**0.5)
    dice.note(f"{linear.in_features} inputs up to {high}, {'a float scale a channel' if quantizer else 'one scale'}")
    return Edge([linear, _leaky(dice, 0.0, 2)], ((linear.in_features,), low, high, step))


FAMILIES: dict[str, Callable[[Draw], Edge]] = {
    "averages of odd steps": _pooled,
    "bent tables": _bent,
    "scaled branches": _scaled_branch,
    "tiny weights": _tiny,
    "wide sums": _wide,
}
