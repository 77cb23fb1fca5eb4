"""Running the emitted graphs: ONNX Runtime at its default optimization level, and qonnx's own executor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper

from squat_deploy.backends.qonnx.document import Form
from squat_deploy.backends.qonnx.emitting import emit_qonnx
from squat_deploy.backends.qonnx.integer import roles
from squat_deploy.backends.qonnx.plan import JoinPlan, NeuronPlan, Plan, late_plans, neuron_plans, plan_layers
from squat_deploy.network import IntArray, Network
from squat_deploy.network.layers import Pool2d
from squat_deploy.network.readout import scores_of
from squat_deploy.network.simulator import LayerTrace, Result, joined

Arrays = dict[str, NDArray[Any]]
Runner = Callable[[Mapping[str, NDArray[Any]]], Arrays]
ENGINE_FORMS: dict[str, tuple[Form, ...]] = {
    "onnxruntime": ("step", "sequence"),  # it does not know MultiThreshold
    "qonnx": ("step", "sequence", "finn"),
}
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


def run_form(network: Network, inputs: IntArray, form: Form, engine: str) -> Result:
    """Whole traces of one form in one engine ("onnxruntime" or "qonnx"), sample batches joined.

    Args:
        inputs: checked integers, (B, *shape) or (T, B, *shape).
    """
    axis = 0 if network.input.encoding == "direct" else 1
    plans = plan_layers(network)
    size = 1 if form == "finn" else _batch_size(plans)
    results = []
    runners: dict[int, tuple[ModelProto, Runner]] = {}
    for start in range(0, inputs.shape[axis], size):
        part = np.take(inputs, range(start, min(start + size, inputs.shape[axis])), axis=axis)
        fixed = part.shape[axis] if engine == "qonnx" else 0  # qonnx wants every shape to be known
        if fixed not in runners:
            model = emit_qonnx(network, form=form, batch=fixed or None, trace=True)
            runners[fixed] = model, onnxruntime_runner(model) if engine == "onnxruntime" else qonnx_runner(model)
        results.append(run_model(network, plans, *runners[fixed], part, form))
    traces = zip(*(result.trace or () for result in results), strict=True)
    scores, classes = (np.concatenate([getattr(result, key) for result in results]) for key in ("scores", "classes"))
    return Result(scores, tuple(joined(parts) for parts in traces), classes)


def run_model(
    network: Network, plans: Sequence[Plan], model: ModelProto, runner: Runner, inputs: IntArray, form: Form
) -> Result:
    """Whole traces of one batch by an emitted model with `trace=True`, by position, so that names do not matter."""
    entry, neurons = _element_types(model), neuron_plans(plans)
    if form == "sequence":
        outputs = list(runner({name: inputs.astype(kind) for name, kind in entry}).values())
        rows = [outputs[2 + 3 * i : 5 + 3 * i] for i in range(len(neurons))]
        traces = tuple(_trace(plan, *row) for plan, row in zip(neurons, rows, strict=True))
        return Result(outputs[0], traces, outputs[1])
    steps = list(_steps(network, plans, entry, runner, inputs))
    keys = ("sum", "state", "spikes")
    traces = tuple(
        _trace(plan, *(np.stack([step[key, plan.name] for step in steps]) for key in keys)) for plan in neurons
    )
    last = traces[-1]
    return Result(scores_of(network.readout, last.spikes.astype(bool), last.states.astype(np.int64)), traces)


def _steps(
    network: Network, plans: Sequence[Plan], entry: list[tuple[str, Any]], runner: Runner, inputs: IntArray
) -> Iterator[dict[tuple[str, str], NDArray[Any]]]:
    """Outputs by role and layer, step by step; states and late spikes go round."""
    direct, neurons, late = network.input.encoding == "direct", neuron_plans(plans), late_plans(plans)
    samples = inputs.shape[0 if direct else 1]
    carried = [np.full((samples, plan.neurons), plan.initial_state) for plan in neurons]
    carried += [np.zeros((samples, plan.neurons)) for plan in late]
    names = [(role, plan.name) for role, plan in roles(plans, trace=True)]
    for t in range(network.steps):
        values = [inputs if direct else inputs[t], *carried]
        outputs = runner({n: v.astype(kind) for (n, kind), v in zip(entry, values, strict=True)}).values()
        found = dict(zip(names, outputs, strict=True))
        carried = [found["state", plan.name] for plan in neurons] + [found["spikes", plan.name] for plan in late]
        yield found


def _element_types(model: ModelProto) -> list[tuple[str, Any]]:
    return [(i.name, helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)) for i in model.graph.input]


def _trace(plan: NeuronPlan, sums: NDArray[Any], states: NDArray[Any], spikes: NDArray[Any]) -> LayerTrace:
    """What the graph gave, in its own types: a cast could hide what differs."""
    return LayerTrace(plan.layer, sums, states, spikes)


def _batch_size(plans: Sequence[Plan]) -> int:
    return max(1, min(512, _BATCH_BYTES // (8 * max(map(_width, plans)))))


def _width(plan: Plan) -> int:
    """Values a sample of the largest tensor on a layer's way."""
    if isinstance(plan, NeuronPlan):
        return plan.neurons * plan.levels
    if isinstance(plan, JoinPlan):
        join = plan.join()
        return join.outputs * (math.prod(join.kernel) if isinstance(join, Pool2d) else 1)
    if plan.conv is None or plan.operator == "ConvInteger":
        return plan.outputs
    return plan.conv.empty().patch_values
