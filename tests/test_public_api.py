"""What users import, and the layering that the design promises."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

import squat_deploy as sd
from tests.conftest import ROOT


def test_public_names() -> None:
    assert sorted(sd.__all__) == [
        "Certificate", "ConfigError", "DatasetError", "ExportError", "FileFormatError", "HlsConfig", "InputSpec",
        "InternalError", "LoweringError", "Network", "NotProvenError", "RtlConfig", "SquatError", "SquatWarning",
        "ToolError", "check", "deviation", "emit_hls", "emit_qonnx", "emit_rtl", "emit_testbench", "exact", "fold",
        "import_qonnx", "load", "lower", "quantize", "read_inputs", "read_nir", "report", "save", "search_bits",
        "simulate", "verify", "write_nir",
    ]  # fmt: skip
    assert set(sd.__all__) <= set(dir(sd))
    for name in sd.__all__:
        assert getattr(sd, name).__doc__


def test_lower_is_the_function_whatever_was_imported_first() -> None:

    assert callable(sd.lower) and callable(sd.verify)


def test_importing_needs_no_torch() -> None:
    script = (
        "import sys, squat_deploy, squat_deploy.cli; print(sorted({'torch', 'onnx', 'brevitas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_parts_of_moved_packages_are_no_second_modules() -> None:
    """Their classes would be others than those that `lower` knows."""
    script = (
        "import warnings, importlib; warnings.simplefilter('ignore')\n"
        "for old, new in {'training.quantizers': 'snn.quantizers', 'training.settling': 'snn.settling',"
        " 'training.layers': 'snn.layers', 'training.events': 'lab.events', 'inputs': 'network.inputs',"
        " 'study.results': 'lab.study.results'}.items():\n"
        "    was, now = (importlib.import_module(f'squat_deploy.{name}') for name in (old, new))\n"
        "    assert was is now, (was, now)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_functions_stay_short() -> None:
    for path in (ROOT / "squat_deploy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"


def test_version_is_stated_once_more_only_in_pyproject() -> None:
    assert re.search(rf'^version = "{sd.__version__}"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


def test_objects_show_themselves_and_names_are_no_markup(small: sd.Network) -> None:
    """In notebooks as escaped HTML, as text without commands for a terminal."""
    name = "<script>alert(1)</script>\x1b[31m"
    layers = (dataclasses.replace(small.layers[0], name=name), *small.layers[1:])
    row = dataclasses.replace(small.certificate.layers[0], layer=name)
    network = dataclasses.replace(small, name=name, layers=layers, certificate=sd.Certificate((row,)))
    inputs = np.zeros((25, 16), int)
    result, agreement = sd.simulate(small, inputs, trace=True), sd.verify(small, None, inputs, executors=["numpy"])
    wrong = dataclasses.replace(agreement, warnings=(name,))
    for shown in (network, network.certificate, result, wrong):
        html = shown._repr_html_()
        ElementTree.fromstring(html)
        assert "<table>" in html and "<script" not in html and "\x1b" not in html
        assert shown is result or "&lt;script&gt;" in html
    assert "the first 20 of 25" in result._repr_html_() and "25 given sequences" in agreement._repr_html_()
    text = network.summary()
    assert "\x1b" not in text and text.splitlines()[1].split() == ["layer", "kind", "takes", "sizes", "values"]
    assert "inputs: 16 integers 0..15" in text
    assert repr(small) == f"<Network 'small': 16 -> 4, 4 layers, 6 steps, proven, {small.digest[:12]}>"


def test_what_is_no_network_is_said(tmp_path: Path) -> None:
    """One rule for all that take one: a path, a model, or arguments that were exchanged."""
    model, out, inputs = torch.nn.Linear(2, 2), tmp_path / "out", np.zeros((1, 16), int)
    rest = {
        "simulate": (inputs,),
        "save": (out,),
        "verify": (None, inputs),
        "fold": (),
        "emit_qonnx": (),
        "report": (out,),
    }
    rest |= dict.fromkeys(("emit_hls", "emit_rtl", "emit_testbench"), (out,)) | {"write_nir": (model, out)}
    functions = {name: getattr(sd, name) for name in sd.__all__ if inspect.isfunction(getattr(sd, name))}
    taking = {name for name, one in functions.items() if next(iter(inspect.signature(one).parameters)) == "network"}
    assert taking == set(rest)
    for name, others in rest.items():
        for wrong in ("net.safetensors", out, None, model):
            makes = "sd.load(path) reads one, sd.lower(model, spec, steps) makes one"
            said = f"the first argument is a Network: {makes}; got {type(wrong).__name__}"
            with pytest.raises(sd.ConfigError, match=f"^{re.escape(said)}$"):
                getattr(sd, name)(wrong, *others)
    assert not out.exists()
