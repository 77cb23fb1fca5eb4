"""`exact`: the form of a trained model in which no synaptic sum rounds, whatever its scales are."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import snntorch as snn
import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from brevitas.quant_tensor import IntQuantTensor
from torch import Tensor, nn

from squat_deploy.errors import LoweringError
from squat_deploy.lowering.api import drafted
from squat_deploy.lowering.draft import Integers
from squat_deploy.lowering.rounding import powers_of_two
from squat_deploy.network import InputSpec
from squat_deploy.snn.copying import frozen_copy, undisturbed
from squat_deploy.snn.exact_forms import EXACT_FORMS
from squat_deploy.snn.layers import FixedConv2d, FixedLinear, IntThenScale, output_scales
from squat_deploy.snn.states import made_state

SCALE_BITS = 8  # of scales whose sums must be exact


def exact(
    model: nn.Module, spec: InputSpec | None = None, steps: int | None = None, *, initial_state: Any = None
) -> nn.Module:
    """A copy of a trained model that multiplies integers first and scales once, so that `lower` can prove it.

    Layers of Brevitas whose scale is no power of two, or whose bias is on another grid, become `IntThenScaleLinear`
    and the like, with the same integer weights, scales and biases; batch norms become one multiplication and one
    addition; recurrent neurons add their two currents before the membrane. Everything else stays as it is, forward
    included. Both compute the same real numbers, and round them otherwise: `deviation` counts how many spikes differ.

    Currents of two layers that are added (recurrent synapses, residual branches) are exact on one grid only. There, and
    only there, scales are rounded to 8 significant bits (0.2 %) and biases to at most a 128th of a weight's step.

    Args:
        model: any model for `lower`; it is not changed. The copy is in eval mode, on the CPU, without gradients.
        spec, steps: as for `lower`. With them, sums of branches are put on a grid, and layers also find the integers
            behind inputs that float32 rounds: those on a step that is no power of two (k / 255), and averages over
            windows other than 2, 4, 8 ... values.
        initial_state: of a model that takes its states, as for `lower`.

    Raises: ConfigError, as `lower`.
    """
    with undisturbed():
        made = frozen_copy(model)
        for module in made.modules():
            if type(module) in EXACT_FORMS and not _is_exact(module):
                _exchange(module)
        if spec is not None and steps is not None:
            _forget_units(made)
            first = made_state(initial_state)
            _take_units(made, spec, steps, first)
            _take_grids(made, spec, steps, first)
    return made


def _exchange(module: nn.Module) -> None:
    """In place, so that whoever has the module has the exact one, wherever it stands."""
    module.stands_for = type(module).__name__  # type: ignore[assignment]
    module.__class__ = EXACT_FORMS[type(module)]


@torch.no_grad()
def _is_exact(module: nn.Module) -> bool:
    """Whether a layer is left as it is: exact already, or one that `lower` refuses for a reason of its own."""
    if isinstance(module, snn.RLeaky | snn.RSynaptic):
        return False
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return module.running_mean is None or module.running_mean.dtype != torch.float32
    if isinstance(module, FixedLinear | FixedConv2d):
        return powers_of_two(module.scale.double().numpy()) and _on_grid(module.bias, module.scale)
    assert isinstance(module, QuantWeightBiasInputOutputLayer)
    weight: object = None
    with contextlib.suppress(Exception):  # Brevitas raises many types
        weight = module.quant_weight()
    if not isinstance(weight, IntQuantTensor) or module.return_quant_tensor or bool((weight.zero_point != 0).any()):
        return True
    scales = output_scales(module, weight)
    return scales is None or (powers_of_two(scales.double().numpy()) and _on_grid(module.bias, scales))


def _on_grid(bias: Tensor | None, scale: Tensor) -> bool:
    """Whether a bias consists of whole steps of its weights, so that it joins their integers."""
    return bias is None or bool((torch.remainder(bias.double(), scale.double()) == 0).all())


def _forget_units(model: nn.Module) -> None:
    """Those of an exact form that is made anew, perhaps for other inputs."""
    for module in model.modules():
        if isinstance(module, IntThenScale) and module.stands_for:
            module.input_unit = None


def _take_units(model: nn.Module, spec: InputSpec, steps: int, initial_state: Any) -> None:
    """Layers that see integers of an odd unit get to know it; models that cannot be lowered stay as they are."""
    try:
        _, _, draft = drafted(model, spec, steps, initial_state)
    except LoweringError:  # told by `lower`
        return
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, values in draft.entering.items():
        module = modules.get(name)
        if module is None or not any(_rounds(value) for value in values) or len({value.unit for value in values}) > 1:
            continue
        if type(module) in EXACT_FORMS:
            _exchange(module)
        if isinstance(module, IntThenScale):
            module.input_unit = values[0].unit


def _take_grids(model: nn.Module, spec: InputSpec, steps: int, initial_state: Any) -> None:
    """Scales and biases of few bits for the layers whose currents are added; one such sum may stand behind another."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for _ in modules:
        try:
            _, _, draft = drafted(model, spec, steps, initial_state)
        except LoweringError:  # told by `lower`
            return
        layers = [modules[name] for name in draft.apart if name in modules]
        if not any(_take_bits(layer) for layer in layers):
            return


def _take_bits(module: nn.Module) -> bool:
    """Rounds the scales of a layer, if they are not yet."""
    if type(module) in EXACT_FORMS:
        _exchange(module)
    if not isinstance(module, IntThenScale) or module.scale_bits is not None:
        return False
    module.scale_bits = SCALE_BITS
    return True


def _rounds(value: Integers) -> bool:
    return bool(value.error) or not powers_of_two(np.array([value.unit]))
