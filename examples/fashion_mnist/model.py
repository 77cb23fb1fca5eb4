"""The bundled network as a user would write it: plain snnTorch and Brevitas, with this project's quantizers."""

import snntorch as snn
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

from squat_deploy.snn.quantizers import InputQuantizer, state_quant


def factory() -> nn.Sequential:
    """784-256-10: 4-bit power-of-two weights, 2-bit threshold-centred states, 4-bit pixels."""
    weights = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    layers = {
        "0": nn.Flatten(),
        "1": InputQuantizer(step=1 / 16, low=0, high=15),
        "fc1": QuantLinear(784, 256, **weights),
        "lif1": snn.Leaky(beta=0.97, init_hidden=True, state_quant=state_quant(2, uniform=False)),
        "fc2": QuantLinear(256, 10, **weights),
        "lif2": snn.Leaky(beta=0.97, init_hidden=True, state_quant=state_quant(2, uniform=False)),
    }
    model = nn.Sequential()
    for name, module in layers.items():
        model.add_module(name, module)
    return model
