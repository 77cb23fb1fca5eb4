"""The manifest of a project: what it was made from, what is in it, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from squat_deploy.backends import cpp
from squat_deploy.files import DIGESTS, GENERATOR
from squat_deploy.hardware.budget import Budget
from squat_deploy.hardware.design import Design, Part
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import Neuron


def manifest_of(design: Design, config: HlsConfig, budget: Budget, files: dict[str, str]) -> str:
    """The file that tells an exported project from any other folder."""
    from squat_deploy import __version__

    network = design.network
    document = {
        "generator": GENERATOR,
        "schema": 2,
        "version": __version__,
        "network": {
            "digest": network.digest,
            "steps": network.steps,
            "readout": network.readout,
            "input": vars(network.input),
        },
        "config": config.model_dump(),
        "certificate": network.certificate.proofs(),
        "layers": [_entry_of(part) for part in design.parts],
        "processes": [[node.number for node in process.nodes] for process in design.graph.processes],
        "estimate": {**asdict(budget.total), "fits": budget.fits, "part": budget.offer and budget.offer.name},
        DIGESTS: {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _entry_of(part: Part) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": cpp.plain(part.name), "kind": part.kind, "takes": part.node.sources}
    entry["outputs"] = part.size
    if part.lanes is not None:
        entry["pe"] = part.lanes.pe
    if part.rom is not None:
        entry |= {"weight_bits": part.rom.bits, "sum_bits": part.number_bits}
    if part.tables is not None and isinstance(part.node.layer, Neuron):
        tables, neuron = part.tables, part.node.layer
        entry |= {"state_bits": neuron.state_bits, "key_bits": tables.key_bits, "form": tables.form}
        entry |= {"fraction_bits": tables.fraction_bits, "tables": len(neuron.thresholds)}
    return entry
