"""Resources by estimate: within the stated error of what yosys made of cores; what does not fit, what helps."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import squat_deploy as sd
from benchmarks import hardware
from benchmarks import hardware_cells as cells
from benchmarks.hardware_beside import ratio
from benchmarks.hardware_estimates import expected
from squat_deploy.backends import hls
from squat_deploy.hardware import measured
from squat_deploy.hardware.budget import budget_of
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.memories import Memory, Usage
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network.layers import Dense
from tests.test_cli import invoke
from tests.test_hardware import network_of
from tests.test_hls import golden_network


def estimated(network: sd.Network, core: measured.Core) -> Usage:
    last = min(core.pe, network.outputs)
    config = sd.HlsConfig(pe={"lif1": core.pe, "lif2": last}, events=1)
    return budget_of(design_of(network, config), config.part).total


def ratios(fashion: sd.Network) -> list[tuple[measured.Core, Usage]]:
    networks = {"golden": golden_network(), "fashion_mnist": fashion}
    for bits in (2, 4):
        torch.manual_seed(0)
        model = dense_lif_net((784, 128, 10), state_bits=bits, weight_bits=4, input_bits=None)
        spec = sd.InputSpec((784,), 0, 1, 1.0, encoding="sequence")
        networks[f"784-128-10 {bits}"] = sd.lower(model, spec, 25, allow_unproven=True)
    cores = (*measured.BY_HAND, *measured.OURS, *measured.BY_BAMBU)
    named = ((core, networks.get(core.name) or networks[f"{core.name} {core.state_bits}"]) for core in cores)
    return [(core, estimated(network, core)) for core, network in named]


def test_the_stated_error_is_the_error(fashion: sd.Network) -> None:
    """No more, and (to a tenth or so) no less."""
    found = ratios(fashion)
    for name, stated, values in (
        ("LUT", measured.LUT_ERROR, [usage.lut / core.lut for core, usage in found]),
        ("large", measured.LARGE_LUT_ERROR, [u.lut / core.lut for core, u in found if core.lut > measured.LARGE]),
        ("FF", measured.FF_ERROR, [usage.ff / core.ff for core, usage in found]),
        ("BRAM", measured.BRAM_ERROR, [usage.bram18 / core.bram18 for core, usage in found if core.bram18]),
    ):
        least, most = stated
        assert 0.99 * least <= min(values) < 1.15 * least, (name, values)
        assert 0.85 * most < max(values) <= 1.01 * most, (name, values)


def test_beside_the_rtl() -> None:
    """Cores with a neuron unit a lane are as large as expected, but for control; cycles are nearly those of the RTL."""
    stored = [run for run in hardware.stored() if run["target"] == "xc7" and run["cell"]["network"].startswith("dense")]
    runs = [run for run in stored if run["cell"]["simd"] <= 2]  # HLS takes two events at most
    assert runs
    for run in runs:
        assert 0.9 < ratio(run, "cycles") < 1.2, run["cell"]
        assert 0.9 < ratio(run, "bram") < 1.4, run["cell"]
        assert run["estimate"]["lut"] > run["resources"]["lut"]
        if run["cell"]["share"] == 1:
            without = run["estimate"]["lut"] - run["estimate"]["parts"]["control"]
            assert 0.75 < without / (run["resources"]["lut"] + run["resources"]["lut_ram"]) < 1.25
            assert 0.75 < ratio(run, "ff") < 1.5
    cell = cells.Cell("dense2", 32, 1, share=1)
    (alone,) = (run for run in runs if run["cell"] == cell.facts)
    assert alone["estimate"] == expected(cells.network_of("dense2"), cells.stimulus_of("dense2"), cell)


@pytest.mark.parametrize(
    ("depth", "width", "reads", "want"),
    [
        (16384, 1, 1, Usage(bram18=1)),
        (512, 36, 1, Usage(bram18=1)),
        (512, 36, 2, Usage(bram18=2)),  # with two ports to read a word has 18 bits
        (513, 18, 2, Usage(bram18=1)),
        (784, 64, 2, Usage(bram18=4)),
        (1025, 18, 1, Usage(bram18=2)),
        (128, 8, 1, Usage(lut=16)),
        (128, 8, 2, Usage(lut=32)),
    ],
)
def test_roms(depth: int, width: int, reads: int, want: Usage) -> None:
    assert Memory("ROM", depth, (width,), np.zeros(depth, dtype=np.int64), reads=reads).usage == want


def test_rams() -> None:
    """Four LUTs are 32 words of 6 bits or 64 of 3."""
    assert Memory("ram", 32, (6,)).usage == Usage(lut=4)
    assert Memory("ram", 64, (6,)).usage == Usage(lut=8)
    assert Memory("ram", 33, (6, 6), style="distributed").usage == Usage(lut=16)
    assert Memory("ram", 576, (80,)).usage == Usage(bram18=5)
    assert Memory("ram", 3, (5,) * 4, style="registers").usage == Usage(ff=60)


def wide() -> sd.Network:
    """More weights than a small part has memory for."""
    weight = np.random.default_rng(0).integers(-128, 128, (400, 784))
    return network_of((784,), Dense("fc", weight, np.zeros(400, dtype=np.int64)))


def test_what_does_not_fit_is_said_at_once_with_what_helps(tmp_path: Path) -> None:
    """In the report, in the README, on the console; the part that is named is large enough."""
    network, small = wide(), "xc7z007s"
    files = hls.render(network, sd.HlsConfig(part=small, vectors=1))
    told = files["reports/estimate.txt"].partition("\n\n")[0].replace("\n", " ")
    said = r"The design DOES NOT FIT a Zynq-7007S, by estimate: \d+ BRAM18, 1.\d times the 100 that there are. "
    said += r"fc takes 9\d % of what is shortest. What helps: it fits with the part (\w+); "
    found = re.fullmatch(said + r"smaller with fewer weight bits \(8 now\), fewer neurons.", told)
    assert found, told
    assert f"**{told[:40]}" in files["README.md"]
    assert "DOES NOT FIT" not in hls.render(network, sd.HlsConfig(part=found[1], vectors=1))["reports/estimate.txt"]
    path = tmp_path / "net.safetensors"
    sd.save(network, path)
    assert "fits with the part" in invoke("hls", path, "--out", tmp_path / "p", "--part", small, "--vectors", 1)


@pytest.mark.parametrize("options", [{"pe": 256}, {"pe": 256, "form": "threshold"}])
def test_options_that_help_help(options: dict[str, Any], fashion: sd.Network) -> None:
    part = "xc7z010"
    found = sd.fold(fashion, sd.HlsConfig(part=part, **options)).shortage
    assert found is not None and found.options
    changes = {"pe left open": {"pe": None}, "form auto": {"form": "auto"}, "events left open": {"events": None}}
    told = {name for name in changes if any(name in option for option in found.options)}
    assert told
    for name in told:
        options |= changes[name]
    assert sd.fold(fashion, sd.HlsConfig(part=part, **options)).shortage is None


def test_tables_a_neuron_are_named() -> None:
    """The layer whose tables are the reason, and that one table would do."""
    model = dense_lif_net((16, 64, 4), state_bits=6)
    network = sd.lower(model, sd.InputSpec((16,), 0, 15, 2.0**-4), 4)
    first = network.neurons[0]
    apart = dataclasses.replace(
        first,
        **{name: np.repeat(getattr(first, name), first.neurons, axis=0) for name in ("thresholds", "successor")},
        membranes=np.repeat(first.membranes, first.neurons, axis=0),
        fire_level=np.repeat(first.fire_level, first.neurons),
        table=np.arange(first.neurons),
    )
    layers = tuple(apart if layer is first else layer for layer in network.layers)
    many = dataclasses.replace(network, layers=layers)
    short = sd.fold(many, sd.HlsConfig(part="xc7z007s", form="threshold", pe=64)).shortage
    assert short is not None and short.layer == first.name and short.share > 0.5
    assert short.model.startswith("one table for the whole layer, in place of 64, fewer state bits (65 states)")
