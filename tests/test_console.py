"""What reaches the user: one document or one message, one exit code, and nothing written over what was read."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import interrupts
from squat_deploy.cli.app import app
from squat_deploy.errors import printable
from squat_deploy.snn.checkpoint import save_model
from tests.conftest import ROOT
from tests.test_cli import MODEL, document, invoke

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
COMMAND = [sys.executable, "-W", "ignore", "-m", "squat_deploy"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model: object, small: sd.Network) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    save_model(small_model, tmp_path / "w.safetensors")  # type: ignore[arg-type]
    sd.save(small, tmp_path / "n.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((2, 16), int))
    np.save(tmp_path / "y.npy", np.zeros(2, int))
    (tmp_path / "c.yaml").write_text("epochs: 1\n")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate"],
        ["simulate", "n.safetensors", "--samples", "x"],
        ["simulate", "n.safetensors", "--samples", "0"],
        ["simulate", "n.safetensors", "--frobnicate"],
        ["simulate", "n.safetensors", "more"],
        ["hls", "n.safetensors", "--form", "magic"],
        ["nothing"],
        ["study"],
        ["study", "report", "x"],
        [],
    ],
)
def test_wrong_usage_is_one_document_too(arguments: list[str], work: Path) -> None:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 2, result.output
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False and found["error"] and found["faults"] == []
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json=yes"]).stdout)["ok"] is False
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "Usage" in result.output and bool(result.stdout) == (arguments in ([], ["study"]))


def test_help_is_no_error() -> None:
    assert "130 for Ctrl-C" in " ".join(invoke("--help").split())
    assert "--samples" in invoke("simulate", "--help")


def test_brackets_and_colons_are_no_markup(work: Path, small: sd.Network) -> None:
    name = "[/]:smile:[bold]x[/bold]\\[red]"
    layers = (dataclasses.replace(small.layers[0], name=name), *small.layers[1:])
    sd.save(dataclasses.replace(small, name=name, layers=layers), work / "n.safetensors")
    shutil.copy("n.safetensors", "[red]\\[x].safetensors")
    assert "[red]\\[x].safetensors: not there" not in invoke("simulate", "[red]\\[x].safetensors")
    assert "\\[/]y.safetensors: cannot be read" in invoke("simulate", "\\[/]y.safetensors", code=1)
    text = invoke("qonnx", "n.safetensors", "--out", "[red]o.onnx")
    assert "wrote [red]o.onnx" in text and name in text
    text = invoke("hls", "n.safetensors", "--out", "[bold]p")
    assert "wrote [bold]p\nnext: make -C '[bold]p' csim" in text


def test_tables_fit_narrow_and_wide_terminals(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes are as wide as the page, not as the table above them."""
    for width in ("80", "200"):
        monkeypatch.setenv("COLUMNS", width)
        for command in (("simulate", "n.safetensors"), ("qonnx", "n.safetensors"), ("config", "lower")):
            told = invoke(*command).splitlines()
            assert max(map(len, told)) <= int(width)
            note = [line for line in told if line.startswith("inputs: ")]
            assert not note or note[0].endswith("the same at every step")


def test_no_terminal_is_commanded() -> None:
    assert printable("a\x1b[31mb\ud800\u202e\n") == "a\\x1b[31mb\\ud800\\u202e\n"


@pytest.mark.parametrize("samples", [10**7, 10**12, 10**30])
def test_random_inputs_are_bounded(samples: int, work: Path) -> None:
    for command in ("simulate", "verify"):
        assert "--samples: at most" in invoke(command, "n.safetensors", "--samples", samples, code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("qonnx n.safetensors --out n.safetensors", "what NETWORK reads"),
        ("qonnx n.safetensors --out ./sub/../n.safetensors", "what NETWORK reads"),
        ("qonnx n.safetensors --out hard", "what NETWORK reads"),
        ("qonnx link --out n.safetensors", "what NETWORK reads"),
        ("qonnx n.safetensors --out a.svg --picture a.svg", "what --picture writes"),
        ("qonnx n.safetensors --out a.svg --picture ./sub/../a.svg", "what --picture writes"),
        ("qonnx n.safetensors --picture n.safetensors", "what NETWORK reads"),
        ("qonnx n.step.onnx", "what NETWORK reads"),
        ("certify n.safetensors --out n.safetensors", "what NETWORK reads"),
        ("simulate n.safetensors --inputs x.npy --out x.npy", "what --inputs reads"),
        ("simulate n.safetensors --inputs x.npy --labels y.npy --out y.npy", "what --labels reads"),
        ("lower model.py:factory --steps 3 --checkpoint w.safetensors --out w.safetensors", "what --checkpoint reads"),
        ("lower model.py:factory --steps 3 --out model.py", "what MODEL reads"),
        ("lower n.step.onnx --neurons c.yaml --out n.step.onnx", "what MODEL reads"),
        ("lower n.step.onnx --neurons c.yaml --out c.yaml", "what --neurons reads"),
        ("quantize model.py:factory --steps 3 --calibration x.npy --out x.npy", "what --calibration reads"),
        ("train --config c.yaml --out c.yaml", "what CONFIG reads"),
        ("hls n.safetensors --out n.safetensors", "what NETWORK reads"),
        ("study run c.yaml --out c.yaml", "what CONFIG reads"),
    ],
)
def test_nothing_is_written_over_what_is_read(arguments: str, message: str, work: Path) -> None:
    invoke("qonnx", "n.safetensors")
    Path("sub").mkdir()
    os.link("n.safetensors", "hard")
    Path("link").symlink_to("n.safetensors")
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    found = invoke(*arguments.split(), code=1)
    assert f"is also {message}; name another file" in found
    assert {path: path.read_bytes() for path in work.rglob("*") if path.is_file()} == before


def test_both_files_of_a_graph_or_none(work: Path) -> None:
    """Not a picture of a graph that could not be written."""
    os.mkfifo("pipe")
    message = "cannot write pipe: it is a pipe; name a file"
    assert message in invoke("qonnx", "n.safetensors", "--out", "pipe", "--picture", "a.svg", code=1)
    assert not Path("a.svg").exists()


def test_a_report_is_not_written_over_its_cells(tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(ROOT / "docs" / "results" / "fashion-fc-elsewhere", store)
    cell = next((store / "cells").iterdir())
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for target in (store / "study.json", cell):
        assert "is what the report reads; name another file" in invoke(
            "study", "report", store, "--out", target, code=1
        )
    (tmp_path / "r.fashion-fc-elsewhere.accuracy.svg").mkdir()
    assert "it is a folder; name a file" in invoke("study", "report", store, "--out", tmp_path / "r.md", code=1)
    assert not (tmp_path / "r.md").exists()
    twice = invoke("study", "report", store, store, "--out", tmp_path / "two.md", code=1)
    assert "a second store of the study fashion-fc-elsewhere" in twice
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
    changed = json.loads(cell.read_text())
    changed["result"]["layers"] = True
    cell.write_text(json.dumps(changed))
    assert "not a cell of a study: layers: Input should be a valid list" in invoke(
        "study", "report", store, "--out", tmp_path / "r2.md", code=1
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_an_answer_that_reaches_nobody(as_json: bool, work: Path) -> None:
    arguments = [*COMMAND, "certify", "n.safetensors", *(["--json"] if as_json else [])]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr.strip()) == (
        1, "error: cannot write to standard output: No space left on device",
    )  # fmt: skip
    with Path("/dev/full").open("w") as full:
        helped = subprocess.run(
            [*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False
        )
    assert (helped.returncode, helped.stderr.strip()) == (1, "error: No space left on device")
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *arguments], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False
    )
    assert closed.returncode == 1 and closed.stderr.strip() == "error: cannot write to standard output: it is closed"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False)
    os.close(writing)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Broken pipe" in done.stderr


@pytest.mark.parametrize("after", [0.3, 0.8, 1.5, 3.0])
def test_interrupted_wherever_it_is(after: float, work: Path) -> None:
    """Imports of compiled packages turn a KeyboardInterrupt into errors of other types."""
    arguments = [*COMMAND, "lower", "model.py:waits", "--steps", "3", "--json"]
    (work / "model.py").write_text("import torch\ndef waits():\n    import time\n    time.sleep(60)\n")
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    time.sleep(after)
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=60)
    if child.returncode == -signal.SIGINT:
        assert after < 1  # Python itself was still starting
        return
    assert child.returncode == 130, errors
    assert json.loads(out)["error"] == interrupts.MESSAGE and out.count("\n") == 1
    assert "Traceback" not in errors


def test_an_interrupt_in_disguise(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disguised(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("squat_deploy.cli.commands.certify.load", disguised)
    assert document("certify", "n.safetensors", code=130)["error"] == interrupts.MESSAGE

    def swallowed(*_: object, **__: object) -> sd.Network:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return sd.load(work / "n.safetensors")

    monkeypatch.setattr("squat_deploy.cli.commands.certify.load", swallowed)
    assert document("certify", "n.safetensors", code=130)["error"] == interrupts.MESSAGE


def test_a_swallowed_interrupt_comes_again(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some imports do; the command would go on for hours."""

    def swallowed(*_: object, **__: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        time.sleep(50)

    monkeypatch.setattr("squat_deploy.cli.commands.certify.load", swallowed)
    began, alarm = time.monotonic(), signal.getsignal(signal.SIGALRM)
    assert document("certify", "n.safetensors", code=130)["error"] == interrupts.MESSAGE
    assert time.monotonic() - began < 20
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) is alarm


def test_an_internal_error_is_one_document(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise AssertionError("[/] odd")

    monkeypatch.setattr("squat_deploy.cli.commands.certify.load", fails)
    said = document("certify", "n.safetensors", code=70)["error"]
    assert said == "internal error, please report it: AssertionError: [/] odd"


def test_what_the_machine_refuses_is_no_internal_error(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases: dict[Exception, str] = {
        PermissionError(13, "Permission denied", "/secret"): "Permission denied: /secret",
        MemoryError("Unable to allocate 7 TiB"): "not enough memory for these sizes: Unable to allocate 7 TiB",
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"): "not enough memory",
    }
    for error, message in cases.items():

        def fails(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr("squat_deploy.cli.commands.certify.load", fails)
        assert message in str(document("certify", "n.safetensors", code=1)["error"])


def test_the_entry_point_imports_nothing_heavy() -> None:
    script = (
        "import sys, squat_deploy.__main__; print(sorted({'numpy', 'pydantic', 'typer', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
