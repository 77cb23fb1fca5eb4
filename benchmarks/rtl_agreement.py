"""The SystemVerilog of the bundled model and of the three trained nets, held to the simulator in every value.

    python -m benchmarks.rtl_agreement                  # all four; or by their names
    python -m benchmarks.rtl_agreement fashion_fc

Inputs are those of test sets where these are at hand (SQUAT_NMNIST, SQUAT_FSDD_SPIKES; Fashion-MNIST), else random.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import squat_deploy as sd
from squat_deploy.errors import DatasetError
from squat_deploy.lab import bundled
from squat_deploy.lab.data import read_data
from squat_deploy.lab.datasets import fashion_mnist
from squat_deploy.lab.loop import trained_model
from squat_deploy.network import IntArray

FOLDER = Path(__file__).parents[1] / "examples" / "trained"
SAMPLES = {"fashion_fc": 500, "fashion_conv": 20, "nmnist_conv": 20, "fsdd_recurrent": 20}
SHAPES = {"fashion_conv": (1, 28, 28), "nmnist_conv": (2, 34, 34), "fsdd_recurrent": (700,)}


def network_of(name: str) -> sd.Network:
    """A net, lowered."""
    if name == "fashion_fc":
        return sd.lower(bundled.model(), bundled.input_spec(), bundled.STEPS, name=name)
    model, config = trained_model(FOLDER / f"{name}.safetensors")
    images = config.encoding == "direct"
    spec = sd.InputSpec(SHAPES[name], 0, 15 if images else 1, 2.0**-4 if images else 1.0, config.encoding)
    return sd.lower(model, spec, config.steps, name=name)


def inputs_of(name: str, network: sd.Network, count: int) -> tuple[IntArray, str]:
    """So many sequences, and what they are."""
    direct = network.input.encoding == "direct"
    lead = (count,) if direct else (network.steps, count)
    try:
        values = _samples(name, count)
    except DatasetError:
        rng, shape = np.random.default_rng(1), (*lead, *network.input.shape)
        return rng.integers(1, network.input.high + 1, shape) * (rng.random(shape) < 0.2), "random inputs"
    quantized = network.input.quantize(values) if direct else values.swapaxes(0, 1).astype(np.int64)
    return quantized.reshape(*lead, *network.input.shape), "samples of the test set"


def _samples(name: str, count: int) -> IntArray:
    if name == "fashion_fc":
        return np.asarray(fashion_mnist("test").samples().inputs[:count])
    _, config = trained_model(FOLDER / f"{name}.safetensors")
    return np.asarray(read_data(config)[1].inputs[:count])


def agreement_of(name: str, count: int) -> str:
    """A line of a table. Raises: SystemExit where a value differs."""
    network = network_of(name)
    inputs, are = inputs_of(name, network, count)
    agreement = sd.verify(network, None, inputs, executors=("numpy", "rtlsim"))
    row = next(row for row in agreement.rows if row.label == "rtlsim")
    if not agreement.agrees:
        sys.exit(f"{name}: {row}")
    return f"| {name} | {row.samples} {are} | {row.values:,} | {row.mismatches} |"


def main(report: Callable[[str], object] = print) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*SAMPLES, []], help="nets; all by default")
    parser.add_argument("--samples", type=int, help="of each")
    arguments = parser.parse_args()
    report("| net | sequences | values compared | that differ |\n|---|---|---|---|")
    for name in arguments.names or SAMPLES:
        report(agreement_of(name, arguments.samples or SAMPLES[name]))


if __name__ == "__main__":
    main()
