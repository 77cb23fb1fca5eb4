"""The manifest of an RTL project: what it was made from, how it is folded, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.plan import Layer, RtlPlan
from squat_deploy.files import DIGESTS, GENERATOR


def manifest_of(plan: RtlPlan, config: RtlConfig, files: Mapping[str, str | bytes]) -> str:
    """The file that tells an exported project from any other folder."""
    from squat_deploy import __version__

    network = plan.design.network
    document = {
        "generator": GENERATOR,
        "schema": 1,
        "kind": "rtl",
        "version": __version__,
        "network": {
            "digest": network.digest,
            "steps": network.steps,
            "readout": network.readout,
            "input": network.input.to_dict(),
        },
        "config": config.model_dump(),
        "certificate": network.certificate.proofs(),
        "layers": [_layer(layer) for layer in plan.layers],
        DIGESTS: {name: _digest(content) for name, content in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _layer(layer: Layer) -> dict[str, object]:
    facts = {**layer.synapses.facts, **layer.neurons.facts}
    return {"name": layer.name, "simd": layer.listing.simd, "neurons": layer.neurons.size, **facts}


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()
