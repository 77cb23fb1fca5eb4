"""A picture of a graph: operators as boxes, tensors on the edges with shape and datatype, drawn by Graphviz."""

from __future__ import annotations

from pathlib import Path

import graphviz
from onnx import GraphProto, ModelProto, TensorProto

from squat_deploy import toolchain
from squat_deploy.backends.qonnx.description import datatypes, sizes
from squat_deploy.errors import ConfigError, ToolError, translated
from squat_deploy.files import check_target, write_file

FORMATS = ("svg", "pdf", "png")
_COLOURS = {"MatMulInteger": "#cfe2f3", "MatMul": "#cfe2f3", "ConvInteger": "#cfe2f3", "Gather": "#fff2cc"}
_FONT = {"fontname": "Helvetica", "fontsize": "10"}


def draw(model: ModelProto, path: Path) -> None:
    """Writes the picture of a model's graph (of the body, if it is a Scan) as .svg, .pdf or .png.

    Raises: ConfigError for another ending; ToolError where Graphviz's `dot` is missing; ExportError.
    """
    ending = path.suffix.removeprefix(".")
    if ending not in FORMATS:
        raise ConfigError(f"picture: {path} must end in {', '.join(f'.{name}' for name in FORMATS)}")
    toolchain.require("dot")
    scans = [a.g for node in model.graph.node if node.op_type == "Scan" for a in node.attribute if a.name == "body"]
    check_target(path)
    with translated(ToolError, "dot failed"):
        picture = _dot(scans[0] if scans else model.graph).pipe(format=ending)
    write_file(path, picture)


def _dot(graph: GraphProto) -> graphviz.Digraph:
    drawing = graphviz.Digraph(graph_attr={"rankdir": "TB", "nodesep": "0.3", "ranksep": "0.3"})
    drawing.attr("node", shape="box", style="rounded,filled", fillcolor="#f2f2f2", **_FONT)
    drawing.attr("edge", color="#666666", fontcolor="#444444", **(_FONT | {"fontsize": "9"}))
    about = _descriptions(graph)
    maker: dict[str, str] = {}
    for index, value in enumerate(graph.input):
        maker[value.name] = f"input{index}"
        drawing.node(f"input{index}", _text(about[value.name]), shape="ellipse", fillcolor="#d9ead3")
    arrays = {tensor.name for tensor in graph.initializer}
    for index, node in enumerate(graph.node):
        drawing.node(f"node{index}", _text(node.op_type), fillcolor=_COLOURS.get(node.op_type, "#f2f2f2"))
        maker |= dict.fromkeys(node.output, f"node{index}")
        for place, name in enumerate(filter(None, node.input)):
            if name in arrays:  # beside each operator that takes it, so that no edge crosses half of the picture
                maker[name] = f"array{index}_{place}"
                drawing.node(maker[name], _text(about[name]), shape="note", fillcolor="#ffffff")
            made = maker[name].startswith("node")
            drawing.edge(maker[name], f"node{index}", label=_text(about.get(name, name)) if made else "")
    for index, value in enumerate(graph.output):
        drawing.node(f"output{index}", _text(about[value.name]), shape="ellipse", fillcolor="#f4cccc")
        drawing.edge(maker[value.name], f"output{index}")
    return drawing


def _text(label: str) -> str:
    return str(graphviz.escape(label)).replace("\n", "\\n")


def _descriptions(graph: GraphProto) -> dict[str, str]:
    """Name, shape and datatype of every tensor."""
    kinds = datatypes(graph)
    shapes = {v.name: sizes(v) for v in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {tensor.name: list(map(str, tensor.dims)) for tensor in graph.initializer}
    types = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
    return {
        name: f"{name}\n{'bool' if types.get(name) == TensorProto.BOOL else kinds.get(name, '')} ({', '.join(shape)})"
        for name, shape in shapes.items()
    }
