"""Single bits of ROMs changed: golden sequences catch what is said to show, in the units' own words and in C++."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.hardware.coverage.reached import Reached
from squat_deploy.hardware.design import Design, design_of
from squat_deploy.hardware.running import run
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.vectors import golden_inputs
from squat_deploy.network import IntArray
from tests.mutating import possible, seen, starts_caught, table_bits, weights_caught
from tests.test_coverage import changed, same
from tests.test_hls import first_difference, make, without_rom_check

FLIPS = 12


def flipped(design: Design, number: int, word: tuple[int, int], bit: int) -> Design:
    """With one bit of one word of a weight ROM changed."""
    unit = design.parts[number - 1]
    words = unit.rom.words.copy()
    words[word] ^= np.uint64(1 << bit)
    other = dataclasses.replace(unit, rom=dataclasses.replace(unit.rom, words=words))
    parts = tuple(other if part.number == number else part for part in design.parts)
    return dataclasses.replace(design, parts=parts)


def weight_of(unit: Unit, word: tuple[int, int], bit: int) -> tuple[int, int, int]:
    """(output, input, bit) of a bit of a ROM of fully connected synapses."""
    rom, lanes = unit.rom, unit.lanes
    lane = word[0] * rom.fields.per_word + bit // rom.bits
    channel, group = divmod(word[1], rom.span)
    return group * lanes.pe + lane, channel, bit % rom.bits


def differs(network: sd.Network, design: Design, inputs: IntArray, result: object, sample: int) -> bool:
    """Whether a design leaves another state than the network, in any step of one sequence."""
    moments = run(design, design.entry.stream(inputs[sample][None]))
    return any(
        not np.array_equal(moment.states[unit.number], layer.states[step, sample])
        for step, moment in enumerate(moments)
        for unit, layer in zip(design.neurons, result.trace, strict=True)
    )


def test_changed_words_of_the_bundled_network(fashion: sd.Network, rng: np.random.Generator) -> None:
    """What shows does in the sequence in which it does, by the words that are emitted; what does not, in none."""
    inputs, reached = golden_inputs(fashion, 60)
    result, design = sd.simulate(fashion, inputs, trace=True), design_of(fashion, sd.HlsConfig())
    caught = 0
    for flip in range(FLIPS):
        number = 1 if flip % 2 else 3
        unit = design.parts[number - 1]
        word = int(rng.integers(len(unit.rom.words))), int(rng.integers(unit.rom.words.shape[1]))
        bit = int(rng.integers(unit.rom.word_bits))
        output, channel, place = weight_of(unit, word, bit)
        if output >= unit.size:
            continue  # an idle lane
        shows = said_to_show(reached, number - 1, output, channel, place)
        weight = output * fashion.layers[number - 1].inputs + channel
        found = sd.simulate(
            changed(fashion, number - 1, weight, place, unit.rom.bits, bipolar=False), inputs, trace=True
        )
        assert same(result, found) != shows
        if shows:
            caught += 1
            apart = (found.trace[number // 2].states != result.trace[number // 2].states).any(axis=(0, 2))
            apart |= (found.trace[-1].states != result.trace[-1].states).any(axis=(0, 2))
            sample = int(np.flatnonzero(apart)[0])
            assert differs(fashion, flipped(design, number, word, bit), inputs, result, sample)
            assert not differs(fashion, design, inputs, result, sample)
    assert caught > FLIPS / 4


@pytest.fixture(scope="session")
def started(small: sd.Network) -> sd.Network:
    """Sums that start elsewhere than at 0."""
    rng = np.random.default_rng(3)
    layers = [
        dataclasses.replace(layer, bias=rng.integers(-1, 2, layer.outputs) * (9, 0, 1)[index])
        if index in (0, 2)
        else layer
        for index, layer in enumerate(small.layers)
    ]
    return dataclasses.replace(small, layers=tuple(layers))


@pytest.mark.parametrize(("name", "missed"), [("small", 0.25), ("started", 0.3), ("fashion", 0)])
def test_random_bits_of_all_constants_are_caught(name: str, missed: float, request: pytest.FixtureRequest) -> None:
    """By the default golden sequences: all of the first layer's weights and starts, most of the second's, what is said
    to show; of tables all that any state and sum tells apart, of which ranges may allow too much."""
    network: sd.Network = request.getfixturevalue(name)
    inputs, reached = golden_inputs(network)
    result, design = sd.simulate(network, inputs, trace=True), design_of(network, sd.HlsConfig())
    rng = np.random.default_rng(2026)
    for index in (0, 2):
        weights, layer = reached.goals.synapses[index], network.layers[index]
        places, bits = rng.integers(0, layer.weight.shape, (200, 2)), rng.integers(0, weights.bits, 200)
        shows = reached.have[index, "bits", 0].reshape(weights.bits, *layer.weight.shape)
        caught = weights_caught(network, inputs, result, index, places, bits, weights.bits)
        assert (caught == shows[bits, *places.T]).all() and caught.mean() > (0.88 if index else 0.999)
        outputs = np.repeat(np.arange(layer.outputs), 2)
        starts = starts_caught(network, result, index, outputs, np.tile([1, -1], layer.outputs))
        assert not layer.bias.any() or (starts.reshape(-1, 2).T.reshape(-1) == reached.have[index, "starts", 0]).all()
        assert not layer.bias.any() or starts.mean() > (0.7 if index else 0.999)
    for unit, trace, neuron, index in zip(design.neurons, result.trace, network.neurons, (1, 3), strict=True):
        lows, highs = reached.goals.ranges[index - 1]
        span = int(lows.min()), int(highs.max())
        met, every = seen(neuron, trace), possible(neuron, *span, network.steps, still=index == 1)
        told = [[(other._level(*of) != unit._level(*of)).any() for of in (met, every)] for other in table_bits(unit)]
        caught, may = np.array(told).T
        assert may.any() and np.count_nonzero(may & ~caught) <= (missed * np.count_nonzero(may) if index == 3 else 0)


def said_to_show(reached: Reached, index: int, output: int, channel: int, bit: int) -> bool:
    weights = reached.goals.synapses[index]
    return bool(reached.have[index, "bits", 0].reshape(weights.bits, -1, weights.layer.inputs)[bit, output, channel])


def flip_number(path: Path, array: str, place: int, bit: int) -> None:
    """Changes a bit of the number at a place of an array of a header."""
    text = path.read_text()
    found = re.search(rf"static const \S+ {array}[^=]*= ({{.*?}});", text, re.DOTALL)
    assert found is not None
    number = list(re.finditer(r"0x[0-9a-f]+|-?\b\d+", found[1]))[place]
    start = found.start(1)
    changed = str(int(number[0], 0) ^ (1 << bit))
    path.write_text(text[: start + number.start()] + changed + text[start + number.end() :])


@pytest.mark.parametrize(("rom", "array", "bit"), [(1, "WEIGHTS", 0), (1, "WEIGHTS", 13), (3, "WEIGHTS", 2)])
def test_changed_weights_in_cpp(
    rom: int, array: str, bit: int, small: sd.Network, tmp_path: Path, compiler: None
) -> None:
    """The default golden data of a small project, without the testbench's own check of its constants."""
    project = sd.emit_hls(small, tmp_path / "p", sd.HlsConfig(pe=4))
    without_rom_check(project)
    assert make(project, "csim").startswith("PASS: 0 mismatches")
    flip_number(project / "src" / f"rom{rom}.h", array, 5, bit)
    assert re.search(r"layer [24] \(lif[12]\) neuron", first_difference(project))


@pytest.mark.parametrize(("state", "threshold", "bit"), [(4, 0, 0), (4, 1, 0), (4, 2, 0), (1, 1, 6)])
def test_changed_thresholds_in_cpp(
    state: int, threshold: int, bit: int, small: sd.Network, tmp_path: Path, compiler: None
) -> None:
    """Rows of states that neurons are in, by one bit each."""
    project = sd.emit_hls(small, tmp_path / "p", sd.HlsConfig(pe=4))
    without_rom_check(project)
    flip_number(project / "src" / "rom2.h", "THRESHOLDS", 3 * state + threshold, bit)
    assert "layer 2 (lif1) neuron" in first_difference(project)
