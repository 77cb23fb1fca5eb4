"""What the files of the testbench print: frozen classes, whose fields are the names that templates use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from squat_deploy.backends import cpp
from squat_deploy.backends.golden import Golden, golden_of
from squat_deploy.backends.testbench.laws import law_of, readout_lines, sums, taken
from squat_deploy.hardware.input_words import InputWords
from squat_deploy.network import IntArray, Network, TwoStateNeuron
from squat_deploy.network.layers import NeuronLayer
from squat_deploy.network.readout import SCORES


@dataclass(frozen=True)
class Traced:
    """A layer of neurons in the interface; `states` says what its state indices are."""

    number: int
    name: str
    size: int
    states: str


@dataclass(frozen=True)
class Bench:
    """All files but the constants.

    Attributes:
        same: said of inputs that are the same in all steps.
        at_restart: what a start reads from the stream.
        words_in, words_out, in_two: what the streams carry.
        unless: where words may be left in the stream.
        calls: how streams are run besides.
        frame: what a line of the stimulus is.
    """

    header: str
    title: str
    golden: Golden
    layers: tuple[Traced, ...]
    inputs: str
    scores: str
    values: str
    same: str
    at_restart: str
    words_in: str
    words_out: int
    in_two: str
    unless: str
    calls: str
    frame: str
    sequences: int
    constants: bool
    digest: str
    version: str
    certificate: str


@dataclass(frozen=True)
class Array:
    """A constant array: its C type, its sizes in brackets, and its initializer."""

    name: str
    type: str
    sizes: str
    values: str


@dataclass(frozen=True)
class ConstantLayer:
    """A layer in the file of constants, and its law, which is a comment."""

    number: int
    name: str
    kind: str
    size: int
    law: str
    arrays: tuple[Array, ...]


@dataclass(frozen=True)
class Constants:
    """The file `constants.h`; `worth` is what every state adds to a score, where it does."""

    header: str
    title: str
    inputs: str
    layers: tuple[ConstantLayer, ...]
    readout: str
    worth: str


def numbers_of(network: Network) -> list[int]:
    """What files and messages call the layers of neurons: their places among all layers, from 1."""
    return [place for place, layer in enumerate(network.layers, 1) if isinstance(layer, NeuronLayer)]


def bench_of(network: Network, entry: InputWords, header: str, sequences: int, *, constants: bool) -> Bench:
    """The testbench of a network that takes such words."""
    from squat_deploy import __version__

    golden = golden_of(network, entry, numbers_of(network))
    return Bench(
        header=header,
        title=cpp.plain(network.name),
        golden=golden,
        layers=tuple(_traced(network)),
        inputs=_inputs(entry),
        scores=SCORES[network.readout],
        values="" if network.values is None else network.values.described,
        **_words(golden, entry),
        words_out=golden.outputs * golden.words,
        sequences=sequences,
        constants=constants,
        digest=network.digest,
        version=__version__,
        certificate="proven in every layer" if network.certificate.proven else "NOT PROVEN in every layer",
    )


def _inputs(entry: InputWords) -> str:
    """What a line of the stimulus and a call of the core hold."""
    if entry.once and entry.encoder is not None:
        return f"{entry.spec.size} intensities 0..{entry.fields.mask}, which the core encodes itself"
    return entry.spec.described


def _words(golden: Golden, entry: InputWords) -> dict[str, Any]:
    """What is said of streams."""
    return {
        "same": ", the same in every step of a sequence" if golden.once else "",
        "at_restart": ", one input frame is read" if golden.once else "",
        "words_in": entry.described,
        "in_two": ", each in two, the low one first" if golden.words == 2 else "",
        "unless": ", but for events of later steps" if golden.window else "",
        "calls": ", and of streams the first runs in two calls, with a refused one in between"
        if golden.steps > 1
        else "",
        "frame": "a sequence" if golden.once else "a step",
    }


def _traced(network: Network) -> Iterator[Traced]:
    for number, layer in zip(numbers_of(network), network.neurons, strict=True):
        states = f"state 0..{layer.states - 1}, {layer.initial_state} at the start"
        if isinstance(layer, TwoStateNeuron):
            states += f"; state of the current * {layer.membrane_state_count} + state of the membrane"
        yield Traced(number, cpp.plain(layer.name), layer.neurons, states)


def constants_of(network: Network, header: str) -> Constants:
    """The constants of a network."""
    return Constants(
        header=header,
        title=cpp.plain(network.name),
        inputs=network.input.described,
        layers=tuple(_constant_layer(network, position) for position in range(len(network.layers))),
        readout=_comment(readout_lines(network)),
        worth=cpp.initializer(np.array(network.worth, dtype=np.int64)) if network.worth else "",
    )


def _constant_layer(network: Network, position: int) -> ConstantLayer:
    layer, law = network.layers[position], law_of(network.layers[position])
    lines = (*taken(network, position), *law.lines)
    return ConstantLayer(
        number=position + 1,
        name=cpp.plain(layer.name),
        kind=type(layer).__name__,
        size=layer.outputs,
        law=_comment(lines if isinstance(layer, NeuronLayer) else (*lines, sums(network, position))),
        arrays=tuple(_array(name, values) for name, values in law.arrays.items()),
    )


def _comment(lines: tuple[str, ...]) -> str:
    return "\n *     ".join(lines)


def _array(name: str, values: IntArray) -> Array:
    kind = cpp.native_int(int(values.min()), int(values.max())).removeprefix("std::")
    return Array(name, kind, "".join(f"[{size}]" for size in values.shape), cpp.initializer(values))
