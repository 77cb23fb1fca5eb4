"""Random NIR graphs, and what they do: an Euler simulation in NumPy and float64 that knows nothing of the reader.

Time constants, factors, weights and inputs lie on binary grids, so that float32 and float64 give the same spikes.
Membranes that leak come to rest on a grid too, from above or from below as rounding has it, so thresholds of those lie
beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import nir
import numpy as np

DT = 2.0**-10
CELLS = (nir.LIF, nir.CubaLIF, nir.IF, nir.Threshold)
NAMES = [
    "fc", "fc.1", "fc_1", "fc_1_2", "type", "double", "training", "forward", "_modules", "append", "class", "eval",
    "lambda", "None", "0", "1.lif", "1_lif", "ä", "層", "a b", "[red]x[b]", "<b>&", "x" * 300, "-", "'", '"', "\\n",
    "tab\there", "line\nend", "input_", "__class__", "weight", "add_module", "state_dict", "T_destination", "metadata",
    "nodes", "edges", "self", "%s", "{x}", "..", "a.b.c", "a_b_c", "half", "to", "training_2", "é", "e\u0301",
]  # fmt: skip
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Stated:
    """What a file leaves open: length of a time step, what a spike does to the membrane, and when."""

    dt: float | None
    reset: str | None
    reset_delay: bool


@dataclass
class Drawing:
    """Nodes and edges so far."""

    rng: np.random.Generator
    shape: Shape
    names: list[str]
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    end: str = "input"
    bare: bool = True  # neurons may stand without synapses before them

    def __post_init__(self) -> None:
        self.nodes["input"] = nir.Input(np.array(self.shape))

    def pick(self, *choices: object) -> object:
        return choices[self.rng.integers(len(choices))]

    def put(self, node: nir.NIRNode, shape: Shape) -> str:
        name = self.names.pop()
        self.nodes[name] = node
        self.edges.append((self.end, name))
        self.end, self.shape = name, shape
        return name

    def grid(self, *shape: int) -> np.ndarray:
        return (self.rng.integers(-7, 11, shape) * 0.125).astype(self.pick(np.float32, np.float64))

    def one_each(self, *choices: float) -> np.ndarray:
        """A power of two for every neuron, for every channel, or for all."""
        kind = self.rng.integers(4)
        sizes = [self.shape, (self.shape[0], *(1,) * (len(self.shape) - 1)), (), ()][kind]
        return np.broadcast_to(self.rng.choice(choices, sizes), self.shape).astype(np.float64)

    def cell(self) -> nir.NIRNode:
        threshold = self.one_each(0.5, 1.0, 1.5, 2.0)
        zero = np.zeros(self.shape)
        kind = self.rng.choice(4, p=[0.4, 0.25, 0.25, 0.1])
        if kind == 2:
            return nir.IF(self.one_each(0.5 / DT, 1 / DT, 0.25 / DT), threshold, zero)
        if kind == 3:
            return nir.Threshold(threshold)
        rest = {"r": self.one_each(0.5, 1.0, 2.0, 4.0), "v_leak": zero, "v_threshold": threshold, "v_reset": zero}
        tau = self.one_each(DT, 2 * DT, 2 * DT, 4 * DT) if self.rng.random() < 0.8 else np.full(self.shape, DT)
        if (tau > DT).any() or kind == 1:
            rest["v_threshold"] = (threshold + 1.61803e-4).astype(np.float32).astype(np.float64)
        if kind == 0:
            return nir.LIF(tau=tau, **rest)
        return nir.CubaLIF(tau_mem=tau, tau_syn=self.one_each(DT, 2 * DT), w_in=self.one_each(1.0, 2.0), **rest)

    def synapses(self) -> None:
        out = int(self.rng.integers(2, 6))
        if len(self.shape) == 1:
            weight = self.grid(out, *self.shape)
            self.put(nir.Linear(weight) if self.rng.random() < 0.5 else nir.Affine(weight, self.grid(out)), (out,))
            return
        groups = self.shape[0] if self.rng.random() < 0.3 else 1
        axes, out = len(self.shape) - 1, out * groups
        kernel, stride, dilation = ([int(n) for n in self.rng.integers(1, high, axes)] for high in (4, 3, 3))
        padding = self.pick("valid", "same", [int(n) for n in self.rng.integers(0, np.minimum(kernel, 2))])
        if padding == "same":
            kernel, stride = [2 * (n // 2) + 1 for n in kernel], [1] * axes
        pads = {"valid": [0] * axes, "same": [d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True)]}
        pads = pads.get(padding, padding) if isinstance(padding, str) else padding
        sizes = zip(self.shape[1:], pads, dilation, kernel, stride, strict=True)
        shape = (out, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes))
        if min(shape) < 1:
            return
        weight = self.grid(out, self.shape[0] // groups, *kernel)
        made = nir.Conv2d if axes == 2 else nir.Conv1d
        sizes = [x if isinstance(x, str) else np.array(x) if axes == 2 else x[0] for x in (stride, padding, dilation)]
        node = made(None, weight, *sizes, groups, self.grid(out))
        node.input_shape = np.array(self.shape[1:]) if axes == 2 else self.shape[1]
        self.put(node, shape)

    def pool(self) -> None:
        kernel = self.rng.integers(1, 3, 2)
        stride = self.rng.integers(1, 3, 2)
        padding = np.array([int(self.rng.integers(0, k // 2 + 1)) for k in kernel])
        shape = (
            self.shape[0],
            *((n + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i, n in enumerate(self.shape[1:])),
        )
        if min(shape) >= 1:
            self.put(self.pick(nir.SumPool2d, nir.AvgPool2d)(kernel, stride, padding), tuple(map(int, shape)))

    def block(self, depth: int = 0) -> None:
        kind = self.rng.choice(5, p=[0.5, 0.1, 0.15, 0.15, 0.1])
        if kind == 1 and depth < 3:
            self.nested(depth)
        elif kind == 2 and len(self.shape) == 3:
            self.pool()
        elif kind == 3 and len(self.shape) == 1:
            self.recurrent()
        elif kind == 4 and len(self.shape) > 1:
            size = (int(np.prod(self.shape)),)
            self.put(nir.Flatten({"input": np.array(self.shape)}, 0, int(self.pick(-1, len(self.shape) - 1))), size)
        else:
            self.synapses_or_none()
            self.put(self.cell(), self.shape)

    def synapses_or_none(self) -> None:
        end = self.end
        while self.end == end and not (self.bare and self.rng.random() < 0.2):
            self.synapses()
        if self.end != end:
            self.scale()

    def scale(self) -> None:
        """Behind synapses, of any sign; one factor a channel where positions share their weights."""
        if self.rng.random() < 0.25:
            sizes = (self.shape[0], *(1,) * (len(self.shape) - 1)) if self.rng.random() < 0.7 else ()
            values = self.rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0, 4.0], sizes)
            self.put(nir.Scale(np.broadcast_to(values, self.shape).copy()), self.shape)

    def recurrent(self) -> None:
        """Neurons that feed themselves, by edges of this graph or in a subgraph of their own."""
        self.synapses_or_none()
        cell = self.cell()
        while isinstance(cell, nir.Threshold):
            cell = self.cell()
        size = self.shape[0]
        back = (
            nir.Linear(self.grid(size, size))
            if self.rng.random() < 0.5
            else nir.Affine(self.grid(size, size), self.grid(size))
        )
        if self.rng.random() < 0.5:
            name = self.put(cell, self.shape)
            self.nodes[other := self.names.pop()] = back
            self.edges += [(name, other), (other, name)]
            return
        one, two = self.names.pop(), self.names.pop()
        nodes = {one: cell, two: back, "in": nir.Input(np.array(self.shape)), "out": nir.Output(np.array(self.shape))}
        edges = [("in", one), (one, "out"), (one, two), (two, one)]
        self.put(nir.NIRGraph(nodes, edges, type_check=False), self.shape)

    def nested(self, depth: int) -> None:
        inner = Drawing(self.rng, self.shape, self.names, bare=self.bare)
        for _ in range(self.rng.integers(1, 3)):
            inner.block(depth + 1)
        self.put(inner.graph(), inner.shape)

    def graph(self) -> nir.NIRGraph:
        """With its nodes and edges in any order."""
        nodes = {**self.nodes, "output": nir.Output(np.array(self.shape))}
        edges = [*self.edges, (self.end, "output")]
        keys = self.rng.permutation(list(nodes))
        self.rng.shuffle(edges)
        return nir.NIRGraph(
            {str(key): nodes[key] for key in keys}, [tuple(map(str, e)) for e in edges], type_check=False
        )


def draw_nir(seed: int, *, bare: bool = True) -> tuple[nir.NIRGraph, Stated]:
    """A graph of a chain that can be read, and the options to read it with."""
    rng = np.random.default_rng(seed)
    sizes = [(4,), (2, 9), (2, 6, 7)][rng.integers(3)]
    drawing = Drawing(rng, sizes, [str(name) for name in rng.permutation(NAMES)], bare=bare)
    for _ in range(rng.integers(1, 6)):
        drawing.block()
    drawing.synapses()
    drawing.put(drawing.cell(), drawing.shape)
    reset, delay = [("subtract", True), (None, True), ("zero", True), ("zero", False), ("none", True)][rng.integers(5)]
    return drawing.graph(), Stated(DT, reset, delay)


def draw_frames(shape: Shape, steps: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 9, (steps, *shape)) * 0.25


class Euler:
    """A NIR graph, step by step: whatever feeds a node is summed; what comes round comes from the step before."""

    def __init__(self, graph: nir.NIRGraph, options: Stated) -> None:
        self.options, self.dt = options, options.dt or 1.0
        self.nodes: dict[str, nir.NIRNode] = {}
        self.before: dict[str, list[str]] = {}
        self._add(graph, "")
        self.order: list[str] = []
        for name in sorted(self.nodes, key=lambda name: not isinstance(self.nodes[name], CELLS)):
            self._visit(name, ())
        self.membrane: dict[str, np.ndarray] = {}
        self.current: dict[str, np.ndarray] = {}
        self.last: dict[str, np.ndarray | None] = {}
        self.spikes: dict[str, list[np.ndarray]] = {}
        self.read: dict[str, list[np.ndarray]] = {}
        self.past: dict[str, list[np.ndarray]] = {}

    def _add(self, graph: nir.NIRGraph, prefix: str) -> None:
        for name, node in graph.nodes.items():
            if isinstance(node, nir.NIRGraph):
                self._add(node, f"{prefix}{name}/")
            else:
                self.nodes[prefix + name] = node
                self.before.setdefault(prefix + name, [])
        for source, target in graph.edges:
            into = self._port(graph, prefix, target, nir.Input)
            self.before.setdefault(into, []).append(self._port(graph, prefix, source, nir.Output))

    def _port(self, graph: nir.NIRGraph, prefix: str, name: str, kind: type) -> str:
        node = graph.nodes[name]
        if not isinstance(node, nir.NIRGraph):
            return prefix + name
        (port,) = (key for key, inner in node.nodes.items() if isinstance(inner, kind))
        return f"{prefix}{name}/{port}"

    def _visit(self, name: str, path: tuple[str, ...]) -> None:
        if name in self.order or name in path:
            return
        for source in self.before[name]:
            self._visit(source, (*path, name))
        self.order.append(name)

    def run(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Spikes (T, ...) of every neuron node, in the order in which they run."""
        for frame in frames:
            now: dict[str, np.ndarray | None] = {}
            for name in self.order:
                given = [now.get(source, self.last.get(source)) for source in self.before[name]]
                given = [x for x in given if x is not None]
                now[name] = self._step(name, sum(given) if given else None, frame)
            self.last = now
        return {name: np.array(spikes) for name, spikes in self.spikes.items()}

    def _step(self, name: str, x: np.ndarray | None, frame: np.ndarray) -> np.ndarray | None:
        node = self.nodes[name]
        if isinstance(node, nir.Input) and not self.before[name]:
            return frame
        if isinstance(node, nir.Linear | nir.Affine):
            x = np.zeros(node.weight.shape[1]) if x is None else x  # before the first spike
            return (node.weight.astype(float) * x).sum(axis=1) + getattr(node, "bias", 0.0)
        if isinstance(node, nir.Input | nir.Output):
            return x
        assert x is not None
        if isinstance(node, nir.Conv1d | nir.Conv2d):
            return convolved(node, x)
        if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
            area = np.prod(node.kernel_size) if isinstance(node, nir.AvgPool2d) else 1
            parts = windows(x, node.kernel_size, node.stride, node.padding, (1, 1))
            return sum(parts.values()) / area
        if isinstance(node, nir.Flatten):
            return x.reshape(-1)
        if isinstance(node, nir.Scale):
            return x * node.scale
        if isinstance(node, nir.Delay):
            return self._delayed(name, np.broadcast_to(np.rint(node.delay / self.dt), x.shape).astype(int), x)
        if isinstance(node, nir.LI | nir.I):
            v = self._integrated(name, node, self.membrane.get(name, np.zeros(x.shape)), x)
            self.membrane[name] = v
            self.read.setdefault(name, []).append(v)
            return v
        return self._fire(name, node, x)

    def _delayed(self, name: str, steps: np.ndarray, x: np.ndarray) -> np.ndarray:
        past = self.past.setdefault(name, [])
        past.append(x)
        found = np.zeros(x.shape)
        for place in np.ndindex(*x.shape):
            if steps[place] < len(past):
                found[place] = past[-1 - steps[place]][place]
        return found

    def _fire(self, name: str, node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
        if isinstance(node, nir.Threshold):
            spikes = (x > node.threshold).astype(float)
        else:
            v, reset = self.membrane.get(name, np.zeros(x.shape)), self.options.reset or "subtract"
            late = (v > node.v_threshold) if self.options.reset_delay else np.zeros(x.shape)
            if reset == "zero":
                v = np.where(late, 0, v)
            new = self._integrated(name, node, v, x)
            if reset == "subtract":
                new = new - late * node.v_threshold
            spikes = (new > node.v_threshold).astype(float)
            if not self.options.reset_delay:
                assert reset == "zero"
                new = new * (1 - spikes)
            self.membrane[name] = new
        self.spikes.setdefault(name, []).append(spikes)
        return spikes

    def _integrated(self, name: str, node: nir.NIRNode, v: np.ndarray, x: np.ndarray) -> np.ndarray:
        if isinstance(node, nir.IF | nir.I):
            return v + self.dt * node.r * x
        if isinstance(node, nir.LIF | nir.LI):
            return v + self.dt / node.tau * (node.v_leak - v + node.r * x)
        i = self.current.get(name, np.zeros(x.shape))
        self.current[name] = i = i + self.dt / node.tau_syn * (node.w_in * x - i)
        return v + self.dt / node.tau_mem * (node.v_leak - v + node.r * i)


def windows(x: np.ndarray, kernel: object, stride: object, padding: object, dilation: object) -> dict:
    """By place in the kernel, what lies under it at every position (C, ...)."""
    axes = x.ndim - 1
    kernel, stride, padding, dilation = (
        [int(n) for n in np.broadcast_to(value, axes)] for value in (kernel, stride, padding, dilation)
    )
    x = np.pad(x, [(0, 0), *((p, p) for p in padding)])
    counts = [(n - d * (k - 1) - 1) // s + 1 for n, d, k, s in zip(x.shape[1:], dilation, kernel, stride, strict=True)]
    found = {}
    for place in np.ndindex(*kernel):
        cut = [
            slice(p * d, p * d + s * (n - 1) + 1, s) for p, d, s, n in zip(place, dilation, stride, counts, strict=True)
        ]
        found[place] = x[(slice(None), *cut)]
    return found


def convolved(node: nir.Conv1d | nir.Conv2d, x: np.ndarray) -> np.ndarray:
    kernel = node.weight.shape[2:]
    padding = node.padding
    if isinstance(padding, str):
        around = np.broadcast_to(node.dilation, len(kernel)) * (np.array(kernel) - 1)
        padding = around // 2 if padding == "same" else 0
    parts = windows(x, kernel, node.stride, padding, node.dilation)
    out, each = node.weight.shape[:2]
    result = []
    for channel in range(out):
        first = channel // (out // int(node.groups)) * each
        taken = ((place, part[first : first + each]) for place, part in parts.items())
        result.append(
            sum(
                (node.weight[(channel, slice(None), *place)].astype(float).reshape(-1, *[1] * len(kernel)) * part).sum(
                    0
                )
                for place, part in taken
            )
            + node.bias[channel]
        )
    return np.array(result)
