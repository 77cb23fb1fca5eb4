"""The command line: tables for people, one JSON document with --json, exit 0 only when all is well."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from brevitas.export import export_qonnx
from brevitas.nn import QuantLinear
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.agreement import Agreement
from squat_deploy.cli.app import app
from squat_deploy.errors import ToolError
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.snn.checkpoint import save_model
from tests.conftest import need

MODEL = """
from squat_deploy.lab.models import dense_lif_net

def factory():
    return dense_lif_net((16, 8, 4), beta=0.9)

def float_scale():
    from brevitas.nn import QuantLinear
    from torch import nn
    model = dense_lif_net((16, 8, 4), state_bits=8)
    model.fc1 = QuantLinear(16, 8, bias=False, weight_bit_width=8)
    nn.init.normal_(model.fc1.weight)
    return model

def seeded():
    import torch
    torch.manual_seed(0)
    return float_scale()

def wrong():
    from torch import nn
    return nn.Sequential(nn.Linear(16, 4), nn.ReLU())

def broken():
    raise RuntimeError("no weights today")

def nothing():
    return 3

made = __import__("torch").nn.Identity()

def leaves():
    raise SystemExit(0)

def prints():
    print("building the model")
    model = factory()
    model.fc1.weight.data.zero_()
    return model
"""


def invoke(*arguments: object, code: int = 0, stdout_only: bool = False) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if stdout_only else result.output


def document(*arguments: object, code: int = 0) -> dict[str, object]:
    text = invoke(*arguments, "--json", code=code, stdout_only=True)
    assert text.count("\n") == 1
    parsed = json.loads(text)
    assert parsed["ok"] is (code == 0)
    return dict(parsed)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: object) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    save_model(small_model, tmp_path / "weights.safetensors")  # type: ignore[arg-type]
    return tmp_path


def test_the_whole_line(work: Path, small: sd.Network, compiler: None) -> None:
    lowered = document("lower", "model.py:factory", "--checkpoint", "weights.safetensors", "--steps", 6)
    assert lowered["digest"] == small.digest and lowered["proven"] is True
    assert "exact grid" in invoke("certify", "network.safetensors", "--out", "certificate.json")
    assert json.loads((work / "certificate.json").read_text())["proven"] is True
    inputs = np.random.default_rng(0).integers(0, 16, (5, 16))
    np.save("x.npy", inputs)
    np.save("y.npy", sd.simulate(small, inputs).classes)
    simulated = document(
        "simulate", "network.safetensors", "--inputs", "x.npy", "--labels", "y.npy", "--out", "r.npz", "--trace"
    )
    assert simulated["accuracy"] == 1.0
    assert np.load("r.npz")["layer2_state"].shape == (6, 5, 8)
    assert "sequence" in invoke("simulate", "network.safetensors")
    assert document("hls", "network.safetensors", "--pe", "lif1=2", "--inputs", "x.npy")["project"] == "hls_out/network"
    told = invoke("hls", "network.safetensors", "--pe", 4, "--vectors", 4)
    assert "one inference of 6 steps" in told
    assert "golden data: 4 sequences; the testbench runs 3 of them once more: the first cut off in the middle" in told
    verified = document(
        "verify", "network.safetensors", "--model", "model.py:factory", "--checkpoint", "weights.safetensors"
    )
    assert verified["agrees"] is True and len(verified["executors"]) == 8  # type: ignore[arg-type]
    assert "mismatches" in invoke("verify", "network.safetensors", "--inputs", "x.npy", "--labels", "y.npy")


def test_verify_fails_on_another_model(work: Path, compiler: None) -> None:
    invoke("lower", "model.py:factory", "--checkpoint", "weights.safetensors", "--steps", 6)
    save_model(dense_lif_net((16, 8, 4), beta=0.9), work / "other.safetensors")
    arguments = ("verify", "network.safetensors", "--model", "model.py:factory", "--checkpoint", "other.safetensors")
    assert "torch differs first at sequence" in invoke(*arguments, code=1)
    assert document(*arguments, code=1)["agrees"] is False


def test_onnx_graphs(work: Path, small: sd.Network, compiler: None) -> None:
    """A graph stands in for the network in every command."""
    need(toolchain.TOOLS[3].find(), "Graphviz")
    sd.save(small, work / "net.safetensors")
    made = document("qonnx", "net.safetensors", "--form", "finn", "--picture", "net.svg")
    assert made["onnx"] == "net.finn.onnx" and made["digest"] == small.digest
    assert made["cost"]["macs"] == 16 * 8 + 8 * 4  # type: ignore[index]
    assert made["ports"][0] == {  # type: ignore[index]
        "direction": "input", "name": "input", "shape": "1 x 16", "container": "float32", "datatype": "UINT4",
    }  # fmt: skip
    assert "lif1.thresholds" in (work / "net.svg").read_text()
    text = invoke("qonnx", "net.finn.onnx", "--form", "sequence", "--trace", "--out", "s.onnx")
    assert "6 x N x 8" in text and "INT11" in text and "wrote s.onnx" in text
    assert document("simulate", "s.onnx")["classes"] == document("simulate", "net.safetensors")["classes"]
    assert document("certify", "s.onnx")["proven"] is True
    rows = document("verify", "s.onnx", "--executor", "onnxruntime", "--executor", "c++")["executors"]
    assert [(row["executor"], row["form"]) for row in rows] == [  # type: ignore[union-attr, index]
        ("c++", ""), ("onnxruntime", "step"), ("onnxruntime", "sequence"),
    ]  # fmt: skip
    assert "one step: 160 MACs" in invoke("qonnx", "net.safetensors", "--form", "finn")


def test_weights_of_an_export(work: Path, compiler: None) -> None:
    layers = [m for m in dense_lif_net((16, 8, 4)) if isinstance(m, QuantLinear)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_qonnx(torch.nn.Sequential(*layers).eval(), torch.zeros(1, 16), "weights.onnx", dynamo=False)
    (work / "n.yaml").write_text("steps: 3\ninput: {high: 1}\nneuron: {beta: 0.97, state_bits: 2}\n")
    lowered = document("lower", "weights.onnx", "--neurons", "n.yaml")
    assert lowered["name"] == "weights" and lowered["proven"] is True and lowered["steps"] == 3
    verified = document("verify", "network.safetensors", "--model", "weights.onnx", "--neurons", "n.yaml")
    assert verified["executors"][0]["executor"] == "torch" and verified["agrees"] is True  # type: ignore[index]
    assert not any("another model" in text for text in verified["warnings"])  # type: ignore[union-attr, attr-defined]
    assert "give the neurons as a YAML file with --neurons" in invoke("lower", "weights.onnx", code=1)
    assert "stated in the YAML file" in invoke("lower", "weights.onnx", "--neurons", "n.yaml", "--steps", 3, code=1)
    assert "a model in Python needs --steps, the time steps" in invoke("lower", "model.py:factory", code=1)
    taken = invoke("lower", "model.py:factory", "--steps", 3, "--neurons", "n.yaml", code=1)
    assert "--neurons goes with .onnx files; a model in Python has its own neurons: leave it out" in taken
    refused = document("simulate", "weights.onnx", code=1)["error"]
    assert (
        refused == "weights.onnx: an ONNX file, but its metadata has no squat_deploy.network: not written by emit_qonnx"
    )


def test_one_document_whatever_the_model_prints(work: Path) -> None:
    lowered = document("lower", "model.py:prints", "--steps", 3)
    assert lowered["layers"][0]["margin"] is None  # type: ignore[index]
    assert document("certify", "network.safetensors")["proven"] is True


def test_unproven(work: Path) -> None:
    refused = document("lower", "model.py:float_scale", "--steps", 3, code=1)
    assert "not proven: rule 'error bound'" in str(refused["error"]) and refused["faults"]
    assert not (work / "network.safetensors").exists()
    assert document("lower", "model.py:float_scale", "--steps", 3, "--allow-unproven")["proven"] is False
    assert "not proven in every layer" in invoke("certify", "network.safetensors", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lower", "model.py:wrong", "--steps", "3", "--shape", "16", "--high", "1"], "2 faults"),
        (["lower", "model.py:broken", "--steps", "3"], "broken() failed: RuntimeError: no weights today"),
        (["lower", "model.py:nothing", "--steps", "3"], "nothing() must return a torch module; got int"),
        (["lower", "model.py:leaves", "--steps", "3"], "leaves() failed: SystemExit"),
        (["simulate", "net.safetensors", "--labels", "float.npy"], "labels: expected 8 integers; got float64 of shape"),
        (["simulate", "net.safetensors", "--inputs", "empty.npy"], "inputs: at least one sample; got shape (0, 16)"),
        (
            ["verify", "net.safetensors", "--model", "model.py:float_scale", "--inputs", "x.npy"],
            "expected shape (batch, 16)",
        ),
        (["lower", "model.py:absent", "--steps", "3"], "has no callable 'absent'; it defines factory, "),
        (["lower", "model.py:made", "--steps", "3"], "made is a model, not what makes one; name its class"),
        (["lower", "absent.py:factory", "--steps", "3"], "absent.py: no such file"),
        (["lower", "model.py", "--steps", "3"], "expected path/to/file.py:factory"),
        (["lower", "model.py:factory", "--steps", "0"], "steps must be 1 to 65535"),
        (["lower", "model.py:factory", "--steps", "3", "--shape", "4,x"], "--shape: expected integers"),
        (["lower", "model.py:factory", "--steps", "3", "--checkpoint", "model.py"], "cannot be loaded into this model"),
        (["certify", "model.py"], "cannot be read as a network"),
        (["simulate", "net.safetensors", "--inputs", "model.py"], "model.py: not a NumPy array file"),
        (["simulate", "net.safetensors", "--inputs", "float.npy"], "inputs: expected integers; got float64"),
        (["hls", "net.safetensors", "--pe", "x"], "--pe: expected 8, or NAME=8"),
        (["hls", "net.safetensors", "--part", "a b"], "options: part:"),
        (["hls", "net.safetensors", "--out", "taken"], "was not made by squat_deploy"),
        (["qonnx", "net.safetensors", "--picture", "net.gif"], "picture: net.gif must end in .svg, .pdf, .png"),
        (["qonnx", "net.safetensors", "--batch", "3", "--form", "finn"], "the form finn has batch 1"),
        (["qonnx", "net.safetensors", "--out", "no/x.onnx"], "cannot write no/x.onnx: No such file or directory"),
        (["verify", "net.safetensors", "--executor", "verilator"], "unknown executor verilator"),
        (["train", "--data", "nowhere", "--epochs", "1"], "Fashion-MNIST: no train-images-idx3-ubyte"),
        (["train", "--state-bits", "9"], "options: state_bits: 1 to 8 bits, or 32 for float"),
    ],
)
def test_bad_input_is_one_clear_message(work: Path, small: sd.Network, arguments: list[str], message: str) -> None:
    sd.save(small, work / "net.safetensors")
    np.save("float.npy", np.full((2, 16), 0.3))
    np.save("empty.npy", np.zeros((0, 16), int))
    np.save("x.npy", np.zeros((2, 15), int))
    (work / "taken").mkdir()
    (work / "taken" / "file").write_text("mine")
    assert message in invoke(*arguments, code=1)
    assert message in str(document(*arguments, code=1)["error"])
    assert not list(work.glob("*.onnx"))


def test_doctor() -> None:
    assert "PandA-Bambu" in invoke("doctor")
    assert "torch" in document("doctor")["tools"]  # type: ignore[operator]


def test_demo_without_the_whole_set(work: Path, compiler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    result = document("demo", "--data", "none")
    assert result["proven"] is True and result["agrees"] is True
    assert {row["samples"] for row in result["executors"]} == {256, 16}  # type: ignore[union-attr, index]
    assert (work / "hls_out" / "fashion_mnist" / "manifest.json").is_file()
    assert "All executors agree" in (work / "hls_out" / "fashion_mnist.html").read_text()


def test_demo_says_what_its_columns_and_its_hardware_are(
    work: Path, monkeypatch: pytest.MonkeyPatch, compiler: None
) -> None:
    monkeypatch.setattr("squat_deploy.cli.commands.demo.verify", lambda *_, **__: Agreement(()))
    monkeypatch.setattr("squat_deploy.cli.commands.demo.has_package", lambda _: False)
    told = invoke("demo", "--data", "none")
    assert (
        "certificate: sums that can occur, bits that hold them" in told and "one inference of 10 steps: mean " in told
    )
    assert "The design fits by this estimate" in told and "next: make -C hls_out/fashion_mnist csim\nor begin" in told


def test_demo_on_data_that_are_not_there(work: Path) -> None:
    """A folder that was named is never passed over in silence, nor is anything written before that is known."""
    assert "no t10k-images-idx3-ubyte in nowhere" in str(document("demo", "--data", "nowhere", code=1)["error"])
    assert not (work / "hls_out").exists()


FLOAT_MODEL = """
import snntorch as snn
import torch
from torch import nn

def factory():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 8), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(8, 3), snn.Leaky(beta=0.9, init_hidden=True)
    )
"""


def test_quantize_lowers_and_shows_the_search(work: Path) -> None:
    (work / "float.py").write_text(FLOAT_MODEL)
    rng = np.random.default_rng(0)
    np.save(work / "x.npy", rng.random((60, 16), dtype=np.float32) * 3)
    np.save(work / "y.npy", rng.integers(0, 3, 60))
    given = ("quantize", f"{work / 'float.py'}:factory", "--steps", 5, "--calibration", work / "x.npy")
    given = (*given, "--out", work / "q.safetensors")
    document(*given, "--readout", "last-membrane")
    assert sd.load(work / "q.safetensors").readout == "last-membrane"
    plain = document(*given, "--weight-bits", 5)
    assert plain["accuracy"] is None and plain["trials"] == [] and plain["proven"] is True
    assert sd.load(work / "q.safetensors").layers[0].weight.max() <= 15
    found = document(*given, "--labels", work / "y.npy", "--budget", 0.1)
    trials, accuracy = found["trials"], found["accuracy"]
    assert len(trials) > 4 and trials[0]["weight_bits"] == {"0": 8, "2": 8}
    assert accuracy["quantized"] >= accuracy["float"] - 0.1
    text = invoke(*given, "--labels", work / "y.npy", "--budget", 0.1)
    assert "bits a layer" in text and "0=8 2=8" in text and "in float" in text
    for arguments, message in (
        (("--budget", 0.1), "--budget is about accuracy, which needs --labels"),
        (
            ("--labels", work / "y.npy", "--readout", "last-membrane"),
            "last-membrane; leave --labels to `simulate`",
        ),
        (("--encoding", "sequence"), "expected numbers of shape (B, ...)"),
        (("--labels", work / "x.npy"), "expected 60 labels; got shape (60, 16)"),
    ):
        assert message in invoke(*given, *arguments, code=1)


def test_train_reads_recipes_and_readouts_are_stated(work: Path) -> None:
    (work / "r.yaml").write_text("dataset: n-mnist\nnet: conv\nsizes: [2, 2, 10]\nfeatures: 450\n")
    assert "name its .npz file or its folder (--data PATH" in invoke(
        "train", "--config", work / "r.yaml", "--out", work / "o", code=1
    )
    given = ("lower", "model.py:factory", "--steps", 3, "--out", work / "r.safetensors")
    invoke(*given, "--readout", "last-membrane")
    assert sd.load(work / "r.safetensors").readout == "last-membrane"


def test_train_names_a_device_that_is_not_there(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squat_deploy.lab import data
    from squat_deploy.lab.datasets import Samples

    nothing = Samples(np.zeros((4, 784), dtype=np.float32), np.zeros(4, dtype=np.int64))
    monkeypatch.setattr(data, "read_data", lambda *_, **__: (nothing, nothing))
    message = invoke("train", "--device", "nowhere", "--out", work / "run", code=1)
    assert "device nowhere: torch cannot use it" in message and not (work / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simulate", "net.safetensors", "--real"), "--real is about inputs of your own: give --inputs"),
        (
            ("verify", "net.safetensors", "--checkpoint", "m.pt"),
            "verify: --checkpoint belongs to a --model in Python, --neurons to one that ends in .onnx",
        ),
        (
            ("lower", "model.py:factory", "--steps", 6, "--shape", "4x4"),
            "--shape: expected integers like 784 or 2,34,34; got '4x4'",
        ),
    ],
)
def test_options_that_go_with_others(
    arguments: tuple[object, ...], message: str, work: Path, small: sd.Network
) -> None:
    sd.save(small, work / "net.safetensors")
    assert document(*arguments, code=1)["error"] == message


def test_doctor_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda command: None)
    assert document("doctor", code=1)["error"] == "missing: C++ compiler, make"
    with pytest.raises(ToolError, match=r"^make is not on the PATH; it runs the steps of an HLS project \(apt"):
        toolchain.require("make")
