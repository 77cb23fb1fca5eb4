"""Tables of neurons in hardware: none is read more than twice a cycle, in whatever form it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.errors import ExportError
from squat_deploy.hardware import searches
from squat_deploy.hardware.design import design_of
from squat_deploy.hardware.searches import searched
from squat_deploy.hardware.units import Fire, FirePairs
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.network import InputSpec
from tests.cycles import cycles_compared
from tests.hls_lint.rules import faults
from tests.test_hardware import check_run
from tests.test_hls import make
from tests.test_two_state import SPEC, model
from tests.test_two_state import inputs as drawn

WARNINGS = "WARNINGS=-Wall -Wextra -Wconversion -Werror"


def network_of(bits: int, *, norms: bool) -> sd.Network:
    """12-9-4, of which the first layer's neurons have tables of their own with `norms`."""
    torch.manual_seed(bits)
    made = dense_lif_net((12, 9, 4), input_bits=None, norms=norms, state_bits=bits)
    if norms:
        made.norm1.running_var.uniform_(0.3, 3.0)
        made.norm1.running_mean.uniform_(-1, 1)
    spec = InputSpec((12,), 0, 3, 1.0, encoding="sequence")
    return sd.lower(made.eval(), spec, 5, allow_unproven=True)


def check(network: sd.Network, config: sd.HlsConfig, folder: Path, *, watched: bool) -> None:
    """NumPy and C++ by standard integers and either under sanitizers or by ap_int, ports, cycles."""
    inputs = np.random.default_rng(0).integers(0, 4, (5, 6, 12))
    check_run(design_of(network, config), inputs, 3)
    project = sd.emit_hls(network, folder, config, stimulus=inputs)
    assert [fault for fault in faults(project) if "accesses" in fault] == []
    with cycles_compared(network, inputs, config):
        assert make(project, "csim").startswith("PASS")
    assert "PASS: 0 mismatches" in make(project, "sanitize" if watched else "csim-ap", WARNINGS)


FORMS = [(4, "threshold", "by level"), (5, "auto", "by level"), (5, "threshold", "by level")]


@pytest.mark.parametrize(("bits", "form", "how"), FORMS)
def test_tables_of_each_channel(bits: int, form: str, how: str, tmp_path: Path, ap_headers: None) -> None:
    network, config = network_of(bits, norms=True), sd.HlsConfig(pe=3, form=form)
    unit = design_of(network, config).neurons[0]
    assert isinstance(unit, Fire) and unit.tables.spread == "channel" and unit.tables.how == how
    check(network, config, tmp_path / "p", watched=bits == 5 and form == "threshold")


@pytest.mark.parametrize("pe", [1, 4, 9])
def test_large_tables_of_all_neurons(pe: int, tmp_path: Path, ap_headers: None) -> None:
    """The last levels of the search stand once for two lanes; the first are logic."""
    network, config = network_of(6, norms=False), sd.HlsConfig(pe={"lif1": pe, "lif2": 2}, form="threshold")
    unit = design_of(network, config).neurons[0]
    assert isinstance(unit, Fire) and unit.tables.spread == "shared" and unit.tables.how == "by level"
    assert len(unit.constants["THRESHOLDS5"]) == (pe + 1) // 2 and unit.constants["THRESHOLDS0"].ndim == 2
    check(network, config, tmp_path / "p", watched=pe == 4)  # 9 neurons, so that lanes are idle


def test_levels_of_a_search_are_its_entries() -> None:
    table = np.arange(2 * 63).reshape(2, 63)
    levels = searched("T", table, 6, shared=False)
    assert [levels[f"T{level}"].shape for level in range(6)] == [(2, 2**level) for level in range(6)]
    assert np.array_equal(np.sort(np.concatenate(list(levels.values()), axis=1)), table)


def test_tables_that_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hints are some that work."""
    network = network_of(6, norms=False)
    monkeypatch.setattr("squat_deploy.hardware.tables.MAX_TABLE_ENTRIES", 3 * 65 * 63)
    with pytest.raises(ExportError, match="use fewer state bits, or a lower PE"):
        design_of(network, sd.HlsConfig(pe=9, form="threshold"))
    design_of(network, sd.HlsConfig(pe=4, form="threshold"))
    monkeypatch.setattr("squat_deploy.hardware.tables.MAX_TABLE_ENTRIES", 300)
    with pytest.raises(ExportError, match="or one scale for the whole layer instead of one a neuron"):
        design_of(network_of(6, norms=True), sd.HlsConfig(pe=4))
    design_of(network, sd.HlsConfig(pe=4))


@pytest.mark.parametrize("entries", [searches.LOGIC_ENTRIES, 3])
def test_pairs_of_states(entries: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ap_headers: None) -> None:
    """One table for all, and one a channel; with logic, and without."""
    monkeypatch.setattr(searches, "LOGIC_ENTRIES", entries)
    for number, beta in enumerate((0.8, torch.tensor([0.8, 0.9, 0.8, 0.7]))):
        network = sd.lower(model(4, reset_mechanism="subtract", beta=beta), SPEC, 4, readout="count")
        config = sd.HlsConfig(pe=3)
        unit = design_of(network, config).neurons[0]
        assert isinstance(unit, FirePairs)
        assert unit.tables.reached.how == ("logic" if number == 0 and entries > 3 else "at once")
        project = sd.emit_hls(network, tmp_path / str(number), config, stimulus=drawn())
        assert [fault for fault in faults(project) if "accesses" in fault] == []
        target = "sanitize" if number == (entries == 3) else "csim-ap"
        assert "PASS: 0 mismatches" in make(project, target, WARNINGS)
