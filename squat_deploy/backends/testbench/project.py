"""Network to a testbench alone: a pure function to {path: text}, and one atomic write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from squat_deploy.backends.manifest import manifest_of
from squat_deploy.backends.printing import environment, header_of
from squat_deploy.backends.testbench.views import bench_of, constants_of, numbers_of
from squat_deploy.errors import ConfigError
from squat_deploy.files import MANIFEST, write_folder
from squat_deploy.hardware.input_words import InputWords
from squat_deploy.hardware.vectors import csv_lines, default_stimulus, golden_data
from squat_deploy.network import Network
from squat_deploy.network.encoders import AnyEncoder, check_encoder, frames_of, takes_intensities
from squat_deploy.network.grid import integers_of
from squat_deploy.network.network import check_network
from squat_deploy.network.simulator import simulate

MAX_VECTORS = 100_000
_HEADERS = ("golden", "verdict", "trace", "calls", "main")
_FILES = {
    "dut.h": "dut.h",
    **{f"tb/{name}.h": f"{name}.h" for name in _HEADERS},
    **{f"tb/{mode}.c": f"{mode}.c" for mode in ("function", "stream")},
    **{f"stub/{mode}.c": f"stub/{mode}.c" for mode in ("function", "stream")},
    "Makefile": "Makefile",
    "README.md": "README.md",
}


def emit_testbench(
    network: Network,
    out_dir: str | Path,
    *,
    stimulus: NDArray[Any] | None = None,
    real: bool = False,
    vectors: int | None = None,
    constants: bool = False,
    encoder: AnyEncoder | None = None,
) -> Path:
    """Writes a self-checking testbench in C for a core of the user's own to `out_dir`, and returns it.

    Whole or not at all; what the user keeps in a folder that was written before stays, as with `emit_hls`.

    Args:
        stimulus: integer inputs of the golden data, as for `simulate`; if None, sequences chosen for what they reach.
        real: the stimulus is of real values, in the model's units, as for `emit_hls`.
        vectors: how many are chosen, at most, 1 to 100,000; None: as many as golden data of a stated size holds.
        constants: write weights and tables too, as plain arrays, each with its law.
        encoder: stands in front of the first layer, in the core: what enters it are intensities, or address events.

    Raises:
        ExportError: a folder that is not ours or in which something of the user's would be lost, or a failing disk.
        ConfigError: a stimulus or an option out of range.
    """
    check_network(network)
    if stimulus is not None and not takes_intensities(encoder):
        stimulus = integers_of(network.input, stimulus, real=real)
    files = render(network, stimulus, vectors=vectors, constants=constants, encoder=encoder)
    write_folder(Path(out_dir), {name: text.encode() for name, text in files.items()})
    return Path(out_dir)


def render(
    network: Network,
    stimulus: NDArray[Any] | None = None,
    *,
    vectors: int | None = None,
    constants: bool = False,
    encoder: AnyEncoder | None = None,
) -> dict[str, str]:
    """All files of the project by relative path; equal arguments give equal bytes."""
    if vectors is not None and not 1 <= vectors <= MAX_VECTORS:
        raise ConfigError(f"vectors: 1 to {MAX_VECTORS:,} golden sequences; got {vectors}")
    if encoder is not None:
        check_encoder(encoder, network.input, network.steps)
    data, sequences = _data(network, stimulus, vectors, encoder)
    header, templates = header_of(network.digest), environment("testbench")
    bench = bench_of(network, InputWords(network.input, encoder), header, sequences, constants=constants)
    files = {path: templates.get_template(f"{name}.jinja").render(vars(bench)) for path, name in _FILES.items()}
    if constants:
        files["constants.h"] = templates.get_template("constants.h.jinja").render(vars(constants_of(network, header)))
    files.update({f"tb/data/{name}": text for name, text in data.items()})
    files[MANIFEST] = manifest_of(network, files, kind="testbench", certificate=network.certificate.proofs())
    return files


def _data(
    network: Network, stimulus: NDArray[Any] | None, vectors: int | None, encoder: AnyEncoder | None
) -> tuple[dict[str, str], int]:
    """Golden files by name, and the number of sequences in them."""
    fed = default_stimulus(network, vectors, encoder) if stimulus is None else stimulus
    checked = network.input.check(frames_of(encoder, fed, network.steps), network.steps)
    result, once = simulate(network, checked, trace=True), InputWords(network.input, encoder).once
    taken = fed if takes_intensities(encoder) else checked
    data = golden_data(network, taken, once, result, numbers_of(network))
    return {**data, "classes.dat": csv_lines(result.classes[:, None])}, len(result.scores)
