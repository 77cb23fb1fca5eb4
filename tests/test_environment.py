"""What a certificate takes for granted: read, refused where it breaks the proof, recorded, and compared later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy.backends import hls
from squat_deploy.backends.hls import HlsConfig
from squat_deploy.cli.app import app
from squat_deploy.errors import FileFormatError, LoweringError
from squat_deploy.network.certificate import Certificate
from squat_deploy.snn.environment import differences, read_environment
from tests.test_lowering import SPEC, leaky, linear, unlucky
from tests.test_models import conv
from tests.test_selftest import DIRECT, loop

KEY = "squat_deploy.network"


@contextmanager
def flushed() -> Iterator[None]:
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def set_to(read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


@contextmanager
def onednn(operation: str) -> Iterator[None]:
    settings = getattr(torch.backends.mkldnn, operation)
    with set_to(lambda: "ieee", lambda value: setattr(settings, "fp32_precision", value), "bf16"):
        yield
    settings.fp32_precision = "none"


@contextmanager
def fpmath() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
        yield


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "autocast": (lambda: torch.autocast("cpu"), "autocast: off; got cpu bfloat16", "outside of torch.autocast"),
    "double": (
        lambda: set_to(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
        "default dtype: float32; got float64",
        "torch.set_default_dtype(torch.float32)",
    ),
    "products": (
        lambda: set_to(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"),
        "float32 products: highest; got medium",
        'torch.set_float32_matmul_precision("highest")',
    ),
    "denormals": (flushed, "denormals: kept; got flushed to zero", "torch.set_flush_denormal(False)"),
    "fpmath": (fpmath, "oneDNN fpmath: strict; got bf16", "unset ONEDNN_DEFAULT_FPMATH_MODE"),
    "products of oneDNN": (
        lambda: onednn("matmul"),
        "oneDNN computes in float32; got matmul bf16, conv float32",
        'torch.backends.mkldnn.matmul.fp32_precision = "ieee"',
    ),
    "convolutions of oneDNN": (
        lambda: onednn("conv"),
        "oneDNN computes in float32; got matmul float32, conv bf16",
        'torch.backends.mkldnn.conv.fp32_precision = "ieee"',
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_proof_is_refused_with_what_to_set(name: str) -> None:
    """And `verify` says that it is otherwise than where the network was lowered."""
    make, message, hint = BROKEN[name]
    model = nn.Sequential(linear(), leaky())
    network = sd.lower(model, SPEC, 3)
    assert differences(network.certificate, read_environment(model)) == ()
    with make():
        with pytest.raises(LoweringError) as caught:
            sd.lower(model, SPEC, 3)
        rows = sd.check(model, SPEC, 3)
        told = differences(network.certificate, read_environment(model))
    assert f"environment: {message}" in str(caught.value) and hint in str(caught.value)
    assert "environment" in {row.layer for row in rows if row.verdict == "refused"}
    assert told and all("where the network was lowered" in text for text in told)
    assert sd.lower(model, SPEC, 3).certificate.environment == network.certificate.environment


def test_verify_warns_of_another_environment(small: sd.Network, small_model: nn.Module) -> None:
    inputs = np.random.default_rng(0).integers(0, 16, (8, 16))
    assert sd.verify(small, small_model, inputs, executors=("torch",)).warnings == ()
    threads = torch.get_num_threads()
    with set_to(torch.get_num_threads, torch.set_num_threads, threads + 1):
        agreement = sd.verify(small, small_model, inputs, executors=("torch", "numpy"))
    told = f"threads: {threads} where the network was lowered, {threads + 1} here"
    assert agreement.agrees and agreement.warnings == (told,) and agreement.to_dict()["warnings"] == [told]
    assert sd.verify(small, None, inputs, executors=("numpy",)).warnings == ()


def test_versions_are_recorded(small: sd.Network) -> None:
    environment = small.certificate.environment
    assert environment["torch"] == torch.__version__ and {"snntorch", "brevitas", "threads"} <= environment.keys()
    older = Certificate(small.certificate.layers, {**environment, "torch": "1.0"})
    assert differences(older, environment) == (f"torch: 1.0 where the network was lowered, {torch.__version__} here",)


def assumptions(model: nn.Module, spec: sd.InputSpec = SPEC, steps: int = 3, **options: bool) -> str:
    return " ".join(sd.lower(model, spec, steps, **options).certificate.assumptions)


def test_assumptions_are_those_that_apply() -> None:
    plain = assumptions(nn.Sequential(linear(), leaky()))
    for part in (
        "float32 on a CPU",
        "eval mode",
        f"torch {torch.__version__}",
        "autocast is off",
        "denormal",
        "nearest",
    ):
        assert part in plain
    assert "k * 1.0 in float32 with an integer k in 0..1 and the same at every step" in plain
    assert "starts at rest" in plain
    assert "Winograd" not in plain and "batch size" not in plain and "at most once" not in plain
    assert "ascends" not in plain
    own = assumptions(loop("stack", 3), DIRECT)
    assert "Forward computes every sample alone" in own and "Forward depends on nothing but its inputs" in own
    convolutions = nn.Sequential(conv(1, 2, 3), leaky(), nn.Flatten(), linear(8, 2), leaky())
    assert "Winograd" in assumptions(convolutions, sd.InputSpec((1, 4, 4)))
    assert "rounded at most once" in assumptions(nn.Sequential(unlucky(), leaky()), allow_unproven=True)
    frames = assumptions(nn.Sequential(linear(), leaky()), sd.InputSpec((6,), 0, 1, 1.0, "sequence"))
    assert "same at every step" not in frames


def test_the_digest_and_the_projects_know_nothing_of_it(small: sd.Network) -> None:
    """So that they are the same on every machine."""
    bare = sd.Network(small.input, small.layers, small.steps, Certificate(small.certificate.layers), small.name)
    assert bare.digest == small.digest and hls.render(bare, HlsConfig()) == hls.render(small, HlsConfig())


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with safe_open(source, framework="numpy") as file:
        document = json.loads(file.metadata()[KEY])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    change(document["certificate"])
    save_file(tensors, target, metadata={KEY: json.dumps(document)})


def test_files_keep_it_and_older_files_have_none(small: sd.Network, tmp_path: Path) -> None:
    sd.save(small, tmp_path / "a.safetensors")
    sd.emit_qonnx(small, tmp_path / "a.onnx")
    for name in ("a.safetensors", "a.onnx"):
        assert sd.load(tmp_path / name).certificate == small.certificate
    rewritten(
        tmp_path / "a.safetensors", tmp_path / "b.safetensors", lambda c: (c.pop("environment"), c.pop("assumptions"))
    )
    older = sd.load(tmp_path / "b.safetensors")
    assert older.certificate == Certificate(small.certificate.layers) and older.digest == small.digest
    model = sd.emit_qonnx(small)
    document = json.loads(model.metadata_props[0].value)
    del document["environment"], document["assumptions"]
    model.metadata_props[0].value = json.dumps(document)
    (tmp_path / "b.onnx").write_bytes(model.SerializeToString())
    assert sd.load(tmp_path / "b.onnx").certificate == Certificate(small.certificate.layers)


HOSTILE: dict[str, dict[str, Any]] = {
    "a list": {"environment": []},
    "a number": {"environment": {"threads": 4}},
    "many names": {"environment": {str(number): "" for number in range(65)}},
    "a long name": {"environment": {"x" * 65: ""}},
    "a long value": {"environment": {"x": "y" * 1025}},
    "a text": {"assumptions": "all is well"},
    "many sentences": {"assumptions": [""] * 65},
    "a long sentence": {"assumptions": ["x" * 1025]},
    "no sentence": {"assumptions": [None]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_with_others_are_refused(name: str, small: sd.Network, tmp_path: Path) -> None:
    sd.save(small, tmp_path / "a.safetensors")
    rewritten(tmp_path / "a.safetensors", tmp_path / "b.safetensors", lambda c: c.update(HOSTILE[name]))
    with pytest.raises(FileFormatError, match="certificate: not of this form"):
        sd.load(tmp_path / "b.safetensors")
    model = sd.emit_qonnx(small)
    document = json.loads(model.metadata_props[0].value) | HOSTILE[name]
    model.metadata_props[0].value = json.dumps(document)
    (tmp_path / "b.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=r"metadata: (environment|assumptions)"):
        sd.load(tmp_path / "b.onnx")


def test_certify_prints_what_is_taken_for_granted(small: sd.Network, tmp_path: Path) -> None:
    """Sentences of a file of others are text, not markup."""
    sd.save(small, tmp_path / "a.safetensors")
    told = CliRunner().invoke(app, ["certify", str(tmp_path / "a.safetensors")])
    assert (
        told.exit_code == 0 and "takes for granted:" in told.output and "- Every sequence starts at rest" in told.output
    )
    document = json.loads(CliRunner().invoke(app, ["certify", str(tmp_path / "a.safetensors"), "--json"]).stdout)
    assert document["assumptions"] == list(small.certificate.assumptions)
    assert document["environment"] == small.certificate.environment
    rewritten(tmp_path / "a.safetensors", tmp_path / "b.safetensors", lambda c: c.update(assumptions=["[red]x[/oops]"]))
    assert "[red]x[/oops]" in CliRunner().invoke(app, ["certify", str(tmp_path / "b.safetensors")]).output
