"""`demo`: the whole line on the bundled model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from squat_deploy.agreement import Agreement, verify
from squat_deploy.backends.hls import emit_hls
from squat_deploy.cli.documents import console, finish, following, summary
from squat_deploy.cli.options import Json
from squat_deploy.cli.tables import LEGEND, certificate_table, network_table
from squat_deploy.lab import bundled
from squat_deploy.network import IntArray, Network
from squat_deploy.reporting import report
from squat_deploy.toolchain import has_package

NONE = Path("none")  # ./none is a folder of that name


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="HLS project folder.")] = Path("hls_out/fashion_mnist"),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the Fashion-MNIST IDX files; none: only the images of the package."),
    ] = None,
    as_json: Json = False,
) -> None:
    """The whole line on the bundled model: lower, certify, simulate, write the HLS project, run it, report."""
    from squat_deploy.lab.datasets import available, fashion_mnist
    from squat_deploy.lowering import lower

    model, spec = bundled.model(), bundled.input_spec()
    network = lower(model, spec, bundled.STEPS, name="fashion_mnist")
    real, labels = bundled.images()
    # a folder that the user names is read or refused
    place = None if data == NONE else data
    whole = None if data == NONE or not (place or available()) else fashion_mnist("test", place)
    project = emit_hls(network, out, stimulus=spec.quantize(real[:16]))
    if not as_json:
        console.print(network_table(network), certificate_table(network.certificate), LEGEND)
        console.print(*_hardware(project), f"wrote {project}")
    if whole is not None:
        real, labels = whole.real(), whole.labels
    elif not as_json:
        console.print(f"the whole test set is not here; using the bundled {len(labels)} images")
    agreement = verify(network, model, spec.quantize(real), labels=labels)
    page = _report(network, project, spec.quantize(real), labels, agreement)
    lines = [f"wrote {page}; open it in a browser"] if page else []
    lines += [following("make", "-C", project, "csim"), "or begin with a model of your own: squat-deploy new mine"]
    document = {"project": str(project), "report": page and str(page), **summary(network)}
    finish(agreement, as_json, document, lines)


def _hardware(project: Path) -> list[str]:
    """How long a sequence takes and what the core needs, of the project's own estimate."""
    lines = (project / "reports" / "estimate.txt").read_text().splitlines()
    return [line for line in lines if line.startswith("one inference") or "The design" in line]


def _report(
    network: Network, project: Path, inputs: IntArray, labels: NDArray[Any], agreement: Agreement
) -> Path | None:
    """The page beside the project; None without bokeh, which the main job does not need."""
    if not has_package("bokeh"):
        return None
    page = project.with_name(f"{project.name}.html")
    return report(network, page, inputs=inputs, labels=labels, agreement=agreement, hls=project)
