"""Two-state neurons: what a layer takes of an FPGA by a table of all pairs of states, and by offsets.

python -m benchmarks.two_state [--bits 2 3 4] [--holds]
"""

from __future__ import annotations

import argparse
import itertools

import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError
from squat_deploy.hardware.design import design_of
from squat_deploy.lowering import extract
from squat_deploy.network import TwoStateNeuron
from squat_deploy.snn.quantizers import StateQuantizer

OFFSETS = extract.two_state_layer
SPEC = sd.InputSpec((64,), 0, 1)
LEVELS = ("uniform", "threshold-centred", "rest")
DECAYS = ((0.9, 0.8), (0.5, 0.9), (0.8, 0.95), (0.5, 0.75))  # alpha, beta
RESETS = (("subtract", True), ("zero", True), ("none", True), ("subtract", False), ("zero", False))


def layer(bits: int, levels: str = "uniform", alpha: float = 0.9, beta: float = 0.8, **options: object) -> nn.Module:
    """128 neurons on 64 binary inputs, weights of 5 bits."""
    torch.manual_seed(0)
    synapses = QuantLinear(64, 128, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=5)
    synapses.weight.data.normal_(0, 0.25)
    options = {"alpha": alpha, "beta": beta, "state_quant": StateQuantizer.of(bits, levels), **options}
    return nn.Sequential(synapses, snn.Synaptic(init_hidden=True, **options)).eval()


def estimates(bits: int) -> None:
    """Integers, ROM, LUTs and block RAM of the neurons, eight updated at a time."""
    for name, by in (("pairs", lambda *_: None), ("offsets", OFFSETS)):
        extract.two_state_layer = by
        try:
            network = sd.lower(layer(bits), SPEC, 4)
        except LoweringError:
            print(f"{bits} bits, {name}: refused")
            continue
        unit, neuron = design_of(network, sd.HlsConfig(pe=8)).neurons[0], network.neurons[0]
        integers = sum(array.size for key, array in neuron.arrays().items() if key != "table")
        rom = sum(sum(memory.widths) * memory.depth for memory in unit.memories if memory.contents is not None)
        use = f"{unit.usage.lut:,} LUTs, {unit.usage.bram18} BRAM"
        print(
            f"{bits} bits, {name}: {neuron.states} states, {integers:,} integers, {rom:,} bits of ROM, {use}",
            flush=True,
        )


def holds(bits: int) -> None:
    """How many combinations of decays and resets have offsets."""
    extract.two_state_layer = OFFSETS
    for levels in LEVELS:
        found = [_has_offsets(bits, levels, *decays, *reset) for decays, reset in itertools.product(DECAYS, RESETS)]
        print(f"{bits} bits, {levels}: {sum(found)} of {len(found)} have offsets", flush=True)


def _has_offsets(bits: int, levels: str, alpha: float, beta: float, reset: str, delay: bool) -> bool:
    made = layer(bits, levels, alpha, beta, reset_mechanism=reset, reset_delay=delay)
    try:
        return isinstance(sd.lower(made, SPEC, 4, allow_unproven=True).neurons[0], TwoStateNeuron)
    except LoweringError:
        return False


def main() -> None:
    """Prints a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--holds", action="store_true", help="also count where there are offsets")
    arguments = parser.parse_args()
    for bits in arguments.bits:
        estimates(bits)
        if arguments.holds:
            holds(bits)


if __name__ == "__main__":
    main()
