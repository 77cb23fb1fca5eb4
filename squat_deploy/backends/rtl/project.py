"""Network to SystemVerilog project: a pure function to {path: text}, and one atomic write."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.backends.manifest import manifest_of
from squat_deploy.backends.printing import as_it_is, environment, header_of
from squat_deploy.backends.rtl.board import board_facts, board_files
from squat_deploy.backends.rtl.bounds import Bounds, bounds_of
from squat_deploy.backends.rtl.folding import Pacing
from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.neurons import Neurons
from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.plan import RtlPlan, plan_of
from squat_deploy.backends.rtl.sharing import pace_of, shared
from squat_deploy.backends.rtl.sums import Dense
from squat_deploy.files import MANIFEST, write_folder
from squat_deploy.hardware.design import Outline, design_of, outline_of
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.hardware.records import record_of
from squat_deploy.hardware.schedule import event_counts
from squat_deploy.hardware.serial_boards import SerialBoardName
from squat_deploy.hardware.vectors import USUAL, default_stimulus, random_stimulus
from squat_deploy.names import plain
from squat_deploy.network import IntArray, Network
from squat_deploy.network.encoders import END_OF_EVENTS, EventEncoder, frames_of, takes_intensities
from squat_deploy.network.grid import integers_of
from squat_deploy.network.network import check_network
from squat_deploy.network.readout import SCORES
from squat_deploy.network.simulator import Result, simulate
from squat_deploy.network.storage import encoded

NETWORK = "network.safetensors"  # what `prove` compares the core with


@dataclass(frozen=True, eq=False)
class Core:
    """What the templates print."""

    header: str
    instances: tuple[Instance, ...]
    layers: tuple[Neurons, ...]
    takes: str
    scores: str
    steps: int
    outputs: int
    wide: bool
    state_bytes: int
    words: int
    step_words: int
    end_of_events: int
    digest: str
    digest_words: tuple[str, ...]
    neurons: int
    board: SerialBoardName | None
    bounds: Bounds
    modules: tuple[str, ...]
    memories: tuple[str, ...]


def emit_rtl(
    network: Network,
    out_dir: str | Path,
    config: RtlConfig | None = None,
    *,
    stimulus: NDArray[Any] | None = None,
    reference: Result | None = None,
    real: bool = False,
) -> Path:
    """Writes the SystemVerilog project of a network to `out_dir`, whole or not at all, and returns it.

    Args: as for `emit_hls`.

    Raises:
        ExportError: a layer that RTL does not take, an impossible folding, a folder that is not ours, a failing disk.
        ConfigError: a stimulus or an option out of range.
    """
    check_network(network)
    target, config = Path(out_dir), config or RtlConfig()
    if stimulus is not None and not takes_intensities(config.encoder):
        stimulus = integers_of(network.input, stimulus, real=real)
    files = render(network, config, stimulus, reference)
    write_folder(target, {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()})
    return target


def render(
    network: Network, config: RtlConfig, stimulus: NDArray[Any] | None = None, reference: Result | None = None
) -> dict[str, str | bytes]:
    """All files of the project by relative path; equal arguments give equal bytes."""
    fed = default_stimulus(network, config.vectors, config.encoder) if stimulus is None else stimulus
    checked = network.input.check(frames_of(config.encoder, fed, network.steps), network.steps)
    result = reference or simulate(network, checked, trace=True)
    given = (checked, result) if stimulus is not None else usual_run(network, config)
    plan = plan_for(network, config, *given)
    memories = plan.memories
    core = _core(plan, tuple(memories), config.board)
    files = dict[str, str | bytes]()
    for name in plan.modules:
        files[f"rtl/lib/squat_{name}.sv"] = as_it_is("rtl", f"lib/squat_{name}.sv")
    for name in ("squat_sum_bounds", "squat_stream_bounds"):
        files[f"tb/{name}.sv"] = as_it_is("rtl", f"{name}.sv")
    files["rtl/lib/squat_registers.sv"] = as_it_is("rtl", "lib/squat_registers.sv")
    for name in ("calls.h", "axi_tb.cpp"):
        files[f"tb/{name}"] = as_it_is("rtl", f"squat_{name}")
    files["synth/squat_pins.sv"] = as_it_is("rtl", "squat_pins.sv")
    for path, template in _GENERATED.items():
        files[path] = environment("rtl").get_template(template).render(vars(core), plain=plain)
    files |= board_files(plan.design, config.board, core.header)
    files |= {f"memories/{name}": text for name, text in memories.items()}
    taken = fed if takes_intensities(config.encoder) else checked
    files["tb/stimulus.bin"] = stream_words(plan, taken).astype("<u4").tobytes()
    files["tb/golden.bin"] = trace_bytes(network, result)
    files[NETWORK] = encoded(network)
    files[MANIFEST] = manifest_of(
        network,
        files,
        kind="rtl",
        config=config.model_dump(),
        certificate=network.certificate.proofs(),
        layers=plan.facts,
        folding=[{**asdict(share), "process": plain(share.process)} for share in plan.shares],
        board=board_facts(config.board),
    )
    return files


def usual_run(network: Network, config: RtlConfig) -> tuple[IntArray, Result]:
    """Random frames and their traces: golden sequences are as unusual as can be."""
    fed = random_stimulus(network, USUAL, config.encoder)
    frames = network.input.check(frames_of(config.encoder, fed, network.steps), network.steps)
    return frames, simulate(network, frames, trace=True)


def plan_for(network: Network, config: RtlConfig, frames: IntArray, result: Result) -> RtlPlan:
    """The plan of a core, neuron units shared by what a run of checked `frames` (with traces) says of the events.

    Raises: as `emit_rtl`.
    """
    outline = outline_of(network, HlsConfig(pe=config.pe, form=config.form, encoder=config.encoder))
    pacing = pacing_of(outline, config.simd, frames, result)
    shares, processes = pacing.shares(), outline.graph.processes
    design = outline.design(
        {one.number: outline.units(one, shares[one.number].pe, outline.most_events(one)) for one in processes}
    )
    pace = pace_of(design, config.simd, {number: float(found.mean()) for number, found in pacing.events.items()})
    plan = plan_of(shared(design, config.share, pace), config.simd, pace)
    banks = {one.unit.number: one.source.banks for one in plan.instances if isinstance(one, Dense)}
    taken = {one.number: max(banks.get(node.number, 1) for node in one.nodes) for one in processes}
    return replace(plan, shares=tuple(replace(share, events=taken[number]) for number, share in shares.items()))


def pacing_of(outline: Outline, simd: int, frames: IntArray, result: Result) -> Pacing:
    """What a run of checked `frames` (with traces) says of the cycles of each process."""
    thinnest = design_of(outline.network, outline.config.model_copy(update={"pe": 1}))
    return Pacing(outline, thinnest, event_counts(thinnest, frames, result), simd)


def top_text(plan: RtlPlan, config: RtlConfig) -> str:
    """The core itself, as a project holds it."""
    core = _core(plan, tuple(plan.memories), config.board)
    return environment("rtl").get_template(_GENERATED[TOP]).render(vars(core), plain=plain)


TOP = "rtl/squat_core.sv"
_GENERATED = {
    TOP: "squat_core.sv.jinja",
    "rtl/squat_axi.v": "squat_axi.v.jinja",
    "tb/layers.h": "layers.h.jinja",
    "tb/numbers.h": "numbers.h.jinja",
    "tb/bounds.sv": "bounds.sv.jinja",
    "tb/squat_tb.cpp": "squat_tb.cpp.jinja",
    "Makefile": "Makefile.jinja",
    "README.md": "README.md.jinja",
    "squat_core.core": "squat_core.core.jinja",
}


def _core(plan: RtlPlan, memories: tuple[str, ...], board: SerialBoardName | None) -> Core:
    network, of_events = plan.design.network, isinstance(plan.design.entry.encoder, EventEncoder)
    return Core(
        header=header_of(network.digest),
        instances=plan.instances,
        layers=plan.neurons,
        takes=plan.design.entry.words.described,
        scores=f"{network.outputs} scores ({SCORES[network.readout]})",
        steps=network.steps,
        outputs=network.outputs,
        wide=bool(network.worth),
        state_bytes=network.state_bytes,
        words=0 if of_events else plan.frame.words * (1 if plan.design.entry.once else network.steps),
        step_words=0 if of_events or plan.design.entry.once else plan.frame.words,
        end_of_events=END_OF_EVENTS,
        digest=network.digest,
        digest_words=tuple(f"0x{network.digest[at : at + 8]}u" for at in range(0, 64, 8)),
        neurons=sum(layer.neurons for layer in network.neurons),
        board=board,
        bounds=bounds_of(plan),
        modules=plan.modules,
        memories=memories,
    )


def stream_words(plan: RtlPlan, inputs: IntArray) -> IntArray:
    """The words that enter the core, of all sequences one after another."""
    network, entry = plan.design.network, plan.design.entry
    axis = 0 if entry.once else 1
    frames = inputs.reshape(*inputs.shape[: axis + 1], network.input.size)
    by_sequence = frames[:, None] if axis == 0 else frames.swapaxes(0, 1)
    if isinstance(entry.encoder, EventEncoder):
        return np.concatenate([event_words(counts, entry.encoder.window) for counts in by_sequence])
    words: IntArray = plan.frame.pack(by_sequence).astype("int64").reshape(-1)
    return words


def event_words(counts: IntArray, window: int) -> IntArray:
    """One sequence (T, size) of counts as address events, those of a step spread over all its window, and its end."""
    words = list[IntArray]()
    for step, frame in enumerate(counts):
        addresses = np.repeat(np.arange(len(frame)), frame)
        ticks = np.arange(len(addresses)) * (window - 1) // max(1, len(addresses) - 1)
        words.append(step * window + ticks << 16 | addresses)
    return np.concatenate([*words, [END_OF_EVENTS]])


def trace_bytes(network: Network, result: Result) -> bytes:
    """What the testbench compares: of every sequence and step the state and spike of every neuron, then the scores."""
    whole = np.zeros(len(result.scores), record_of(network))
    for index, layer in enumerate(result.trace or ()):
        neurons = whole["steps"][f"layer{index}"]
        neurons["state"], neurons["spike"] = layer.states.swapaxes(0, 1), layer.spikes.swapaxes(0, 1)
    whole["scores"] = result.scores
    return whole.tobytes()
