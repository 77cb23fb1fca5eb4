"""Running the emitted graphs, step by step or as whole sequences."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from squat_deploy.backends.qonnx.document import Form
from squat_deploy.backends.qonnx.emitting import emit_qonnx
from squat_deploy.backends.qonnx.layers import Plan, plan_layers
from squat_deploy.backends.qonnx.layers.base import INTEGERS, Role
from squat_deploy.backends.qonnx.stepping import Place, carried, step_outputs
from squat_deploy.engines.base import Case
from squat_deploy.engines.onnx import OnnxEngine
from squat_deploy.network import IntArray, Network
from squat_deploy.network.observed import Observed, Seen
from squat_deploy.network.readout import scores_of
from squat_deploy.network.simulator import Result

Arrays = dict[str, NDArray[Any]]
Runner = Callable[[Mapping[str, NDArray[Any]]], Arrays]
VALUES: Place = (-2, "value")  # of the readout, the last output
_TRACED: tuple[Role, ...] = ("sum", "state", "spikes")
_BATCH_BYTES = 2**27  # of the largest intermediate tensor


def onnxruntime_runner(model: ModelProto, threads: int = 1) -> Runner:
    """A function from named inputs to named outputs, by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def qonnx_runner(model: ModelProto) -> Runner:
    """The same by `qonnx.core.onnx_exec.execute_onnx`, which also holds what it computes against its datatype."""
    from qonnx.core.datatype import BaseDataType, DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    class Wrapper(ModelWrapper):  # type: ignore[misc]
        """Constants are what they are: qonnx would round them at every use, value by value, in Python."""

        def get_tensor_datatype(self, tensor_name: str) -> BaseDataType:
            return DataType["FLOAT32"] if tensor_name in constants else super().get_tensor_datatype(tensor_name)

    constants = {tensor.name for tensor in model.graph.initializer}
    wrapper = Wrapper(model)
    return lambda inputs: execute_onnx(wrapper, dict(inputs))


RUNNERS = {"onnxruntime": onnxruntime_runner, "qonnx": qonnx_runner}


def run_form(case: Case, engine: OnnxEngine) -> Generator[Observed, None, None]:
    """Whole traces, in batches; their seconds include the writing of graphs."""
    network, plans = case.network, plan_layers(case.network)
    form, size = cast("Form", engine.form), 1 if engine.form == "finn" else _batch_size(network)
    samples = min(case.samples, engine.most or case.samples)
    runners: dict[int, tuple[ModelProto, Runner]] = {}
    for start in range(0, samples, size):
        began = time.perf_counter()
        part = np.take(case.inputs, range(start, min(start + size, samples)), axis=case.axis)
        fixed = part.shape[case.axis] if engine.fixed else 0
        if fixed not in runners:
            model = emit_qonnx(network, form=form, batch=fixed or None, trace=True)
            runners[fixed] = model, RUNNERS[engine.name](model)
        observed = run_model(network, plans, *runners[fixed], part, form)
        yield replace(observed, start=start, seconds=time.perf_counter() - began)


def run_model(
    network: Network, plans: Sequence[Plan], model: ModelProto, runner: Runner, inputs: IntArray, form: Form
) -> Observed:
    """Whole traces of one batch by an emitted model with `trace=True`, by position, so that names do not matter."""
    entry, traced = _element_types(model), [index for index, plan in enumerate(plans) if plan.traced]
    samples = inputs.shape[0 if network.input.encoding == "direct" else 1]
    if form == "sequence":
        scores, classes, *traces = runner({name: inputs.astype(kind) for name, kind in entry}).values()
        values = None if network.values is None else traces.pop(0) * network.values.step
        rows = zip(traces[::3], traces[1::3], traces[2::3], strict=True)
        return Observed(0, samples, tuple(_seen(*row) for row in rows), scores, classes, values=values)
    steps = list(_steps(network, plans, entry, runner, inputs, valued=network.values is not None and form == "step"))
    layers = tuple(_seen(*(np.stack([step[index, role] for step in steps]) for role in _TRACED)) for index in traced)
    last = layers[-1].values
    membranes = network.neurons[-1].membrane_states(last["state"].astype(np.int64))
    scores = scores_of(network.readout, last["spike"].astype(bool), membranes, network.worth)
    values = _read_values(network, [step[VALUES] for step in steps if VALUES in step])
    return Observed(0, samples, layers, scores, Result(scores).classes, values=values)


def _read_values(network: Network, steps: list[NDArray[Any]]) -> NDArray[np.float64] | None:
    """The values of a readout, from those of all steps, if a graph gives them."""
    if network.values is None or not steps:
        return None
    integers = np.stack(steps).astype(np.int64)
    read = {"highest-membrane": integers.max(axis=0), "last-membrane": integers[-1]}
    return read.get(network.readout, integers.sum(axis=0)) * network.values.step


def _steps(
    network: Network,
    plans: Sequence[Plan],
    entry: list[tuple[str, Any]],
    runner: Runner,
    inputs: IntArray,
    *,
    valued: bool,
) -> Iterator[dict[Place, NDArray[Any]]]:
    """Outputs by layer and role, step by step; what is carried goes round."""
    direct, carries = network.input.encoding == "direct", carried(plans, INTEGERS)
    samples, names = inputs.shape[0 if direct else 1], step_outputs(plans, trace=True) + [VALUES] * valued
    before = [np.full((samples, carry.width), carry.start) for carry in carries.values()]
    for t in range(network.steps):
        values = [inputs if direct else inputs[t], *before]
        given = runner({n: v.astype(kind) for (n, kind), v in zip(entry, values, strict=True)}).values()
        found = dict(zip(names, given, strict=True))
        before = [found[place] for place in carries]
        yield found


def _element_types(model: ModelProto) -> list[tuple[str, Any]]:
    return [(i.name, helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)) for i in model.graph.input]


def _seen(sums: NDArray[Any], states: NDArray[Any], spikes: NDArray[Any]) -> Seen:
    return Seen({"synaptic sum": sums, "state": states, "spike": spikes})


def _batch_size(network: Network) -> int:
    """By the largest tensor: neurons compare each sum with all thresholds of its state."""
    widest = max(neuron.neurons * neuron.level_count for neuron in network.neurons)
    return max(1, min(512, _BATCH_BYTES // (8 * max(widest, *(layer.width for layer in network.layers)))))
