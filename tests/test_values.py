"""Values out: membranes of the last layer as fixed-point numbers; populations; readouts that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from snntorch import functional as snntorch_functional
from torch import Tensor, nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, FileFormatError, LoweringError, SquatWarning
from squat_deploy.network.readout import OF_MEMBRANES, population
from squat_deploy.network.values import Values, values_of
from squat_deploy.snn.checkpoint import save_model
from squat_deploy.snn.neurons import reset_neurons
from squat_deploy.snn.quantizers import StateQuantizer, state_quant
from tests.test_cli import document
from tests.test_lowering import leaky, linear

SPEC = sd.InputSpec((6,), 0, 3)
INPUTS = np.random.default_rng(0).integers(0, 4, (30, 6))


class Regression(nn.Module):
    """As the regression tutorials: a last layer that never spikes, whose membranes are the result."""

    def __init__(self, how: Callable[[Tensor], Any] | None = None, steps: int = 6) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.fc1, self.fc2, self.how, self.steps = linear(), linear(4, 3), how or (lambda steps: steps), steps
        self.hidden = leaky(init_hidden=False)
        options = {"state_quant": state_quant(6, lower_limit=1.0, upper_limit=1.0), "reset_mechanism": "none"}
        self.out = leaky(init_hidden=False, **options)

    def forward(self, x: Tensor) -> Any:
        hidden, out = self.hidden.reset_mem(), self.out.reset_mem()
        membranes = []
        for _ in range(self.steps):
            spikes, hidden = self.hidden(self.fc1(x), hidden)
            _, out = self.out(self.fc2(spikes), out)
            membranes.append(out)
        return self.how(torch.stack(membranes))


def membranes(steps: int = 6) -> Tensor:
    """What the model itself returns, (T, B, 3), float64."""
    with torch.no_grad():
        found: Tensor = Regression(steps=steps).eval()(torch.from_numpy(INPUTS).float())
    return found.double()


@pytest.mark.parametrize("readout", OF_MEMBRANES)
def test_values_are_the_membranes_of_torch(readout: str, compiler: None, tmp_path: Path) -> None:
    network = sd.lower(Regression().eval(), SPEC, 6, readout=readout)  # type: ignore[arg-type]
    every = membranes()
    wanted = {"highest-membrane": every.amax(0), "last-membrane": every[-1], "mean-membrane": every.sum(0)}[readout]
    values = network.values
    assert values is not None and values.divisor == (6 if readout == "mean-membrane" else 1)
    scores = sd.simulate(network, INPUTS).scores
    assert np.array_equal(values.integers(scores) * values.step, wanted.numpy())  # exactly
    assert np.allclose(values.real(scores), wanted.numpy() / values.divisor, rtol=1e-15, atol=0)
    found = sd.verify(network, Regression().eval(), INPUTS)
    assert found.agrees and {row.executor for row in found.rows} >= {"torch", "numpy", "c++", "onnxruntime", "qonnx"}
    for form in ("step", "sequence", "finn"):
        sd.emit_qonnx(network, tmp_path / "n.onnx", form=form)  # type: ignore[arg-type]
        assert sd.load(tmp_path / "n.onnx").values == values
    sd.save(network, tmp_path / "n.safetensors")
    assert sd.load(tmp_path / "n.safetensors").values == values


def test_graphs_give_the_integers(tmp_path: Path) -> None:
    """As an output of their own, which whoever has the file reads without this package."""
    network = sd.lower(Regression().eval(), SPEC, 6, readout="mean-membrane")
    sd.emit_qonnx(network, tmp_path / "n.onnx", form="sequence")
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx", providers=["CPUExecutionProvider"])
    kind = {"tensor(uint8)": np.uint8, "tensor(int8)": np.int8}[session.get_inputs()[0].type]
    (values,) = session.run(["values"], {session.get_inputs()[0].name: INPUTS.astype(kind)})
    assert network.values is not None
    assert np.array_equal(values * network.values.step, membranes().sum(0).numpy())


def test_a_value_that_differs_is_noticed() -> None:
    """Two networks of other levels, which fire alike."""
    network = sd.lower(Regression().eval(), SPEC, 6, readout="last-membrane")
    last = network.neurons[-1]
    other = replace(network, layers=(*network.layers[:-1], replace(last, membranes=last.membranes * np.float32(2))))
    row = sd.verify(other, Regression().eval(), INPUTS, executors=["torch"]).rows[0]
    assert row.mismatches and other.digest == network.digest
    mean = sd.lower(Regression().eval(), SPEC, 6, readout="mean-membrane")
    assert replace(mean, layers=other.layers).digest != mean.digest  # there levels decide


def test_projects_say_what_scores_are_worth(tmp_path: Path) -> None:
    network = sd.lower(Regression().eval(), SPEC, 6, readout="last-membrane")
    values = network.values
    assert values is not None
    sd.emit_hls(network, tmp_path / "hls")
    header, readme = ((tmp_path / "hls" / name) for name in ("src/squat_top.h", "README.md"))
    table = header.read_text().split("VALUE_OF_SCORE[] = {")[1].split("}")[0]
    assert [int(part) for part in table.replace("\n", " ").split(",")] == list(values.table)
    assert values.described in readme.read_text() and values.described in header.read_text()
    mean = sd.lower(Regression().eval(), SPEC, 6, readout="mean-membrane")
    sd.emit_hls(mean, tmp_path / "mean")
    assert mean.values is not None and mean.values.described in (tmp_path / "mean" / "README.md").read_text()


def test_fixed_point() -> None:
    levels = np.array([-0.75, 0.0, 0.375, 1.5], dtype=np.float32)
    used = np.arange(4)
    assert values_of("last-membrane", levels, used, 9) == Values(0.375, table=(-2, 0, 1, 4))
    mean = values_of("mean-membrane", levels, used, 10)
    assert mean == Values(0.375, 10, worth=(0, 2, 3, 6), offset=-20) and mean.levels == (-2, 0, 1, 4)
    assert mean.real(np.array([[0, 60, 23]])).tolist() == [[-0.75, 1.5, 0.1125]]
    assert values_of("last-membrane", np.zeros(1, dtype=np.float32), np.arange(1), 1) == Values(1.0, table=(0,))
    tiny = np.array([2.0**-50, 1.0], dtype=np.float32)
    why = values_of("last-membrane", tiny, np.arange(2), 1)
    assert why == (
        "values need levels below 2**47 of the step that they share; got 1.1e+15 of 8.9e-16; "
        "use levels that are multiples of 2**-8 or so"
    )
    many = values_of("last-membrane", np.arange(1025, dtype=np.float32), np.arange(1025), 1)
    assert many == "values need at most 1024 states; got 1025; use fewer state bits in the last layer"


def test_values_that_do_not_fit_are_said(tmp_path: Path) -> None:
    """Of a mean they are refused, of other readouts warned of; the hint works."""
    quantizer = StateQuantizer(np.array([-1.0, 2.0**-50, 1.5], dtype=np.float32))
    model = nn.Sequential(linear(), leaky(state_quant=quantizer))
    with pytest.raises(
        LoweringError, match=r"below 2\*\*47 of the step that they share.*use levels that are multiples of 2\*\*-8"
    ):
        sd.lower(model, SPEC, 6, readout="mean-membrane")
    with pytest.warns(
        SquatWarning, match='"last-membrane" gives classes and no values: values need levels below'
    ) as told:
        network = sd.lower(model, SPEC, 6, readout="last-membrane")
    assert network.values is None and network.why_no_values in str(told[0].message)
    with pytest.warns(SquatWarning, match="gives classes and no values"):
        assert all(row.verdict != "refused" for row in sd.check(model, SPEC, 6, readout="last-membrane"))
    sd.emit_hls(network, tmp_path / "hls")
    assert f"; no values: {network.why_no_values}" in (tmp_path / "hls" / "README.md").read_text()
    sd.save(network, tmp_path / "n.safetensors")
    kept = document("simulate", tmp_path / "n.safetensors", "--samples", 2)
    assert any(network.why_no_values in text for text in kept["warnings"])  # type: ignore[attr-defined]
    coarse = np.array([-1.0, 2.0**-8, 1.5], dtype=np.float32)
    model = nn.Sequential(linear(), leaky(state_quant=StateQuantizer(coarse)))
    assert sd.lower(model, SPEC, 6, readout="mean-membrane").values is not None
    assert not sd.lower(model, SPEC, 6, readout="last-membrane").why_no_values
    counts = sd.lower(model, SPEC, 6)
    assert counts.why_no_values == 'values are of membranes; got readout="count"; use readout="last-membrane"'


@pytest.mark.parametrize(
    ("how", "fits"),
    [
        (lambda steps: steps, ("highest-membrane", "last-membrane", "mean-membrane")),
        (lambda steps: steps[-1], ("highest-membrane", "last-membrane", "mean-membrane")),
        (lambda steps: {"out": steps.mean(0)}, ("mean-membrane",)),
        (lambda steps: steps.max(0)[0], ("highest-membrane",)),
    ],
)
def test_a_model_of_membranes_is_asked_for_its_readout(how: Callable[[Tensor], Any], fits: tuple[str, ...]) -> None:
    model = Regression(how).eval()
    hint = "say which: readout=" + " or ".join(f'"{name}"' for name in fits)
    for readout in ("count", "first"):
        with pytest.raises(LoweringError, match="membranes and no spikes") as caught:
            sd.lower(model, SPEC, 6, readout=readout)  # type: ignore[arg-type]
        assert hint in str(caught.value)
    assert [row.layer for row in sd.check(model, SPEC, 6) if row.verdict == "refused"] == ["readout"]
    for name in fits:
        assert sd.lower(model, SPEC, 6, readout=name).readout == name  # type: ignore[arg-type]


class LastOfAll(Regression):
    """Its last membrane alone."""

    def forward(self, x: Tensor) -> Tensor:
        hidden, out = self.hidden.reset_mem(), self.out.reset_mem()
        for _ in range(self.steps):
            spikes, hidden = self.hidden(self.fc1(x), hidden)
            _, out = self.out(self.fc2(spikes), out)
        return out


def test_the_last_membrane_alone() -> None:
    with pytest.raises(LoweringError, match=r'say which: readout="last-membrane"$'):
        sd.lower(LastOfAll().eval(), SPEC, 6)
    assert sd.lower(LastOfAll().eval(), SPEC, 6, readout="last-membrane").values is not None


def test_populations() -> None:
    """As snnTorch counts them."""
    torch.manual_seed(0)
    model = nn.Sequential(linear(6, 12), leaky())
    network = sd.lower(model.eval(), SPEC, 8)
    scores = sd.simulate(network, INPUTS).scores
    real = torch.from_numpy(INPUTS).float()
    reset_neurons(model)
    spikes = torch.stack([model(real) for _ in range(8)]).detach()
    sums = population(scores, 3)
    theirs = snntorch_functional.acc._population_code(spikes, 3, 12)
    assert np.array_equal(sums, theirs.numpy())
    targets = torch.from_numpy(sums.argmax(axis=1))
    assert snntorch_functional.accuracy_rate(spikes, targets, population_code=True, num_classes=3) == 1.0
    with pytest.raises(ConfigError, match="population: 12 outputs make no 5 populations of one size"):
        population(scores, 5)


def test_files_whose_values_contradict_their_membranes(tmp_path: Path) -> None:
    import onnx

    network = sd.lower(Regression().eval(), SPEC, 6, readout="last-membrane")
    model = sd.emit_qonnx(network)
    entry = next(entry for entry in model.metadata_props if entry.key == "squat_deploy.network")
    step = network.values.step if network.values else 0
    entry.value = entry.value.replace(f'"step": {step!r}, "divisor"', f'"step": {step * 2!r}, "divisor"')
    onnx.save(model, tmp_path / "n.onnx")
    with pytest.raises(FileFormatError, match="values: contradict the membranes of the output neurons"):
        sd.load(tmp_path / "n.onnx")


def test_values_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Regression().eval(), tmp_path / "w.safetensors")
    network = sd.lower(Regression().eval(), SPEC, 6, readout="mean-membrane")
    sd.save(network, tmp_path / "n.safetensors")
    np.save("inputs.npy", INPUTS)
    found: Any = document("simulate", "n.safetensors", "--inputs", "inputs.npy", "--out", "o.npz")
    real = membranes().mean(0).numpy()
    assert np.allclose(found["values"]["real"], real) and found["values"]["divisor"] == 6
    assert np.allclose(np.load("o.npz")["values"], real)
