"""The reference networks of this project, each an `nn.Sequential`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import snntorch as snn
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from snntorch import surrogate
from torch import nn

from squat_deploy.levels import Kind
from squat_deploy.quantizers import InputQuantizer, StateQuantizer


@dataclass(frozen=True)
class Recipe:
    """What all layers of a reference network share: power-of-two weight scales, so that every layer is provable.

    Attributes:
        beta: membrane decay a step.
        surrogate_slope: alpha of the arctan surrogate gradient.
        lower_limit, upper_limit: range of the states beyond plus and minus the threshold, as `levels.level_table`.
        clipped: no gradient where the membrane has left the table.
    """

    weight_bits: int = 4
    state_bits: int = 2
    kind: Kind = "threshold-centred"
    beta: float = 0.97
    surrogate_slope: float = 1.0
    lower_limit: float = 0.0
    upper_limit: float = 0.2
    clipped: bool = False

    def dense(self, fan_in: int, fan_out: int) -> QuantLinear:
        return QuantLinear(fan_in, fan_out, **self._weights)

    def conv(self, fan_in: int, fan_out: int, kernel: int, **sizes: int) -> QuantConv2d:
        return QuantConv2d(fan_in, fan_out, kernel, **sizes, **self._weights)

    def lif(self) -> snn.Leaky:
        return snn.Leaky(**self._neuron)

    def recurrent_lif(self, neurons: int) -> snn.RLeaky:
        """Every neuron takes the spikes of all of them one step later, by quantized weights."""
        neuron = snn.RLeaky(linear_features=neurons, **self._neuron)
        neuron.recurrent = self.dense(neurons, neurons)
        return neuron

    @property
    def _weights(self) -> dict[str, Any]:
        quantizer = Int8WeightPerTensorFixedPoint
        return {"bias": False, "weight_quant": quantizer, "weight_bit_width": self.weight_bits}

    @property
    def _neuron(self) -> dict[str, Any]:
        limits = {"lower_limit": self.lower_limit, "upper_limit": self.upper_limit}
        return {
            "beta": self.beta,
            "init_hidden": True,
            "spike_grad": surrogate.atan(alpha=self.surrogate_slope),
            "state_quant": StateQuantizer.of(self.state_bits, self.kind, clipped=self.clipped, **limits),
        }


def dense_lif_net(sizes: tuple[int, ...], *, input_bits: int = 4, **recipe: Any) -> nn.Sequential:
    """Fully connected LIF network for images shown at every step.

    Args:
        sizes: neurons a layer, inputs first, for instance (784, 256, 10).
        input_bits: width of the unsigned integers that inputs in [0, 1] are quantized to inside the model.
        recipe: fields of `Recipe`.
    """
    layers = Recipe(**recipe)
    net = nn.Sequential(nn.Flatten(), _pixels(input_bits))
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        net.add_module(f"fc{index}", layers.dense(fan_in, fan_out))
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


def fashion_mnist_net() -> nn.Sequential:
    """The bundled model: 784-256-10, 4-bit weights, 2-bit threshold-centred states, 4-bit inputs."""
    return dense_lif_net((784, 256, 10))


def _pixels(bits: int) -> InputQuantizer:
    return InputQuantizer(step=2.0**-bits, low=0, high=2**bits - 1)
