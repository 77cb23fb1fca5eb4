"""The model: 4-bit weights, 4-bit membranes, pixels on a grid of 16 values."""

import snntorch as snn
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

from squat_deploy.snn.quantizers import InputQuantizer, state_quant

INPUTS, HIDDEN, CLASSES = 784, 64, 10


def factory() -> nn.Sequential:
    """An untrained model; `lower` and `verify` call this and load the weights of train.py into it."""
    weights = {"bias": False, "weight_quant": Int8WeightPerTensorFixedPoint, "weight_bit_width": 4}
    neurons = {"beta": 0.9, "init_hidden": True, "state_quant": state_quant(4, uniform=False, threshold=1.0)}
    return nn.Sequential(
        InputQuantizer(step=1 / 16, low=0, high=15),  # inside the model, so that training sees what hardware will see
        QuantLinear(INPUTS, HIDDEN, **weights),
        snn.Leaky(**neurons),
        QuantLinear(HIDDEN, CLASSES, **weights),
        snn.Leaky(**neurons),
    )
