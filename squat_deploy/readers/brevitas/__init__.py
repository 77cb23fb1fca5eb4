"""Reading the QONNX files that Brevitas exports: a feed-forward net's integer weights, exactly as the file means them.

Brevitas stores float weights and a Quant node beside each; its integers are what that node would compute in float32.
The file is all there is to go by: where a trained module quantizes in a way that a Quant node does not express (a
learned rounding, FLOOR for weights), Brevitas writes a file that means other weights than the module's, and those are
what this reader gives.
"""

from __future__ import annotations

from pathlib import Path

from squat_deploy.errors import FileFormatError
from squat_deploy.onnx_file import parse
from squat_deploy.readers.brevitas.constants import File
from squat_deploy.readers.brevitas.graph_reader import GraphReader
from squat_deploy.readers.brevitas.result import ImportedGraph, ImportedSynapses, InputQuant

__all__ = ["ImportedGraph", "ImportedSynapses", "InputQuant", "read_brevitas"]


def read_brevitas(path: Path) -> ImportedGraph:
    """The layers of a net that `brevitas.export.export_qonnx` wrote, with dynamo or without.

    Raises: FileFormatError for a file that is damaged, or holds what this package cannot compute exactly; names the
        node, the rule, what came, and the nearest thing that works.
    """
    path = Path(path)
    graph = parse(path).graph
    try:
        return GraphReader(File(graph)).run()
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from error
