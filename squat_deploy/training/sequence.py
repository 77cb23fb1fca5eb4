"""Running an `nn.Sequential` over time: once as it stands (the oracle), once with all that is constant hoisted out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from torch import Tensor, nn

Step = Callable[[Tensor], Tensor]


@dataclass
class LayerTrace:
    """What one neuron layer did: `spikes` and the carried `membranes`, both lists of (B, N) tensors, one a step."""

    spikes: list[Tensor] = field(default_factory=list)
    membranes: list[Tensor] = field(default_factory=list)


def leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules of nested `nn.Sequential`s in the order in which they run, with their dotted names.

    A module that stands in several places is named in each of them (`named_children` would skip it).
    """
    for name, child in model._modules.items():
        if child is None:
            continue
        path = f"{prefix}{name}"
        if type(child) is nn.Sequential:
            yield from leaves(child, f"{path}.")
        else:
            yield path, child


def reset_neurons(model: nn.Module) -> None:
    """Puts every neuron of this model, and of no other, back to rest (snnTorch's own reset touches all models)."""
    for module in model.modules():
        if isinstance(module, snn.Leaky):
            module.mem = module.mem.new_zeros(0)


def run_model(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool = True) -> dict[str, LayerTrace]:
    """The trained model itself, module by module and step by step, without any shortcut.

    Args:
        inputs: (B, ...) shown at every step when `direct`, else (T, B, ...).

    Returns: the trace of every neuron layer by name.
    """
    reset_neurons(model)
    modules = list(leaves(model))
    traces = {name: LayerTrace() for name, module in modules if isinstance(module, snn.Leaky)}
    for step in range(steps):
        values = inputs if direct else inputs[step]
        for name, module in modules:
            with torch.backends.nnpack.flags(enabled=False):  # its Winograd rounds where direct convolution is exact
                result = module(values)
            values = result[0] if isinstance(result, tuple) else result
            if name in traces:
                traces[name].spikes.append(values)
                traces[name].membranes.append(module.mem)  # type: ignore[arg-type]
    return traces


def run_sequence(model: nn.Module, inputs: Tensor, steps: int, *, quantize_weights: bool = True) -> Tensor:
    """Output spikes (T, B, classes) for direct-coded inputs (B, ...), several times faster than calling the model.

    Weights are quantized once a sequence instead of once a step, and all modules before the first neuron run once,
    since their input does not change. `quantize_weights=False` runs the float network (for warm-up epochs).
    """
    reset_neurons(model)
    plan = [(module, _prepared(module, quantize_weights)) for _, module in leaves(model)]
    first = next((i for i, (module, _) in enumerate(plan) if isinstance(module, snn.Leaky)), len(plan))
    current = inputs
    for _, call in plan[:first]:
        current = call(current)
    outputs = []
    for _ in range(steps):
        values = current
        for _, call in plan[first:]:
            values = call(values)
        outputs.append(values)
    return torch.stack(outputs)


def _prepared(module: nn.Module, quantize_weights: bool) -> Step:
    if (
        isinstance(module, QuantLinear)
        and type(module).forward is QuantLinear.forward
        and not _quantizes_others(module)
    ):
        weight = module.quant_weight().value if quantize_weights else module.weight
        bias = module.bias
        return lambda values: nn.functional.linear(values, weight, bias)
    if isinstance(module, snn.Leaky):
        return lambda values: _spikes(module(values))
    return module


def _spikes(result: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def _quantizes_others(module: QuantLinear) -> bool:
    """Whether more than the weights is quantized, so that the layer must be called as it stands."""
    return any(proxy.is_quant_enabled for proxy in (module.bias_quant, module.input_quant, module.output_quant))
