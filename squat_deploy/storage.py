"""A Network as one safetensors file: integer arrays, and JSON metadata with schema version and digest.

Files from others are untrusted: sizes are bounded, every array is checked against the rules of its dataclass, and the
digest is recomputed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from squat_deploy.certificate import Certificate
from squat_deploy.errors import ConfigError, FileFormatError
from squat_deploy.files import write_file
from squat_deploy.joins import Add, Concat, Pool2d
from squat_deploy.network import (
    SCHEMA_VERSION,
    InputSpec,
    IntArray,
    Layer,
    Network,
    Neuron,
    arrays_of,
)
from squat_deploy.origin import Origin
from squat_deploy.rules import broken_rule
from squat_deploy.synapses import Conv2d, Dense

MAX_BYTES = 2**30
_FORMAT = "squat_deploy.network"
_INT_TYPES = (np.int8, np.int16, np.int32, np.int64)


def save(network: Network, path: str | Path) -> None:
    """Writes the network to `path`, whole or not at all. Raises: ExportError."""
    tensors = {
        f"{i}.{key}": _narrow(a) for i, layer in enumerate(network.layers) for key, a in arrays_of(layer).items()
    }
    tensors |= {
        f"{i}.membrane_bits": np.ascontiguousarray(layer.membranes, dtype=np.float32).view(np.int32)
        for i, layer in enumerate(network.layers)
        if isinstance(layer, Neuron)
    }
    spec = network.input
    document = {
        "format": _FORMAT,
        "schema": SCHEMA_VERSION,
        "name": network.name,
        "digest": network.digest,
        "steps": network.steps,
        "readout": network.readout,
        "input": {**vars(spec), "shape": list(spec.shape)},
        "layers": [
            {"kind": type(layer).__name__, "name": layer.name, "takes": wire}
            for layer, wire in zip(network.layers, network.wires, strict=True)
        ],
        "certificate": network.certificate.to_dict(),
        "origin": network.origin.to_dict(),
    }
    write_file(Path(path), save_tensors(tensors, metadata={_FORMAT: json.dumps(document)}))


def _narrow(array: IntArray) -> np.ndarray[Any, Any]:
    """The same integers in the smallest type that holds them."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    fits = next(t for t in _INT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(array, dtype=fits)


def load(path: str | Path) -> Network:
    """Reads a network, from its own file or from an ONNX graph (`.onnx`) of `emit_qonnx`, and checks all of it.

    Raises: FileFormatError, with what is wrong, for a file that is missing, truncated, not a network, or altered.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx":
        from squat_deploy.backends.qonnx.reading import load_qonnx

        return load_qonnx(path)
    document, tensors = _read(path)
    try:
        network = _build(document, tensors)
        validate(network, path)
    except (LookupError, ArithmeticError, AttributeError, TypeError, ValueError, ConfigError) as error:
        raise FileFormatError(f"{path}: the description does not fit the arrays: {error!r}") from error
    if network.digest != document.get("digest"):
        raise FileFormatError(f"{path}: its digest is not that of its content; the file was altered")
    return network


def _read(path: Path) -> tuple[dict[str, Any], dict[str, IntArray]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileFormatError(f"{path}: larger than {MAX_BYTES} bytes")
        with safe_open(path, framework="numpy") as file:
            metadata = (file.metadata() or {}).get(_FORMAT)
            if metadata is None:
                raise FileFormatError(f"{path}: a safetensors file, but not a squat_deploy network")
            document = json.loads(metadata)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise FileFormatError(f"{path}: cannot be read as a network: {error}") from error
    if not isinstance(document, dict) or document.get("schema") not in range(1, SCHEMA_VERSION + 1):
        got = document.get("schema") if isinstance(document, dict) else document
        raise FileFormatError(f"{path}: schema {got!r}; this version reads 1 to {SCHEMA_VERSION}")
    if any(array.dtype.kind != "i" for array in tensors.values()):
        raise FileFormatError(f"{path}: every array must hold signed integers")
    return document, {key: array.astype(np.int64) for key, array in tensors.items()}


def _build(document: dict[str, Any], tensors: dict[str, IntArray]) -> Network:
    spec = InputSpec(**{**document["input"], "shape": tuple(document["input"]["shape"])})
    layers = tuple(_layer(entry, i, tensors) for i, entry in enumerate(document["layers"]))
    certificate = Certificate.from_dict(document["certificate"])
    wires = tuple(tuple(map(int, entry.get("takes", [i - 1]))) for i, entry in enumerate(document["layers"]))
    readout = document.get("readout", "count")
    origin, name = Origin.from_dict(document.get("origin")), str(document["name"])
    return Network(spec, layers, int(document["steps"]), certificate, name, wires, readout, origin)


def _layer(entry: dict[str, Any], index: int, tensors: dict[str, IntArray]) -> Layer:
    name, kind = str(entry["name"]), entry["kind"]
    if kind == "Dense":
        return Dense(name, tensors[f"{index}.weight"], tensors[f"{index}.bias"])
    if kind == "Conv2d":
        return conv2d_of(name, tensors[f"{index}.weight"], tensors[f"{index}.bias"], tensors[f"{index}.geometry"])
    if kind == "Pool2d":
        return Pool2d.of(name, tensors[f"{index}.geometry"])
    if kind == "Add":
        return Add(name, int(tensors[f"{index}.size"][0]), tuple(tensors[f"{index}.factors"].tolist()))
    if kind == "Concat":
        return Concat(name, tuple(tensors[f"{index}.sizes"].tolist()))
    if kind != "Neuron":
        raise ValueError(f"layer kind {kind!r}")
    arrays = {key: tensors[f"{index}.{key}"] for key in ("thresholds", "successor", "fire_level", "table")}
    initial = int(tensors[f"{index}.initial_state"].reshape(-1)[0])
    membranes = tensors[f"{index}.membrane_bits"].astype(np.int32).view(np.float32)
    return Neuron(name, **arrays, initial_state=initial, membranes=membranes)


def conv2d_of(name: str, weight: IntArray, bias: IntArray, geometry: IntArray) -> Conv2d:
    """The inverse of `Conv2d.geometry`. Raises: ValueError, ConfigError for sizes that do not fit."""
    channels, height, width, *pairs, groups = geometry.reshape(-1).tolist()
    stride, padding, dilation = zip(pairs[::2], pairs[1::2], strict=True)
    return Conv2d(name, weight, bias, (channels, height, width), stride, padding, dilation, groups)


def validate(network: Network, path: Path) -> None:
    """Raises: FileFormatError that names the layer and the rule, if the network breaks one."""
    if (rule := broken_rule(network)) is not None:
        raise FileFormatError(f"{path}: {rule}")
