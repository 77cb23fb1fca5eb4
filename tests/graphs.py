"""What every emitted graph must withstand: checkers, qonnx's transformations, and the way back to a Network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.util.cleanup import cleanup_model

import squat_deploy as sd
from squat_deploy.backends.qonnx.emitting import FORMS
from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.engines.graphs import onnxruntime_runner, qonnx_runner, run_model
from squat_deploy.errors import ExportError
from squat_deploy.network import observed
from squat_deploy.network.tally import Tally

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and its bodies."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def element_types(graph: GraphProto) -> dict[str, int]:
    """Container of every tensor, values and arrays, in bodies too."""
    found: dict[str, int] = {}
    for part in graphs_of(graph):
        for value in (*part.input, *part.output, *part.value_info):
            found[value.name] = value.type.tensor_type.elem_type
        for tensor in part.initializer:
            found[tensor.name] = tensor.data_type
        named = {name for node in part.node for name in (*node.input, *node.output)}
        assert named <= found.keys(), "every tensor has a declared type"
    return found


def check_every_form(network: sd.Network, inputs: np.ndarray, folder: Path) -> int:
    """Asserts all of it for all forms that can hold the network; gives the number of values compared."""
    return sum(check_form(network, inputs, folder, form) for form in FORMS)


def check_form(network: sd.Network, inputs: np.ndarray, folder: Path, form: str) -> int:
    """One form: as emitted, and after qonnx's transformations, it runs to the same bits and reads back the same."""
    axis = 0 if network.input.encoding == "direct" else 1
    part = inputs[:1] if axis == 0 else inputs[:, :1]
    try:
        model = sd.emit_qonnx(network, folder / "x.onnx", form=form, batch=1, trace=True)
    except ExportError as error:
        assert form == "finn" and "exact below 2**24" in str(error)
        return 0
    onnx.checker.check_model(model, full_check=True)
    if form != "finn":
        assert not FLOATS & set(element_types(model.graph).values())
    assert sd.load(folder / "x.onnx").digest == network.digest
    wrapper = ModelWrapper(onnx.load(folder / "x.onnx"))
    for transformation in (InferShapes(), InferDataTypes()):
        wrapper = wrapper.transform(transformation)
    cleaned = cleanup_model(wrapper).transform(InferDataTypes())
    cleaned.save(str(folder / "y.onnx"))
    onnx.checker.check_model(cleaned.model, full_check=True)
    assert sd.load(folder / "y.onnx").digest == network.digest
    runners = [qonnx_runner] if form == "finn" else [qonnx_runner, onnxruntime_runner]
    return sum(compare(network, cleaned.model, runner(cleaned.model), part, form) for runner in runners)


def compare(network: sd.Network, model: onnx.ModelProto, runner: object, inputs: np.ndarray, form: str) -> int:
    """Whole traces against the simulator; gives the number of values."""
    tally, reference = Tally(), sd.simulate(network, inputs, trace=True)
    found = run_model(network, plan_layers(network), model, runner, inputs, form)
    observed.compare(tally, network, reference, found)
    assert tally.mismatches == 0, f"{form} after qonnx's transformations differs first at {tally.first}"
    return tally.values


def dtype_of(element: int) -> np.dtype:
    """NumPy type of an ONNX element type."""
    return helper.tensor_dtype_to_np_dtype(element)
