"""All proofs of a project, in their order, and the certificate that is written of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from squat_deploy.backends.rtl.project import NETWORK
from squat_deploy.errors import ConfigError
from squat_deploy.files import MANIFEST, make_folder, unreadable, write_file
from squat_deploy.hardware.graph import graph_of
from squat_deploy.network import Network
from squat_deploy.network.storage import load
from squat_deploy.proofs import core, kinds, modules, units, walks
from squat_deploy.proofs.solving import Failure, check_tools, put
from squat_deploy.proofs.table import Certificate, Row

_MOST = 2**26  # bytes of a manifest
Say = Callable[[str, int, int], object]  # what is done, how much of it is, and of how much
Proof = tuple[str, Callable[[], Row]]  # what it is about


def prove(project: str | Path, *, say: Say = lambda what, done, total: None) -> Certificate:
    """Proves the neuron units of a project that `rtl` has written, and the modules that it is made of.

    Writes reports/proofs.json and reports/proofs.txt into the project, whatever comes out.

    Args: say: is told what is done, how much of it is, and of how much.

    Raises:
        ConfigError: no project of `rtl`.
        ExportError: a core that is not one of the project's network.
        ToolError: a tool is missing, or cannot read the core.
    """
    project = Path(project)
    network = _network(project)
    check_tools()
    proofs = list(_proofs(project, network))
    rows = list[Row]()
    for done, (about, proof) in enumerate(proofs):
        say(about, done, len(proofs))
        rows.append(proof())
    found = Certificate(network.digest, _digests(project), tuple(rows), modules.uncovered(project))
    make_folder(project / "reports")
    write_file(project / "reports" / "proofs.json", found.document.encode())
    write_file(project / "reports" / "proofs.txt", found.text.encode())
    return found


def _proofs(project: Path, network: Network) -> Iterator[Proof]:
    found, graph = core.core_of(project), graph_of(network)
    distinct = kinds.distinct(found.units, network, graph, project)
    for row in units.rows_at_once(distinct):
        yield row.unit, partial(_known, row)
    yield from walks.proofs_of(found.cells, network, graph, project)
    for unit in distinct:
        yield unit.name, partial(_of_unit, project, unit)
    for claim in modules.claims_of(project):
        yield claim.unit, partial(modules.answered, claim)


def _known(row: Row) -> Row:
    """A row that needs no solver."""
    return row


def _of_unit(project: Path, unit: units.Unit) -> Row:
    answer = put(units.claim_of(unit, project))
    return units.explained(unit, answer) if isinstance(answer, Failure) else answer


def _network(project: Path) -> Network:
    """The network that a project was made of. Raises: ConfigError."""
    path = project / MANIFEST
    document: object = None
    if unreadable(path, _MOST) is None:
        try:
            document = json.loads(path.read_text())
        except (ValueError, RecursionError):
            document = None
    if not isinstance(document, dict) or document.get("kind") != "rtl" or not isinstance(document.get("network"), dict):
        raise ConfigError(f"{project}: no project of `squat-deploy rtl`; write one with `squat-deploy rtl NETWORK`")
    network = load(project / NETWORK)
    if network.digest != document["network"].get("digest"):
        raise ConfigError(f"{project}: {NETWORK} is not the network of its manifest; write the project anew")
    return network


def _digests(project: Path) -> dict[str, str]:
    paths = [*sorted((project / "rtl").rglob("*.sv")), *sorted((project / "memories").glob("*.hex"))]
    return {str(path.relative_to(project)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
