"""The reference networks of this project, each an `nn.Sequential`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import snntorch as snn
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant import Int8WeightPerTensorFloat, SignedBinaryWeightPerTensorConst
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from snntorch import surrogate
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.lab.config import FLOAT_BITS, Surrogate, SurrogateAt, WeightScale
from squat_deploy.snn.layers import IntThenScaleLinear
from squat_deploy.snn.levels import Kind
from squat_deploy.snn.quantizers import InputQuantizer, MembraneSurrogate, StateQuantizer

SURROGATES: dict[Surrogate, Callable[[float], Callable[[Tensor], Tensor]]] = {
    "atan": lambda slope: surrogate.atan(alpha=slope),
    "fast-sigmoid": lambda slope: surrogate.fast_sigmoid(slope=slope),
    "sigmoid": lambda slope: surrogate.sigmoid(slope=slope),
    "triangular": lambda slope: surrogate.triangular(threshold=slope),
    "straight-through": lambda _: surrogate.straight_through_estimator(),
}
_EQUAL_GAPS: tuple[Kind, ...] = ("uniform", "rest", "ternary", "fixed-point")


@dataclass(frozen=True)
class Recipe:
    """What all layers of a reference network share. All of it can be proven.

    Attributes:
        weight_bits, state_bits: 32 leaves them in float.
        weight_scale: "power-of-two" of the largest weight; or, with sums of integers that are scaled once
            (`IntThenScaleLinear`, dense layers only), "float" of the largest weight, "learned" with the weights, or
            "shared": one step of a weight is one step of the states, as in MINT (arXiv 2305.09850).
        kind, exponent, above: the level table, as `levels.level_table` (exponent: its `base`).
        learned: train the levels too.
        beta: membrane decay a step.
        surrogate_at: where its gradient is taken: at "levels", as snnTorch does, or at the "membrane" before rounding.
        surrogate_slope: alpha of the arctan surrogate gradient, the slope or the width of the others.
        lower_limit, upper_limit: range of the states beyond plus and minus the threshold, as `levels.level_table`.
        clipped: no gradient where the membrane has left the table.
        neuron: "leaky", or "synaptic" with a synaptic current that decays by alpha.
    """

    weight_bits: int = 4
    state_bits: int = 2
    weight_scale: WeightScale = "power-of-two"
    kind: Kind = "threshold-centred"
    exponent: float | None = None
    above: int | None = None
    learned: bool = False
    beta: float = 0.97
    surrogate: Surrogate = "atan"
    surrogate_at: SurrogateAt = "levels"
    surrogate_slope: float = 1.0
    lower_limit: float = 0.0
    upper_limit: float = 0.2
    clipped: bool = False
    neuron: Literal["leaky", "synaptic"] = "leaky"
    alpha: float = 0.5

    def dense(self, fan_in: int, fan_out: int) -> nn.Linear:
        if self.weight_bits == FLOAT_BITS:
            return nn.Linear(fan_in, fan_out, bias=False)
        if self.weight_bits == 1 or self.weight_scale != "power-of-two":
            return IntThenScaleLinear(fan_in, fan_out, **self._weights(fan_in))
        return QuantLinear(fan_in, fan_out, **self._weights(fan_in))

    def conv(self, fan_in: int, fan_out: int, kernel: int) -> nn.Conv2d:
        self._need_power_of_two("conv")
        if self.weight_bits == FLOAT_BITS:
            return nn.Conv2d(fan_in, fan_out, kernel, bias=False)
        return QuantConv2d(fan_in, fan_out, kernel, **self._weights(fan_in * kernel**2))

    def lif(self) -> snn.Leaky | snn.Synaptic:
        if self.neuron == "synaptic":
            return snn.Synaptic(alpha=self.alpha, **self._neuron)
        return snn.Leaky(**self._neuron)

    def recurrent_lif(self, neurons: int) -> snn.RLeaky | snn.RSynaptic:
        """Every neuron takes the spikes of all of them one step later, by quantized weights.

        Their currents and those of the layer before are summed: only on grids of powers of two is that sum exact.
        """
        self._need_power_of_two("recurrent")
        if self.neuron == "synaptic":
            neuron = snn.RSynaptic(alpha=self.alpha, linear_features=neurons, **self._neuron)
        else:
            neuron = snn.RLeaky(linear_features=neurons, **self._neuron)
        neuron.recurrent = self.dense(neurons, neurons)
        return neuron

    def _need_power_of_two(self, net: str) -> None:
        if self.weight_bits == 1 or (self.weight_scale != "power-of-two" and self.weight_bits != FLOAT_BITS):
            got = f"{self.weight_bits} bits, {self.weight_scale}"
            raise ConfigError(f"{net}: needs 2 to 8 weight bits and weight_scale power-of-two; got {got}")

    def _weights(self, inputs: int) -> dict[str, Any]:
        if self.weight_bits == 1:
            own = {"weight_quant": SignedBinaryWeightPerTensorConst, "weight_scaling_const": inputs**-0.5}
            return {"bias": False, **own}
        options: dict[str, Any] = {"bias": False, "weight_bit_width": self.weight_bits}
        if self.weight_scale == "power-of-two":
            return {**options, "weight_quant": Int8WeightPerTensorFixedPoint}
        if self.weight_scale == "learned":
            options["weight_scaling_impl_type"] = "parameter_from_stats"
        if self.weight_scale == "shared":
            largest = self._state_step * (2 ** (self.weight_bits - 1) - 1)
            options |= {"weight_scaling_impl_type": "const", "weight_scaling_const": largest}
        return {**options, "weight_quant": Int8WeightPerTensorFloat}

    @property
    def _state_step(self) -> float:
        states = self._states
        if isinstance(states, bool) or self.kind not in _EQUAL_GAPS or states.learned:
            got = f"{self.state_bits} bits, {'learned' if self.learned else self.kind}"
            raise ConfigError(
                f"weight_scale shared: needs states with equal gaps ({', '.join(_EQUAL_GAPS)}); got {got}"
            )
        return float(states.levels[-1] - states.levels[-2])

    @property
    def _neuron(self) -> dict[str, Any]:
        states, gradient = self._states, SURROGATES[self.surrogate](self.surrogate_slope)
        if self.surrogate_at == "membrane" and self.neuron != "leaky":
            raise ConfigError(f"surrogate_at membrane: needs neurons with one state; got {self.neuron}")
        if self.surrogate_at == "membrane" and isinstance(states, StateQuantizer):
            gradient = MembraneSurrogate(gradient, states)
        return {"beta": self.beta, "init_hidden": True, "spike_grad": gradient, "state_quant": states}

    @property
    def _states(self) -> StateQuantizer | bool:
        if self.state_bits == FLOAT_BITS:
            return False
        limits: dict[str, Any] = {"lower_limit": self.lower_limit, "upper_limit": self.upper_limit}
        options = {**limits, "base": self.exponent, "above": self.above}
        return StateQuantizer.of(self.state_bits, self.kind, clipped=self.clipped, learned=self.learned, **options)


def dense_lif_net(
    sizes: tuple[int, ...], *, norms: bool = False, input_bits: int | None = 4, **recipe: Any
) -> nn.Sequential:
    """Fully connected LIF network.

    Args:
        sizes: neurons a layer, inputs first, for instance (784, 256, 10).
        norms: a batch-norm before every neuron layer but the last; it becomes part of the thresholds of each neuron.
        input_bits: width of the unsigned integers that inputs in [0, 1] are quantized to inside the model; None for
            inputs that are integers already, counts of events.
        recipe: fields of `Recipe`.
    """
    layers = Recipe(**recipe)
    net = nn.Sequential(nn.Flatten())
    if input_bits is not None:
        net.add_module("1", _pixels(input_bits))  # its name in the files of before
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        net.add_module(f"fc{index}", layers.dense(fan_in, fan_out))
        if norms and index < len(sizes) - 1:
            net.add_module(f"norm{index}", nn.BatchNorm1d(fan_out))
        net.add_module(f"lif{index}", layers.lif())
    return net


def conv_lif_net(
    sizes: tuple[int, ...], features: int, *, kernel: int = 5, input_bits: int | None = None, **recipe: Any
) -> nn.Sequential:
    """Convolution - batch-norm - LIF - max pooling of the spikes, over and over, then a fully connected LIF layer.

    Args:
        sizes: channels a layer, those of the input first, classes last, for instance (1, 16, 64, 10).
        features: what the last pooling leaves, channels x height x width.
        input_bits: as in `dense_lif_net`; without it the network takes counts of events.
        recipe: fields of `Recipe`.
    """
    layers = Recipe(**recipe)
    net = nn.Sequential()
    if input_bits is not None:
        net.add_module("pixels", _pixels(input_bits))
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes[:-1]), start=1):
        net.add_module(f"conv{index}", layers.conv(fan_in, fan_out, kernel))
        net.add_module(f"norm{index}", nn.BatchNorm2d(fan_out))
        net.add_module(f"lif{index}", layers.lif())
        net.add_module(f"pool{index}", nn.MaxPool2d(2))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", layers.dense(features, sizes[-1]))
    net.add_module("lif", layers.lif())
    return net


def recurrent_lif_net(sizes: tuple[int, ...], **recipe: Any) -> nn.Sequential:
    """Fully connected layers of recurrent LIF neurons, the last one without recurrence, for counts of events.

    Args:
        sizes: neurons a layer, inputs first, for instance (700, 128, 10).
        recipe: fields of `Recipe`.
    """
    layers = Recipe(**recipe)
    net = nn.Sequential(nn.Flatten())
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        last = index == len(sizes) - 1
        net.add_module(f"fc{index}", layers.dense(fan_in, fan_out))
        net.add_module(f"lif{index}", layers.lif() if last else layers.recurrent_lif(fan_out))
    return net


def _pixels(bits: int) -> InputQuantizer:
    return InputQuantizer(step=2.0**-bits, low=0, high=2**bits - 1)
