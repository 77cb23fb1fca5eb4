"""One small handler a module type: each turns a trained module into its part of a layer, or into faults.

Adding a layer type starts here: write a handler, register it in `HANDLERS`, and remove the type from `hints.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, Fault
from squat_deploy.lowering.current import EXACT_LIMIT, Current, Floats, sum_error_bound
from squat_deploy.lowering.hints import hint_for
from squat_deploy.network import MAX_NEURONS, Dense, InputSpec
from squat_deploy.quantize import InputQuantizer, StateQuantizer
from squat_deploy.training.layers import IntThenScaleLinear


@dataclass(frozen=True, eq=False)
class PendingLayer:
    """Synapses whose neurons have not come yet."""

    dense: Dense
    current: Current


@dataclass(frozen=True, eq=False)
class PendingNeuron:
    """A complete layer, ready for extraction."""

    name: str
    dense: Dense
    current: Current
    module: snn.Leaky
    quantizer: StateQuantizer
    low: int
    high: int


@dataclass
class Walk:
    """What is known after each module: the integers that flow, the synapses that wait, all faults so far.

    After a module that cannot be lowered `shape` is None and the walk is `broken` until the next neurons, so that one
    fault does not cause others.
    """

    spec: InputSpec
    shape: tuple[int, ...] | None
    low: int
    high: int
    step: float
    pending: PendingLayer | None = None
    broken: bool = False
    layers: list[PendingNeuron] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, name: str, rule: str, got: object, hint: str) -> None:
        self.faults.append(Fault(name, rule, str(got), hint))


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


def _plain(label: str) -> str:
    """The module's own name, without its type."""
    return label.rsplit(" (", 1)[0]


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


def _quant_linear(walk: Walk, name: str, module: nn.Module) -> None:
    assert isinstance(module, QuantLinear)
    if walk.pending is not None:
        walk.fault(
            name, "synapses feed neurons", "two linear layers in a row", "put snn.Leaky between them, or merge them"
        )
    if walk.shape is not None and walk.shape != (module.in_features,):
        hint = "put nn.Flatten() before it" if len(walk.shape) > 1 else "make the sizes match"
        walk.fault(name, f"takes ({module.in_features},) values", walk.shape, hint)
    walk.shape = (module.out_features,)
    if (faults := _weight_faults(module)) or walk.broken:
        for rule, got, hint in faults:
            walk.fault(name, rule, got, hint)
        walk.broken = True
        return
    walk.pending = _synapses(walk, _plain(name), module)


def _weight_faults(module: QuantLinear) -> list[tuple[str, str, str]]:
    """(rule, got, hint) of everything that keeps the weights from being small integers."""
    faults = []
    if module.input_quant.is_quant_enabled or module.output_quant.is_quant_enabled:
        faults.append(("its input and output are not quantized again", "input_quant or output_quant", "remove them"))
    if not module.weight_quant.is_quant_enabled:
        faults.append(
            ("weights must be quantized", "weight_quant=None", "use weight_quant=Int8WeightPerTensorFixedPoint")
        )
        return faults
    if module.out_features > MAX_NEURONS or module.in_features > MAX_NEURONS:
        faults.append(
            (f"at most {MAX_NEURONS} neurons a layer", f"{module.in_features} to {module.out_features}", "split it")
        )
    if module.weight.dtype != torch.float32:
        return [("weights are trained in float32", str(module.weight.dtype), "call model.float() before training")]
    if module.return_quant_tensor:
        return [("returns a plain tensor", "return_quant_tensor=True", "set return_quant_tensor=False")]
    try:
        weight = module.quant_weight()
    except Exception as error:  # noqa: BLE001 (Brevitas raises many types)
        got = str(error).split("\n")[0] or type(error).__name__
        return [("weights are quantized without an input", got, "use a quantizer of brevitas.quant.fixed_point")]
    if not isinstance(weight, IntQuantTensor):
        return [("weights are integers times a scale", type(weight).__name__, "use a Brevitas integer quantizer")]
    if weight.scale.numel() not in (1, module.out_features):
        shape = tuple(weight.scale.shape)
        return [
            (
                "one scale a layer or one a neuron",
                f"scales of shape {shape}",
                "use a per-tensor or per-channel quantizer",
            )
        ]
    ints, scale = weight.value / weight.scale, weight.scale.detach()
    if bool((weight.zero_point != 0).any()):
        faults.append(
            ("weights must be symmetric", "a zero point that is not 0", "use a signed quantizer, not ShiftedUint8")
        )
    elif float(weight.bit_width) > 8:
        faults.append(
            ("weights have 1 to 8 bits", f"{float(weight.bit_width):g} bits", "set weight_bit_width to 8 or less")
        )
    elif not torch.equal(torch.round(ints) * scale, weight.value):
        faults.append(
            ("weights must be integer times scale in float32", "other values", "use a Brevitas integer quantizer")
        )
    try:
        with torch.no_grad():
            module(torch.zeros(1, module.in_features))
    except RuntimeError as error:
        hint = "use bias_quant=Int8BiasPerTensorFixedPointInternalScaling, which needs no input scale"
        faults.append(("must run on a plain tensor of spikes", str(error).split("\n")[0], hint))
    return faults


@torch.no_grad()
def _synapses(walk: Walk, name: str, module: QuantLinear) -> PendingLayer:
    """Integer weights, and the bias as integers too where it lies on their grid."""
    quantized = module.quant_weight()
    scale = quantized.scale.detach().reshape(-1).expand(module.out_features).double().numpy()
    weight = torch.round(quantized.value / quantized.scale).to(torch.int64).numpy()
    bias = module(torch.zeros(1, module.in_features))[0].double().numpy()  # whatever quantizer made it
    if isinstance(module, IntThenScaleLinear):
        return _int_then_scale(walk, name, weight, scale, bias)
    unit = scale * walk.step
    on_grid = _powers_of_two(unit) and bool((bias == np.rint(bias / unit) * unit).all())
    integer_bias = np.rint(bias / unit).astype(np.int64) if on_grid else np.zeros(len(bias), dtype=np.int64)
    dense = Dense(name, weight, integer_bias)
    real_bias = np.zeros_like(bias) if on_grid else bias
    error, rule = _sum_error(dense, walk, unit, real_bias)
    return PendingLayer(dense, Current(rule, unit, real_bias, error))


def _int_then_scale(walk: Walk, name: str, weight: np.ndarray, scale: Floats, bias: Floats) -> PendingLayer:
    dense = Dense(name, weight, np.zeros(len(bias), dtype=np.int64))
    unit = np.full(len(bias), walk.step)
    error, rule = _sum_error(dense, walk, unit, np.zeros_like(bias))
    rule = "int-then-scale" if rule == "exact grid" else rule
    return PendingLayer(dense, Current(rule, unit, bias, error, scale=scale))


def _sum_error(dense: Dense, walk: Walk, unit: Floats, bias: Floats) -> tuple[Floats, str]:
    """Bound of the float32 error of the model's own sum, (out,), and the rule behind it (exactness.md, section 4).

    The sum is exact in any order where all terms and the bias are multiples of one power of two and stay below 2**24
    of it.
    """
    terms = np.abs(dense.weight).sum(axis=1) * max(abs(walk.low), abs(walk.high)) + np.abs(dense.bias)
    magnitude = terms * unit + np.abs(bias)
    if _powers_of_two(unit) and _powers_of_two(np.array([walk.step])):
        grid = np.minimum(unit, _lowest_bit(bias))
        if (magnitude / grid < EXACT_LIMIT).all():
            return np.zeros_like(unit), "exact grid"
    return sum_error_bound(dense.inputs + 1, magnitude), "error bound"


def _powers_of_two(values: Floats) -> bool:
    return bool((np.frexp(values)[0] == 0.5).all())


def _lowest_bit(values: Floats) -> Floats:
    """Value of the lowest set bit of each number (infinity for 0)."""
    mantissa, exponent = np.frexp(values)
    scaled = np.abs(mantissa * 2.0**53).astype(np.int64)
    bit = np.where(scaled == 0, 0, scaled & -scaled).astype(np.float64)
    return np.where(scaled == 0, np.inf, np.ldexp(bit, exponent - 53))


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
    if module.num_features != walk.pending.dense.outputs or walk.pending.current.norm is not None:
        walk.fault(name, "one batch norm of the same size after a linear", module.num_features, "make the sizes match")
        return
    dense, current = walk.pending.dense, walk.pending.current.with_norm(module)
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
    for rule, got, hint in _leaky_faults(module, walk.shape[-1] if walk.shape else None):
        walk.fault(name, rule, got, hint)
    if walk.pending is not None and quantizer is not None:
        dense, current = walk.pending.dense, walk.pending.current
        walk.layers.append(PendingNeuron(_plain(name), dense, current, module, quantizer, walk.low, walk.high))
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


def _leaky_faults(module: snn.Leaky, width: int | None) -> list[tuple[str, str, str]]:
    faults = []
    if module.inhibition:
        faults.append(("each neuron decides alone", "inhibition=True", "train with inhibition=False"))
    if bool((module.graded_spikes_factor != 1).any()):
        faults.append(("spikes are 0 or 1", "a graded_spikes_factor that is not 1", "fold it into the next weights"))
    for label in ("beta", "threshold"):
        value = getattr(module, label)
        if width is not None and value.numel() not in (1, width):
            faults.append(
                (f"{label} is one value or one a neuron", f"{value.numel()} values", f"use 1 or {width} values")
            )
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
    QuantLinear: _quant_linear,
    IntThenScaleLinear: _quant_linear,
    nn.BatchNorm1d: _batch_norm,
    snn.Leaky: _leaky,
}
