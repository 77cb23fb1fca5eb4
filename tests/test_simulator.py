"""The NumPy executor against a plain transcription of the Network's definition, neuron by neuron."""

from __future__ import annotations

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.errors import ConfigError
from squat_deploy.network import INPUT, Network, Neuron, int_bits
from squat_deploy.network.layers import Dense, machine

GRID = "the grid is 16 integers 0..15, each worth 0.0625, the same at every step"


def random_network(seed: int, levels: int, tables: int, encoding: str) -> Network:
    """Arbitrary machines, also such as no trained neuron would have."""
    rng = np.random.default_rng(seed)
    spec = sd.InputSpec((6,), -3, 5, 1.0, encoding)
    layers: list[Dense | Neuron] = []
    fan_in, low, high = 6, -3, 5
    for index, width in enumerate((5, 4)):
        dense = Dense(f"fc{index}", rng.integers(-7, 8, (width, fan_in)), rng.integers(-4, 5, width))
        lows, highs = dense.sum_range(low, high)
        states = levels + 2
        thresholds = np.sort(rng.integers(lows.min(), highs.max() + 2, (tables, states, levels - 1)), axis=2)
        layers += [
            dense,
            Neuron(
                f"lif{index}",
                thresholds,
                rng.integers(0, states, (tables, states, levels)),
                rng.integers(0, levels + 1, tables),
                rng.integers(0, tables, width),
                int(rng.integers(states)),
                np.zeros((tables, states), np.float32),
            ),
        ]
        fan_in, low, high = width, 0, 1
    return Network(spec, tuple(layers), 7)


def by_definition(network: Network, inputs: np.ndarray) -> list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """(sums, states, spikes) of every step and layer for one sequence, in scalar Python."""
    state = [[neuron.initial_state] * neuron.neurons for neuron in network.neurons]
    trace = []
    for t in range(network.steps):
        signal = list(inputs if network.input.encoding == "direct" else inputs[t])
        row = []
        for index, (dense, neuron) in enumerate(zip(network.layers[::2], network.layers[1::2], strict=True)):
            sums = [
                sum(int(w) * int(v) for w, v in zip(weights, signal, strict=True)) + int(b)
                for weights, b in zip(dense.weight, dense.bias, strict=True)
            ]
            signal = []
            for n, total in enumerate(sums):
                k, s = neuron.table[n], state[index][n]
                level = sum(int(threshold) <= total for threshold in neuron.thresholds[k, s])
                state[index][n] = int(neuron.successor[k, s, level])
                signal.append(int(level >= neuron.fire_level[k]))
            row.append((np.array(sums), np.array(state[index]), np.array(signal, bool)))
        trace.append(row)
    return trace


@pytest.mark.parametrize("encoding", ["direct", "sequence"])
@pytest.mark.parametrize(("levels", "tables"), [(2, 1), (4, 3), (7, 2), (16, 1)])
@pytest.mark.parametrize("lookup", [True, False])
def test_by_definition(encoding: str, levels: int, tables: int, lookup: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not lookup:
        monkeypatch.setattr(machine, "_LOOKUP_LIMIT", 0)
    network = random_network(levels, levels, tables, encoding)
    shape = (5, 6) if encoding == "direct" else (7, 5, 6)
    inputs = np.random.default_rng(1).integers(-3, 6, shape)
    result = sd.simulate(network, inputs, trace=True)
    for sample in range(5):
        expected = by_definition(network, inputs[sample] if encoding == "direct" else inputs[:, sample])
        for t, row in enumerate(expected):
            for layer, (sums, states, spikes) in zip(result.trace or (), row, strict=True):
                assert np.array_equal(layer.sums[t, sample], sums)
                assert np.array_equal(layer.states[t, sample], states)
                assert np.array_equal(layer.spikes[t, sample], spikes)
        assert np.array_equal(result.scores[sample], sum(row[-1][2].astype(int) for row in expected))


def test_ranges_by_brute_force() -> None:
    """Agreement alone does not catch a wrong range: here every input of a small layer is tried."""
    rng = np.random.default_rng(3)
    for low, high in ((0, 1), (-1, 1), (1, 3), (-2, 0)):
        dense = Dense("fc", rng.integers(-4, 5, (3, 4)), rng.integers(-5, 6, 3))
        grid = np.stack(np.meshgrid(*[np.arange(low, high + 1)] * 4), axis=-1).reshape(-1, 4)
        sums = grid @ dense.weight.T + dense.bias
        lows, highs = dense.sum_range(low, high)
        assert np.array_equal(lows, sums.min(axis=0)) and np.array_equal(highs, sums.max(axis=0))
        bottom, top = dense.partial_range((low, high))
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            partial = np.cumsum(grid[:, None, order] * dense.weight[None, :, order], axis=2) + dense.bias[None, :, None]
            assert bottom <= min(partial.min(), 0) and max(partial.max(), 0) <= top


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(0, 1, 1), (0, 15, 4), (0, 16, 5), (-1, 0, 1), (-8, 7, 4), (-8, 8, 5), (-1, 1, 2)]
)
def test_int_bits(low: int, high: int, bits: int) -> None:
    assert int_bits(low, high) == bits


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            np.full((2, 16), 0.3),
            f"inputs: expected integers; got float64 with values that are none; {GRID}; "
            "real=True (--real) rounds real inputs, in the model's units, to it",
        ),
        (np.zeros((2, 15), int), "inputs: expected shape (batch, 16); got (2, 15)"),
        (
            np.full((2, 16), 16),
            f"inputs: must lie in 0..15; got 16..16; {GRID}; "
            "give real inputs, in the model's units, to InputSpec.quantize (--real on the command line)",
        ),
    ],
)
def test_bad_inputs(small: sd.Network, inputs: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sd.simulate(small, inputs)
    assert str(caught.value) == message


def test_input_quantizer_and_spec_give_the_same_integers() -> None:
    import torch

    from squat_deploy.snn.quantizers import InputQuantizer

    spec = sd.InputSpec((4,), -5, 9, 2.0**-3)
    values = np.random.default_rng(0).normal(0, 1, 4000).astype(np.float32)
    values[:40] = (np.arange(40) - 20) / 16  # ties
    module = InputQuantizer(spec.step, spec.low, spec.high)(torch.from_numpy(values)).numpy()
    assert np.array_equal(spec.quantize(values) * np.float32(spec.step), module)
    with pytest.raises(ConfigError, match="must be finite"):
        spec.quantize(np.array([np.nan]))


def test_the_input_is_no_layer() -> None:
    network = random_network(0, 2, 1, "direct")
    assert network.output is network.layers[len(network.layers) - 1]
    with pytest.raises(IndexError, match="no layer has the position -1"):
        network.layers[INPUT]
