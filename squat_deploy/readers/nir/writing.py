"""A quantized model as a NIR file: nodes for every reader, and metadata that make the same integers of them again."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.files import write_file
from squat_deploy.lowering.drafting import program_of
from squat_deploy.lowering.program import Program
from squat_deploy.lowering.weights import acting_bias, integer_weights
from squat_deploy.network import Network
from squat_deploy.network.network import check_network
from squat_deploy.readers.nir.calls import write_calls
from squat_deploy.readers.nir.outline import Outline, refuse
from squat_deploy.readers.nir.site import Array
from squat_deploy.readers.nir.stated import KEY, States, Weights, Whole
from squat_deploy.snn.batch_first import time_first
from squat_deploy.snn.copying import frozen_copy, undisturbed
from squat_deploy.snn.delay import Delay, delays_of
from squat_deploy.snn.identity import model_digest
from squat_deploy.snn.layers import FixedConv2d, FixedLinear
from squat_deploy.snn.neurons import reset_neurons
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, closure_levels
from squat_deploy.snn.states import made_state

DT = 1e-4  # as snnTorch's exporter
_ABOVE = 2.0**-45  # of a threshold: float64 rounds r dt / tau, and no float32 lies between
_SKIPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)


def write_nir(
    network: Network, model: nn.Module, path: str | Path, *, dt: float = DT, initial_state: Any = None
) -> None:
    """Writes a quantized model, and with what it was lowered, as NIR.

    Other readers find Linear, Affine, Conv2d, pooling, Flatten, Delay, LIF, CubaLIF, IF and LI with the numbers that
    the model computes with. The metadata hold what NIR has no word for (scales, levels, resets, grid of the inputs,
    steps, readout), so that `read_nir` and `lower` make the same integers again: the digest is theirs.

    Args:
        network: what `lower` made of the model; it says inputs, steps and readout.
        model: as for `lower`; a sum of two values is two edges to the node that takes it.
        initial_state: of a model that takes its states, as for `lower`.
        dt: the time step that time constants are stated for.

    Raises: LoweringError naming every layer that NIR has no node for; ConfigError for another model than the one that
        was lowered, or a time step out of range; ExportError where the file cannot be written.
    """
    check_network(network)
    if isinstance(dt, bool) or not isinstance(dt, float | int) or not 1e-30 < dt < 1e30:
        raise ConfigError(f"write_nir: dt is a number above 0; got {dt!r}")
    if network.origin.model and model_digest(model) != network.origin.model:
        raise ConfigError("write_nir: this is another model than the one that was lowered; give that one")
    spec = network.input
    with undisturbed():
        frozen = frozen_copy(model)
        program = program_of(time_first(frozen, spec), spec, network.steps, made_state(initial_state))
    reset_neurons(frozen)
    quantizer = any(isinstance(module, InputQuantizer) for module in frozen.modules())
    said = {key: getattr(spec, key) for key in ("low", "high", "step", "encoding")}
    whole = Whole(
        dt=float(dt), steps=network.steps, readout=network.readout, digest=network.digest, quantizer=quantizer, **said
    )
    graph = _graph(program, spec.shape, float(dt))
    graph.metadata = {KEY: whole.model_dump_json()}
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    write_file(Path(path), buffer.getvalue())


def _graph(program: Program, shape: tuple[int, ...], dt: float) -> nir.NIRGraph:
    """Raises: LoweringError with every layer that has no node."""
    writing = Outline(dt, shape, {"input": nir.Input(np.array(shape))})
    write_calls(writing, program, _write)
    nodes = {**writing.nodes, "output": nir.Output(np.array(writing.shape))}
    return nir.NIRGraph(nodes, [*writing.edges, *((end, "output") for end in writing.ends)], type_check=False)


def _write(writing: Outline, label: str, name: str, module: nn.Module) -> None:
    write = _WRITERS.get(type(module))
    if isinstance(module, (InputQuantizer, *_SKIPPED)):
        return
    if write is None:
        refuse(label, "NIR has a node for this layer", type(module).__name__, _HINTS.get(type(module).__name__, _HINT))
    write(writing, label, name, module)


_HINT = "use QuantLinear, QuantConv2d, AvgPool2d, Flatten, Delay, Leaky, Synaptic, RLeaky or RSynaptic"
_HINTS = {
    "MaxPool2d": "NIR has no maximum: use nn.AvgPool2d",
    "BatchNorm1d": "fold it before quantize: torch.nn.utils.fusion.fuse_linear_bn_eval",
    "BatchNorm2d": "fold it before quantize: torch.nn.utils.fusion.fuse_conv_bn_eval",
    "IntThenScaleLinear": "NIR multiplies weights in float: use QuantLinear with power-of-two scales, as quantize does",
    "IntThenScaleConv2d": "NIR multiplies weights in float: use QuantConv2d with power-of-two scales, as quantize does",
    "QuantConv1d": "write it as a QuantConv2d of height 1",
    "Lapicque": "write it as Leaky: beta = 1 - time_step / (R C), and C / time_step as a factor of the weights",
}


def _weights(module: Any, zeros: Tensor) -> tuple[Tensor, Weights, Any]:
    """Weights as they act, what one integer of them is worth, and the bias."""
    scale = integer_weights(module)[1]
    fixed = isinstance(module, FixedLinear | FixedConv2d)
    weight = module.weight if fixed else module.quant_weight().value
    bias = None if module.bias is None else acting_bias(module, zeros, len(scale)).astype(np.float32)
    each = scale if (scale != scale[0]).any() else scale[:1]
    return weight.detach(), Weights(scale=each.tolist()), bias


def _linear_node(module: Any, shape: tuple[int, ...]) -> tuple[Any, Weights]:
    weight, stated, bias = _weights(module, torch.zeros(1, *shape))
    return nir.Linear(weight.numpy()) if bias is None else nir.Affine(weight.numpy(), bias), stated


def _linear(writing: Outline, label: str, name: str, module: Any) -> None:
    if len(writing.shape) != 1:
        refuse(label, "a Linear of NIR takes one axis", f"{writing.shape}", "put an nn.Flatten before it")
    writing.put(name, *_linear_node(module, writing.shape))
    writing.shape = (module.out_features,)


def _conv(writing: Outline, label: str, name: str, module: Any) -> None:
    zeros = torch.zeros(1, *writing.shape)
    weight, stated, bias = _weights(module, zeros)
    sizes = [np.array(getattr(module, key)) for key in ("stride", "padding", "dilation")]
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        got = f"padding {module.padding!r}, {module.padding_mode}"
        refuse(label, "borders are padded with zeros, in numbers", got, "state padding=(1, 1) or the like")
    none = np.zeros(len(weight), np.float32)
    node = nir.Conv2d(writing.shape[1:], weight.numpy(), *sizes, module.groups, none if bias is None else bias)
    writing.put(name, node, stated)
    writing.shape = tuple(module(zeros).shape[1:])


def _pool(writing: Outline, label: str, name: str, module: Any) -> None:
    if module.ceil_mode or not module.count_include_pad or module.divisor_override not in (None, 1):
        got = f"{module}, divisor_override {module.divisor_override}"
        refuse(label, "pools are sums or averages of whole windows", got, "leave out ceil_mode and the like")
    kind = nir.SumPool2d if module.divisor_override == 1 else nir.AvgPool2d
    sizes = (module.kernel_size, module.stride, module.padding)
    writing.put(name, kind(*(np.broadcast_to(np.array(size), 2).copy() for size in sizes)))
    writing.shape = tuple(module(torch.zeros(1, *writing.shape)).shape[1:])


def _flatten(writing: Outline, label: str, name: str, module: Any) -> None:
    shape = tuple(module(torch.zeros(1, *writing.shape)).shape[1:])
    if len(shape) != 1:
        refuse(label, "Flatten leaves one axis", f"{shape}", "use nn.Flatten()")
    writing.put(name, nir.Flatten({"input": np.array(writing.shape)}, 0, -1))
    writing.shape = shape


def _delay(writing: Outline, label: str, name: str, module: Any) -> None:
    steps, got, hint = delays_of(module, writing.shape)
    if steps is None:
        refuse(label, "a Delay of NIR is some time steps", got, hint)
    writing.put(name, nir.Delay(steps.reshape(writing.shape) * writing.dt))


def _neurons(writing: Outline, label: str, name: str, module: Any) -> None:
    if float(torch.as_tensor(module.graded_spikes_factor).max()) != 1:
        got = f"graded_spikes_factor {float(module.graded_spikes_factor):g}"
        refuse(label, "a spike of NIR is 1", got, "multiply it into the weights behind")
    levels = _levels(label, module)
    threshold = writing.spread(module.threshold)
    reads = module.reset_mechanism == "none" and type(module) is snn.Leaky and bool(levels.max() < threshold.min())
    alike = module.threshold.detach().reshape(-1)
    stated = States(
        levels=levels.tolist(),
        reset=module.reset_mechanism,
        reset_delay=bool(module.reset_delay),
        threshold=float(alike.max()) if reads else None,
    )
    own = writing.put(name, _cell(writing, module, threshold, reads=reads), stated)
    if not isinstance(module, snn.RLeaky | snn.RSynaptic):
        return
    if type(module.recurrent) not in (QuantLinear, FixedLinear):
        got = type(module.recurrent).__name__
        refuse(label, "spikes come back through a QuantLinear", got, "use all_to_all=True with a QuantLinear")
    back = writing.add(f"{name}.recurrent", *_linear_node(module.recurrent, writing.shape))
    writing.edges += [(own, back), (back, own)]


def _levels(label: str, module: Any) -> Any:
    quantizer = module.state_quant
    if isinstance(quantizer, StateQuantizer):
        return quantizer.levels.detach().numpy()
    try:
        return closure_levels(quantizer).detach().numpy()
    except ConfigError:
        hint = "quantize the model, or write the float one with snnTorch's export_to_nir"
        refuse(label, "states are quantized", "state_quant=False", hint)


def _cell(writing: Outline, module: Any, threshold: Array, *, reads: bool) -> Any:
    """With r = tau / dt, so that the factor of the current is 1, as snnTorch's exporter has it."""
    tau, r = _leak(writing, module.beta)
    rest = np.zeros(writing.shape)
    if reads:
        return nir.LI(tau, r, rest)
    above = threshold + np.abs(threshold) * _ABOVE
    if isinstance(module, snn.Synaptic | snn.RSynaptic):
        tau_syn, w_in = _leak(writing, module.alpha)
        return nir.CubaLIF(
            tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=rest, v_threshold=above, v_reset=rest.copy(), w_in=w_in
        )
    if np.isinf(tau).all():
        return nir.IF(np.full(writing.shape, 1 / writing.dt), above, rest)
    return nir.LIF(tau=tau, r=r, v_leak=rest, v_threshold=above, v_reset=rest.copy())


def _leak(writing: Outline, decay: Tensor) -> tuple[Array, Array]:
    """tau = dt / (1 - decay), and its factor 1 / (1 - decay); both endless where nothing decays."""
    share = 1 - writing.spread(decay.detach().clamp(0, 1))
    with np.errstate(divide="ignore"):
        return writing.dt / share, 1 / share


_WRITERS: dict[type, Callable[[Outline, str, str, Any], None]] = {
    QuantLinear: _linear,
    FixedLinear: _linear,
    QuantConv2d: _conv,
    FixedConv2d: _conv,
    nn.AvgPool2d: _pool,
    nn.Flatten: _flatten,
    Delay: _delay,
    **dict.fromkeys((snn.Leaky, snn.Synaptic, snn.RLeaky, snn.RSynaptic), _neurons),
}
