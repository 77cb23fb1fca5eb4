"""Network to C++ HLS project: a pure function to {path: text}, and one atomic write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from numpy.typing import NDArray

from squat_deploy.backends import cpp
from squat_deploy.backends.hls.addresses import at, plane_terms, weight_row
from squat_deploy.backends.hls.board import board_data, board_files, when_empty
from squat_deploy.backends.hls.board.notebook import notebook_of
from squat_deploy.backends.hls.estimates import estimate_of
from squat_deploy.backends.hls.manifest import manifest_of
from squat_deploy.backends.hls.readme import readme_of
from squat_deploy.backends.hls.storage import storage
from squat_deploy.backends.hls.top import top_of
from squat_deploy.backends.hls.views import Build, LayerFile, Stream, testbench_of, top_header_of, types_of
from squat_deploy.backends.printing import environment, header_of
from squat_deploy.files import MANIFEST, write_folder
from squat_deploy.hardware.budget import Budget, budget_of
from squat_deploy.hardware.design import Design, design_of
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import Schedule, estimate, event_counts
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.vectors import default_stimulus, golden_data
from squat_deploy.network import Network
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.grid import integers_of
from squat_deploy.network.simulator import Result, simulate


def emit_hls(
    network: Network,
    out_dir: str | Path,
    config: HlsConfig | None = None,
    *,
    stimulus: NDArray[Any] | None = None,
    reference: Result | None = None,
    real: bool = False,
) -> Path:
    """Writes the HLS project of a network to `out_dir`, whole or not at all, and returns it.

    Into a project that was exported before, what the user keeps there stays; generated files that are as they were
    written are replaced or removed.

    Args:
        stimulus: integer inputs of the golden data, as for `simulate`; random ones of the network's digest if None.
        reference: the trace that `simulate` gives for that stimulus, where it is there already.
        real: the stimulus is of real values, in the model's units, to be rounded to the network's own grid; floats that
            lie on it are taken without. Either is told in a SquatWarning.

    Raises:
        ExportError: an impossible folding or form, a folder that is not ours or in which something of the user's would
            be lost, or a failing disk.
        ConfigError: a stimulus or an option out of range.
    """
    target, config = Path(out_dir), config or HlsConfig()
    if stimulus is not None and not takes_intensities(config.encoder):
        stimulus = integers_of(network.input, stimulus, real=real)
    files = render(network, config, stimulus, reference)
    write_folder(target, {name: text.encode() for name, text in files.items()})
    return target


def render(
    network: Network, config: HlsConfig, stimulus: NDArray[Any] | None = None, reference: Result | None = None
) -> dict[str, str]:
    """All files of the project by relative path; equal arguments give equal bytes."""
    design = design_of(network, config)
    encoder = config.encoder
    fed = default_stimulus(network, config.vectors, encoder) if stimulus is None else stimulus
    checked = network.input.check(frames_of(encoder, fed, network.steps), network.steps)
    result = reference or simulate(network, checked, trace=True)
    taken, numbers = fed if takes_intensities(encoder) else checked, [part.number for part in design.neurons]
    data = golden_data(network, taken, design.entry.once, result, numbers)
    schedule = estimate(design, event_counts(design, checked, result))
    budget = budget_of(design, config.part)
    templates, header = _environment(), header_of(network.digest)
    views = [
        *_sources(design, config, header),
        *_scripts(Build(header, config.part, config.clock_ns, tuple(sorted(data)), config.board)),
        *_documents(design, config, schedule, budget, len(result.scores)),
        *board_files(design, config, header),
    ]
    files = {path: templates.get_template(f"{template}.jinja").render(vars(view)) for path, template, view in views}
    files.update({path: notebook_of(text) for path, text in files.items() if path.endswith(".ipynb")})
    files.update(board_data(config, result.scores))
    files.update({f"tb/data/{name}": text for name, text in data.items()})
    files[MANIFEST] = manifest_of(design, config, budget, files)
    return files


def _sources(design: Design, config: HlsConfig, header: str) -> Iterator[tuple[str, str, object]]:
    """(path, template, view) of all C++ files."""
    yield "src/squat_types.h", "squat_types.h", types_of(design, header)
    yield "src/squat_stream.h", "squat_stream.h", Stream(header, when_empty(config))
    yield "src/squat_top.h", "squat_top.h", top_header_of(design, header)
    yield "src/squat_top.cpp", "squat_top.cpp", top_of(design, header)
    yield "tb/squat_tb.cpp", "squat_tb.cpp", testbench_of(design, header)
    for part in design.parts:
        view = LayerFile(header, part, template_of(type(part)))
        yield f"src/layer{part.number}.h", "layer.h", view
        yield f"src/rom{part.number}.h", "rom.h", view


def template_of(unit: type[Unit]) -> str:
    """The template of a unit is called as its class is."""
    return f"parts/{'_'.join(re.findall('[A-Z][a-z]*', unit.__name__)).lower()}.h.jinja"


def _scripts(build: Build) -> Iterator[tuple[str, str, object]]:
    for path in ("hls_config.cfg", "scripts/run_hls.tcl", "Makefile"):
        yield path, Path(path).name, build


def _documents(
    design: Design, config: HlsConfig, schedule: Schedule, budget: Budget, sequences: int
) -> Iterator[tuple[str, str, object]]:
    yield "README.md", "README.md", readme_of(design, config, schedule, budget, sequences)
    yield "reports/estimate.txt", "estimate.txt", estimate_of(config, schedule, budget, design.network.steps, sequences)


@cache
def _environment() -> Environment:
    found = environment("hls", "testbench")
    found.globals.update(
        at=at,
        storage=storage,
        plane_terms=plane_terms,
        weight_row=weight_row,
        plain=cpp.plain,
        native_int=cpp.native_int,
        index_type=cpp.index_type,
        rom_sums=lambda part: {name: cpp.rom_sums(array) for name, array in part.constants.items()},
        initializer=partial(cpp.initializer, indent="    "),
        wrapped_words=cpp.wrapped_words,
    )
    return found
