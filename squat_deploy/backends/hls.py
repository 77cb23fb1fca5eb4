"""Network to C++ HLS project: a pure function to {path: text}, and one atomic write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.backends import cpp
from squat_deploy.backends.hls_layer import MAX_PE, HlsLayer, fold_layer
from squat_deploy.backends.schedule import LOOP_OVERHEAD_CYCLES, Schedule, estimate
from squat_deploy.errors import ConfigError, ExportError
from squat_deploy.files import MANIFEST, write_folder
from squat_deploy.network import IntArray, Network
from squat_deploy.simulator import Result, simulate
from squat_deploy.synapses import Dense, Synapses

_PACKAGE = Path(__file__).resolve().parent.parent
_TEMPLATE_FOLDERS = (_PACKAGE / "templates" / "hls", _PACKAGE.parent / "templates" / "hls")
_MAX_INPUTS = 2**16
MAX_UNROLLED = 2**22  # synapses of an unrolled convolution


class HlsConfig(BaseModel):
    """Options of an HLS project.

    Attributes:
        part: target part, as Vitis names it.
        clock_ns: target clock period.
        pe: neurons updated in parallel, for all layers or by layer name; at most 64.
        form: "offset" or "threshold" tables, or "auto" (thresholds up to 4 levels, else offset where it exists).
        vectors: golden sequences to draw when no stimulus is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: str = Field("xc7z020clg400-1", pattern=r"^[A-Za-z0-9_.-]+$")
    clock_ns: float = Field(5.0, gt=0, le=1000)
    pe: int | dict[str, int] = 16
    form: Literal["auto", "offset", "threshold"] = "auto"
    vectors: int = Field(8, ge=1, le=100_000)

    def pe_of(self, name: str, neurons: int) -> int:
        """Folding of one layer: the option, or the default cut to the layer's size."""
        if isinstance(self.pe, dict):
            return self.pe.get(name, min(16, neurons))
        return min(self.pe, neurons) if 1 <= self.pe <= MAX_PE else self.pe


def emit_hls(
    network: Network,
    out_dir: str | Path,
    config: HlsConfig | None = None,
    *,
    stimulus: NDArray[Any] | None = None,
) -> Path:
    """Writes the HLS project of a network to `out_dir`, whole or not at all, and returns it.

    Args:
        stimulus: integer inputs of the golden data, as for `simulate`; random ones of the network's digest if None.

    Raises:
        ExportError: an impossible folding or form, a folder that is not ours, or a failing disk.
        ConfigError: a stimulus or an option out of range.
    """
    target = Path(out_dir)
    files = render(network, config or HlsConfig(), stimulus)
    write_folder(target, {name: text.encode() for name, text in files.items()})
    return target


def render(network: Network, config: HlsConfig, stimulus: NDArray[Any] | None = None) -> dict[str, str]:
    """All files of the project by relative path; equal arguments give equal bytes."""
    layers = _fold(network, config)
    inputs = _default_stimulus(network, config.vectors) if stimulus is None else stimulus
    checked = network.input.check(inputs, network.steps)
    result = simulate(network, checked, trace=True)
    data = golden_data(network, checked, result)
    schedule = estimate(network, layers, _events(network, checked, result))
    context = _context(network, config, layers, schedule, data, result)
    files = dict(_sources(_environment(), layers, context))
    files.update({f"tb/data/{name}": text for name, text in data.items()})
    files[MANIFEST] = _manifest(network, config, layers, files)
    return files


def _fold(network: Network, config: HlsConfig) -> tuple[HlsLayer, ...]:
    if network.input.size >= _MAX_INPUTS:
        raise ExportError(f"inputs: at most {_MAX_INPUTS - 1} a time step; got {network.input.size}")
    names = {neuron.name for neuron in network.neurons}
    if isinstance(config.pe, dict) and (unknown := sorted(set(config.pe) - names)):
        raise ConfigError(f"pe: no layer is called {', '.join(unknown)}; the layers are {', '.join(sorted(names))}")
    return tuple(
        fold_layer(
            index,
            _unrolled(dense),
            neuron,
            low,
            high,
            pe=config.pe_of(neuron.name, neuron.neurons),
            form=config.form,
            held_sums=index == 1 and network.input.encoding == "direct",
        )
        for index, (dense, neuron, low, high) in enumerate(network.pairs(), start=1)
    )


def _unrolled(layer: Synapses) -> Dense:
    """Fully connected synapses; a small convolution is unrolled into them."""
    if layer.inputs * layer.outputs > MAX_UNROLLED and not isinstance(layer, Dense):
        raise ExportError(
            f"{layer.name}: a convolution is unrolled into {layer.inputs} x {layer.outputs} synapses in HLS, at most "
            f"{MAX_UNROLLED}; use a larger stride or fewer channels, or the ONNX forms"
        )
    return layer.unrolled()


def _default_stimulus(network: Network, count: int) -> IntArray:
    """Random sequences, the same for the same network; the first is all low, the second all high."""
    spec, rng = network.input, np.random.default_rng(int(network.digest[:16], 16))
    lead = (count,) if spec.encoding == "direct" else (network.steps, count)
    values = rng.integers(spec.low, spec.high + 1, (*lead, *spec.shape))
    axis = 0 if spec.encoding == "direct" else 1
    for position, extreme in enumerate((spec.low, spec.high)[: max(0, count - 1)]):
        values[(slice(None),) * axis + (position,)] = extreme
    return values


def golden_data(network: Network, inputs: IntArray, result: Result) -> dict[str, str]:
    """Golden files of the testbench by name: comma-separated integers, one frame or step a line."""
    size = network.input.size
    if network.input.encoding == "direct":
        frames = inputs.reshape(-1, size)
    else:
        frames = inputs.reshape(network.steps, -1, size).transpose(1, 0, 2).reshape(-1, size)
    files = {"stimulus.dat": csv_lines(frames)}
    for index, layer in enumerate(result.trace or (), start=1):
        for kind, values in (("state", layer.states), ("spike", layer.spikes)):
            by_sequence = values.transpose(1, 0, 2).reshape(-1, values.shape[2])
            files[f"layer{index}_{kind}.dat"] = csv_lines(by_sequence)
    return files


def csv_lines(rows: NDArray[Any]) -> str:
    """Integers (lines, values) as text, each followed by a comma, so that C++ can include the file too."""
    if rows.min() >= 0 and rows.max() <= 9:
        return _digit_lines(rows)
    texts = np.array([str(v) for v in range(int(rows.min()), int(rows.max()) + 1)], dtype=object)
    offset = int(rows.min())
    return "".join(",".join(texts[row.astype(np.int64) - offset]) + ",\n" for row in rows)


def _digit_lines(rows: NDArray[Any]) -> str:
    """`csv_lines` for single digits, the common case of large golden data, as one array of bytes."""
    text = np.full((rows.shape[0], 2 * rows.shape[1] + 1), ord(","), dtype=np.uint8)
    text[:, 0:-1:2] = rows + ord("0")
    text[:, -1] = ord("\n")
    return text.tobytes().decode("ascii")


def _events(network: Network, inputs: IntArray, result: Result) -> tuple[IntArray, ...]:
    """(sequences, T) events of every signal: non-zero inputs, then spikes of each layer."""
    flat = inputs.reshape(*inputs.shape[: inputs.ndim - len(network.input.shape)], -1)
    active = (flat != 0).sum(axis=-1)
    first = np.tile(active[:, None], (1, network.steps)) if network.input.encoding == "direct" else active.T
    return (first, *(layer.spikes.sum(axis=2).T.astype(np.int64) for layer in result.trace or ()))


def _context(
    network: Network,
    config: HlsConfig,
    layers: tuple[HlsLayer, ...],
    schedule: Schedule,
    data: dict[str, str],
    result: Result,
) -> dict[str, Any]:
    from squat_deploy import __version__

    spec, lanes = network.input, 32 // network.input.bits
    sequences, traced = len(result.counts), sum(neuron.neurons for neuron in network.neurons)
    runs = sequences + 2 + (network.steps > 1)
    whole = sequences + 1 + (network.steps > 1)
    calls = sequences + 2 + 2 * (network.steps > 1)
    steps_run = whole * network.steps + (network.steps + 1) // 2
    return {
        "header": f"Generated by squat_deploy {__version__} from network {network.digest[:16]}; do not edit.",
        "version": __version__,
        "digest": network.digest,
        "title": cpp.plain(network.name),
        "proven": network.certificate.proven,
        "spec": spec,
        "spikes_in": (spec.low, spec.high) == (0, 1),
        "held_sums": spec.encoding == "direct",
        "lanes": lanes,
        "words": -(-spec.size // lanes),
        "layers": layers,
        "steps": network.steps,
        "outputs": network.outputs,
        "config": config,
        "schedule": schedule,
        "overhead": LOOP_OVERHEAD_CYCLES,
        "table": _schedule_table(schedule),
        "rom_bits": sum(layer.rom_bits for layer in layers),
        "table_bits": sum(layer.table_bits for layer in layers),
        "state_bits": sum(layer.groups * layer.pe * (layer.sum_bits + layer.neuron.state_bits) for layer in layers),
        "data_files": sorted(data),
        "sequences": sequences,
        "runs": runs,
        "values": sum(len(layer.constants) for layer in layers) + steps_run * traced * 2 + calls * network.outputs * 2,
    }


def _schedule_table(schedule: Schedule) -> str:
    rows = [("process", "mean cycles/step", "worst cycles/step")]
    rows += [(cpp.plain(row.name), f"{row.mean:.1f}", str(row.worst)) for row in schedule.layers]
    return "\n".join(f"{name:<20}{mean:>20}{worst:>20}" for name, mean, worst in rows)


def _sources(
    environment: Environment, layers: tuple[HlsLayer, ...], context: dict[str, Any]
) -> Iterable[tuple[str, str]]:
    single = {
        "src/squat_types.h": "squat_types.h",
        "src/squat_stream.h": "squat_stream.h",
        "src/squat_top.h": "squat_top.h",
        "src/squat_top.cpp": "squat_top.cpp",
        "tb/squat_tb.cpp": "squat_tb.cpp",
        "hls_config.cfg": "hls_config.cfg",
        "scripts/run_hls.tcl": "run_hls.tcl",
        "Makefile": "Makefile",
        "README.md": "README.md",
        "reports/estimate.txt": "estimate.txt",
    }
    for path, template in single.items():
        yield path, environment.get_template(f"{template}.jinja").render(context)
    for layer in layers:
        for template in ("layer", "rom"):
            text = environment.get_template(f"{template}.h.jinja").render(context, layer=layer)
            yield f"src/{template}{layer.index}.h", text


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE_FOLDERS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.globals.update(
        plain=cpp.plain,
        native_int=cpp.native_int,
        rom_sums=lambda layer: {name: cpp.rom_sums(array) for name, array in layer.constants.items()},
        initializer=partial(cpp.initializer, indent="    "),
        wrapped_words=lambda words, bits: cpp.wrapped((cpp.unsigned64(word, bits) for word in words), "        "),
    )
    return environment


def _manifest(network: Network, config: HlsConfig, layers: tuple[HlsLayer, ...], files: dict[str, str]) -> str:
    from squat_deploy import __version__

    document = {
        "generator": "squat_deploy",
        "schema": 1,
        "version": __version__,
        "network": {"digest": network.digest, "steps": network.steps, "input": vars(network.input)},
        "config": config.model_dump(),
        "certificate": network.certificate.to_dict(),
        "layers": [_layer_entry(layer) for layer in layers],
        "sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }
    return json.dumps(document, indent=2) + "\n"


def _layer_entry(layer: HlsLayer) -> dict[str, Any]:
    return {
        "name": cpp.plain(layer.neuron.name),
        "inputs": layer.dense.inputs,
        "neurons": layer.neuron.neurons,
        "pe": layer.pe,
        "weight_bits": layer.weight_bits,
        "sum_bits": layer.sum_bits,
        "key_bits": layer.key_bits,
        "state_bits": layer.neuron.state_bits,
        "form": layer.form,
        "fraction_bits": layer.fraction_bits,
        "tables": len(layer.neuron.thresholds),
    }
