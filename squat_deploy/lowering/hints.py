"""What to do instead, for module types that cannot be lowered."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.utils import parametrize

HINTS = {
    "Linear": "use brevitas.nn.QuantLinear or sd.quantize(model, data, steps=...), so that the weights are integers",
    "Conv1d": "use brevitas.nn.QuantConv1d or sd.quantize(model, data, steps=...), so that the weights are integers",
    "Conv2d": "use brevitas.nn.QuantConv2d or sd.quantize(model, data, steps=...), so that the weights are integers",
    "ConvTranspose1d": "use brevitas.nn.QuantConvTranspose1d, so that the weights are integers",
    "ConvTranspose2d": "use brevitas.nn.QuantConvTranspose2d, so that the weights are integers",
    "GroupNorm": "its result depends on the whole sample; use BatchNorm2d after a QuantConv2d",
    "InstanceNorm2d": "its result depends on the whole sample; use BatchNorm2d after a QuantConv2d",
    "ZeroPad2d": "give the convolution after it the padding",
    "Softmax": "leave it out: the class is that of the highest score, before it as after it",
    "LayerNorm": "its result depends on the whole layer; use BatchNorm1d after a QuantLinear",
    "ReLU": "remove it: neurons are the only non-linearity",
    "QuantReLU": "remove it: neurons are the only non-linearity",
    "Alpha": "use snn.Synaptic: an Alpha's membrane does not see the current of its step, and its "
    "inhibition falls as the sum rises",
    "SLSTM": "use snn.Leaky: its gates are real-valued functions, no table holds them",
    "SConv2dLSTM": "use snn.Leaky: its gates are real-valued functions, no table holds them",
    "StateLeaky": "use snn.Leaky: it quantizes once after all steps, so it has no quantized state",
    "LinearLeaky": "use snn.Leaky: it quantizes once after all steps, so it has no quantized state",
    "LeakyParallel": "use snn.Leaky: it takes no state_quant",
    "DeltaLeaky": "use snn.Leaky: it ignores state_quant",
    "AssociativeLeaky": "use snn.Leaky: it takes no state_quant",
}

_FACTOR = "put a factor into the weights of the layer before or behind it; a product of two values has no integer form"
_MINUS = "give that branch the negative weights, and add it"
_BEND = "leave it out: neurons are the only non-linearity"
FUNCTION_HINTS = {
    **dict.fromkeys(("mul", "rmul", "div", "truediv", "true_divide", "multiply"), _FACTOR),
    **dict.fromkeys(("sub", "rsub", "neg", "subtract"), _MINUS),
    **dict.fromkeys(("relu", "clamp", "clip", "tanh", "sigmoid", "abs", "where", "gelu", "leaky_relu", "sign"), _BEND),
}

RANDOM = frozenset(["bernoulli", "poisson", "rand_like", "randn_like", "randint_like", "normal", "multinomial"])


def function_hint(name: str) -> str:
    """What to do instead of a function that cannot be lowered."""
    if name in RANDOM:
        return (
            "encode before the model: squat_deploy.network.encoders has rate and latency coding, or give it the spikes "
            'of all steps, InputSpec(encoding="sequence")'
        )
    return FUNCTION_HINTS.get(name, "use modules and functions of the support matrix, or do it outside of the model")


def unproven_hint(odd_step: float | None) -> str:
    """What makes a layer provable; `odd_step` is that of its inputs, if it is no power of two."""
    if odd_step is None:
        instead = "use power-of-two weight scales (Int8WeightPerTensorFixedPoint)"
        return f"lower sd.exact(model, spec, steps) (--exact), or {instead}"
    near = f"2**{round(math.log2(odd_step))}"
    return (
        f"make the step of the inputs a power of two: it is {odd_step:.9g}, so that their sums round, whatever the "
        f"weights; the nearest is {near} (--input-step {near}, InputQuantizer({near}, low, high) in front of the "
        "model); or lower sd.exact(model, spec, steps) (--exact)"
    )


def hint_for(module: nn.Module) -> str:
    """One sentence: the nearest thing that works."""
    kind = type(module)
    if kind.__name__ in HINTS:
        return HINTS[kind.__name__]
    if parametrize.is_parametrized(module):
        return "first call torch.nn.utils.parametrize.remove_parametrizations(layer, name)"
    if not _of_library(kind):
        for base in kind.__mro__[1:]:
            if _of_library(base) and base is not nn.Module:
                instead = HINTS.get(base.__name__, f"use {base.__name__} itself if it can be lowered")
                return f"a subclass may compute anything; {instead}"
    return (
        "use what docs/support.md lists: QuantLinear, QuantConv2d, BatchNorm2d, pooling, Flatten, snn.Leaky and others"
    )


def _of_library(kind: type) -> bool:
    return kind.__module__.split(".")[0] in ("torch", "snntorch", "brevitas")
