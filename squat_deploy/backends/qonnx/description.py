"""What goes in and out of a graph, for readers."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.backends.qonnx.layers.base import INTEGERS
from squat_deploy.backends.qonnx.stepping import carried
from squat_deploy.network import Network


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        shape: sizes, or names of sizes that are open, joined by " x ".
        container: element type of the tensor.
        datatype: exact QONNX datatype of its integers; empty for truth values.
    """

    direction: str
    name: str
    shape: str
    container: str
    datatype: str


def ports(model: ModelProto) -> tuple[Port, ...]:
    """Inputs and outputs in order."""
    kinds = datatypes(model.graph)
    inputs = (_port("input", value, kinds) for value in model.graph.input)
    outputs = (_port("output", value, kinds) for value in model.graph.output)
    return (*inputs, *outputs)


def first_step(network: Network, model: ModelProto) -> dict[str, int]:
    """What the inputs behind the first hold when a sequence begins, every element the same, of a graph of one step."""
    carries = carried(plan_layers(network), INTEGERS).values()
    return {port.name: carry.start for port, carry in zip(model.graph.input[1:], carries, strict=True)}


def datatypes(graph: GraphProto) -> dict[str, str]:
    """QONNX datatype of every annotated tensor of a graph, its bodies left out."""
    return {a.tensor_name: a.quant_parameter_tensor_names[0].value for a in graph.quantization_annotation}


def sizes(value: ValueInfoProto) -> list[str]:
    """Shape of a tensor; open sizes by their names."""
    return [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]


def _port(direction: str, value: ValueInfoProto, kinds: dict[str, str]) -> Port:
    container = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    return Port(direction, value.name, " x ".join(sizes(value)), container, kinds.get(value.name, ""))
