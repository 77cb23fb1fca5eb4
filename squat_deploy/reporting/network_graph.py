"""The network drawn: layers in one column in the order in which they run, wires that skip layers beside them.

A column has room for names on a phone, keeps the order of execution, and needs no search for a layout.
"""

from __future__ import annotations

from collections.abc import Iterator

from squat_deploy.errors import printable
from squat_deploy.network import INPUT, Network
from squat_deploy.network.layers import NeuronLayer, Weighted
from squat_deploy.network.readout import SCORES
from squat_deploy.reporting.blocks import Arrow, Box, Drawing, Paragraph, Section
from squat_deploy.reporting.material import Core, Material

WIDTH, HEIGHT, GAP = 320.0, 74.0, 30.0
_LANE = 12.0  # between wires side by side
_TITLE, _LETTERS = 36, 46  # of a box, and of a line in it
Wire = tuple[int, int]  # from row to row; the input is row 0


def graph_section(material: Material) -> Section:
    """Layers, sizes, bits and folding."""
    network = material.network
    wires = _wires(network)
    beside = [wire for wire in wires if wire[1] - wire[0] != 1]
    lanes = {wire: lane for lane, wire in enumerate(sorted(beside, key=lambda wire: abs(wire[1] - wire[0])))}
    left = _LANE * (2.5 + len(lanes)) if any(end <= start for start, end in wires) else 2.0
    middle = left + WIDTH / 2
    boxes = tuple(
        Box(middle, _top(row) + HEIGHT / 2, style, _cut(title, _TITLE), tuple(_cut(line, _LETTERS) for line in lines))
        for row, (style, title, lines) in enumerate(_boxes(material))
    )
    arrows = tuple(_arrow(network, wire, left, lanes.get(wire)) for wire in wires)
    width = left + WIDTH + (_LANE * (2 + len(lanes)) if any(end > start for start, end in beside) else _LANE)
    drawing = Drawing(width, _top(len(boxes)) - GAP + 4, WIDTH, HEIGHT, boxes, arrows)
    late = "Dashed wires bring the spikes of the step before. " if any(end <= start for start, end in wires) else ""
    text = f"{late}One time step runs from top to bottom; {network.steps} steps are one sequence."
    return Section("network", "Network", (Paragraph(text), drawing))


def _top(row: int) -> float:
    return 4 + row * (HEIGHT + GAP)


def _cut(text: str, most: int) -> str:
    text = printable(text)  # before it is cut
    return text if len(text) <= most else text[: most - 1] + "…"


def _wires(network: Network) -> tuple[Wire, ...]:
    """By rows, the readout last."""
    found = [(source - INPUT, index + 1) for index, wire in enumerate(network.wires) for source in wire]
    last = len(network.layers)
    return tuple(dict.fromkeys([*found, (last, last + 1)]))


def _boxes(material: Material) -> Iterator[tuple[str, str, list[str]]]:
    network, spec = material.network, material.network.input
    shape = "x".join(map(str, spec.shape))
    shown = "the same at every step" if spec.encoding == "direct" else "new ones at every step"
    yield "end", "input", [f"{shape} integers {spec.low}..{spec.high}, {spec.bits} bits", shown]
    for index, layer in enumerate(network.layers):
        sizes, values = layer.about()
        style = "neurons" if isinstance(layer, NeuronLayer) else "synapses"
        lines = [f"{sizes}, {values}", _bits(material, index), _folded(material.core, index)]
        yield style, f"{layer.name} ({type(layer).__name__})", [line for line in lines if line]
    yield "end", f"{network.outputs} classes", [f"by {network.readout}", SCORES[network.readout]]


def _bits(material: Material, index: int) -> str:
    """Widths in hardware where a core is known, else by the ranges."""
    layer, network = material.network.layers[index], material.network
    if isinstance(layer, NeuronLayer):
        return f"{layer.state_bits} bits a state"
    low, high = (int(end(values)) for end, values in zip((min, max), network.range_at(index), strict=True))
    told = f"{'sums' if isinstance(layer, Weighted) else 'values'} {low}..{high}"
    facts = {} if material.core is None else _facts(material.core, index)
    widths = [
        f"{facts[key]}-bit {what}" for key, what in (("weight_bits", "weights"), ("sum_bits", "sums")) if key in facts
    ]
    return ", ".join([*widths, told])


def _facts(core: Core, index: int) -> dict[str, object]:
    nodes = core.folding.design.graph.nodes
    return next(core.folding.design.parts[node.number - 1].facts for node in nodes if node.position == index)


def _folded(core: Core | None, index: int) -> str:
    """The lanes of the process in which a layer runs."""
    if core is None:
        return ""
    graph = core.folding.design.graph
    number = next(graph.process_of[node.number] for node in graph.nodes if node.position == index)
    share = core.folding.shares[number - 1]
    events = ", 2 events" if share.events == 2 else ""
    return f"PE {share.pe} of {share.widest}{events}, {share.cycles:,.0f} cycles a step"


def _arrow(network: Network, wire: Wire, left: float, lane: int | None) -> Arrow:
    """Straight to the next row, on the right past rows, on the left and back for what comes a step late."""
    start, end = wire
    names = ["input", *(layer.name for layer in network.layers), "classes"]
    title = printable(f"{names[start]} to {names[end]}" + (", a step late" if end <= start else ""))
    if lane is None:
        x = left + WIDTH / 2
        return Arrow(f"M {x:g} {_top(start) + HEIGHT:g} V {_top(end) - 3:g}", "near", title)
    if end > start:
        edge, turn = left + WIDTH, left + WIDTH + _LANE * (1 + lane)
        style = "far"
    else:
        edge, turn = left, left - _LANE * (1.5 + lane)
        style = "late"
    low, high = _top(start) + HEIGHT * 0.7, _top(end) + HEIGHT * 0.3
    tip = edge + 3 if edge < turn else edge - 3
    return Arrow(f"M {edge:g} {low:g} H {turn:g} V {high:g} H {tip:g}", style, title)
