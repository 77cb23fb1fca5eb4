"""Random networks that are graphs, straight from integers: every kind of layer, branches, recurrence and feedback."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from squat_deploy.errors import ConfigError
from squat_deploy.network import INPUT, InputSpec, Layer, Network, Neuron, TwoStateNeuron
from squat_deploy.network.certificate import Certificate, LayerProof
from squat_deploy.network.layers import (
    Add,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dense,
    Join,
    Pool2d,
    Range,
    Synapses,
)

INPUT_RANGES = [(0, 1), (0, 15), (-8, 7), (0, 255), (-300, 700)]
Shape = tuple[int, ...]


def draw_graph(seed: int) -> Network:
    """A small network that keeps every rule; equal seeds give equal networks."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 7, 3).tolist()) if rng.random() < 0.75 else (int(rng.integers(3, 12)),)
    if len(shape) == 3:
        shape = (int(rng.integers(1, 4)), *shape[1:])
    low, high = INPUT_RANGES[rng.integers(len(INPUT_RANGES))]
    spec = InputSpec(shape, low, high, encoding="direct" if rng.random() < 0.6 else "sequence")
    timing, pairing = (np.random.default_rng([seed, other]) for other in (1, 2))
    drawing = _Drawing(rng, spec, classes=int(rng.integers(2, 6)), timing=timing, pairing=pairing)
    x = INPUT
    for _ in range(rng.integers(1, 4)):
        x = drawing.block(x)
    return drawing.finish(x, steps=int(rng.integers(2, 6)), name=f"graph{seed}")


def draw_inputs(network: Network, samples: int, seed: int = 0) -> np.ndarray:
    """Integers (samples, *shape), or (steps, samples, *shape); the first two samples are the ends of the range."""
    spec = network.input
    lead = (samples,) if spec.encoding == "direct" else (network.steps, samples)
    values = np.random.default_rng(seed).integers(spec.low, spec.high + 1, (*lead, *spec.shape))
    for sample, end in zip(range(samples), (spec.low, spec.high), strict=False):
        values[(sample,) if len(lead) == 1 else (slice(None), sample)] = end
    return values


@dataclass
class _Drawing:
    """Layers so far; `late` marks wires to the last layer, whose place is not known yet."""

    rng: np.random.Generator
    spec: InputSpec
    classes: int
    timing: np.random.Generator  # of delays and transposed convolutions: what else is drawn does not depend on them
    pairing: np.random.Generator | None = None  # nor on two-state neurons, of which there are none without
    layers: list[Layer] = field(default_factory=list)
    wires: list[tuple[int, ...]] = field(default_factory=list)
    shapes: dict[int, Shape] = field(default_factory=dict)
    ranges: dict[int, Range] = field(default_factory=dict)
    rows: list[LayerProof] = field(default_factory=list)

    LAST = 10**6

    def __post_init__(self) -> None:
        self.shapes[INPUT], self.shapes[self.LAST] = self.spec.shape, (self.classes,)
        ends = (np.full(self.spec.size, end, dtype=np.int64) for end in (self.spec.low, self.spec.high))
        self.ranges[INPUT] = next(ends), next(ends)
        self.ranges[self.LAST] = _spikes(self.classes)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def add(self, layer: Synapses | Join | Delay, takes: tuple[int, ...], shape: Shape) -> int:
        """Appends a layer and gives its index."""
        index = len(self.layers)
        self.layers.append(layer)
        self.wires.append(takes)
        self.shapes[index] = shape
        self.ranges[index] = layer.range(*[self.ranges[source] for source in takes])
        return index

    def size(self, x: int) -> int:
        return int(np.prod(self.shapes[x]))

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def block(self, x: int) -> int:
        """Synapses, what comes between, neurons, what comes behind."""
        x = self.delay(x)
        if len(self.shapes[x]) == 3 and self.chance(0.15):
            x = self.pool(x)
        total = self.synapses(self.synapses(x) if self.chance(0.1) else x)
        if len(self.shapes[total]) == 3 and self.chance(0.3):
            total = self.pool(total)
        if self.chance(0.35):
            total = self.residual(total, x)
            if len(self.shapes[total]) == 3 and self.chance(0.2):
                total = self.pool(total)
        if self.chance(0.2):
            other = self.synapses(x, self.shapes[total])
            total = self.concat(total, other)
        total = self.delay(total)
        if self.chance(0.45):
            total = self.recurrent(total)
        spikes = self.neurons(total)
        if len(self.shapes[spikes]) == 3 and self.chance(0.5):
            return self.pool(spikes)
        if self.chance(0.15):  # neurons on the sums of spikes, without synapses
            return self.neurons(
                self.add(Add(self.name("again"), self.size(spikes), (2, 1)), (spikes, spikes), self.shapes[spikes])
            )
        return spikes

    def synapses(self, x: int, like: Shape | None = None) -> int:
        """A convolution of planes, fully connected synapses else; `like`: with results of that shape."""
        largest = self.pick(1, 3, 7, 100, 300)
        shape = self.shapes[x]
        if len(shape) == 3 and (like is None or len(like) == 3) and self.chance(0.8):
            layer = self.transposed(shape, largest, like) or self.convolution(shape, largest, like)
            if like is None or layer.output_shape == like:
                return self.add(layer, (x,), layer.output_shape)
        outputs = int(self.rng.integers(2, 9)) if like is None else int(np.prod(like))
        weight = self.rng.integers(-largest, largest + 1, (outputs, self.size(x)))
        return self.add(Dense(self.name("fc"), weight, self.bias(outputs)), (x,), like or (outputs,))

    def convolution(self, shape: Shape, largest: int, like: Shape | None) -> Conv2d:
        channels, height, width = shape
        outputs = int(self.rng.integers(1, 4)) if like is None else like[0]
        groups = channels if outputs % channels == 0 and self.chance(0.3) else 1
        kernel = (self.pick(1, min(3, height)), self.pick(1, min(3, width)))
        if like is not None or self.chance(0.5):
            stride, padding = (1, 1), (kernel[0] // 2, kernel[1] // 2)
        else:
            stride, padding = (self.pick(1, 2, 3), self.pick(1, 2)), (0, kernel[1] // 2)
        dilation = (1, 1)
        if like is None and self.chance(0.3):
            dilation = (2 if 2 * kernel[0] - 1 <= height else 1, 2 if 2 * kernel[1] - 1 <= width else 1)
        weight = self.rng.integers(-largest, largest + 1, (outputs, channels // groups, *kernel))
        sizes = (channels, height, width), stride, padding, dilation, groups
        return Conv2d(self.name("conv"), weight, self.bias(outputs), *sizes)

    def transposed(self, shape: Shape, largest: int, like: Shape | None) -> ConvTranspose2d | None:
        """Now and then, with every option where its results may have any shape."""
        rng, wide = self.timing, shape[1] * shape[2] <= 60
        if rng.random() > 0.3:
            return None
        outputs = int(rng.integers(1, 4)) if like is None else like[0]
        groups = shape[0] if outputs % shape[0] == 0 and rng.random() < 0.3 else 1
        ends = [(1, 4), (0, 3), (1, 4 if wide else 2), (1, 3)]
        kernel, padding, stride, dilation = (tuple(rng.integers(*each, 2).tolist()) for each in ends)
        more = (0, 0)
        if like is not None:
            stride, padding = (1, 1), tuple(gap * (size // 2) for gap, size in zip(dilation, kernel, strict=True))
        else:
            more = tuple(int(rng.integers(0, max(pair))) for pair in zip(stride, dilation, strict=True))
        weight = rng.integers(-largest, largest + 1, (outputs, shape[0] // groups, *kernel))
        sizes = stride, padding, dilation, groups, more
        try:
            return ConvTranspose2d(self.name("transposed"), weight, self.bias(outputs), shape, *sizes)
        except ConfigError:  # all of it is cut off
            return None

    def bias(self, outputs: int) -> np.ndarray:
        return self.rng.integers(-9, 10, outputs) * self.pick(0, 0, 1)

    def pool(self, x: int) -> int:
        _, height, width = self.shapes[x]
        kernel = (self.pick(1, min(2, height), min(3, height)), self.pick(1, min(2, width), min(3, width)))
        padding = (self.pick(0, kernel[0] // 2), self.pick(0, kernel[1] // 2))
        stride = (self.pick(1, 2, kernel[0]), self.pick(1, kernel[1]))
        layer = Pool2d(self.name("pool"), "sum" if self.chance(0.5) else "max", self.shapes[x], kernel, stride, padding)
        return self.add(layer, (x,), layer.output_shape)

    def delay(self, x: int) -> int:
        """A delay now and then, alike for all elements or one each, sometimes beyond the sequence."""
        if self.timing.random() > 0.15:
            return x
        most = int(self.timing.choice([0, 1, 2, 3, 7]))
        steps = self.timing.integers(0, most + 1, self.size(x))
        alike = self.timing.random() < 0.4
        layer = Delay(self.name("delay"), np.full_like(steps, most) if alike else steps)
        return self.add(layer, (x,), self.shapes[x])

    def residual(self, total: int, x: int) -> int:
        """The sum with what enters the block, where the sizes agree, or with other synapses on it."""
        sources = (
            [total, x]
            if self.size(x) == self.size(total) and self.chance(0.5)
            else [total, self.synapses(x, self.shapes[total])]
        )
        if self.chance(0.2):
            sources.append(self.synapses(x, self.shapes[total]))
        return self.sum(*sources)

    def sum(self, *sources: int) -> int:
        factors = tuple(self.pick(1, 1, 2, 5) for _ in sources)
        return self.add(Add(self.name("sum"), self.size(sources[0]), factors), sources, self.shapes[sources[0]])

    def concat(self, *sources: int) -> int:
        shapes = [self.shapes[source] for source in sources]
        planes = {shape[1:] for shape in shapes} if all(len(shape) == 3 for shape in shapes) else set()
        channels = sum(shape[0] for shape in shapes)
        shape = (channels, *planes.pop()) if len(planes) == 1 else (sum(map(self.size, sources)),)
        return self.add(Concat(self.name("concat"), tuple(map(self.size, sources))), sources, shape)

    def recurrent(self, total: int) -> int:
        """The sum with a function of the last spikes of these neurons themselves, or of the network's output."""
        if self.chance(0.4):
            weight = self.rng.integers(-3, 4, (self.size(total), self.classes))
            fed = self.add(
                Dense(self.name("feedback"), weight, self.bias(len(weight))), (self.LAST,), self.shapes[total]
            )
            return self.sum(total, fed)
        size, shape, index = self.size(total), self.shapes[total], len(self.layers)
        if self.chance(0.2):
            self.ranges[index + 1] = _spikes(size)
            return self.add(Add(self.name("sum"), size, (self.pick(1, 3), 2)), (total, index + 1), shape)
        self.ranges[index + 2] = _spikes(size)
        weight = self.rng.integers(-4, 5, (size, size))
        layer: Synapses | Join = Dense(self.name("recurrent"), weight, self.bias(size))
        if len(shape) == 3 and self.chance(0.2):
            layer = Pool2d(self.name("pool"), "sum" if self.chance(0.5) else "max", shape, (3, 3), (1, 1), (1, 1))
        elif len(shape) == 3 and self.chance(0.5):
            kernel = self.rng.integers(-4, 5, (shape[0], shape[0], 1, 3))
            layer = Conv2d(self.name("recurrent"), kernel, self.bias(shape[0]), shape, padding=(0, 1))
        return self.sum(total, self.add(layer, (index + 2,), shape))

    def neurons(self, total: int) -> int:
        """State-quantized neurons on sums, with thresholds about the middle of their range."""
        rng, (lows, highs) = self.rng, self.ranges[total]
        low, high, size = int(lows.min()), int(highs.max()), self.size(total)
        tables, levels = self.pick(1, 1, min(size, 3)), self.pick(2, 3, 4, 6)
        carried = self.chance(0.3)
        states = levels + self.pick(0, 1) if carried else self.pick(2, 3, 5)
        spread = rng.choice([0.03, 0.1, 0.3]) * (high - low)
        drawn = (low + high) / 2 + rng.normal(0, spread, (tables, states, levels - 1))
        successor = rng.integers(0, states, (tables, states, levels))
        name = self.name("lif")
        neuron = Neuron(
            name=name,
            thresholds=np.sort(np.rint(drawn).astype(np.int64).clip(low, high + 1), axis=2),
            successor=np.broadcast_to(np.arange(levels), successor.shape) if carried else successor,
            fire_level=rng.integers(1, levels, tables),
            table=rng.integers(0, tables, size),
            initial_state=int(rng.integers(states)),
            membranes=rng.normal(0, 1, (tables, states)).astype(np.float32),
        )
        made: Neuron | TwoStateNeuron = neuron
        if self.pairing is not None and self.pairing.random() < 0.25:
            made = pairs(self.pairing, name, size, low, high)
        index = len(self.layers)
        self.layers.append(made)
        self.wires.append((total,))
        self.shapes[index], self.ranges[index] = self.shapes[total], _spikes(size)
        sizes = made.states, made.level_count, made.tables
        self.rows.append(LayerProof(name, True, "drawn", low, high, 48, *sizes, None, 0.0, 0, True))
        return index

    def finish(self, x: int, steps: int, name: str) -> Network:
        """Fully connected output neurons on everything that nobody else takes."""
        used = {source for wire in self.wires for source in wire}
        loose = [index for index in range(len(self.layers)) if index not in used | {x}]
        extra = [INPUT] if self.chance(0.15) else []
        if loose or extra:
            x = self.concat(x, *loose, *extra)
        weight = self.rng.integers(-7, 8, (self.classes, self.size(x)))
        total = self.add(Dense(self.name("head"), weight, self.bias(self.classes)), (x,), (self.classes,))
        self.neurons(self.recurrent(total) if self.chance(0.3) else total)
        last = len(self.layers) - 1
        wires = tuple(tuple(last if source == self.LAST else source for source in wire) for wire in self.wires)
        return Network(self.spec, tuple(self.layers), steps, Certificate(tuple(self.rows)), name, wires)


def pairs(rng: np.random.Generator, name: str, size: int, low: int, high: int) -> TwoStateNeuron:
    """Two-state neurons whose states matter about as much as their sums, with or without resets of either kind."""
    tables, bits, after = int(rng.choice([1, 1, min(size, 3)])), int(rng.integers(0, 8)), int(rng.integers(0, 5))
    levels, currents = (int(rng.choice([2, 3, 4, 6, 16])) for _ in range(2))
    membranes, more = levels + int(rng.integers(0, 3)), currents + int(rng.integers(0, 2))
    spread = max(high - low, 4) / 4

    def offsets(count: int, bits: int) -> np.ndarray:
        return np.rint(rng.normal(0, spread, (tables, count)) * 2**bits).astype(np.int64)

    own = rng.random() < 0.4
    carried = rng.integers(0, membranes, (tables, membranes, levels)) if own else np.arange(levels)[None, None]
    middle = (low + high) // 2
    return TwoStateNeuron(
        name=name,
        follows=(rng.random((tables, membranes)) < (0.7 if rng.random() < 0.4 else 1)).astype(np.int64),
        membrane_offset=offsets(membranes, bits),
        current_offset=offsets(more, bits),
        boundaries=np.sort(offsets(levels - 1, bits) + (middle << bits), axis=1),
        fraction_bits=bits,
        next_offset=offsets(more, after),
        next_boundaries=np.sort(offsets(currents - 1, after) + (middle << after), axis=1),
        next_fraction_bits=after,
        successor=carried,
        fire_level=rng.integers(1, levels, tables),
        table=rng.integers(0, tables, size),
        initial_state=int(rng.integers(membranes * more)),
        membranes=rng.normal(0, 1, (tables, membranes)).astype(np.float32),
        currents=rng.normal(0, 1, (tables, more)).astype(np.float32),
    )


def _spikes(size: int) -> Range:
    return np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.int64)
