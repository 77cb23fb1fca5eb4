"""One small handler a module type: each turns a trained module into its part of a layer, or into faults.

Adding a layer type starts here: write a handler, register it in `HANDLERS`, and remove the type from `hints.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.hints import hint_for
from squat_deploy.lowering.walk import PendingLayer, PendingNeuron, Walk, plain_name
from squat_deploy.lowering.weights import quant_conv2d, quant_linear
from squat_deploy.quantize import InputQuantizer, StateQuantizer
from squat_deploy.synapses import Dense
from squat_deploy.training.layers import FixedConv2d, FixedLinear, IntThenScaleLinear

Handler = Callable[[Walk, str, nn.Module], None]


def handle(walk: Walk, name: str, module: nn.Module) -> None:
    """Dispatches on the exact type; a subclass may override anything, so it is refused by name."""
    label = f"{name} ({type(module).__name__})"
    bad = [key for key, value in module.state_dict(keep_vars=True).items() if not _finite(value)]
    if bad:
        walk.fault(label, "every weight must be finite", f"NaN or infinity in {', '.join(bad)}", "retrain or repair it")
        walk.broken = True
        return
    handler = HANDLERS.get(type(module))
    if handler is None:
        walk.fault(label, "this type cannot be lowered", type(module).__name__, hint_for(module))
        walk.broken, walk.pending, walk.shape = True, None, None
    else:
        handler(walk, label, module)


def _finite(value: object) -> bool:
    return not (isinstance(value, Tensor) and value.is_floating_point()) or bool(torch.isfinite(value).all())


def _input_quantizer(walk: Walk, name: str, module: nn.Module) -> None:
    assert isinstance(module, InputQuantizer)
    declared, own = (walk.spec.low, walk.spec.high, walk.spec.step), (module.low, module.high, module.step)
    if walk.layers or walk.pending:
        walk.fault(name, "inputs are quantized before the first synapses", "it comes later", "move it to the front")
    elif declared != own:
        walk.fault(
            name,
            "InputSpec(low, high, step) must be those of the model's InputQuantizer",
            declared,
            f"use InputSpec(low={own[0]}, high={own[1]}, step={own[2]})",
        )


def _flatten(walk: Walk, name: str, module: nn.Module) -> None:
    assert isinstance(module, nn.Flatten)
    if (module.start_dim, module.end_dim) != (1, -1):
        walk.fault(
            name, "Flatten keeps the batch axis and no other", (module.start_dim, module.end_dim), "use nn.Flatten()"
        )
    walk.shape = None if walk.shape is None else (math.prod(walk.shape),)


def _dropout(walk: Walk, name: str, module: nn.Module) -> None:
    """The identity after training."""


def _batch_norm(walk: Walk, name: str, module: nn.Module) -> None:
    assert isinstance(module, nn.BatchNorm1d)
    if walk.pending is None:
        if not walk.broken:
            walk.fault(
                name, "batch norm folds into the linear layer before it", "no linear before it", "move or remove it"
            )
        return
    if not module.track_running_stats or module.running_mean is None:
        walk.fault(
            name, "batch norm needs running statistics", "track_running_stats=False", "train with running statistics"
        )
        return
    if module.running_mean.dtype != torch.float32 or float(module.running_var.min()) + module.eps <= 0:  # type: ignore[union-attr]
        got = f"{module.running_mean.dtype}, variance at least {float(module.running_var.min()):g}"  # type: ignore[union-attr]
        walk.fault(name, "statistics are float32, variances positive", got, "call model.float(), or train again")
        return
    dense = walk.pending.synapses
    if not isinstance(dense, Dense) or module.num_features != dense.outputs or walk.pending.current.norm is not None:
        walk.fault(name, "one batch norm of the same size after a linear", module.num_features, "make the sizes match")
        return
    current = walk.pending.current.with_norm(module)
    assert current.flipped is not None
    sign = np.where(current.flipped, -1, 1)
    walk.pending = PendingLayer(Dense(dense.name, dense.weight * sign[:, None], dense.bias * sign), current)


def _leaky(walk: Walk, name: str, module: nn.Module) -> None:
    assert isinstance(module, snn.Leaky)
    if any(layer.module is module for layer in walk.layers):
        walk.fault(name, "neurons keep their own membranes", "one module in two places", "make a second snn.Leaky")
    if walk.pending is None and not walk.broken:
        walk.fault(
            name, "neurons need synapses before them", "no linear layer before it", "put a QuantLinear before it"
        )
    quantizer = _state_quantizer(walk, name, module)
    for rule, got, hint in _leaky_faults(module, walk.shape):
        walk.fault(name, rule, got, hint)
    if walk.pending is not None and quantizer is not None:
        synapses, current = walk.pending.synapses, walk.pending.current
        walk.layers.append(PendingNeuron(plain_name(name), synapses, current, module, quantizer, walk.low, walk.high))
    walk.pending, walk.broken = None, False
    walk.low, walk.high, walk.step = 0, 1, 1.0


def _state_quantizer(walk: Walk, name: str, module: snn.Leaky) -> StateQuantizer | None:
    """The neuron's level table as a StateQuantizer (a copy for snnTorch's closures)."""
    quantizer, threshold = module.state_quant, float(module.threshold.detach().max())
    try:
        if isinstance(quantizer, StateQuantizer) and type(quantizer).forward is StateQuantizer.forward:
            if quantizer.levels.dtype != torch.float32:
                walk.fault(name, "levels are float32", quantizer.levels.dtype, "call model.float() before training")
            elif quantizer.enabled:
                return StateQuantizer(quantizer.levels.detach().cpu(), threshold)
            else:
                got = "a StateQuantizer that is switched off"
                walk.fault(name, "the membrane must be quantized", got, "set .enabled = True")
        elif callable(quantizer):
            return StateQuantizer.from_snntorch(quantizer, threshold)
        else:
            hint = "train with snn.Leaky(state_quant=squat_deploy.quantize.state_quant(...))"
            walk.fault(name, "the membrane must be quantized: 32-bit states have no table", "state_quant=False", hint)
    except ConfigError as error:
        walk.fault(name, "the level table must be usable", error, "see squat_deploy.levels.level_table")
    return None


def _leaky_faults(module: snn.Leaky, shape: tuple[int, ...] | None) -> list[tuple[str, str, str]]:
    faults = []
    width = shape[0] if shape and len(shape) == 1 else 1 if shape else None  # planes share one value
    if module.inhibition:
        faults.append(("each neuron decides alone", "inhibition=True", "train with inhibition=False"))
    if bool((module.graded_spikes_factor != 1).any()):
        faults.append(("spikes are 0 or 1", "a graded_spikes_factor that is not 1", "fold it into the next weights"))
    hint = "use one value" if width == 1 else f"use 1 or {width} values"
    for label in ("beta", "threshold"):
        value = getattr(module, label)
        if width is not None and value.numel() not in (1, width):
            faults.append((f"{label} is one value or one a neuron", f"{value.numel()} values", hint))
        elif value.numel() > 1 and value.shape[-1] != value.numel():
            faults.append((f"{label} has one axis", f"shape {tuple(value.shape)}", "use shape (1,) or (neurons,)"))
        if value.dtype != torch.float32 and value.is_floating_point():
            faults.append((f"{label} is float32", str(value.dtype), "call model.float() before training"))
    return faults


HANDLERS: dict[type[nn.Module], Handler] = {
    InputQuantizer: _input_quantizer,
    nn.Flatten: _flatten,
    nn.Dropout: _dropout,
    nn.Identity: _dropout,
    QuantConv2d: quant_conv2d,
    QuantLinear: quant_linear,
    IntThenScaleLinear: quant_linear,
    FixedConv2d: quant_conv2d,
    FixedLinear: quant_linear,
    nn.BatchNorm1d: _batch_norm,
    snn.Leaky: _leaky,
}
