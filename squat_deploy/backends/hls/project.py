"""Network to C++ HLS project: a pure function to {path: text}, and one atomic write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from numpy.typing import NDArray

from squat_deploy.backends import cpp
from squat_deploy.backends.hls import addresses
from squat_deploy.backends.hls.board import board_data, board_files, when_empty
from squat_deploy.backends.hls.board.notebook import notebook_of
from squat_deploy.backends.hls.coverage import Coverage, coverage_of
from squat_deploy.backends.hls.estimates import estimate_of
from squat_deploy.backends.hls.manifest import stated
from squat_deploy.backends.hls.readme import readme_of
from squat_deploy.backends.hls.storage import forwarded, lane_parameters, storage, table, table_at, tables_stored
from squat_deploy.backends.hls.top import top_of
from squat_deploy.backends.hls.views import Build, LayerFile, Stream, testbench_of, top_header_of, types_of
from squat_deploy.backends.manifest import manifest_of
from squat_deploy.backends.printing import environment, header_of
from squat_deploy.files import MANIFEST, write_folder
from squat_deploy.hardware.coverage.reached import Reached, reached_by
from squat_deploy.hardware.design import Design, design_of, outline_of
from squat_deploy.hardware.folding import Folding, fold_core
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import event_counts
from squat_deploy.hardware.units import Unit
from squat_deploy.hardware.vectors import USUAL, golden_data, golden_inputs, random_stimulus
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.grid import integers_of
from squat_deploy.network.network import check_network
from squat_deploy.network.simulator import Result, simulate

_LAWS = (
    "at",
    "at_code",
    "code_of",
    "element_of",
    "first_group",
    "onward",
    "recoded",
    "walk_terms",
    "weight_row",
    "where",
    "window_of",
)


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
        stimulus: integer inputs of the golden data, as for `simulate`; if None, ones chosen for what they reach.
        reference: the trace that `simulate` gives for that stimulus, where it is there already.
        real: the stimulus is of real values, in the model's units, to be rounded to the network's own grid; floats that
            lie on it are taken without. Either is told in a SquatWarning.

    Raises:
        ExportError: an impossible folding or form, a folder that is not ours or in which something of the user's would
            be lost, or a failing disk.
        ConfigError: a stimulus or an option out of range.
    """
    check_network(network)
    target, config = Path(out_dir), config or HlsConfig()
    files = render(network, config, _integers(network, config, stimulus, real), reference)
    write_folder(target, {name: text.encode() for name, text in files.items()})
    return target


def fold(
    network: Network,
    config: HlsConfig | None = None,
    *,
    stimulus: NDArray[Any] | None = None,
    reference: Result | None = None,
    real: bool = False,
) -> Folding:
    """The folding that `emit_hls` chooses: lanes of every process, cycles and resources by estimate.

    Args: as for `emit_hls`; the stimulus says how many events there are, random sequences if it is None.

    Raises:
        ExportError: a goal that is out of reach, with the nearest that is not, or an impossible folding.
        ConfigError: a stimulus or an option out of range, or a part to fit that is not known.
    """
    check_network(network)
    config = config or HlsConfig()
    return _folded(network, config, _usual(network, config, _integers(network, config, stimulus, real), reference))


def render(
    network: Network, config: HlsConfig, stimulus: NDArray[Any] | None = None, reference: Result | None = None
) -> dict[str, str]:
    """All files of the project by relative path; equal arguments give equal bytes."""
    golden = _golden(network, config, stimulus, reference)
    folding = _folded(network, config, golden if stimulus is not None else _usual(network, config, None, None))
    design, taken = folding.design, golden.fed if takes_intensities(config.encoder) else golden.frames
    data = golden_data(network, taken, design.entry.once, golden.result, [part.number for part in design.neurons])
    templates, header, coverage = _environment(), header_of(network.digest), _coverage(design, golden)
    views = [
        *_sources(design, config, header),
        *_scripts(Build(header, config.part, config.clock_ns, tuple(sorted(data)), config.board)),
        *_documents(folding, config, len(golden.result.scores), given=stimulus is not None),
        *board_files(design, config, header),
        ("reports/coverage.txt", "coverage.txt", coverage),
    ]
    files = {path: templates.get_template(f"{template}.jinja").render(vars(view)) for path, template, view in views}
    files.update({path: notebook_of(text) for path, text in files.items() if path.endswith(".ipynb")})
    files.update(board_data(config, golden.result.scores))
    files.update({f"tb/data/{name}": text for name, text in data.items()})
    files[MANIFEST] = manifest_of(network, files, **stated(folding, config, coverage))
    return files


@dataclass(frozen=True, eq=False)
class _Golden:
    """Golden sequences: what is fed, the frames that it becomes, the trace, and what they reach if they were chosen."""

    fed: NDArray[Any]
    frames: IntArray
    result: Result
    reached: Reached | None = None


def _integers(network: Network, config: HlsConfig, stimulus: NDArray[Any] | None, real: bool) -> NDArray[Any] | None:
    if stimulus is None or takes_intensities(config.encoder):
        return stimulus
    return integers_of(network.input, stimulus, real=real)


def _golden(network: Network, config: HlsConfig, stimulus: NDArray[Any] | None, reference: Result | None) -> _Golden:
    """The user's sequences, or chosen ones."""
    if stimulus is not None:
        return _run(network, config, stimulus, reference)
    design_of(network, config)  # a refusal comes before the search
    fed, reached = golden_inputs(network, config.vectors, config.encoder)
    return replace(_run(network, config, fed, None), reached=reached)


def _usual(network: Network, config: HlsConfig, stimulus: NDArray[Any] | None, reference: Result | None) -> _Golden:
    """The user's sequences, or random ones: those that are chosen are as unusual as can be."""
    fed = random_stimulus(network, USUAL, config.encoder) if stimulus is None else stimulus
    return _run(network, config, fed, reference)


def _run(network: Network, config: HlsConfig, fed: NDArray[Any], reference: Result | None) -> _Golden:
    frames = network.input.check(frames_of(config.encoder, fed, network.steps), network.steps)
    return _Golden(fed, frames, reference or simulate(network, frames, trace=True))


def _coverage(design: Design, golden: _Golden) -> Coverage:
    reached = golden.reached or reached_by(design.network, golden.frames)
    return coverage_of(design, reached, golden.result, given=golden.reached is None)


def _folded(network: Network, config: HlsConfig, usual: _Golden) -> Folding:
    """By the events of sequences, which are the same at any folding."""
    events = event_counts(design_of(network, config), usual.frames, usual.result)
    return fold_core(outline_of(network, config), events)


def _sources(design: Design, config: HlsConfig, header: str) -> Iterator[tuple[str, str, object]]:
    """(path, template, view) of all C++ files."""
    yield "src/squat_types.h", "squat_types.h", types_of(design, header)
    yield "src/squat_stream.h", "squat_stream.h", Stream(header, when_empty(config), design.graph.streamed)
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
    folding: Folding, config: HlsConfig, sequences: int, *, given: bool
) -> Iterator[tuple[str, str, object]]:
    averaged = f"the {sequences} golden sequences" if given else f"{USUAL} random sequences"
    yield "README.md", "README.md", readme_of(folding, config, sequences)
    yield "reports/estimate.txt", "estimate.txt", estimate_of(folding, config, averaged)


@cache
def _environment() -> Environment:
    found = environment("hls", "testbench", "driver")
    found.globals.update(
        **{name: getattr(addresses, name) for name in _LAWS},
        storage=storage,
        forwarded=forwarded,
        pipelined=cpp.pipelined,
        table=table,
        table_at=table_at,
        tables_stored=tables_stored,
        lane_parameters=lane_parameters,
        plain=cpp.plain,
        native_int=cpp.native_int,
        indices=lambda signal: cpp.index_type(signal.grid.codes),
        rom_sums=lambda part: {name: cpp.rom_sums(array) for name, array in part.constants.items()},
        initializer=partial(cpp.initializer, indent="    "),
        wrapped_words=cpp.wrapped_words,
    )
    return found
