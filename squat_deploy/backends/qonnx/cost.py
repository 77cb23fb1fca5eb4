"""What one time step costs, counted by qonnx on the form finn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from qonnx.analysis.inference_cost import inference_cost
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.inference_cost import compute_bops_and_macs, compute_mem_bits_and_elems

from squat_deploy.backends.qonnx.emitting import emit_qonnx
from squat_deploy.network import Network


@dataclass(frozen=True)
class StepCost:
    """One time step of one sample.

    Attributes:
        macs: multiply-accumulates, zeros included.
        bit_operations: macs times the widths of both factors.
        weight_bits, threshold_bits: memory.
    """

    macs: int
    bit_operations: int
    weight_bits: int
    threshold_bits: int


def step_cost(network: Network) -> StepCost:
    """Cost of the form finn, by the datatypes of its tensors. Raises: ExportError where that form is not exact."""
    model = ModelWrapper(emit_qonnx(network, form="finn"))
    total = inference_cost(model, discount_sparsity=False)["total_cost"]
    for key, amount in _transposed(model):
        total[key] = total.get(key, 0.0) + amount
    bit_operations, macs = compute_bops_and_macs(total)
    weight_bits, _ = compute_mem_bits_and_elems(total, "mem_w")
    return StepCost(int(macs), int(bit_operations), int(weight_bits), _threshold_bits(model))


def _transposed(model: ModelWrapper) -> Iterator[tuple[str, int]]:
    """What qonnx's own analysis says of other operators: every weight meets every position of the inputs once."""
    for node in model.get_nodes_by_op_type("ConvTranspose"):
        taken, weight = (model.get_tensor_datatype(name).name for name in node.input)
        positions, size = (math.prod(model.get_tensor_shape(name)) for name in node.input)
        channels = model.get_tensor_shape(node.input[0])[1]
        yield f"op_mac_{taken}_{weight}", positions // channels * size
        yield f"mem_w_{weight}", size


def _threshold_bits(model: ModelWrapper) -> int:
    """Bits of all threshold tables; qonnx's own analysis leaves MultiThreshold out."""
    total = 0
    for node in model.get_nodes_by_op_type("MultiThreshold"):
        name = node.input[1]
        producer = model.find_producer(name)
        name = name if producer is None else producer.input[0]  # Gather(table, state)
        total += math.prod(model.get_tensor_shape(name)) * model.get_tensor_datatype(name).bitwidth()
    return total
