"""Hardware units: chained over all steps they do what the network does, and their memories are what is printed."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.backends import hls
from squat_deploy.hardware.design import Design, design_of
from squat_deploy.hardware.graph import ENTRY
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.running import run
from squat_deploy.hardware.units import Events, ListSums, PlaceEvents, Unit
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network import INPUT, InputSpec, Layer, Neuron
from squat_deploy.network.certificate import Certificate, LayerProof
from squat_deploy.network.encoders import END_OF_EVENTS, EventEncoder, LatencyEncoder, RateEncoder
from squat_deploy.network.layers import Conv2d, Dense, NeuronLayer, Pool2d
from squat_deploy.network.readout import READOUTS
from tests.cycles import cycles_compared
from tests.graph_drawing import draw_graph, draw_inputs
from tests.test_graphs import Past, value_of

Values = dict[str, np.ndarray]


def by_layer(network: sd.Network, frame: np.ndarray, spikes: Values, past: Past) -> Values:
    """What enters and what every layer gives in one step, by its name, from spikes that are known."""
    values: dict[int, np.ndarray] = {INPUT: frame}
    for index, layer in enumerate(network.layers):
        if isinstance(layer, NeuronLayer):
            values[index] = spikes[layer.name]
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, NeuronLayer):
            late = [source for source in network.wires[index] if source >= index]
            taken = [spikes[f"late {network.layers[s].name}"] if s in late else values[s] for s in network.wires[index]]
            values[index] = value_of(layer, taken, past)
    names = {INPUT: "input", **{index: layer.name for index, layer in enumerate(network.layers)}}
    return {name: values[index] for index, name in names.items()}


def flat(unit: Unit, flow: Events | np.ndarray) -> np.ndarray:
    """(size,) in the order of the network."""
    return flow.dense(unit.signal.grid) if isinstance(flow, Events) else unit.lanes.elements(flow)


def check_run(design: Design, inputs: np.ndarray, sample: int) -> None:
    """Every list, array, state and score of one sample, step by step."""
    network = design.network
    result = sd.simulate(network, inputs, trace=True)
    frames = (inputs[sample][None] if design.entry.once else inputs[:, sample]).reshape(-1, network.input.size)
    spikes = {layer.name: layer.spikes[:, sample].astype(np.int64) for layer in result.trace}
    before, past = {f"late {name}": np.zeros_like(rows[0]) for name, rows in spikes.items()}, Past()
    for step, moment in enumerate(run(design, design.entry.stream(frames))):
        fired = {name: rows[step] for name, rows in spikes.items()}
        want = by_layer(network, frames[min(step, len(frames) - 1)], fired | before, past)
        for layer, unit in zip(result.trace, design.neurons, strict=True):
            sums = unit.lanes.elements(moment.flows[unit.sources[0]])
            assert np.array_equal(sums, layer.sums[step, sample])
            assert np.array_equal(moment.states[unit.number], layer.states[step, sample])
        for unit in (design.entry, *design.parts):
            late = isinstance(unit, PlaceEvents) and unit.ports.takes[0].late
            expected = before[f"late {unit.name}"] if late else want[unit.name]
            listed_once = unit.signal.constant and unit.signal.events and not isinstance(unit, ListSums)
            if listed_once and step and not design.graph.repeats:
                expected = np.zeros_like(expected)  # whoever needs it holds sums of it
            assert np.array_equal(flat(unit, moment.flows[unit.number]), expected), unit.name
            if unit.signal.events:
                events = moment.flows[unit.number]
                assert len(events.index) <= unit.signal.capacity
                assert not unit.signal.unit or (events.value == 1).all()
                assert not unit.signal.single or len(np.unique(events.index)) == len(events.index)
        before = {f"late {name}": rows for name, rows in fired.items()}
    assert np.array_equal(moment.flows[design.readout.number], result.scores[sample])


@pytest.mark.parametrize("seed", range(30))
def test_units_against_the_network(seed: int) -> None:
    network = dataclasses.replace(draw_graph(seed), readout=READOUTS[seed % 4])
    design = design_of(network, sd.HlsConfig(pe=1 + seed % 7, form=("auto", "threshold")[seed % 2]))
    inputs = draw_inputs(network, 3)
    for sample in range(3):
        check_run(design, inputs, sample)


def network_of(shape: tuple[int, ...], *layers: Layer) -> sd.Network:
    """Three steps of these layers, and neurons on sums in 0..8 behind them."""
    size = layers[-1].outputs
    thresholds, successor = np.array([[[2, 3, 5, 7]] * 5]), np.broadcast_to(np.arange(5), (1, 5, 5))
    membranes, table = np.arange(5, dtype=np.float32)[None], np.zeros(size, dtype=np.int64)
    neurons = Neuron("lif", thresholds, successor, np.array([3]), table, 0, membranes)
    row = LayerProof("lif", True, "drawn", 0, 8, 48, 5, 5, 1, None, 0.0, 0, True)
    return sd.Network(InputSpec(shape, encoding="sequence"), (*layers, neurons), 3, Certificate((row,)))


def dense(*weight: int) -> Dense:
    """One input, and so many weights."""
    return Dense("fc", np.array(weight)[:, None], np.zeros(len(weight), dtype=np.int64))


def pooled_twice() -> sd.Network:
    """The maximum of sums of spikes: it is of their number, not of whether there are any."""
    pools = Pool2d("sum", "sum", (1, 4, 4), (2, 2), (2, 2)), Pool2d("most", "max", (1, 2, 2), (2, 2), (2, 2))
    return network_of((1, 4, 4), *pools, dense(1, 2))


def convolution(seed: int) -> Conv2d:
    """Any kernel, stride, padding, dilation and groups."""
    rng = np.random.default_rng(seed)
    groups, channels_in, channels_out = (int(rng.choice(sizes)) for sizes in ((1, 2, 5), (1, 2), (1, 2, 3)))
    kernel, stride, dilation = (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(3))
    reach = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
    padding = tuple(int(rng.integers(0, most + 1)) for most in reach)
    sizes = (groups * channels_in, *(most + 1 + int(rng.integers(0, 4)) for most in reach))
    weight = rng.integers(-2, 4, (groups * channels_out, channels_in, *kernel))
    return Conv2d("conv", weight, rng.integers(-3, 4, len(weight)), sizes, stride, padding, dilation, groups)


@pytest.mark.parametrize("seed", range(40))
def test_convolutions(seed: int) -> None:
    layer = convolution(seed)
    network = network_of(layer.input_shape, layer)
    check_run(design_of(network, sd.HlsConfig(pe=1 + seed % 4)), draw_inputs(network, 3), 2)


def test_maxima_of_sums(compiler: None) -> None:
    network = pooled_twice()
    inputs = draw_inputs(network, 4)
    check_run(design_of(network, sd.HlsConfig()), inputs, 3)
    assert sd.verify(network, None, inputs).agrees


def test_units_of_the_bundled_network(fashion: sd.Network, rng: np.random.Generator) -> None:
    inputs = rng.integers(fashion.input.low, fashion.input.high + 1, (1, *fashion.input.shape))
    check_run(design_of(fashion, sd.HlsConfig(pe=100)), inputs, 0)


@pytest.mark.parametrize("encoder", [RateEncoder(bits=5, seed=9), LatencyEncoder(bits=3)])
def test_encoders(encoder: RateEncoder | LatencyEncoder, rng: np.random.Generator) -> None:
    network = sequence_network((0, 1))
    design = design_of(network, sd.HlsConfig(encoder=encoder))
    intensities = rng.integers(0, 2**encoder.bits, (1, network.input.size))
    assert design.entry.fields.words < network.input.size
    moments = list(run(design, design.entry.stream(intensities)))
    assert_entered(network, moments, encoder(intensities, network.steps))


def test_address_events(rng: np.random.Generator) -> None:
    """Counts are cut at the input's highest; what comes behind the last step waits."""
    network = sequence_network((0, 3))
    encoder = EventEncoder(window=7)
    times = np.sort(rng.integers(0, 7 * network.steps + 5, 200))
    addresses = rng.integers(0, network.input.size, 200)
    words = np.r_[times << 16 | addresses, END_OF_EVENTS]
    design = design_of(network, sd.HlsConfig(encoder=encoder))
    moments = list(run(design, [words, *[words[:0]] * (network.steps - 1)]))
    assert_entered(network, moments, encoder(times, addresses, network.input, network.steps))


def sequence_network(ends: tuple[int, int]) -> sd.Network:
    torch.manual_seed(1)
    return sd.lower(dense_lif_net((12, 5, 3), input_bits=None), InputSpec((12,), *ends, 1.0, encoding="sequence"), 6)


def assert_entered(network: sd.Network, moments: list, frames: np.ndarray) -> None:
    """Frames (T, 1, inputs) enter, and lead to the simulator's scores."""
    for moment, frame in zip(moments, frames, strict=True):
        assert np.array_equal(moment.flows[ENTRY].dense(Grid(network.input.size)), frame[0])
    assert np.array_equal(moments[-1].flows[max(moments[-1].flows)], sd.simulate(network, frames).scores[0])


@pytest.mark.parametrize("seed", range(8))
def test_memories_hold_what_the_headers_print(seed: int) -> None:
    """Every constant array of a header is in `memories`, number by number, and the reverse."""
    network, config = draw_graph(seed), sd.HlsConfig(pe=1 + seed % 4, vectors=1, form=("auto", "offset")[seed % 2])
    try:
        files, design = hls.render(network, config), design_of(network, config)
    except sd.errors.ExportError as error:
        assert "no offset/boundary form exists" in str(error)
        return
    for part in design.parts:
        printed = re.findall(r"static const \S+ (\w+)[^=]*= \{(.*?)\};", files[f"src/rom{part.number}.h"], re.DOTALL)
        assert {name for name, _ in printed} == set(part.constants)
        for name, text in printed:
            literals = re.findall(r"0x[0-9a-f]+|-?\d+", re.sub(r"(?<=\d)(LL|ULL|u)\b", "", text))
            numbers = np.array([int(literal, 0) % 2**64 for literal in literals], dtype=np.uint64).view(np.int64)
            assert np.array_equal(numbers, part.constants[name].reshape(-1))
        for memory in part.memories:
            if memory.contents is not None:
                banks = len(memory.widths) * memory.depth * memory.fields
                assert memory.contents.size == banks and memory.contents.max() < 2 ** (
                    max(memory.widths) // memory.fields
                )


def test_folding_wider_than_a_word_of_spikes(rng: np.random.Generator, tmp_path: Path, compiler: None) -> None:
    """Several words of spikes a row, idle lanes in the last; the cycles of the C++ are those estimated."""
    torch.manual_seed(6)
    network, config = (
        sd.lower(dense_lif_net((784, 128, 10)), InputSpec((784,), 0, 15, 2.0**-4), 5),
        sd.HlsConfig(pe=100),
    )
    inputs = rng.integers(0, 16, (4, 784))
    project = sd.emit_hls(network, tmp_path / "p", config, stimulus=inputs)
    assert "const unsigned MASK_WORDS = 4;" in (project / "src" / "rom2.h").read_text()
    with cycles_compared(network, inputs, config):
        made = toolchain.run(["make", "-s", "csim", f"PYTHON={sys.executable}"], project)
    assert made.startswith("PASS: 0 mismatches")
    assert design_of(network, config).neurons[0].masks.words == 4
