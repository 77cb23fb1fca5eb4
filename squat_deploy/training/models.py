"""The reference networks of this project."""

from __future__ import annotations

from itertools import pairwise

import snntorch as snn
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from snntorch import surrogate
from torch import nn

from squat_deploy.levels import Kind
from squat_deploy.quantizers import InputQuantizer, StateQuantizer


def dense_lif_net(
    sizes: tuple[int, ...],
    *,
    weight_bits: int = 4,
    state_bits: int = 2,
    kind: Kind = "threshold-centred",
    beta: float = 0.97,
    input_bits: int = 4,
    surrogate_slope: float = 1.0,
) -> nn.Sequential:
    """Fully connected LIF network with power-of-two weight scales, provable in every layer.

    Args:
        sizes: neurons a layer, inputs first, for instance (784, 256, 10).
        beta: membrane decay a step.
        surrogate_slope: alpha of the arctan surrogate gradient.
        input_bits: width of the unsigned integers that inputs in [0, 1] are quantized to inside the model.
    """
    high = 2**input_bits - 1
    net = nn.Sequential(nn.Flatten(), InputQuantizer(step=2.0**-input_bits, low=0, high=high))
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
        weights = QuantLinear(
            fan_in, fan_out, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=weight_bits
        )
        neuron = snn.Leaky(
            beta=beta,
            init_hidden=True,
            spike_grad=surrogate.atan(alpha=surrogate_slope),
            state_quant=StateQuantizer.of(state_bits, kind),
        )
        net.add_module(f"fc{index}", weights)
        net.add_module(f"lif{index}", neuron)
    return net


def fashion_mnist_net() -> nn.Sequential:
    """The bundled model: 784-256-10, 4-bit weights, 2-bit threshold-centred states, 4-bit inputs."""
    return dense_lif_net((784, 256, 10))
