"""What decides the structure of a graph: a plan a layer.

A graph is built from plans alone, its arrays named but absent; writing fills them in, reading finds them. So one
definition of the graphs serves both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, assert_never

import numpy as np
from pydantic import Field

from squat_deploy.backends.qonnx.layer_plans import (
    BasePlan,
    ConvPlan,
    DelayPlan,
    JoinPlan,
    NeuronPlan,
    Operation,
    SynapsePlan,
)
from squat_deploy.errors import ExportError
from squat_deploy.names import plain, unique_name
from squat_deploy.network import Network
from squat_deploy.network.layers import Add, Concat, Conv2d, ConvTranspose2d, Delay, Dense, Join, Neuron, Pool2d, Range

__all__ = ["JoinPlan", "LayerPlan", "NeuronPlan", "Plan", "SynapsePlan", "late_plans", "neuron_plans", "plan_layers"]

Plan = SynapsePlan | NeuronPlan | JoinPlan | DelayPlan
LayerPlan = Annotated[Plan, Field(discriminator="kind")]


def neuron_plans(plans: Sequence[Plan]) -> list[NeuronPlan]:
    """Those of neurons, first to last."""
    return [plan for plan in plans if isinstance(plan, NeuronPlan)]


def late_plans(plans: Sequence[Plan]) -> list[NeuronPlan]:
    """Neurons whose spikes of the step before are taken."""
    late = {plans[source].name for index, plan in enumerate(plans) for source in plan.takes if source >= index}
    return [plan for plan in neuron_plans(plans) if plan.name in late]


def delay_plans(plans: Sequence[Plan]) -> list[DelayPlan]:
    """Delays that keep something."""
    return [plan for plan in plans if isinstance(plan, DelayPlan) and plan.past]


def plan_layers(network: Network) -> tuple[Plan, ...]:
    """The plan of every layer; prefixes of tensors are plain and unique, whatever the layers are called."""
    taken: dict[str, int] = {}
    return tuple(
        _planned(network, index, BasePlan(layer.name, unique_name(plain(layer.name), taken), takes))
        for index, (layer, takes) in enumerate(zip(network.layers, network.wires, strict=True))
    )


def _planned(network: Network, index: int, head: BasePlan) -> Plan:
    """The plan of one layer; `head` is what every plan has."""
    layer, taken = network.layers[index], network.taken(index)
    match layer:
        case Dense():
            return _synapse_plan(head, layer, taken[0], None)
        case Conv2d():
            o, c, height, width = layer.weight.shape
            sizes = layer.stride, layer.padding, layer.dilation, layer.groups
            conv = ConvPlan(layer.input_shape, (o, c, height, width), layer.output_shape, *sizes)
            return _synapse_plan(head, layer, taken[0], conv)
        case ConvTranspose2d():
            raise ExportError(f"{layer.name}: a transposed convolution has no ONNX form yet; use hls or simulate")
        case Neuron():
            return _neuron_plan(head, layer, taken[0])
        case Pool2d():
            windows = math.prod(layer.kernel) if layer.kind == "sum" else 1
            return _join_plan(head, "pool", layer, network, index, (windows,))
        case Add():
            return _join_plan(head, "add", layer, network, index, layer.factors)
        case Concat():
            return _join_plan(head, "concat", layer, network, index, (1,) * len(layer.sizes))
        case Delay():
            low, high = layer.partial_range(*taken)
            steps = tuple(layer.steps[: 1 if np.ptp(layer.steps) == 0 else None].tolist())
            return DelayPlan(**vars(head), size=layer.outputs, steps=steps, low=low, high=high)
        case _:
            assert_never(layer)


def _join_plan(
    head: BasePlan, operation: Operation, layer: Join, network: Network, index: int, factors: Sequence[int]
) -> JoinPlan:
    """`factors` bound what is made of each value that it takes."""
    taken = zip(network.taken(index), factors, strict=True)
    largest = sum(int(np.abs(end).max()) * factor for pair, factor in taken for end in pair)  # of every partial sum
    sizes = tuple(int(size) for array in layer.arrays().values() for size in array.reshape(-1))
    return JoinPlan(**vars(head), operation=operation, sizes=sizes, **_ends(network.range_at(index)), largest=largest)


def _ends(elements: Range, prefix: str = "") -> dict[str, Any]:
    """Lowest and highest value of all elements, as fields of a plan."""
    return {f"{prefix}low": int(elements[0].min()), f"{prefix}high": int(elements[1].max())}


def _synapse_plan(head: BasePlan, layer: Dense | Conv2d, taken: Range, conv: ConvPlan | None) -> SynapsePlan:
    partial_low, partial_high = layer.partial_range(taken)
    return SynapsePlan(
        **vars(head),
        inputs=layer.inputs,
        outputs=layer.outputs,
        **_ends(taken, "input_"),
        **_ends((layer.weight, layer.weight), "weight_"),
        **_ends(layer.range(taken), "sum_"),
        partial_low=partial_low,
        partial_high=partial_high,
        bias=(int(layer.bias.min()), int(layer.bias.max())) if layer.bias.any() else None,
        conv=conv,
    )


def _neuron_plan(head: BasePlan, layer: Neuron, taken: Range) -> NeuronPlan:
    return NeuronPlan(
        **vars(head),
        neurons=layer.neurons,
        **_ends(taken, "sum_"),
        tables=len(layer.thresholds),
        states=layer.states,
        levels=layer.level_count,
        carries_level=layer.carries_level,
        **_ends((layer.thresholds, layer.thresholds), "threshold_"),
        initial_state=int(layer.initial_state),
        fire_level=tuple(layer.fire_level.tolist()),
        membranes=tuple(tuple(float(str(value)) for value in row) for row in layer.membranes),
    )
