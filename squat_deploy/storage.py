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
from squat_deploy.network import (
    MAX_NEURONS,
    SCHEMA_VERSION,
    InputSpec,
    IntArray,
    Layer,
    Network,
    Neuron,
    arrays_of,
)
from squat_deploy.synapses import Conv2d, Dense, Synapses

MAX_BYTES = 2**30
MAX_PATCH_VALUES = 2**25  # what a sample of a convolution takes in memory
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
        "input": {**vars(spec), "shape": list(spec.shape)},
        "layers": [{"kind": type(layer).__name__, "name": layer.name} for layer in network.layers],
        "certificate": network.certificate.to_dict(),
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
    if path.suffix == ".onnx":
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
    if not isinstance(document, dict) or document.get("schema") != SCHEMA_VERSION:
        got = document.get("schema") if isinstance(document, dict) else document
        raise FileFormatError(f"{path}: schema {got!r}; this version reads {SCHEMA_VERSION}")
    if any(array.dtype.kind != "i" for array in tensors.values()):
        raise FileFormatError(f"{path}: every array must hold signed integers")
    return document, {key: array.astype(np.int64) for key, array in tensors.items()}


def _build(document: dict[str, Any], tensors: dict[str, IntArray]) -> Network:
    spec = InputSpec(**{**document["input"], "shape": tuple(document["input"]["shape"])})
    layers = tuple(_layer(entry, i, tensors) for i, entry in enumerate(document["layers"]))
    certificate = Certificate.from_dict(document["certificate"])
    return Network(spec, layers, int(document["steps"]), certificate, str(document["name"]))


def _layer(entry: dict[str, Any], index: int, tensors: dict[str, IntArray]) -> Layer:
    name, kind = str(entry["name"]), entry["kind"]
    if kind == "Dense":
        return Dense(name, tensors[f"{index}.weight"], tensors[f"{index}.bias"])
    if kind == "Conv2d":
        return conv2d_of(name, tensors[f"{index}.weight"], tensors[f"{index}.bias"], tensors[f"{index}.geometry"])
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
    """Everything that an executor relies on. Raises: FileFormatError that names the layer and the rule."""
    kinds = [isinstance(layer, Neuron) for layer in network.layers]
    if not kinds or kinds != [False, True] * (len(kinds) // 2):
        raise FileFormatError(f"{path}: layers must alternate synapses and neurons")
    if not 1 <= network.steps < 2**16:
        raise FileFormatError(f"{path}: steps must be 1 to 65535; got {network.steps}")
    if [row.layer for row in network.certificate.layers] != [neuron.name for neuron in network.neurons]:
        raise FileFormatError(f"{path}: the certificate must have one row a neuron layer, in order")
    for row in network.certificate.layers:
        if row.proven != (row.at_risk == 0):
            raise FileFormatError(f"{path}: {row.layer}: proven with combinations at risk, or the reverse")
    width = network.input.size
    for dense, neuron, low, high in network.pairs():
        for rule in _broken_rules(dense, neuron, width, low, high):
            raise FileFormatError(f"{path}: {neuron.name}: {rule}")
        width = neuron.neurons


def _broken_rules(dense: Synapses, neuron: Neuron, width: int, low: int, high: int) -> list[str]:
    weight, thresholds = dense.weight, neuron.thresholds
    rank = 2 if isinstance(dense, Dense) else 4
    if weight.ndim != rank or not weight.size or dense.inputs != width or dense.bias.shape != weight.shape[:1]:
        return [f"weights {weight.shape} and bias {dense.bias.shape} do not take {width} inputs"]
    if isinstance(dense, Conv2d) and dense.patch_values > MAX_PATCH_VALUES:
        return [f"a convolution of {dense.patch_values} products a channel; at most {MAX_PATCH_VALUES}"]
    if not 1 <= dense.outputs <= MAX_NEURONS or neuron.table.shape != (dense.outputs,):
        return [f"{neuron.table.shape} neurons behind weights {weight.shape}"]
    if np.abs(weight).max(initial=0) > 2**15 or np.abs(dense.bias).max(initial=0) > 2**40:
        return ["weights exceed 16 bits or the bias 40"]
    if thresholds.ndim != 3 or not len(thresholds):
        return [f"threshold tables of shape {thresholds.shape}"]
    if not 1 <= thresholds.shape[2] <= 255 or not 2 <= neuron.states <= 1024:
        return [f"threshold tables of shape {thresholds.shape}"]
    tables = len(thresholds)
    if neuron.membranes.shape != (tables, neuron.states):
        return [f"membranes of shape {neuron.membranes.shape}"]
    if neuron.successor.shape != (tables, neuron.states, neuron.level_count) or neuron.fire_level.shape != (tables,):
        return ["successor or fire level of another shape than the thresholds"]
    lows, highs = dense.sum_range(low, high)
    rules = {
        "thresholds must ascend": (np.diff(thresholds, axis=2) >= 0).all(),
        "thresholds must lie in the reachable range of sums": lows.min() <= thresholds.min()
        and thresholds.max() <= highs.max() + 1,
        "successors must be states": _within(neuron.successor, 0, neuron.states - 1),
        "fire levels must be levels": _within(neuron.fire_level, 0, neuron.level_count),
        "every neuron must have a table": _within(neuron.table, 0, tables - 1),
        "the initial state must be a state": 0 <= neuron.initial_state < neuron.states,
    }
    return [rule for rule, holds in rules.items() if not holds]


def _within(array: IntArray, low: int, high: int) -> bool:
    return bool(array.min() >= low and array.max() <= high)
