"""NIR files (snnTorch, Norse, Sinabs, Lava, SpikingJelly exporters) as float snnTorch models, ready for `quantize`.

NIR states continuous time: it has no time step, no reset rule and no bit widths. What the file leaves open is stated by
the user, and listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import nir
import numpy as np
import snntorch as snn
import torch
from torch import nn

from squat_deploy.errors import Fault, FileFormatError, LoweringError

MAX_BYTES = 2**28
Reset = Literal["subtract", "zero", "none"]


@dataclass(frozen=True)
class NirOptions:
    """What a NIR file does not say.

    Attributes:
        dt: length of a time step in the file's unit of time; snnTorch's exporter writes 1e-4.
        reset: what happens to the membrane after a spike, and `reset_delay` when.
    """

    dt: float = 1e-4
    reset: Reset = "subtract"
    reset_delay: bool = True


@dataclass(frozen=True, eq=False)
class NirModel:
    """A float model, the shape of one sample of its inputs, and what the file left open."""

    model: nn.Sequential
    shape: tuple[int, ...]
    gaps: tuple[str, ...]


def read_nir(path: str | Path, options: NirOptions | None = None) -> NirModel:
    """The model of a `.nir` file: a chain of synapses, pooling, LIF, CubaLIF and IF, recurrent ones included.

    Neurons follow Euler's rule with step dt: `v' = (1 - dt / tau) v + (r dt / tau) I`; the factor of the current goes
    into the weights before it.

    Raises: FileFormatError for a file that is damaged or no NIR; LoweringError, naming the node, for what has no
        counterpart here.
    """
    path, options = Path(path), options or NirOptions()
    graph = _read(path)
    loops = _loops(graph)
    modules: dict[str, nn.Module] = {}
    for name in _chain(graph, loops):
        node, before = graph.nodes[name], list(modules.values())
        build = _BUILDERS.get(type(node))
        if build is None:
            raise _fault(name, node, "this node has no counterpart", type(node).__name__, "export another layer")
        loop = graph.nodes[loops[name]] if name in loops else None
        made = build(name, node, options, before) if loop is None else _looped(name, node, loop, options, before)
        modules[name.replace(".", "_")] = made
    model = nn.Sequential()
    for name, module in modules.items():
        model.add_module(name, module)
    shape = next(node.output_type["output"] for node in graph.nodes.values() if isinstance(node, nir.Input))
    return NirModel(model.eval().requires_grad_(False), tuple(int(size) for size in shape), _gaps(options))


def _gaps(options: NirOptions) -> tuple[str, ...]:
    when = "one step later" if options.reset_delay else "at once"
    return (
        f"time step: NIR is continuous in time; dt = {options.dt:g} was stated, Euler's rule taken",
        f"reset: NIR gives a reset potential, no rule; '{options.reset}' was stated, acting {when}",
        "firing: NIR fires at or above the threshold; snnTorch strictly above it",
        "bit widths: NIR has none; quantize takes them for weights, states and inputs",
    )


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{path}: larger than {MAX_BYTES} bytes")
        with h5py.File(path, "r") as file:
            _refuse_links(file, path)
        graph = nir.read(path)
    except FileFormatError:
        raise
    except Exception as error:
        raise FileFormatError(f"{path}: not a NIR file: {error}") from error
    if not isinstance(graph, nir.NIRGraph):
        raise FileFormatError(f"{path}: holds one {type(graph).__name__}, not a graph")
    return graph


def _refuse_links(group: Any, path: Path) -> None:
    """Files of others may not lead to files of the user's."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FileFormatError(f"{path}: {name!r} is a link")
        item = group[name]
        if isinstance(item, h5py.Dataset) and item.external:
            raise FileFormatError(f"{path}: {name!r} lies in another file")
        if isinstance(item, h5py.Group):
            _refuse_links(item, path)


def _loops(graph: Any) -> dict[str, str]:
    """Neurons and the linear synapses through which their spikes come back to them."""
    edges = set(graph.edges)
    cells = [name for name, node in graph.nodes.items() if isinstance(node, nir.LIF | nir.CubaLIF)]
    back = [name for name, node in graph.nodes.items() if isinstance(node, nir.Linear | nir.Affine)]
    return {cell: name for cell in cells for name in back if {(cell, name), (name, cell)} <= edges}


def _chain(graph: Any, loops: dict[str, str]) -> list[str]:
    """Names of the nodes from the input to the output, each taking the one before it; recurrent synapses left out."""
    following: dict[str, list[str]] = {}
    for source, target in sorted(set(graph.edges)):
        if source not in loops.values() and target not in loops.values():
            following.setdefault(source, []).append(target)
    start = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(start) != 1:
        raise _fault("input", None, "a graph has one input", f"{len(start)}", "export one network")
    name = start[0]
    order: list[str] = []
    while targets := following.get(name):
        if len(targets) > 1 or targets[0] in order:
            got, hint = f"edges to {', '.join(targets)}", "write the model in PyTorch, where branches can be lowered"
            raise _fault(name, graph.nodes[name], "every node feeds one other", got, hint)
        name = targets[0]
        if name not in graph.nodes:
            raise _fault(name, None, "edges lead to nodes", "no such node", "export it again")
        if isinstance(graph.nodes[name], nir.Output):
            return order
        order.append(name)
    raise _fault(name, graph.nodes[name], "the chain ends at the output", "an open end", "export it again")


def _fault(name: str, node: object, rule: str, got: str, hint: str) -> LoweringError:
    kind = type(node).__name__ if node is not None else "NIR"
    return LoweringError((Fault(f"{name} ({kind})", rule, got, hint),))


def _float(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))


def _linear(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    weight = _float(node.weight)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=hasattr(node, "bias"))
    layer.weight.data = weight
    if layer.bias is not None:
        layer.bias.data = _float(node.bias).reshape(-1)
    return layer


def _conv(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    weight = _float(node.weight)
    make: Any = nn.Conv2d if weight.ndim == 4 else nn.Conv1d

    def sizes(value: Any) -> Any:
        whole = np.asarray(value).reshape(-1).tolist()
        return whole[0] if len(whole) == 1 else tuple(whole)

    if isinstance(node.padding, str | bytes):
        got = f"padding {node.padding!r}"
        raise _fault(name, node, "pads with a stated number of zeros", got, "export numbers in place of 'same'")
    options_of = {key: sizes(getattr(node, key)) for key in ("stride", "padding", "dilation")}
    groups = int(node.groups)
    layer = make(weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), groups=groups, **options_of)
    layer.weight.data, layer.bias.data = weight, _float(node.bias).reshape(-1)
    return layer  # type: ignore[no-any-return]


def _pool(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    kernel, stride, padding = (
        tuple(np.asarray(getattr(node, key)).reshape(-1).astype(int).tolist())
        for key in ("kernel_size", "stride", "padding")
    )
    divisor = 1 if isinstance(node, nir.SumPool2d) else None
    return nn.AvgPool2d(kernel, stride, padding, divisor_override=divisor)


def _flatten(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    return nn.Flatten()


def _one(name: str, node: Any, key: str, values: Any) -> torch.Tensor:
    """One value, or one a neuron or channel, without a batch axis."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise _fault(name, node, "every parameter is finite", f"{key} {array.reshape(-1)[:3]}", "export it again")
    return _float(array.reshape(-1)[0] if np.unique(array).size == 1 else array)


def _neurons(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    if np.any(np.asarray(getattr(node, "v_leak", 0.0))):
        raise _fault(
            name, node, "the membrane leaks towards 0", "another v_leak", "shift the membrane and the threshold"
        )
    if options.reset == "zero" and node.v_reset is not None and np.any(np.asarray(node.v_reset)):
        raise _fault(name, node, "reset='zero' needs a reset potential of 0", "another v_reset", "use reset='subtract'")
    threshold = _one(name, node, "v_threshold", node.v_threshold)
    shared = {"threshold": threshold, "reset_mechanism": options.reset, "init_hidden": True}
    shared["reset_delay"] = options.reset_delay
    dt, r = options.dt, np.asarray(node.r, dtype=np.float64)
    if isinstance(node, nir.IF):
        _scale_weights(name, node, before, r * dt)
        return snn.Leaky(beta=1.0, **shared)
    tau = np.asarray(node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau, dtype=np.float64)
    gain, beta = r * dt / tau, _one(name, node, "tau", 1 - dt / tau)
    _check_decay(name, node, beta)
    if not isinstance(node, nir.CubaLIF):
        _scale_weights(name, node, before, gain)
        return snn.Leaky(beta=beta, **shared)
    tau_syn = np.asarray(node.tau_syn, dtype=np.float64)
    alpha = _one(name, node, "tau_syn", 1 - dt / tau_syn)
    _check_decay(name, node, alpha)
    _scale_weights(name, node, before, gain * np.asarray(node.w_in) * dt / tau_syn)
    return snn.Synaptic(alpha=alpha, beta=beta, **shared)


def _check_decay(name: str, node: Any, decay: torch.Tensor) -> None:
    low, high = float(decay.min()), float(decay.max())
    if not 0 <= low <= high <= 1:
        got = f"{low:g} to {high:g}"
        raise _fault(name, node, "a decay 1 - dt / tau lies in 0..1", got, "state the dt that the file was made with")


def _scale_weights(name: str, node: Any, before: list[nn.Module], gain: Any) -> None:
    """Multiplies the synapses before these neurons by the factor of their current."""
    array = np.asarray(gain, dtype=np.float64).reshape(-1)
    if np.allclose(array, 1.0, rtol=1e-6, atol=0):
        return  # rounding of the file's own time constants
    layer = next((x for x in reversed(before) if isinstance(x, nn.Linear | nn.Conv2d | nn.Conv1d)), None)
    channels = 0 if layer is None else len(layer.weight)
    factors = np.unique(array) if np.unique(array).size == 1 else array
    if layer is None or factors.size not in (1, channels) or isinstance(before[-1], nn.Flatten):
        got = f"{factors.size} factors, {channels} channels"
        raise _fault(
            name, node, "the factor of the current goes into the weights before it", got, "export r = tau / dt"
        )
    scale = _float(np.broadcast_to(factors, channels))
    layer.weight.data = layer.weight.data * scale.reshape(-1, *[1] * (layer.weight.ndim - 1))
    if layer.bias is not None:
        layer.bias.data = layer.bias.data * scale


def _recurrent(name: str, node: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    """A subgraph of neurons whose spikes come back through linear synapses."""
    parts = [x for x in node.nodes.values() if not isinstance(x, nir.Input | nir.Output)]
    cells = [x for x in parts if isinstance(x, nir.LIF | nir.CubaLIF)]
    back = [x for x in parts if isinstance(x, nir.Linear | nir.Affine)]
    if len(parts) != 2 or len(cells) != 1 or len(back) != 1:
        got = ", ".join(type(x).__name__ for x in parts)
        raise _fault(name, node, "a subgraph is neurons and their recurrent synapses", got, "export the layers apart")
    return _looped(name, cells[0], back[0], options, before)


def _looped(name: str, cell: Any, back: Any, options: NirOptions, before: list[nn.Module]) -> nn.Module:
    """Neurons with recurrent synapses."""
    plain: Any = _neurons(name, cell, options, before)
    shared = {key: getattr(plain, key).detach() for key in ("beta", "threshold")}
    shared |= {"reset_mechanism": options.reset, "reset_delay": options.reset_delay, "init_hidden": True}
    width = int(back.weight.shape[0])
    kind: Any = snn.RLeaky
    if isinstance(plain, snn.Synaptic):
        kind, shared["alpha"] = snn.RSynaptic, plain.alpha.detach()
    made = kind(linear_features=width, **shared)
    made.recurrent = _linear(name, back, options, [])
    return made  # type: ignore[no-any-return]


_BUILDERS: dict[type, Callable[[str, Any, NirOptions, list[nn.Module]], nn.Module]] = {
    nir.Linear: _linear,
    nir.Affine: _linear,
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
    nir.LIF: _neurons,
    nir.CubaLIF: _neurons,
    nir.IF: _neurons,
    nir.NIRGraph: _recurrent,
}
