"""Networks as NIR files: nodes that any reader runs, and the same integers again, digest and all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantConv2d, QuantLinear
from brevitas.quant import Int8WeightPerTensorFloat
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, FileFormatError, LoweringError
from squat_deploy.lab import bundled
from squat_deploy.readers.nir.model import NirOptions
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.layers import IntThenScaleLinear
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, state_quant
from tests.law import assert_agrees
from tests.oracle.nir_graphs import Euler
from tests.test_cli import document, invoke

STEPS = 5
FIXED = Int8WeightPerTensorFixedPoint


def dense(inputs: int, outputs: int, bias: bool = False, quant: Any = FIXED, bits: int = 5) -> QuantLinear:
    return QuantLinear(inputs, outputs, bias=bias, weight_quant=quant, weight_bit_width=bits)


def conv(inputs: int, outputs: int, **options: Any) -> QuantConv2d:
    return QuantConv2d(inputs, outputs, 3, weight_quant=FIXED, weight_bit_width=5, **options)


def leaky(kind: type = snn.Leaky, **options: Any) -> nn.Module:
    values = {"beta": 0.9, "init_hidden": True, "state_quant": state_quant(3, upper_limit=0.5), **options}
    return kind(**values)


def recurrent(kind: type, size: int, **options: Any) -> nn.Module:
    made = leaky(kind, linear_features=size, **options)
    made.recurrent = dense(size, size, bits=3)
    return made


def readout() -> nn.Module:
    levels = StateQuantizer(np.linspace(-2, 2, 16, dtype=np.float32), -np.inf)
    return snn.Leaky(beta=0.75, threshold=9.0, reset_mechanism="none", init_hidden=True, state_quant=levels)


EACH = {"beta": torch.tensor([0.5, 0.9, 0.97, 1.0]), "threshold": torch.tensor([0.5, 1.0, 0.1, 0.7])}
SEQUENCE = {"encoding": "sequence"}
Made = tuple[nn.Sequential, sd.InputSpec]
FORMS: dict[str, Callable[[], Made]] = {
    "dense": lambda: (nn.Sequential(dense(6, 4), leaky(), dense(4, 3), leaky()), sd.InputSpec((6,), 0, 3)),
    "biases": lambda: (nn.Sequential(dense(6, 4, True), leaky(), dense(4, 3, True), leaky()), sd.InputSpec((6,), 0, 3)),
    "a grid of its own": lambda: (
        nn.Sequential(InputQuantizer(2.0**-3, 0, 7), nn.Flatten(), dense(6, 4), leaky()),
        sd.InputSpec((6,), 0, 7, 2.0**-3),
    ),
    "one value a neuron": lambda: (nn.Sequential(dense(6, 4), leaky(**EACH)), sd.InputSpec((6,), -2, 3, **SEQUENCE)),
    "resets": lambda: (
        nn.Sequential(
            dense(6, 4), leaky(reset_mechanism="zero"), dense(4, 4), leaky(reset_delay=False),
            dense(4, 4), leaky(reset_mechanism="zero", reset_delay=False), dense(4, 3), leaky(reset_mechanism="none"),
        ),
        sd.InputSpec((6,), 0, 3),
    ),
    "integrating": lambda: (nn.Sequential(dense(6, 4), leaky(beta=1.0)), sd.InputSpec((6,), 0, 3, **SEQUENCE)),
    "without memory": lambda: (nn.Sequential(dense(6, 4), leaky(beta=0.0)), sd.InputSpec((6,), 0, 3, **SEQUENCE)),
    "two states": lambda: (
        nn.Sequential(dense(6, 4), leaky(snn.Synaptic, alpha=0.7, state_quant=state_quant(2))),
        sd.InputSpec((6,), 0, 3),
    ),
    "recurrent": lambda: (
        nn.Sequential(dense(6, 4), recurrent(snn.RLeaky, 4, beta=0.5), dense(4, 3), leaky()), sd.InputSpec((6,), 0, 2),
    ),
    "pictures": lambda: (
        nn.Sequential(
            conv(2, 4, padding=1, bias=False), leaky(), nn.AvgPool2d(2), nn.Dropout(),
            conv(4, 6, groups=2, stride=(2, 1), padding=(1, 0), bias=True), leaky(),
            nn.Flatten(), dense(12, 3), leaky(),
        ),
        sd.InputSpec((2, 6, 6), 0, 1, **SEQUENCE),
    ),
    "sums of windows": lambda: (
        nn.Sequential(
            conv(1, 2, bias=False), leaky(), nn.AvgPool2d(2, divisor_override=1), nn.Flatten(), dense(8, 3), leaky(),
        ),
        sd.InputSpec((1, 6, 6), 0, 1),
    ),
    "delays": lambda: (
        nn.Sequential(dense(6, 4), leaky(), Delay(torch.tensor([0, 2, 1, 3])), dense(4, 3), leaky()),
        sd.InputSpec((6,), 0, 3, **SEQUENCE),
    ),
    "nested, and odd names": lambda: (
        nn.Sequential(
            nn.Sequential(dense(6, 4), leaky()), nn.Sequential(dense(4, 3), leaky()),
        ),
        sd.InputSpec((6,), 0, 3),
    ),
    "float scales": lambda: (
        nn.Sequential(dense(6, 4, quant=Int8WeightPerTensorFloat), leaky()), sd.InputSpec((6,), 0, 1, **SEQUENCE)
    ),
}  # fmt: skip


def lowered(form: str, **options: Any) -> tuple[sd.Network, nn.Module]:
    torch.manual_seed(4)
    model, spec = FORMS[form]()
    for module in model.modules():
        if isinstance(module, QuantLinear | QuantConv2d):
            module.weight.data = module.weight.data * 2 + 0.05
    return sd.lower(model.eval(), spec, STEPS, allow_unproven=True, **options), model


@pytest.mark.parametrize("dt", [1e-4, 0.3])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_integers_come_back(form: str, dt: float, tmp_path: Path) -> None:
    network, model = lowered(form)
    sd.write_nir(network, model, tmp_path / "net.nir", dt=dt)
    nir.read(tmp_path / "net.nir", type_check=False)
    read = sd.read_nir(tmp_path / "net.nir")
    assert read.whole is not None and read.whole.digest == network.digest
    whole = read.whole
    again = sd.lower(read.model, whole.spec(read.shape), whole.steps, readout=whole.readout, allow_unproven=True)
    assert again.digest == network.digest
    assert again.certificate.proven == network.certificate.proven


@pytest.mark.parametrize("form", ["dense", "biases", "one value a neuron", "integrating", "pictures", "delays"])
def test_other_readers_find_the_same_model(form: str, tmp_path: Path) -> None:
    """NIR has no rounding of states: the nodes run as the model does with its quantizers switched off."""
    network, model = lowered(form)
    sd.write_nir(network, model, tmp_path / "net.nir", dt=2.0**-10)
    graph = nir.read(tmp_path / "net.nir", type_check=form != "pictures")  # it takes groups for channels
    frames = np.random.default_rng(0).integers(0, 3, (20, *network.input.shape))
    want = Euler(graph, NirOptions(dt=2.0**-10)).run(frames.astype(float))
    for module in model.modules():
        if hasattr(module, "state_quant"):
            del module.state_quant
            module.state_quant = False
    from squat_deploy.snn.running import run_model

    got = run_model(model, torch.from_numpy(frames).float()[:, None], 20, direct=False)
    for ours, theirs in zip(want.values(), got.values(), strict=True):
        spikes = torch.stack(theirs.spikes)[:, 0].numpy()
        assert ours.any() and (ours != spikes).mean() < 0.02  # float32, where a decay of 0.9 is none of float64


def test_readouts_come_back(tmp_path: Path) -> None:
    """Neurons that never fire are LI for other readers."""
    torch.manual_seed(1)
    model = nn.Sequential(dense(6, 4), leaky(), dense(4, 3), readout()).eval()
    spec = sd.InputSpec((6,), 0, 3, encoding="sequence")
    network = sd.lower(model, spec, STEPS, readout="highest-membrane")
    sd.write_nir(network, model, tmp_path / "net.nir")
    assert isinstance(nir.read(tmp_path / "net.nir").nodes["3"], nir.LI)
    read = sd.read_nir(tmp_path / "net.nir")
    assert read.whole is not None and read.whole.readout == "highest-membrane"
    assert sd.lower(read.model, spec, STEPS, readout="highest-membrane").digest == network.digest


def test_what_the_metadata_say(tmp_path: Path) -> None:
    """The reset rule, the levels and the scales stand with their nodes, as JSON."""
    network, model = lowered("resets")
    sd.write_nir(network, model, tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    said = [json.loads(graph.nodes[name].metadata["squat_deploy"]) for name in ("1", "3", "5", "7")]
    found = [(one["reset"], one["reset_delay"]) for one in said]
    assert found == [("zero", True), ("subtract", False), ("zero", False), ("none", True)]
    assert said[0]["levels"] == model[1].state_quant.levels.tolist()
    scale = json.loads(graph.nodes["0"].metadata["squat_deploy"])["scale"]
    assert scale == [float(model[0].quant_weight().scale)]
    assert json.loads(graph.metadata["squat_deploy"])["digest"] == network.digest


def test_the_bundled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By commands: lowered, written, and read again with nothing to be stated."""
    monkeypatch.chdir(tmp_path)
    file = bundled.folder() / "model.safetensors"
    digest = document("lower", file)["digest"]
    written = document("export-nir", "network.safetensors", "--model", file, "--out", "net.nir")
    assert written["nir"] == "net.nir" and written["digest"] == digest
    again = document("nir", "net.nir", "--out", "again.safetensors")
    assert again["digest"] == digest and again["proven"] and not again["warnings"]
    checked = document("verify", "again.safetensors", "--model", "net.nir", "--samples", 2, "--executor", "torch")
    assert checked["agrees"] and not checked["warnings"]
    told = invoke("nir", "net.nir", "--steps", 3, "--out", "other.safetensors", code=1)
    assert "net.nir: squat_deploy wrote it, and it says all that is open; leave out --steps" in told
    given = ("export-nir", "network.safetensors", "--model", file, "--out", "net.nir", "--dt", 0.01)
    assert "wrote net.nir" in invoke(*given)


def edited(path: Path, node: str, edit: Callable[[Any], Any]) -> None:
    with h5py.File(path, "a") as file:
        values = file[node][()]
        del file[node]
        file[node] = edit(values)


def test_weights_that_were_changed_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whole steps, and they are read, with a word of it; by others, and they are refused."""
    monkeypatch.chdir(tmp_path)
    network, model = lowered("dense")
    path = tmp_path / "net.nir"
    scale = float(model[0].quant_weight().scale)
    sd.write_nir(network, model, path)
    edited(path, "node/nodes/0/weight", lambda values: values - scale * (values > 3 * scale))
    found = document("nir", "net.nir", "--allow-unproven")
    assert found["digest"] != network.digest
    assert "net.nir was changed since it was written" in str(found["warnings"])
    edited(path, "node/nodes/0/weight", lambda values: values + scale / 3)
    with pytest.raises(LoweringError, match="weights are 8-bit integers times the scale in the metadata"):
        sd.read_nir(path)


def replaced(path: Path, node: str, **changes: Any) -> None:
    key = f"node/nodes/{node}/metadata/squat_deploy" if node else "node/metadata/squat_deploy"
    edited(path, key, lambda text: json.dumps({**json.loads(text), **changes}))


@pytest.mark.parametrize(
    ("node", "changes", "message"),
    [
        ("", {"steps": 0}, "steps"),
        ("", {"more": 1}, "Extra inputs are not permitted"),
        ("", {"dt": float("inf")}, "dt"),
        ("0", {"scale": [0.0]}, "greater than 0"),
        ("0", {"scale": [1.0, 2.0, 3.0]}, "one scale, or one an output"),
        ("1", {"levels": [1.0, float("nan")]}, "levels"),
        ("1", {"levels": [2.0, 1.0]}, "must ascend"),
        ("1", {"reset": "later"}, "reset"),
    ],
)  # fmt: skip
def test_metadata_of_others_are_not_trusted(node: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    network, model = lowered("dense")
    sd.write_nir(network, model, tmp_path / "net.nir")
    replaced(tmp_path / "net.nir", node, **changes)
    with pytest.raises((FileFormatError, LoweringError, ConfigError), match=message):
        sd.read_nir(tmp_path / "net.nir")


def test_metadata_of_the_wrong_kind(tmp_path: Path) -> None:
    network, model = lowered("dense")
    path = tmp_path / "net.nir"
    sd.write_nir(network, model, path)
    edited(path, "node/nodes/1/metadata/squat_deploy", lambda _: "x" * (2**20 + 1))
    with pytest.raises(FileFormatError, match="metadata of more than 1048576 characters"):
        sd.read_nir(path)
    sd.write_nir(network, model, path)
    with pytest.raises(
        ConfigError, match="squat_deploy wrote it, and it says dt and resets itself; leave NirOptions out"
    ):
        sd.read_nir(path, NirOptions(dt=1e-4))


def hidden(module: nn.Module, *more: nn.Module) -> nn.Sequential:
    return nn.Sequential(dense(6, 4), leaky(), module, *more)


REFUSED: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec, str]] = {
    "batch norm": (
        lambda: nn.Sequential(dense(6, 4), nn.BatchNorm1d(4), leaky()), sd.InputSpec((6,), 0, 3),
        "1 (BatchNorm1d): NIR has a node for this layer; got BatchNorm1d; fold it before quantize: "
        "torch.nn.utils.fusion.fuse_linear_bn_eval",
    ),
    "maximum": (
        lambda: nn.Sequential(conv(1, 2), leaky(), nn.MaxPool2d(2), nn.Flatten(), dense(8, 3), leaky()),
        sd.InputSpec((1, 6, 6)), "NIR has no maximum: use nn.AvgPool2d",
    ),
    "integers first": (
        lambda: nn.Sequential(IntThenScaleLinear(6, 4, bias=False, weight_bit_width=4), leaky()),
        sd.InputSpec((6,), 0, 3), "use QuantLinear with power-of-two scales, as quantize does",
    ),
    "graded": (
        lambda: hidden(dense(4, 3), leaky(graded_spikes_factor=0.5)), sd.InputSpec((6,), 0, 3),
        "a spike of NIR is 1; got graded_spikes_factor 0.5; multiply it into the weights behind",
    ),
    "windows beyond the border": (
        lambda: nn.Sequential(conv(1, 2), leaky(), nn.AvgPool2d(2, divisor_override=2),
                              nn.Flatten(), dense(8, 3), leaky()),
        sd.InputSpec((1, 6, 6)), "pools are sums or averages of whole windows",
    ),
    "borders in words": (
        lambda: nn.Sequential(conv(1, 2, padding="same"), leaky()), sd.InputSpec((1, 6, 6)),
        "borders are padded with zeros, in numbers; got padding 'same', zeros; state padding=(1, 1) or the like",
    ),
    "one to one": (
        lambda: nn.Sequential(dense(6, 4), leaky(snn.RLeaky, V=torch.full((4,), 0.5), all_to_all=False)),
        sd.InputSpec((6,), 0, 3), "spikes come back through a QuantLinear",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_nir_has_no_word_for(case: str, tmp_path: Path) -> None:
    make, spec, message = REFUSED[case]
    torch.manual_seed(0)
    model = make().eval()
    network = sd.lower(model, spec, 3, allow_unproven=True)
    with pytest.raises(LoweringError) as caught:
        sd.write_nir(network, model, tmp_path / "net.nir")
    assert message in str(caught.value) and not (tmp_path / "net.nir").exists()


def test_other_models_and_steps_are_refused(tmp_path: Path) -> None:
    network, model = lowered("dense")
    with pytest.raises(ConfigError, match="this is another model than the one that was lowered; give that one"):
        sd.write_nir(network, lowered("biases")[1], tmp_path / "net.nir")
    for dt in (0, -1.0, float("nan"), True, "1"):
        with pytest.raises(ConfigError, match="write_nir: dt is a number above 0"):
            sd.write_nir(network, model, tmp_path / "net.nir", dt=dt)  # type: ignore[arg-type]


STRANGERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "rows": (lambda: nn.Sequential(dense(6, 4), leaky()), (2, 6), "a Linear of NIR takes one axis; got (2, 6); put an"),
    "planes": (lambda: nn.Sequential(nn.Flatten(1, 2)), (2, 6, 6), "Flatten leaves one axis; got (12, 6); use nn.Fla"),
    "float": (
        lambda: nn.Sequential(dense(6, 4), snn.Leaky(beta=0.5)), (6,),
        "states are quantized; got state_quant=False; quantize the model, or write the float one with snnTorch's",
    ),
    "read too early": (
        lambda: nn.Sequential(dense(6, 4), readout(), dense(4, 3), leaky()), (6,),
        "a readout is the last layer; got (4,) and more behind it; let it fire",
    ),
    "delays": (
        lambda: nn.Sequential(Delay(torch.tensor([1, 2, 3]))), (6,),
        "a Delay of NIR is some time steps; got delays (3,) for values (6,)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGERS)
def test_models_that_nobody_lowered(case: str, tmp_path: Path) -> None:
    """A network of before names no model: any may be given with it, and is looked at."""
    make, shape, message = STRANGERS[case]
    known, _ = lowered("dense")
    network = sd.Network(sd.InputSpec(shape, 0, 3), known.layers, known.steps)
    with pytest.raises(LoweringError) as caught:
        sd.write_nir(network, make().eval(), tmp_path / "net.nir")
    assert message in str(caught.value)


def test_a_quantized_float_model(tmp_path: Path) -> None:
    """From a float NIR file to a quantized one: quantize, write, read, and all agree."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(5, 3),
                          snn.Leaky(beta=0.8, init_hidden=True))  # fmt: skip
    data = torch.rand(40, 6)
    made = sd.quantize(model, data, steps=STEPS)
    spec = sd.InputSpec((6,), 0, 255, 2.0**-8)
    network = sd.lower(made, spec, STEPS, allow_unproven=True)
    sd.write_nir(network, made, tmp_path / "net.nir")
    read = sd.read_nir(tmp_path / "net.nir")
    assert isinstance(read.model[0], InputQuantizer) and not read.gaps  # type: ignore[index]
    again = sd.lower(read.model, spec, STEPS, allow_unproven=True)
    assert again.digest == network.digest
    assert_agrees(sd.verify(again, read.model, spec.quantize(data.numpy()), executors=("torch", "numpy")))
