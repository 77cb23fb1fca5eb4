"""Convolutions and pooled lists of a core, by the memories that lie in the project: what every input meets.

`squat_walk` leads an event as its tables say, and `squat_scatter_plane` adds the weights of every visit. Here tables,
steps and weights are followed for every input that there is, and compared with what the network's layer makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.backends.rtl.streams import NOTHING, elements_of
from squat_deploy.errors import ExportError, printable
from squat_deploy.hardware.graph import Graph, Node
from squat_deploy.hardware.grid import Grid
from squat_deploy.hardware.lanes import Lanes
from squat_deploy.hardware.units import FormBlueprint
from squat_deploy.hardware.units.pool import PoolBlueprint
from squat_deploy.hardware.units.scatter import SynapseBlueprint
from squat_deploy.network import IntArray, Network
from squat_deploy.network.layers import Conv2d, ConvTranspose2d, Layer, Pool2d
from squat_deploy.proofs.core import Cell, Parameters, check_parts
from squat_deploy.proofs.table import Row

_AT_ONCE = 64  # inputs
_WALKS = ("walk", "windows")
_WORD = re.compile(r"[0-9a-fA-F]+")
_CLAIM = "every input reaches its outputs by its weights, once, and nothing else"
Proof = tuple[str, Callable[[], Row]]  # what it is about
Makes = Callable[[NDArray[Any]], NDArray[Any]]  # of inputs (B, inputs) what a layer makes (B, outputs)


@dataclass(frozen=True, eq=False)
class Visits:
    """All visits of all inputs, an entry each: of which input, its word of weights, the place that it reaches.

    Attributes:
        count: of inputs, those without visits among them.
    """

    inputs: IntArray
    words: IntArray
    places: IntArray
    count: int


def proofs_of(cells: Mapping[str, Cell], network: Network, graph: Graph, project: Path) -> Iterator[Proof]:
    """A proof for each walk of the plan. Raises: ExportError where core or memories are not those of this network."""
    walks = {f"{kind}{node.number}": node for node in graph.nodes for kind in _walk_of(node)}
    sums = {f"scatter{node.number}" for name, node in walks.items() if name.startswith("walk")}
    check_parts({name for name, cell in cells.items() if _module(cell) in _WALKS}, walks.keys(), project)
    check_parts({name for name, cell in cells.items() if _module(cell) == "scatter_plane"}, sums, project)
    for name, node in walks.items():
        visits = visits_of(cells[name].parameters, project)
        layer = None if node.position is None else network.layers[node.position]
        if isinstance(layer, Pool2d):
            weights, elements = np.ones((2, 1), dtype=np.int64), _codes(node.signal.grid)  # its walk has no words
        else:
            plane = cells[f"scatter{node.number}"].parameters
            elements = elements_of(Lanes(node.signal.channels, node.signal.positions, int(plane["PE"])))
            weights = _weights(project, plane, elements.shape[1])
        told = f"{printable(node.name)}: walk of its events"
        yield told, partial(_row, told, visits, weights, elements, _makes(layer))


def _module(cell: Cell) -> str:
    return cell.kind.removeprefix("squat_")


def _walk_of(node: Node) -> tuple[str, ...]:
    """The walk that the plan has for a node, if any; fully connected synapses take rows, places of vectors none."""
    match node.blueprint:
        case PoolBlueprint():
            return ("windows",) * node.signal.events
        case SynapseBlueprint() as synapses:
            return ("walk",) * (synapses.most_events == 1)
        case FormBlueprint():
            return ("walk",) * (not node.signal.events and node.signal.positions > 1)
    return ()


def visits_of(walk: Parameters, project: Path) -> Visits:
    """Follows the tables and steps of a walk, as `squat_walk` says in its comment."""
    sizes = [int(walk[name]) for name in ("CHANNELS", "HEIGHT", "WIDTH")]
    bits = int(walk.get("WORD", 1)), int(walk.get("PLACE", walk.get("GIVEN", 1)))
    span = int(walk.get("SPAN", 1))
    files = zip(("CHANNEL", "LINE", "COLUMN"), sizes, strict=True)
    tables = [_split(np.array(_memory(project, walk[name], size)), *bits) for name, size in files]
    down = int(walk.get("WORD_DOWN", 1)), int(walk.get("PLACE_DOWN", walk.get("DOWN", 1)))
    right = int(walk.get("WORD_RIGHT", 1)), int(walk.get("PLACE_RIGHT", walk.get("RIGHT", 1)))
    lines, columns = tables[1][2], tables[2][2]
    every = np.indices((*sizes, int(lines.max()), int(columns.max()), span)).reshape(6, -1)
    channel, y, x, line, column, group = every[:, (every[3] < lines[every[1]]) & (every[4] < columns[every[2]])]
    met = []
    for which in (0, 1):
        first = tables[0][which][channel] + tables[1][which][y] + tables[2][which][x]
        steps = line * down[which] + column * (right[which] + span - 1) + group
        met.append((first + steps) % 2 ** bits[which])
    words, places = met
    return Visits(Grid(*sizes).joined(channel, y, x), words, places, Grid(*sizes).size)


def _split(codes: IntArray, word: int, place: int) -> tuple[IntArray, IntArray, IntArray]:
    """(word, place, taps) of {taps, word, place}."""
    return codes >> place & (2**word - 1), codes & (2**place - 1), codes >> (word + place)


def _memory(project: Path, name: int | str, count: int) -> list[int]:
    """The words of a memory. Raises: ExportError where they are none, or not so many."""
    words = (project / str(name)).read_text().split()
    if len(words) != count or not all(map(_WORD.fullmatch, words)):
        raise ExportError(f"{project}: {name} has not {count} words of a memory; write the project anew")
    return [int(word, 16) for word in words]


def _weights(project: Path, sums: Parameters, pe: int) -> IntArray:
    """(words, pe) of the memory of a plane of sums."""
    bits = int(sums["WEIGHT"])
    rows = _memory(project, sums["WEIGHTS"], int(sums["WORDS"]))
    codes = np.array([[row >> lane * bits & (2**bits - 1) for lane in range(pe)] for row in rows], dtype=np.int64)
    return codes * 2 - 1 if int(sums["BIPOLAR"]) else codes - (codes >> (bits - 1) << bits)


def _codes(grid: Grid) -> IntArray:
    """(codes, 1) the element of each code."""
    elements = np.full((grid.codes, 1), NOTHING)
    elements[grid.listed, 0] = np.arange(grid.size)
    return elements


def _makes(layer: Layer | None) -> Makes:
    """What a layer makes of inputs, without its bias; what is no layer places events into sums as they are."""
    if isinstance(layer, Conv2d | ConvTranspose2d):
        matrix = layer.matrix(layer.weight)
        return lambda ones: layer.multiply(ones, matrix)
    return layer.apply if isinstance(layer, Pool2d) else lambda ones: ones


def _row(told: str, visits: Visits, weights: IntArray, elements: IntArray, makes: Makes) -> Row:
    """Adds up all visits of every input, and compares: `elements` (places, lanes) says which one lies where."""
    held = elements != NOTHING
    lost = (visits.places >= len(elements)) | (visits.words >= len(weights))
    lost |= ~held.any(axis=1)[np.minimum(visits.places, len(elements) - 1)]
    if lost.any():
        return Row(told, _CLAIM, "failed", None, f"input {visits.inputs[lost][0]}: a visit leads nowhere")
    for first in range(0, visits.count, _AT_ONCE):
        ones = np.eye(min(_AT_ONCE, visits.count - first), visits.count, first)
        here = (visits.inputs >= first) & (visits.inputs < first + len(ones))
        found = np.zeros((len(ones), *elements.shape))
        np.add.at(found, (visits.inputs[here] - first, visits.places[here]), weights[visits.words[here]])
        wanted = makes(ones)[:, elements[held]]
        for which, output in np.argwhere(found[:, held] != wanted)[:1]:
            expected, got = int(wanted[which, output]), int(found[:, held][which, output])
            how = f"input {first + which}, output {elements[held][output]}: expected {expected}, got {got}"
            return Row(told, _CLAIM, "failed", None, how)
    how = f"all {visits.count} inputs, {len(visits.inputs)} visits, by the tables, steps and weights of the project"
    return Row(told, _CLAIM, "proven", None, how)
