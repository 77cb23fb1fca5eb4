"""The manifest of a project: what it was made from, what is in it, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.coverage import Coverage
from squat_deploy.backends.hls.estimates import bound_of
from squat_deploy.files import DIGESTS, GENERATOR
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.options import HlsConfig


def manifest_of(folding: Folding, config: HlsConfig, coverage: Coverage, files: dict[str, str]) -> str:
    """The file that tells an exported project from any other folder."""
    from squat_deploy import __version__

    design, budget = folding.design, folding.budget
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
        "config": config.model_dump(exclude={"board"} if config.board is None else None),
        "certificate": network.certificate.proofs(),
        "layers": [
            {"name": cpp.plain(part.name), "kind": part.kind, "takes": part.sources, "outputs": part.size, **part.facts}
            for part in design.parts
        ],
        "processes": [[node.number for node in process.nodes] for process in design.graph.processes],
        "folding": {
            "bound": bound_of(folding),
            "processes": [{**asdict(share), "process": cpp.plain(share.process)} for share in folding.shares],
        },
        "estimate": {"name": "total", **asdict(budget.total), "fits": budget.fits, "part": offer and offer.name},
        "coverage": coverage.document,
        DIGESTS: {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"
