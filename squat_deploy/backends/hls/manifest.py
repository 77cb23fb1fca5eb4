"""The manifest of a project: what it was made from, what is in it, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.coverage import Coverage
from squat_deploy.files import DIGESTS, GENERATOR
from squat_deploy.hardware.budget import Budget
from squat_deploy.hardware.design import Design
from squat_deploy.hardware.options import HlsConfig


def manifest_of(design: Design, config: HlsConfig, budget: Budget, coverage: Coverage, files: dict[str, str]) -> str:
    """The file that tells an exported project from any other folder."""
    from squat_deploy import __version__

    network, offer = design.network, budget.offer
    document = {
        "generator": GENERATOR,
        "schema": 2,
        "version": __version__,
        "network": {
            "digest": network.digest,
            "steps": network.steps,
            "readout": network.readout,
            "input": network.input.to_dict(),
        },
        "config": config.model_dump(),
        "certificate": network.certificate.proofs(),
        "layers": [
            {"name": cpp.plain(part.name), "kind": part.kind, "takes": part.sources, "outputs": part.size, **part.facts}
            for part in design.parts
        ],
        "processes": [[node.number for node in process.nodes] for process in design.graph.processes],
        "estimate": {"name": "total", **asdict(budget.total), "fits": budget.fits, "part": offer and offer.name},
        "coverage": coverage.document,
        DIGESTS: {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"
