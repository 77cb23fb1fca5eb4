"""Training, quantizing and lowering on a device that is not the CPU: the same numbers, nothing left behind there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.errors import ConfigError
from squat_deploy.lab import loop
from squat_deploy.lab.datasets import Samples
from squat_deploy.lab.loop import TrainConfig, train
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.snn.ptq import calibrated
from tests import devices

BASE: dict[str, Any] = {"sizes": (12, 6, 2), "epochs": 2, "batch": 16, "steps": 3, "learning_rate": 3e-3, "flip": False}
EVENTS: dict[str, Any] = {"dataset": "n-mnist", "clip": 1.0, "clipped": True}
RECIPES: dict[str, dict[str, Any]] = {
    "threshold-centred": {},
    "float first": {"float_epochs": 1, "schedule": "restarted"},
    "8 bits": {"weight_bits": 8, "state_bits": 8, "weight_scale": "float"},
    "learned": {"learned": True, "kind": "rest", "weight_scale": "learned", "surrogate_at": "membrane"},
    "learned, 5 bits": {"learned": True, "state_bits": 5},
    "fitted": {"limits": "fitted", "float_state_epochs": 1, "learned": True},
    "calibrated": {"limits": "calibrated", "float_epochs": 1},
    "shared scale": {"weight_scale": "shared", "kind": "rest", "current_std": 1.0},
    "binary weights": {"weight_bits": 1, "neuron": "synaptic"},
    "norms": {"norms": True, "weight_scale": "learned", "current_std": 1.0},
    "float": {"weight_bits": 32, "state_bits": 32},
    "conv": {**EVENTS, "net": "conv", "sizes": (1, 3, 2), "features": 12, "shift": 1},
    "recurrent": {**EVENTS, "net": "recurrent", "sizes": (12, 5, 2), "shift": 1},
}


@pytest.fixture(scope="module")
def box() -> torch.device:
    return devices.device()


def samples(config: TrainConfig, count: int, seed: int) -> Samples:
    """Two classes, one brighter than the other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    shape = (1, 8, 8) if config.net == "conv" else (12,)
    shape = shape if config.encoding == "direct" else (config.steps, *shape)
    inputs = rng.random((count, *shape)) + 0.5 * labels.reshape(-1, *[1] * len(shape))
    inputs = inputs / 2 if config.encoding == "direct" else inputs.round()
    return Samples(inputs.astype(np.float32), labels, config.encoding)


def trained(config: TrainConfig, folder: Path, device: torch.device | str, **options: Any) -> dict[str, torch.Tensor]:
    data = samples(config, 40, 0), samples(config, 20, 1)
    model, history = train(config, *data, folder, device=device, quiet=True, compiled=False, **options)
    assert len(history) == config.epochs and all(value.device.type == "cpu" for value in model.state_dict().values())
    return model.state_dict()


@pytest.mark.parametrize("name", RECIPES)
def test_training_elsewhere_gives_the_same_bits(name: str, box: torch.device, tmp_path: Path) -> None:
    """The stand-in rounds as the CPU does, so that whatever differs was computed from something else."""
    config = TrainConfig.model_validate({**BASE, **RECIPES[name]})
    here, there = (trained(config, tmp_path / str(place), place) for place in ("cpu", box))
    assert here.keys() == there.keys()
    for key, value in here.items():
        assert torch.equal(value, there[key]), key


@pytest.mark.parametrize("first", ["cpu", devices.NAME])
def test_a_run_goes_on_elsewhere(
    first: str, box: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of a GPU resumes on a CPU and the other way round."""
    config = TrainConfig.model_validate({**BASE, **RECIPES["learned"]})
    whole = trained(config, tmp_path / "whole", "cpu")
    saves: list[object] = []

    def cut(*args: Any) -> None:
        save(*args)
        saves.append(args)
        if len(saves) == 1:
            raise KeyboardInterrupt

    save = loop.save_training
    monkeypatch.setattr(loop, "save_training", cut)
    second = {"cpu": devices.NAME, devices.NAME: "cpu"}[first]
    with pytest.raises(KeyboardInterrupt):
        trained(config, tmp_path / "cut", first)
    resumed = trained(config, tmp_path / "cut", second, resume=True)
    assert len(saves) == config.epochs and all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_models_on_a_device_are_lowered(box: torch.device) -> None:
    """Most users' models are on a GPU: they stay there, and the network is that of the same model on the CPU.

    Here in the middle of a training, with membranes, gradients and the table of the last batch left over.
    """
    torch.manual_seed(0)
    recipe = {"learned": True, "surrogate_at": "membrane", "kind": "rest", "weight_scale": "learned", "norms": True}
    model, twin = dense_lif_net((12, 6, 3), **recipe).to(box), dense_lif_net((12, 6, 3), **recipe)
    batch = torch.rand(8, 12).to(box), (torch.arange(8) % 3).to(box)
    loop.train_step(model, torch.optim.SGD(model.parameters(), lr=0.1), *batch, 4)
    twin.load_state_dict({key: value.cpu() for key, value in model.state_dict().items()})
    spec = sd.InputSpec((12,), 0, 15, 2.0**-4)
    network = sd.lower(model, spec, 4)
    assert network.digest == sd.lower(twin.eval(), spec, 4).digest and model.training
    inputs = np.random.default_rng(0).integers(0, 16, (5, 12))
    agreement = sd.verify(network, model, inputs, executors=("torch", "numpy"))
    assert agreement.agrees and agreement.rows[0].executor == "torch"
    assert all(value.device.type == box.type for value in model.state_dict().values())


def test_gpus_compute_in_full_float32() -> None:
    """While training; afterwards the user's own setting holds again, and on a CPU it is never touched."""
    setting = torch.backends.cudnn.conv
    assert setting.fp32_precision == "tf32"
    for place, within in (("cuda", "ieee"), ("cpu", "tf32")):
        with pytest.raises(KeyboardInterrupt), loop._full_float32(torch.device(place)):
            assert setting.fp32_precision == within
            raise KeyboardInterrupt
        assert setting.fp32_precision == "tf32"


def test_float_models_on_a_device_are_quantized(box: torch.device) -> None:
    torch.manual_seed(0)
    model = dense_lif_net((12, 6, 3), weight_bits=32, state_bits=32).eval()
    data = torch.rand(20, 12)
    here = sd.quantize(model, data, steps=4)
    there = sd.quantize(model.to(box), data.to(box), steps=4)
    assert all(torch.equal(value, there.state_dict()[key]) for key, value in here.state_dict().items())
    _, score = calibrated(data.numpy(), np.arange(20) % 3, 4, "direct")
    found = sd.search_bits(model, data, score, steps=4, budget=1.0, candidates=(8, 4))
    assert all(value.device.type == "cpu" for value in found.model.state_dict().values())


def test_tensors_of_two_devices_do_not_meet(box: torch.device) -> None:
    """Or else nothing of the above would show anything."""
    layer = torch.nn.Linear(3, 2).to(box)
    with pytest.raises(RuntimeError, match="tensors on two devices"):
        layer(torch.ones(1, 3))
    with pytest.raises(TypeError, match="can't convert box:0 device type tensor to numpy"):
        layer(torch.ones(1, 3, device=box)).detach().numpy()


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(BASE)
    for missing in ("cuda", "nowhere", "hpu", "meta"):
        if missing == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ConfigError, match=f"device {missing}"):
            trained(config, tmp_path / missing, missing)
        assert not (tmp_path / missing).exists()
