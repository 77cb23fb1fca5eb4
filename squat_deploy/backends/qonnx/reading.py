"""Reading a Network back from any of the three forms, also after others have cleaned or folded the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from squat_deploy.backends.qonnx.document import KEY, Document
from squat_deploy.backends.qonnx.emitting import structure
from squat_deploy.backends.qonnx.layers import plan_layers
from squat_deploy.backends.qonnx.matching import match
from squat_deploy.errors import ConfigError, ExportError, FileFormatError
from squat_deploy.network import IntArray, Network
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.rules import broken_rule
from squat_deploy.onnx_file import parse


def load_qonnx(path: str | Path) -> Network:
    """The Network that an ONNX file of `emit_qonnx` holds.

    Every node is held against the graph that the metadata describe, every array against the rules of its layer, and
    the digest is computed anew.

    Raises: FileFormatError for a file that is damaged, not ours, or changed; names the node, tensor or rule.
    """
    path = Path(path)
    model = parse(path)
    text = next((entry.value for entry in model.metadata_props if entry.key == KEY), None)
    if text is None:
        raise FileFormatError(f"{path}: an ONNX file, but its metadata has no {KEY}: not written by emit_qonnx")
    try:
        document = Document.from_json(text)
        found = match(structure(document), model.graph)
        network = _network(document, {name: _integers(name, array) for name, array in found.items()})
    except (ConfigError, ExportError, FileFormatError) as error:
        message = str(error).removeprefix(f"{path}: ")
        raise FileFormatError(f"{path}: {message}") from error
    except (LookupError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: malformed: {error!r}") from error
    if network.digest != document.digest:
        raise FileFormatError(f"{path}: its digest is not that of its content; the file was altered")
    return network


def _integers(name: str, array: np.ndarray) -> IntArray:
    """Arrays of the form finn are float32; what they hold must be integers."""
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.rint(array)).all()):
        raise FileFormatError(f"tensor {name!r}: must hold integers")
    return array.astype(np.int64)


def _network(document: Document, arrays: dict[str, IntArray]) -> Network:
    """Rebuilt from the arrays, and compared with everything else that the file says of them."""
    layers = tuple(plan.made_of(arrays) for plan in document.layers)
    wires = tuple(plan.takes for plan in document.layers)
    found = (document.witnesses, document.searched)
    certificate = Certificate(document.certificate, document.environment, document.assumptions, *found)
    stated = (document.name, wires, document.readout, document.origin)
    network = Network(document.input, layers, document.steps, certificate, *stated)
    if (rule := broken_rule(network)) is not None:
        raise FileFormatError(rule)
    if document.values not in (None, network.values):  # files of before have none
        raise FileFormatError("metadata: values: contradict the membranes of the output neurons")
    for said, layer, real in zip(document.layers, layers, plan_layers(network), strict=True):
        if said != real:
            names = (name for name, value in vars(said).items() if value != getattr(real, name, None))
            raise FileFormatError(f"metadata: {said.layer}: {next(names)} contradicts the arrays")
        for name, array in real.tensors(layer.saved()).items():
            if not np.array_equal(arrays.get(name, array).reshape(array.shape), array):  # no spikes, no fire levels
                raise FileFormatError(f"tensor {name!r}: contradicts the other arrays of its layer")
    return network
