"""One small handler a module type: each turns a trained module into its part of a layer, or into faults.

Adding a layer type starts here: write a handler, register it in `HANDLERS`, and remove the type from `hints.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import snntorch as snn
import torch
from brevitas.nn import (
    QuantConv1d,
    QuantConv2d,
    QuantConvTranspose1d,
    QuantConvTranspose2d,
    QuantIdentity,
    QuantLinear,
)
from snntorch._neurons.rleaky import RecurrentOneToOne
from snntorch._neurons.rsynaptic import RecurrentOneToOne as SynapticOneToOne
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from squat_deploy.errors import ConfigError
from squat_deploy.lowering.activations import quant_identity
from squat_deploy.lowering.branches import added_branches, as_currents, linear_branches
from squat_deploy.lowering.current import Current, alike
from squat_deploy.lowering.draft import Branches, Currents, Draft, Integers, PendingNeuron, Value, plain_name
from squat_deploy.lowering.hints import hint_for
from squat_deploy.lowering.options import (
    AFTER_TRAINING,
    CONV,
    GRADED,
    INDICES,
    KERNEL,
    LEARNED,
    LINEAR,
    NEURON,
    NORM,
    QUANT,
    READ,
    RECURRENT,
    RESET,
    SHAPE,
    SYNAPTIC,
    Options,
    idle,
    module_faults,
    read,
)
from squat_deploy.lowering.pooling import adaptive_module, pool_module
from squat_deploy.lowering.program import Call
from squat_deploy.lowering.weights import one_to_one, quant_conv, quant_linear
from squat_deploy.network import INPUT, MAX_NEURONS, IntArray
from squat_deploy.network.layers import Add, Delay, Weighted
from squat_deploy.network.layers.delay import MAX_DELAY
from squat_deploy.snn.delay import DELAYS, delays_of
from squat_deploy.snn.exact_forms import EXACT_FORMS
from squat_deploy.snn.layers import FixedConv2d, FixedLinear
from squat_deploy.snn.neurons import kind_of, spike_value
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer
from squat_deploy.snn.recurrence import CurrentsFirstRLeaky, CurrentsFirstRSynaptic

Handler = Callable[[Draft, str, nn.Module, Value | None], Value | None]


def handle(draft: Draft, call: Call, module: nn.Module, value: Value | None) -> Value | None:
    """Dispatches on the exact type; a subclass may override anything, so it is refused by name.

    Returns: what the module gives, or None after a fault; handlers that get None say only what concerns the module
    itself, so that one fault does not cause others.
    """
    bad = [key for key, part in module.state_dict(keep_vars=True).items() if not _finite(part)]
    if bad:
        got = f"NaN or infinity in {', '.join(bad)}"
        draft.fault(call.label, "every weight must be finite", got, "retrain or repair it")
        return None
    handled = HANDLERS.get(type(module))
    if _is_training(module):
        hint = "let model.eval() reach it, and do not call train() in forward"
        draft.fault(call.label, "layers are in evaluation mode", "training mode", hint)
        return None
    if handled is None:
        draft.fault(call.label, "this type cannot be lowered", type(module).__name__, hint_for(module))
        return None
    module, left = _as_called(call, module, value)
    faults = [*module_faults(module, handled.options), *left]
    for rule, got, hint in faults:
        draft.fault(call.label, rule, got, hint)
    result = handled.handler(draft, call.label, module, value)
    return None if faults else result


def _as_called(call: Call, module: nn.Module, value: Value | None) -> tuple[nn.Module, list[tuple[str, str, str]]]:
    """The module with the output padding that its call asked for, and faults of whatever else it was called with."""
    others = {key: given for key, given in call.options.items() if key != "output_size"}
    faults = [("layers are called with values alone", f"{k}={v}", f"leave {k} out") for k, v in others.items()]
    if "output_size" not in call.options or value is None or not isinstance(module, _ConvNd) or call.shape is None:
        return module, faults
    called = copy.copy(module)
    own: Any = zip(value.shape[1:], module.stride, module.padding, module.dilation, module.kernel_size, strict=True)
    least = ((n - 1) * step - 2 * int(pad) + gap * (reach - 1) + 1 for n, step, pad, gap, reach in own)
    called.output_padding = tuple(size - low for size, low in zip(call.shape[1:], least, strict=True))
    return called, faults


def _is_training(module: nn.Module) -> bool:
    """Whether a layer that computes something else while training is not in evaluation mode."""
    return type(module) not in _STATELESS and any(part.training for part in module.modules())


def _finite(value: object) -> bool:
    return not (isinstance(value, Tensor) and value.is_floating_point()) or bool(torch.isfinite(value).all())


def _input_quantizer(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    assert isinstance(module, InputQuantizer)
    declared, own = (draft.spec.low, draft.spec.high, draft.spec.step), (module.low, module.high, module.step)
    if value is not None and value.source != INPUT:
        draft.fault(name, "inputs are quantized before the first synapses", "it comes later", "move it to the front")
    elif declared != own:
        draft.fault(
            name,
            "InputSpec(low, high, step) must be those of the model's InputQuantizer",
            declared,
            f"use InputSpec(low={own[0]}, high={own[1]}, step={own[2]})",
        )
    return value


def _flatten(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    assert isinstance(module, nn.Flatten)
    given = module.start_dim, module.end_dim
    if given[0] == 0:
        draft.fault(name, "the batch axis stays", f"Flatten{given}", "use nn.Flatten()")
        return None
    if value is None:
        return None
    first, last = (axis % (len(value.shape) + 1) for axis in given)
    if not 1 <= first <= last:
        draft.fault(name, "Flatten joins axes behind the batch", f"Flatten{given} of {value.shape}", "use nn.Flatten()")
        return None
    shape = (*value.shape[: first - 1], math.prod(value.shape[first - 1 : last]), *value.shape[last:])
    return replace(value, shape=shape)


def _unflatten(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    assert isinstance(module, nn.Unflatten)
    given = module.dim, module.unflattened_size
    if value is None:
        return None
    try:
        blank = torch.empty(1, *value.shape, device="meta")
        shape = tuple(module(blank).shape[1:]) if given[0] not in (0, -1 - len(value.shape)) else ()
    except (RuntimeError, IndexError, ValueError, TypeError):  # torch's own words for sizes that do not fit
        shape = ()
    if math.prod(shape) != math.prod(value.shape) or not shape:
        hint = "give the axis by its number, 1 or more, and sizes whose product is that axis"
        draft.fault(name, "an axis behind the batch is taken apart", f"Unflatten{given} of {value.shape}", hint)
        return None
    return replace(value, shape=shape)


def _identity(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Dropout and the like, after training."""
    return value


def _batch_norm(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    if isinstance(value, Integers):
        draft.fault(
            name, "batch norm folds into the linear layer before it", "no linear before it", "move or remove it"
        )
        return None
    if not module.track_running_stats or module.running_mean is None:
        draft.fault(
            name, "batch norm needs running statistics", "track_running_stats=False", "train with running statistics"
        )
        return None
    spread = module.running_var.min() + module.eps  # type: ignore[union-attr]  # as float32 adds them
    if module.running_mean.dtype != torch.float32 or module.eps < 0 or not bool(spread > 0):
        got = f"{module.running_mean.dtype}, variance at least {float(module.running_var.min()):g}"  # type: ignore[union-attr]
        draft.fault(name, "statistics are float32, variances positive", got, "call model.float(), or train again")
        return None
    if value is None:
        return None
    axes = (3,) if isinstance(module, nn.BatchNorm2d) else (1, 2)
    if value.current.norm is not None:
        got, hint = "a second one", "keep one, with the product of both"
        draft.fault(name, "one batch norm folds into a linear layer", got, hint)
        return None
    if len(value.shape) not in axes or module.num_features != value.shape[0]:
        hint = "make the sizes match"
        draft.fault(name, "one batch norm of the same size after a linear", module.num_features, hint)
        return None
    channel = np.repeat(np.arange(value.shape[0]), math.prod(value.shape[1:]))
    return _flipped(draft, name, replace(value, current=value.current.with_norm(module, channel)))


def _flipped(draft: Draft, name: str, value: Currents) -> Value | None:
    """The synapses with the weights negated where the slope is negative, so that every current ascends."""
    flipped, layer = value.current.flipped, draft.layers[value.source]
    assert flipped is not None
    if not flipped.any():
        return value
    if not isinstance(layer, Weighted):
        hint = "put the batch norm directly behind the synapses, or keep its weights positive"
        draft.fault(name, "slopes are positive behind a pooling, a sum or a delay", "a negative weight", hint)
        return None
    channels = flipped.reshape(len(layer.bias), -1)  # which share their weights
    if (channels != channels[:, :1]).any():
        hint = "put the batch norm before the nn.Flatten, or keep its weights positive"
        draft.fault(name, "the slopes of one channel have one sign", "negative ones among them", hint)
        return None
    sign = np.where(channels[:, 0], -1, 1)
    weight = layer.weight * sign.reshape(-1, *[1] * (layer.weight.ndim - 1))
    negated = replace(layer, weight=weight, bias=layer.bias * sign)
    return replace(value, source=draft.add(negated, *draft.wires[value.source]))


def _neurons(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Handler of every neuron; their differences are in `training.neurons.KINDS` and in what the probe finds."""
    if any(neuron.module is module for neuron in draft.neurons.values()):
        draft.fault(name, "neurons keep their own membranes", "one module in two places", "make a second snn.Leaky")
    if isinstance(value, Integers):
        value = as_currents(draft, name, value)
    quantizer = _state_quantizer(draft, name, module)
    for rule, got, hint in _neuron_faults(module, None if value is None else value.shape):
        draft.fault(name, rule, got, hint)
    branches = None
    if kind_of(module).recurrent and value is not None:
        value, branches = _with_recurrence(draft, name, module, value)
    if value is None or quantizer is None or draft.faults:
        return None
    if math.prod(value.shape) > MAX_NEURONS:
        hint = "use a larger stride or fewer channels"
        draft.fault(name, f"at most {MAX_NEURONS} neurons a layer", math.prod(value.shape), hint)
        return None
    pending = _pending(draft, name, module, quantizer, value, branches)
    return Integers(draft.add(pending, value.source), value.shape, spike_value(module))


def _pending(
    draft: Draft, name: str, module: nn.Module, quantizer: StateQuantizer, value: Currents, branches: Branches | None
) -> PendingNeuron:
    index = {key: parameter_index(getattr(module, key), value.shape) for key in kind_of(module).parameters}
    return PendingNeuron(
        plain_name(name),
        *draft.range_at(value.source),
        partial=draft.partial_at(value.source),
        silent=draft.silent(value.source),
        current=value.current,
        module=module,
        quantizer=quantizer,
        parameter_index=index,
        gain=_gain(module),
        leak=_leak(module),
        branches=branches,
    )


def _gain(module: Any) -> float:
    """Bound of how much membrane one unit of current makes."""
    return float((module.time_step / module.C).abs().max()) * 1.01 if isinstance(module, snn.Lapicque) else 1.0


def _leak(module: Any) -> float:
    """Bound of the share of a state that is left after a step; other neurons clamp it to 0..1."""
    if not isinstance(module, snn.Lapicque):
        return 1.0
    return max(1.0, float((1 - module.time_step / (module.R * module.C)).abs().max()) * 1.01)


def _with_recurrence(
    draft: Draft, name: str, module: nn.Module, value: Currents
) -> tuple[Currents | None, Branches | None]:
    """The input current plus that of the neurons' own last spikes."""
    inner: Any = module.recurrent
    own = Integers(draft.late_source(module, math.prod(value.shape)), value.shape, spike_value(module))
    label = f"{plain_name(name)}.recurrent ({type(inner).__name__})"
    if isinstance(inner, RecurrentOneToOne | SynapticOneToOne):
        back: Value | None = one_to_one(draft, label, inner.V, own)
    else:
        back = handle(draft, Call("module", label), inner, own)
    if not isinstance(back, Currents):
        return None, None
    branches = linear_branches(draft, name, [value, back])
    both = None if branches is None else added_branches(draft, name, *branches)
    if branches is None or both is None:
        return None, None
    layer = draft.layers[both.source]
    assert isinstance(layer, Add)
    if isinstance(module, CurrentsFirstRLeaky | CurrentsFirstRSynaptic):
        return both, None  # they add them in the same order
    given, own_current = branches
    ranges = draft.range_at(given.source), draft.range_at(own_current.source)
    return both, Branches((given.current, own_current.current), layer.factors, ranges)


def parameter_index(parameter: Tensor, shape: tuple[int, ...]) -> IntArray:
    """Which value of a parameter each neuron of (B, *shape) takes, by torch's rule of broadcasting, (N,)."""
    places = np.arange(parameter.numel(), dtype=np.int64).reshape(tuple(parameter.shape))
    return np.broadcast_to(places, (1, *shape)).reshape(-1)


def _state_quantizer(draft: Draft, name: str, module: nn.Module) -> StateQuantizer | None:
    """The neuron's level table as a StateQuantizer (a copy for snnTorch's closures)."""
    quantizer, threshold = module.state_quant, float(torch.as_tensor(module.threshold).detach().max())
    if module.reset_mechanism == "none":
        threshold = -math.inf  # a readout of membranes: it need not spike
    try:
        if type(quantizer) is StateQuantizer:
            if quantizer.levels.dtype != torch.float32:
                draft.fault(name, "levels are float32", quantizer.levels.dtype, "call model.float() before training")
            elif quantizer.enabled:
                return StateQuantizer(quantizer.levels.detach().cpu(), threshold)
            else:
                got = "a StateQuantizer that is switched off"
                draft.fault(name, "the membrane must be quantized", got, "set .enabled = True")
        elif callable(quantizer):
            return StateQuantizer.from_snntorch(quantizer, threshold)
        else:
            stock = next(base for base in type(module).__mro__ if base.__module__.startswith("snntorch"))
            hint = f"train with snn.{stock.__name__}(state_quant=squat_deploy.snn.quantizers.state_quant(...))"
            hint += ", or sd.quantize(model, data, steps=...)"
            draft.fault(name, "the membrane must be quantized: 32-bit states have no table", "state_quant=False", hint)
    except ConfigError as error:
        draft.fault(name, "the level table must be usable", error, "see squat_deploy.snn.levels.level_table")
    return None


def _neuron_faults(module: Any, shape: tuple[int, ...] | None) -> list[tuple[str, str, str]]:
    faults = []
    if isinstance(module, snn.Lapicque):
        values = {key: getattr(module, key) for key in ("R", "C", "time_step")}
        faults += [
            (f"{key} is positive", f"{key} down to {float(value.min()):g}", f"use {key} > 0")
            for key, value in values.items()
            if not bool((value > 0).all())
        ]
    if isinstance(module, snn.RSynaptic) and not module.reset_delay:
        faults.append(
            ("reset_delay=False acts", "an RSynaptic, where snnTorch 1.0.0 ignores it", "use reset_delay=True")
        )
    factor = module.graded_spikes_factor
    if factor.dtype not in (torch.float32, torch.int64):
        got = str(factor.dtype)
        faults.append(("graded_spikes_factor is float32", got, "call model.float() before training"))
    elif factor.numel() != 1 or not bool((factor > 0).all()):
        got = f"graded_spikes_factor {factor.detach().tolist()}"
        faults.append(("spikes are 0 or one positive value", got, "fold it into the next weights"))
    for label in kind_of(module).parameters:
        value = getattr(module, label)
        if shape is not None and not _broadcasts(tuple(value.shape), shape):
            faults.append(_shape_fault(label, tuple(value.shape), shape))
        if value.dtype != torch.float32 and value.is_floating_point():
            faults.append((f"{label} is float32", str(value.dtype), "call model.float() before training"))
    return faults


def _broadcasts(parameter: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether torch spreads a parameter over (B, *shape) without changing that shape."""
    try:
        return np.broadcast_shapes(parameter, (1, *shape)) == (1, *shape)
    except ValueError:
        return False


def _shape_fault(label: str, parameter: tuple[int, ...], shape: tuple[int, ...]) -> tuple[str, str, str]:
    if len(shape) == 1:
        rule = f"{label} is one value or one a neuron"
        return rule, f"shape {parameter}", f"use 1 or {shape[0]} values"
    rule = f"{label} is one value or one a channel"
    return rule, f"shape {parameter}", f"use one value or shape {(shape[0], *[1] * (len(shape) - 1))}"


def _delay(draft: Draft, name: str, module: nn.Module, value: Value | None) -> Value | None:
    """Integers as they were some steps before; currents too, where an integer of 0 makes none, as there is none yet."""
    if value is None:
        return None
    steps, got, hint = delays_of(module, value.shape)
    if steps is None:
        draft.fault(name, f"delays are whole steps, 0 to {MAX_DELAY}", got, hint)
        return None
    if isinstance(value, Currents) and not _rests_at_zero(value.current, np.flatnonzero(steps)):
        hint = "delay the spikes before the synapses instead, or leave out the bias"
        draft.fault(name, "before the first values have come there is no current", "a bias", hint)
        return None
    return replace(value, source=draft.add(Delay(plain_name(name), steps), value.source))


def _rests_at_zero(current: Current, neurons: IntArray) -> bool:
    """Whether a synaptic sum of 0 makes exactly no current in each of these neurons."""
    zero = np.zeros(1, dtype=np.int64)
    groups = alike(current.select(neurons).columns()) if neurons.size else []
    return not any(current.values(int(neurons[members[0]]), zero).any() for members in groups)


class Handled(NamedTuple):
    """What becomes of a module, and of every option of it."""

    handler: Handler
    options: Options


_QUANT_CONV, _WINDOWS = Handled(quant_conv, {**CONV, **QUANT}), {**KERNEL, "dilation": READ, "return_indices": INDICES}
_TRANSPOSED = Handled(quant_conv, {**CONV, **QUANT, "output_padding": READ})
_QUANT_LINEAR = Handled(quant_linear, {**LINEAR, **QUANT})
_RESTS, _NORM = Handled(_identity, AFTER_TRAINING), Handled(_batch_norm, NORM)
_POOLINGS: dict[type[nn.Module], Handled] = {
    nn.MaxPool1d: Handled(partial(pool_module, "max", 1), _WINDOWS),
    nn.MaxPool2d: Handled(partial(pool_module, "max", 2), _WINDOWS),
    nn.AvgPool1d: Handled(partial(pool_module, "sum", 1), {**KERNEL, **read("count_include_pad")}),
    nn.AvgPool2d: Handled(partial(pool_module, "sum", 2), {**KERNEL, **read("count_include_pad", "divisor_override")}),
    nn.AdaptiveMaxPool1d: Handled(partial(adaptive_module, "max", 1), {"output_size": READ, "return_indices": INDICES}),
    nn.AdaptiveMaxPool2d: Handled(partial(adaptive_module, "max", 2), {"output_size": READ, "return_indices": INDICES}),
    nn.AdaptiveAvgPool1d: Handled(partial(adaptive_module, "sum", 1), read("output_size")),
    nn.AdaptiveAvgPool2d: Handled(partial(adaptive_module, "sum", 2), read("output_size")),
}
_STATELESS = (nn.Flatten, nn.Unflatten, nn.Identity, InputQuantizer, *_POOLINGS)  # may be made in forward
_KERNELS = "integers", "scale", "bias", "stride", "padding", "dilation", "groups"
_STEPS: Options = {
    **read("delay", "max_delay", "kernel", "step_mode"),
    "channels": SHAPE,
    "learn_delay": LEARNED,
    "sigma": idle("of another kernel"),
}

HANDLERS: dict[type[nn.Module], Handled] = {
    **dict(zip(DELAYS, (Handled(_delay, read("delay")), Handled(_delay, _STEPS)), strict=False)),
    QuantIdentity: Handled(
        quant_identity,
        {**read("act_quant", "return_quant_tensor"), "kwargs": idle("they shape the quantizer, which is run")},
    ),
    InputQuantizer: Handled(_input_quantizer, read("step", "low", "high")),
    nn.Flatten: Handled(_flatten, read("start_dim", "end_dim")),
    nn.Unflatten: Handled(_unflatten, read("dim", "unflattened_size")),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d), _RESTS),
    nn.Identity: Handled(_identity, dict.fromkeys(("args", "kwargs"), idle("torch takes and forgets them"))),
    **_POOLINGS,
    **dict.fromkeys((QuantConv1d, QuantConv2d), _QUANT_CONV),
    **dict.fromkeys((QuantConvTranspose1d, QuantConvTranspose2d), _TRANSPOSED),
    QuantLinear: _QUANT_LINEAR,
    FixedConv2d: Handled(quant_conv, read(*_KERNELS)),
    FixedLinear: Handled(quant_linear, read("integers", "scale", "bias")),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), _NORM),
    snn.Leaky: Handled(_neurons, {**NEURON, **GRADED, **RESET}),
    snn.Lapicque: Handled(_neurons, {**NEURON, **read("R", "C", "time_step")}),
    snn.Synaptic: Handled(_neurons, {**NEURON, **SYNAPTIC, **RESET}),
    snn.RLeaky: Handled(_neurons, {**NEURON, **RECURRENT, **RESET}),
    snn.RSynaptic: Handled(_neurons, {**NEURON, **SYNAPTIC, **RECURRENT, **RESET}),
}
HANDLERS |= {exact: HANDLERS[stock] for stock, exact in EXACT_FORMS.items()}
