"""What the manifest of an HLS project says besides that of any project."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.coverage import Coverage
from squat_deploy.backends.hls.estimates import bound_of
from squat_deploy.hardware.folding import Folding
from squat_deploy.hardware.options import HlsConfig


def stated(folding: Folding, config: HlsConfig, coverage: Coverage) -> dict[str, Any]:
    """Options, proofs, layers, processes, folding, estimate and coverage."""
    design, budget = folding.design, folding.budget
    offer = budget.offer
    return {
        "config": config.model_dump(exclude={"board"} if config.board is None else None),
        "certificate": design.network.certificate.proofs(),
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
    }
