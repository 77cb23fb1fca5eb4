"""A Network as one safetensors file: integer arrays, and JSON metadata with schema version and digest.

Files from others are untrusted: sizes are bounded, every array is checked against the rules of its dataclass, and the
digest is recomputed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from squat_deploy.errors import ConfigError, ExportError, FileFormatError, translated
from squat_deploy.files import kind_of, unreadable, write_file
from squat_deploy.network.certificate import Certificate
from squat_deploy.network.inputs import InputSpec
from squat_deploy.network.layers import KINDS, IntArray, Layer
from squat_deploy.network.network import SCHEMA_VERSION, Network, check_network
from squat_deploy.network.origin import Origin
from squat_deploy.network.rules import broken_rule

MAX_BYTES = 2**30
_FORMAT = "squat_deploy.network"
_INT_TYPES = (np.int8, np.int16, np.int32, np.int64)
_INT_CODES = ("I8", "I16", "I32", "I64")  # as safetensors calls them


def save(network: Network, path: str | Path) -> None:
    """Writes the network to `path`, whole or not at all. Raises: ExportError, also for what `load` would refuse."""
    check_network(network)
    write_file(Path(path), encoded(network))


def encoded(network: Network) -> bytes:
    """The bytes of a network's own file. Raises: ExportError for what `load` would refuse."""
    if (rule := broken_rule(network)) is not None:
        raise ExportError(f"cannot save a network that cannot be loaded: {rule}")
    tensors = {f"{i}.{key}": _narrow(a) for i, layer in enumerate(network.layers) for key, a in layer.saved().items()}
    spec = network.input
    document = {
        "format": _FORMAT,
        "schema": SCHEMA_VERSION,
        "name": network.name,
        "digest": network.digest,
        "steps": network.steps,
        "readout": network.readout,
        "input": spec.to_dict(),
        "layers": [
            {"kind": type(layer).__name__, "name": layer.name, "takes": wire}
            for layer, wire in zip(network.layers, network.wires, strict=True)
        ],
        "certificate": network.certificate.to_dict(),
        "origin": network.origin.to_dict(),
    }
    return save_tensors(tensors, metadata={_FORMAT: json.dumps(document)})


def _narrow(array: IntArray) -> np.ndarray[Any, Any]:
    """The same integers in the smallest type that holds them."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    fits = next(t for t in _INT_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.ascontiguousarray(array, dtype=fits)


class _Strict(BaseModel):
    """Numbers are numbers of the right type, and nothing is there that nobody reads."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _InputEntry(_Strict):
    shape: tuple[int, ...]
    low: int
    high: int
    step: float
    encoding: str
    time_first: bool = True


class _LayerEntry(_Strict):
    kind: str
    name: str
    takes: tuple[int, ...] = ()


class _Document(_Strict):
    """The metadata of all schemas; what a file does not state is left out of the dump."""

    format: str = _FORMAT
    version: int = Field(alias="schema")
    name: str
    digest: str = ""
    steps: int
    readout: str = "count"
    input: _InputEntry
    layers: Annotated[list[_LayerEntry], FailFast()]
    certificate: dict[str, Any]
    origin: Any = None


def load(path: str | Path) -> Network:
    """Reads a network from its own file, and checks all of it.

    Raises: FileFormatError, with what is wrong, for a file that is missing, truncated, not a network, or altered.
    """
    path = Path(path)
    document, tensors = _read(path)
    try:
        network = _build(document, tensors)
        validate(network, path)
    except (LookupError, ArithmeticError, AttributeError, TypeError, ValueError, MemoryError, ConfigError) as error:
        raise FileFormatError(f"{path}: the description does not fit the arrays: {error!r}") from error
    if tensors:
        raise FileFormatError(f"{path}: holds arrays that no layer has: {', '.join(sorted(tensors)[:5])}")
    if network.digest != document.get("digest"):
        raise FileFormatError(f"{path}: its digest is not that of its content; the file was altered")
    return network


def _read(path: Path) -> tuple[dict[str, Any], dict[str, IntArray]]:
    if (why := unreadable(path, MAX_BYTES)) is not None:
        raise FileFormatError(f"{path}: {why}; `lower` writes networks, of trained models")
    if (kind := kind_of(path)) is not None:
        raise FileFormatError(f"{path}: cannot be read as a network: it is {kind}; `lower` makes networks of models")
    what = f"{path}: cannot be read as a network"
    with translated(FileFormatError, what), safe_open(path, framework="numpy") as file:
        metadata = (file.metadata() or {}).get(_FORMAT)
        if metadata is None:
            hint = "`lower` makes one of a file that `train` wrote, or of a model with this as --checkpoint"
            raise FileFormatError(f"{path}: a safetensors file, but not a squat_deploy network; {hint}")
        names = file.keys()
        if others := {kind for name in names if (kind := file.get_slice(name).get_dtype()) not in _INT_CODES}:
            raise FileFormatError(f"{path}: every array must hold signed integers; got {', '.join(others)}")
        document = json.loads(metadata)
        tensors = {name: file.get_tensor(name) for name in names}
    if not isinstance(document, dict) or document.get("schema") not in range(1, SCHEMA_VERSION + 1):
        got = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise FileFormatError(f"{path}: schema {str(got)[:40]}; this version reads 1 to {SCHEMA_VERSION}")
    try:
        checked = _Document.model_validate_json(metadata).model_dump(by_alias=True, exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise FileFormatError(f"{path}: the description does not fit the arrays: {place}: {first['msg']}") from error
    return checked, {key: array.astype(np.int64) for key, array in tensors.items()}


def _build(document: dict[str, Any], tensors: dict[str, IntArray]) -> Network:
    """Takes the arrays of every layer out of `tensors`."""
    spec = InputSpec(**document["input"])
    layers = tuple(_layer(entry, i, tensors) for i, entry in enumerate(document["layers"]))
    certificate = Certificate.from_dict(document["certificate"])
    wires = tuple(entry.get("takes", (i - 1,)) for i, entry in enumerate(document["layers"]))
    readout = document.get("readout", "count")
    origin, name = Origin.from_dict(document.get("origin")), document["name"]
    return Network(spec, layers, document["steps"], certificate, name, wires, readout, origin)


def _layer(entry: dict[str, Any], index: int, tensors: dict[str, IntArray]) -> Layer:
    if entry["kind"] not in KINDS:
        raise ValueError(f"layer kind {entry['kind']!r}")
    own = {key.partition(".")[2]: array for key, array in tensors.items() if key.partition(".")[0] == str(index)}
    try:
        layer = KINDS[entry["kind"]].of(entry["name"], own)
    except KeyError as error:
        raise LookupError(f"there is no array {index}.{error.args[0]}") from error
    for name in layer.saved():
        del tensors[f"{index}.{name}"]
    return layer


def validate(network: Network, path: Path) -> None:
    """Raises: FileFormatError that names the layer and the rule, if the network breaks one."""
    if (rule := broken_rule(network)) is not None:
        raise FileFormatError(f"{path}: {rule}")
