"""`report`: one self-contained HTML file of what is known of a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from squat_deploy.agreement import Agreement
from squat_deploy.errors import ToolError
from squat_deploy.files import check_target, write_file
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import Network
from squat_deploy.network.network import check_network
from squat_deploy.progress import report as say
from squat_deploy.toolchain import has_package

if TYPE_CHECKING:
    from torch import nn

    from squat_deploy.reporting.blocks import Section
    from squat_deploy.reporting.material import Material


def report(
    network: Network,
    out: str | Path = "report.html",
    *,
    model: nn.Module | None = None,
    inputs: NDArray[Any] | None = None,
    labels: NDArray[Any] | None = None,
    agreement: Agreement | None = None,
    hls: str | Path | None = None,
    rtl: str | Path | None = None,
    config: HlsConfig | None = None,
    real: bool = False,
    sample: int | None = None,
    initial_state: Any = None,
) -> Path:
    """Writes one HTML file, which needs no network, and returns its path.

    Args:
        out: the file; an old one is replaced.
        model: the trained torch model; compared with the simulator where there is no `agreement`.
        inputs: as for `simulate`: integers (B, *shape) or (T, B, *shape); random ones if None. The first sequences, at
            most 256 and as many as fit a modest amount of memory, are simulated; the report says how many.
        labels: (B,) classes of the inputs.
        agreement: what `verify` returned for this network.
        hls: an exported HLS project of this network, whose folding is shown; else the one that `emit_hls` would choose.
        rtl: an exported SystemVerilog project of it.
        config: options of HLS (part, clock, folding), where no project is given.
        real: the inputs are real values, in the model's units, to be rounded to the network's own grid.
        sample: the sequence that is drawn spike by spike, from 0; by default the one with the median number of spikes.
        initial_state: of a model that takes its states, as for `lower`.

    Raises:
        ToolError: the extra `report` is not installed.
        ConfigError: inputs, labels, an agreement or a project that are not of this network.
        FileFormatError: a folder that is no project; ExportError: a file that cannot be written, an impossible folding.
    """
    check_network(network)
    if not has_package("bokeh"):
        raise ToolError("a report needs bokeh, which draws its charts: pip install 'squat_deploy[report]'")
    from squat_deploy.reporting.gathering import Given, gathered

    check_target(Path(out))
    given = Given(
        model=model,
        inputs=inputs,
        labels=labels,
        agreement=agreement,
        hls=None if hls is None else Path(hls),
        rtl=None if rtl is None else Path(rtl),
        config=config,
        real=real,
        sample=sample,
        initial_state=initial_state,
    )
    write_file(Path(out), rendered(gathered(network, given)).encode())
    return Path(out)


def rendered(material: Material) -> str:
    """The page."""
    from squat_deploy import __version__
    from squat_deploy.reporting.page import Head, page

    network = material.network
    subtitle = f"{network.steps} time steps, {network.input.encoding} input, digest {network.digest[:12]}"
    head = Head(network.name, subtitle, f"Made by squat_deploy {__version__}.")
    return page(head, sections_of(material))


def sections_of(material: Material) -> list[Section]:
    """All sections, in order."""
    from squat_deploy.reporting import (
        advice,
        agreeing,
        bits,
        certificate,
        levels,
        life,
        network_graph,
        raster,
        resources,
        summary,
        timeline,
    )

    makers: list[tuple[str, Callable[[], Section]]] = [
        ("summary", lambda: summary.summary_section(material)),
        ("what to change", lambda: advice.advice_section(material)),
        ("graph", lambda: network_graph.graph_section(material)),
        ("certificate", lambda: certificate.certificate_section(material.network.certificate)),
        ("agreement", lambda: agreeing.agreement_section(material.agreement)),
        ("levels", lambda: levels.levels_section(material)),
        ("spikes", lambda: raster.raster_section(material)),
        ("activity", lambda: life.life_section(material)),
        ("bits", lambda: bits.bits_section(material)),
        ("timeline", lambda: timeline.timeline_section(material)),
        ("resources", lambda: resources.resources_section(material)),
    ]
    sections = []
    for number, (name, made) in enumerate(makers):
        say(f"page: {name}", number, len(makers))
        sections.append(made())
    return sections
