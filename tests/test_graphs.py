"""Networks that are graphs, straight from integers: against a plain evaluation layer by layer, and through a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.errors import ExportError, FileFormatError
from squat_deploy.network import INPUT, Neuron, TwoStateNeuron
from squat_deploy.network.layers import KINDS, Delay, Dense, NeuronLayer, Pool2d, Synapses
from squat_deploy.network.rules import broken_rule
from tests.cycles import cycles_compared
from tests.graph_drawing import draw_graph, draw_inputs
from tests.graphs import check_every_form
from tests.law import verified
from tests.test_storage import altered

Past = dict[str, list[np.ndarray]]  # what delays have taken since the start


def value_of(layer: object, taken: list[np.ndarray], past: Past) -> np.ndarray:
    """One layer of one sample in the next step, by its definition."""
    if isinstance(layer, Delay):
        rows = past.setdefault(layer.name, [])
        rows.append(taken[0])
        return np.array([rows[-1 - late][n] if late < len(rows) else 0 for n, late in enumerate(layer.steps)])
    if isinstance(layer, Synapses):
        dense = layer if isinstance(layer, Dense) else layer.unrolled()
        return dense.weight @ taken[0] + dense.bias
    if not isinstance(layer, Pool2d):
        return layer.apply(*taken)
    planes, (down, right), (below, beside) = taken[0].reshape(layer.input_shape), layer.kernel, layer.stride
    result = np.zeros(layer.output_shape, dtype=np.int64)
    for channel, row, column in np.ndindex(*layer.output_shape):
        top, left = row * below - layer.padding[0], column * beside - layer.padding[1]
        window = planes[channel, max(top, 0) : top + down, max(left, 0) : left + right]
        result[channel, row, column] = window.sum() if layer.kind == "sum" else window.max()
    return result.reshape(-1)


def two_states_of(layer: TwoStateNeuron, states: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(level, next state index) of every neuron, by the formula, neuron by neuron."""
    levels, following, width = [], [], layer.membranes.shape[1]
    for kind, state, total in zip(layer.table.tolist(), states.tolist(), sums.tolist(), strict=True):
        current, membrane = divmod(state, width)
        key = int(layer.membrane_offset[kind, membrane])
        if layer.follows[kind, membrane]:
            key += int(layer.current_offset[kind, current]) + total * 2**layer.fraction_bits
        level = sum(boundary <= key for boundary in layer.boundaries[kind].tolist())
        own = int(layer.next_offset[kind, current]) + total * 2**layer.next_fraction_bits
        after = sum(boundary <= own for boundary in layer.next_boundaries[kind].tolist())
        levels.append(level)
        following.append(after * width + int(layer.successor[kind, membrane, level]))
    return np.array(levels), np.array(following)


def plain_trace(network: sd.Network, frames: np.ndarray) -> list[np.ndarray]:
    """(sums, states, spikes) of every neuron layer, (T, 3, N), of one sample (T, inputs)."""
    neurons = {i: layer for i, layer in enumerate(network.layers) if isinstance(layer, NeuronLayer)}
    state = {i: np.full(layer.neurons, layer.initial_state) for i, layer in neurons.items()}
    spikes = {i: np.zeros(layer.neurons, dtype=np.int64) for i, layer in neurons.items()}
    rows: dict[int, list[np.ndarray]] = {i: [] for i in neurons}
    past: Past = {}
    for frame in frames:
        values: dict[int, np.ndarray] = dict(spikes)
        values[INPUT] = frame
        for index, (layer, wire) in enumerate(zip(network.layers, network.wires, strict=True)):
            taken = [values[source] for source in wire]
            if not isinstance(layer, NeuronLayer):
                values[index] = value_of(layer, taken, past)
                low, high = network.range_at(index)
                assert (low <= values[index]).all() and (values[index] <= high).all()
                continue
            kind, sums = layer.table, taken[0]
            if isinstance(layer, Neuron):
                level = (layer.thresholds[kind, state[index]] <= sums[:, None]).sum(axis=1)
                state[index] = layer.successor[kind, state[index], level]
            else:
                level, state[index] = two_states_of(layer, state[index], sums)
            values[index] = spikes[index] = (level >= layer.fire_level[kind]).astype(np.int64)
            rows[index].append(np.stack([sums, state[index], spikes[index]]))
    return [np.stack(row) for row in rows.values()]


@pytest.mark.parametrize("seed", range(30))
def test_simulator_against_a_plain_evaluation(seed: int) -> None:
    network = draw_graph(seed)
    assert broken_rule(network) is None
    inputs = draw_inputs(network, 5)
    trace = sd.simulate(network, inputs, trace=True).trace or ()
    for sample in range(5):
        direct = network.input.encoding == "direct"
        frames = np.stack([inputs[sample]] * network.steps) if direct else inputs[:, sample]
        want = plain_trace(network, frames.reshape(network.steps, -1))
        for layer, rows in zip(trace, want, strict=True):
            got = np.stack([np.asarray(getattr(layer, key))[:, sample] for key in ("sums", "states", "spikes")], axis=1)
            assert np.array_equal(got, rows), layer.name


@pytest.mark.parametrize("seed", range(12))
def test_saved_and_loaded(seed: int, tmp_path: Path) -> None:
    network = draw_graph(seed)
    sd.save(network, tmp_path / "x.safetensors")
    loaded = sd.load(tmp_path / "x.safetensors")
    assert loaded.digest == network.digest and loaded.wires == network.wires


def graph() -> sd.Network:
    return next(network for network in map(draw_graph, range(99)) if any(len(wire) > 1 for wire in network.wires))


def test_every_layer_is_drawn_and_its_plan_remembers_as_it_does() -> None:
    drawn = set[str]()
    for network in map(draw_graph, range(24)):
        for layer, plan in zip(network.layers, plan_layers(network), strict=True):
            drawn.add(type(layer).__name__)
            assert (plan.remembers, plan.late) == (layer.remembers, layer.late), type(plan)
    assert drawn == set(KINDS), "graph_drawing.py draws every kind of layer"


def test_wires_are_part_of_the_digest_and_of_the_rules(tmp_path: Path) -> None:
    network = graph()
    moved = dataclasses.replace(network, wires=(*network.wires[:-1], (INPUT,)))
    assert moved.digest != network.digest and broken_rule(moved) is not None
    early = dataclasses.replace(network, wires=((0,), *network.wires[1:]))
    assert "before it has run; only spikes may come late" in str(broken_rule(early))
    beyond = dataclasses.replace(network, wires=((99,), *network.wires[1:]))
    assert str(broken_rule(beyond)).endswith("takes layer 99, which is none")
    with pytest.raises(ExportError, match="takes layer 99, which is none"):
        sd.save(beyond, tmp_path / "x.safetensors")
    sd.save(network, tmp_path / "x.safetensors")
    altered(tmp_path / "x.safetensors", lambda document, _: document["layers"][0].update(takes=[99]))
    with pytest.raises(FileFormatError, match="takes layer 99, which is none"):
        sd.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("seed", range(12))
def test_every_back_end_runs_graphs(seed: int, tmp_path: Path, compiler: None) -> None:
    """C++ and its cycles, ONNX Runtime, qonnx, whole traces; all ONNX forms withstand qonnx's passes and read back."""
    network, config = draw_graph(seed), sd.HlsConfig(pe=1 + seed % 7)
    inputs = draw_inputs(network, 5)
    with cycles_compared(network, inputs, config):
        agreement = verified(network, None, inputs, config)
        assert agreement.agrees
    assert {row.executor for row in agreement.rows} == {"numpy", "c++", "onnxruntime", "qonnx"}
    check_every_form(network, inputs, tmp_path)
