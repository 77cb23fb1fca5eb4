"""Models that take the batch before time: said in InputSpec, the network's own inputs stay (T, B, ...)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.lowering import check
from squat_deploy.snn.quantizers import InputQuantizer
from tests.test_cli import document
from tests.test_models import leaky, linear

STEPS = 6
FIRST = sd.InputSpec((12,), 0, 3, 0.25, "sequence", time_first=False)
LATER = replace(FIRST, time_first=True)
INPUTS = np.random.default_rng(0).integers(0, 4, (STEPS, 7, 12))


class Looped(nn.Module):
    """Takes its steps in some way out of (B, T, ...)."""

    def __init__(self, steps: Callable[[Tensor], list[Tensor]] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grid = InputQuantizer(0.25, 0, 3)
        self.fc1, self.lif1, self.fc2, self.lif2 = linear(12, 9), leaky(False), linear(9, 4), leaky(False)
        self.steps = steps or (lambda x: [x[:, step] for step in range(x.size(1))])
        with torch.no_grad():
            self.fc1.weight.mul_(4)
            self.fc2.weight.mul_(4)

    def forward(self, x):
        mem1, mem2, spikes = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in self.steps(x):
            spk1, mem1 = self.lif1(self.fc1(step), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes, dim=1)


SPELLINGS: dict[str, Callable[[Tensor], list[Tensor]]] = {
    "index": lambda x: [x[:, step] for step in range(x.shape[1])],
    "index with all": lambda x: [x[:, step, ...] for step in range(STEPS)],
    "index from the end": lambda x: [x[..., step, :] for step in range(STEPS)],
    "select": lambda x: [x.select(1, step) for step in range(x.size(1))],
    "unbind": lambda x: list(x.unbind(1)),
    "unbind by name": lambda x: list(torch.unbind(x, dim=-2)),
    "transpose": lambda x: list(x.transpose(0, 1)),
    "permute": lambda x: [x.permute(1, 0, 2)[step] for step in range(STEPS)],
    "movedim": lambda x: [torch.movedim(x, 1, 0).contiguous()[step] for step in range(STEPS)],
    "swapaxes": lambda x: [x.swapaxes(0, 1)[step, :] for step in range(STEPS)],
    "there and back": lambda x: [x.transpose(0, 1).clone().transpose(1, 0)[:, step] for step in range(STEPS)],
}


@cache
def expected() -> sd.Network:
    return sd.lower(Looped(lambda x: [x[step] for step in range(x.size(0))]), LATER, STEPS)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_way_to_take_a_step(name: str) -> None:
    model = Looped(SPELLINGS[name])
    network = sd.lower(model, FIRST, STEPS)
    assert network.digest == expected().digest and network.certificate.proven
    assert [layer.name for layer in network.layers] == ["fc1", "lif1", "fc2", "lif2"]
    assert sd.verify(network, model, INPUTS, executors=["torch", "numpy"]).agrees
    with torch.no_grad():
        own = model(torch.from_numpy(INPUTS.swapaxes(0, 1) * 0.25).float())
    np.testing.assert_array_equal(sd.simulate(network, INPUTS).scores, own.sum(1).numpy())


def test_a_grid_in_front_of_all_steps() -> None:
    model = Looped()
    grid = model.grid
    model.steps = lambda x: [grid(x)[:, step] for step in range(STEPS)]
    assert sd.lower(model, FIRST, STEPS).digest == expected().digest
    model.steps = lambda x: list(grid(x.transpose(0, 1)))
    assert sd.lower(model, FIRST, STEPS).digest == expected().digest


def test_files_say_it_where_it_is_so(tmp_path: Path) -> None:
    network = sd.lower(Looped(), FIRST, STEPS)
    sd.save(network, tmp_path / "n.safetensors")
    assert sd.load(tmp_path / "n.safetensors").input == FIRST
    sd.save(expected(), tmp_path / "t.safetensors")
    assert b"time_first" not in (tmp_path / "t.safetensors").read_bytes()
    assert b"time_first" in (tmp_path / "n.safetensors").read_bytes()
    for form in ("step", "sequence"):
        sd.emit_qonnx(network, tmp_path / f"n.{form}.onnx", form=form)
        read = sd.load(tmp_path / f"n.{form}.onnx")
        assert read.input == FIRST and sd.verify(read, Looped(), INPUTS, executors=["torch"]).agrees
        sd.emit_qonnx(expected(), tmp_path / f"t.{form}.onnx", form=form)
        assert b"time_first" not in (tmp_path / f"t.{form}.onnx").read_bytes()


def test_the_other_order_is_named_and_works() -> None:
    """Both hints, done."""
    with pytest.raises(LoweringError, match=r"time is where the model takes it; got \(steps, batch, ...\), where it "):
        sd.lower(Looped(), LATER, STEPS)
    with pytest.raises(LoweringError, match=r"runs on \(batch, steps, ...\): InputSpec\(time_first=False\), --batch-f"):
        sd.lower(Looped(), LATER, STEPS)
    first = Looped(lambda x: [x[step] for step in range(x.size(0))])
    with pytest.raises(LoweringError, match=r"runs on \(steps, batch, ...\): InputSpec\(time_first=True\), no --batch"):
        sd.lower(first, FIRST, STEPS)
    assert sd.lower(first, LATER, STEPS).digest == sd.lower(Looped(), FIRST, STEPS).digest


def test_models_of_one_step_have_no_axis_of_time() -> None:
    model = nn.Sequential(linear(12, 4), leaky())
    with pytest.raises(
        (ConfigError, LoweringError), match="is of a model that loops over time itself; got one that tak"
    ):
        sd.lower(model, FIRST, STEPS)
    assert sd.lower(model, LATER, STEPS).certificate.proven
    with pytest.raises(
        ConfigError, match="time_first is True or False, and False only of sequences; got False with enc"
    ):
        sd.InputSpec((12,), time_first=False)


def test_other_steps_are_refused() -> None:
    for steps in (
        lambda x: [x[:, STEPS - 1 - step] for step in range(STEPS)],
        lambda x: [x[:, step, :] + x[:, 0] for step in range(STEPS)],
    ):
        with pytest.raises(LoweringError):
            sd.lower(Looped(steps), FIRST, STEPS)


def test_checked_deviated_and_quantized() -> None:
    assert all(row.verdict in ("supported", "proven") for row in check(Looped(), FIRST, STEPS))
    assert sd.deviation(Looped(), Looped(), FIRST, STEPS).decisions == 0
    assert sd.lower(sd.exact(Looped(), FIRST, STEPS), FIRST, STEPS).certificate.proven


class Float(nn.Module):
    """Not quantized."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.lif = nn.Linear(12, 4), snn.Leaky(beta=0.9)
        with torch.no_grad():
            self.fc.weight.mul_(4)

    def forward(self, x):
        mem, spikes = self.lif.init_leaky(), []
        for step in range(x.size(1)):
            spk, mem = self.lif(self.fc(x[:, step]), mem)
            spikes.append(spk)
        return torch.stack(spikes, 1)


def test_float_models_are_quantized() -> None:
    data = torch.from_numpy((INPUTS > 1).astype(np.float32))
    spec = sd.InputSpec((12,), 0, 1, 1.0, "sequence", time_first=False)
    made = sd.quantize(Float(), data, steps=STEPS, encoding="sequence", time_first=False)
    network = sd.lower(made, spec, STEPS)
    assert sd.verify(network, made, data.numpy().astype(int), executors=["torch", "numpy"]).agrees
    with pytest.raises(
        ConfigError, match=r"the model does not run on the calibration data: RuntimeError: mat1 .*; give th"
    ):
        sd.quantize(Float(), data, steps=STEPS, encoding="sequence")


FACTORY = """
from tests.test_batch_first import Float, Looped
"""


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FACTORY)
    given = ("--steps", STEPS, "--encoding", "sequence", "--batch-first", "--high", 3, "--step", 0.25)
    assert document("check", "net.py:Looped", *given)["input"]["time_first"] is False  # type: ignore[index]
    made = document("lower", "net.py:Looped", *given)
    assert made["digest"] == expected().digest
    np.save("x.npy", INPUTS)
    assert document("verify", "network.safetensors", "--model", "net.py:Looped", "--inputs", "x.npy", "--executor",
                    "torch")["agrees"]  # fmt: skip
    np.save("f.npy", (INPUTS > 1).astype(np.float32))
    quantized = document("quantize", "net.py:Float", "--steps", STEPS, "--encoding", "sequence", "--batch-first",
                         "--calibration", "f.npy", "--out", "q.safetensors")  # fmt: skip
    assert json.dumps(quantized["input"]).count("time_first") == 1
