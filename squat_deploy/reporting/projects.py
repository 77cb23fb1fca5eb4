"""What exported projects and answers of `verify` say: read as files of strangers, held against the network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from squat_deploy.agreement import Agreement
from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.errors import ConfigError, FileFormatError, translated
from squat_deploy.files import GENERATOR, MANIFEST, unreadable
from squat_deploy.hardware.balancing import Fold
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import Network
from squat_deploy.reporting.material import RtlProject, Synthesis

_MAX_BYTES = 2**26
_MOST_TARGETS = 16
_Fact = str | int | float | bool | None
_Facts = dict[Annotated[str, Field(max_length=64)], _Fact | Annotated[list[_Fact], Field(max_length=64)]]


class _Share(BaseModel):
    pe: int = Field(ge=1)
    events: Literal[1, 2]


class _Hls(BaseModel):
    config: HlsConfig
    processes: list[_Share] = Field(max_length=4096)


class _Cycles(BaseModel):
    latency: float


class _Synthesis(BaseModel):
    target: str = Field(max_length=64)
    device: str | None = Field(max_length=64)
    resources: dict[Annotated[str, Field(max_length=16)], float] = Field(max_length=16)
    mhz: float | None
    cycles: _Cycles | None
    latency_us: float | None


def hls_project(network: Network, folder: Path) -> tuple[HlsConfig, tuple[Fold, ...]]:
    """Options, and the lanes of every process, of an exported HLS project.

    Raises: FileFormatError for what is none; ConfigError for one of another network.
    """
    document = _manifest(network, folder, "an HLS project, which `squat-deploy hls` writes", "processes")
    what = f"{folder}: its manifest is not of this form"
    try:
        with translated(FileFormatError, what):
            found = _Hls.model_validate({"config": document["config"], "processes": document["folding"]["processes"]})
    except ConfigError as error:  # of the options in it
        raise FileFormatError(f"{what}: {error}") from error
    return found.config, tuple(Fold(share.pe, share.events) for share in found.processes)


def rtl_project(network: Network, folder: Path) -> RtlProject:
    """The layers of an exported SystemVerilog project. Raises: as `hls_project`."""
    document = _manifest(network, folder, "an RTL project, which `squat-deploy rtl` writes", "kind")
    with translated(FileFormatError, f"{folder}: its manifest is not of this form"):
        layers = tuple(TypeAdapter(list[_Facts]).validate_python(document["layers"]))
        config = RtlConfig.model_validate(document["config"])
    return RtlProject(str(folder), layers, config, tuple(_measured(network, folder)))


def _measured(network: Network, folder: Path) -> Iterator[Synthesis]:
    """What `synth` wrote into a project, of this network."""
    for path in sorted((folder / "reports").glob("synth.*.json"))[:_MOST_TARGETS]:
        document = _json(path)
        _check_digest(network, path, document.get("network"))
        with translated(FileFormatError, f"{path}: not of this form"):
            found = _Synthesis.model_validate(document)
        latency = None if found.cycles is None else found.cycles.latency
        yield Synthesis(found.target, found.device, found.resources, found.mhz, latency, found.latency_us)


def read_agreement(network: Network, path: Path) -> Agreement:
    """What `verify --json` answered. Raises: FileFormatError for anything else; ConfigError for another network."""
    document = _json(path)
    if "executors" not in document:
        raise FileFormatError(f"{path}: no answer of verify; write one with `squat-deploy verify NET --json > {path}`")
    _check_digest(network, path, document.get("digest"))
    return Agreement.from_dict(document, str(path))


def _manifest(network: Network, folder: Path, expected: str, key: str) -> Mapping[str, Any]:
    document = _json(folder / MANIFEST)
    if document.get("generator") != GENERATOR or key not in document or "layers" not in document:
        raise FileFormatError(f"{folder}: is not {expected}")
    stated = document.get("network")
    _check_digest(network, folder, stated.get("digest") if isinstance(stated, dict) else None)
    return document


def _json(path: Path) -> dict[str, Any]:
    if (why := unreadable(path, _MAX_BYTES)) is not None:
        raise FileFormatError(f"{path}: {why}")
    with translated(FileFormatError, f"{path}: not a JSON document"):
        document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise FileFormatError(f"{path}: expected a JSON document with keys; got {type(document).__name__}")
    return document


def _check_digest(network: Network, path: Path, digest: object) -> None:
    if digest != network.digest:
        named = f"of the network {digest[:12]}" if isinstance(digest, str) else "which names no network"
        raise ConfigError(f"{path}: {named}; the report is of {network.digest[:12]}: write it anew from this network")
