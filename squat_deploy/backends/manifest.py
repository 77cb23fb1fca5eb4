"""The manifest of a project: what it was made from, what is in it, and the digest of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from squat_deploy.files import DIGESTS, GENERATOR
from squat_deploy.network import Network


def manifest_of(network: Network, files: Mapping[str, str | bytes], **more: Any) -> str:
    """The file that tells an exported project from any other folder; `more` is what a back end says besides."""
    from squat_deploy import __version__

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
        **more,
        DIGESTS: {name: _digest(content) for name, content in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()
