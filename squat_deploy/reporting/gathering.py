"""Makes the material of a report: simulates, folds, reads projects, compares with the torch model where it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.agreement import Agreement, verify
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.hardware.balancing import Fold
from squat_deploy.hardware.design import Outline, design_of, outline_of
from squat_deploy.hardware.folding import Folding, fold_core, refold
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.schedule import event_counts
from squat_deploy.hardware.units.base import Cycles
from squat_deploy.hardware.vectors import USUAL, random_stimulus
from squat_deploy.network import Network
from squat_deploy.network.encoders import frames_of, takes_intensities
from squat_deploy.network.grid import doubts, integers_of
from squat_deploy.reporting.material import Core, Material, Run, run_of
from squat_deploy.reporting.projects import hls_project, rtl_project
from squat_deploy.reporting.rtl_timeline import timing_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Given:
    """What the user gave, as `report` takes it."""

    model: nn.Module | None = None
    inputs: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    agreement: Agreement | None = None
    hls: Path | None = None
    rtl: Path | None = None
    config: HlsConfig | None = None
    real: bool = False
    sample: int | None = None
    initial_state: Any = None


def gathered(network: Network, given: Given) -> Material:
    """Raises: ConfigError, FileFormatError, ExportError for what does not belong to the network."""
    run = _run(network, given)
    sample = run.usual if given.sample is None else given.sample
    if not 0 <= sample < run.sequences:
        raise ConfigError(f"sample: the report simulates {run.sequences} sequences, from 0 on; got {sample}")
    core: Core | None = None
    no_core = ""
    try:
        core = _core(network, given, run)
    except ExportError as error:
        if given.hls is not None or given.config is not None:
            raise
        no_core = str(error)
    rtl = None if given.rtl is None else rtl_project(network, given.rtl)
    timing = None if rtl is None else timing_of(network, Path(rtl.folder), rtl.config, run, sample)
    return Material(network, run, sample, core, no_core, _agreement(network, given, run), rtl, timing)


def _run(network: Network, given: Given) -> Run:
    if given.inputs is None:
        if given.labels is not None:
            raise ConfigError("labels: are of inputs of your own; give inputs too")
        if given.real:
            raise ConfigError("real: is of inputs of your own; give inputs too")
        return run_of(network, random_stimulus(network, USUAL), "random", None)
    frames = network.input.check(integers_of(network.input, given.inputs, real=given.real), network.steps)
    samples = frames.shape[0 if network.input.encoding == "direct" else 1]
    if given.labels is not None and np.shape(given.labels) != (samples,):
        raise ConfigError(f"labels: expected one integer for each of {samples} sequences; got {np.shape(given.labels)}")
    return run_of(network, frames, "given", given.labels, doubts(network, frames))


def _agreement(network: Network, given: Given, run: Run) -> Agreement | None:
    """The one that was given, else the model's with the simulator on the sequences shown."""
    if given.agreement is not None or given.model is None:
        return given.agreement
    kind = "random" if given.inputs is None else "given"
    return verify(
        network,
        given.model,
        run.frames,
        labels=run.labels,
        executors=["torch", "numpy"],
        inputs_are=kind,  # type: ignore[arg-type]
        initial_state=given.initial_state,
    )


def _core(network: Network, given: Given, run: Run) -> Core:
    config, folds = given.config or HlsConfig(), None
    if given.hls is not None:
        if given.config is not None:
            raise ConfigError("hls: a project has its own options; leave the others out")
        config, folds = hls_project(network, given.hls)
    events, described = _events(network, config, run)
    outline = outline_of(network, config)
    folding = fold_core(outline, events) if folds is None else _stored(outline, events, folds, given.hls)
    return Core(folding, config, events, described, str(given.hls or ""))


def _stored(outline: Outline, events: dict[int, Cycles], folds: tuple[Fold, ...], project: Path | None) -> Folding:
    """The folding of a project. Raises: ConfigError where this version would not make such a core."""
    widest = [outline.widest(process) for process in outline.graph.processes]
    if len(folds) != len(widest) or any(fold.pe > most for fold, most in zip(folds, widest, strict=False)):
        raise ConfigError(f"{project}: its folding does not fit the network's processes; export it once more")
    return refold(outline, events, folds)


def _events(network: Network, config: HlsConfig, run: Run) -> tuple[dict[int, Cycles], str]:
    """Events of the sequences shown; of random intensities, where that is what the core takes."""
    frames, result, described = run.frames, run.result, run.described
    if takes_intensities(config.encoder):
        fed = random_stimulus(network, USUAL, config.encoder)
        frames = network.input.check(frames_of(config.encoder, fed, network.steps), network.steps)
        random = run_of(network, frames, "random", None)
        frames, result, described = random.frames, random.result, f"{random.described}, encoded"
    return event_counts(design_of(network, config), frames, result), described
