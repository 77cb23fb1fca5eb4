"""What makes the command line pleasant: a file of options, the next command, groups, versions, a first project."""

from __future__ import annotations

import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy import toolchain
from squat_deploy.cli.app import app
from squat_deploy.cli.commands import new
from tests.test_cli import MODEL, document, invoke


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: sd.Network) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    sd.save(small, tmp_path / "n.safetensors")
    return tmp_path


def settings(text: str) -> None:
    Path("squat.toml").write_text(text)


def test_what_is_typed_beats_the_file(work: Path) -> None:
    own = 'network = "n.safetensors"\nsamples = 3\nout = "s.npz"\ntrace = true'
    settings(f'[simulate]\n{own}\n[verify]\nsamples = 2\nexecutor = ["numpy"]')
    ended = CliRunner().invoke(app, ["simulate"])
    assert ended.exit_code == 0 and "3 random sequences" in ended.stdout
    assert "squat.toml: network = n.safetensors, samples = 3, out = s.npz, trace = True" in ended.stderr
    assert {"scores", "layer2_sum", "layer2_name"} <= set(np.load("s.npz"))
    assert document("simulate", "--samples", 4)["inputs"] == "4 random sequences"
    rows = document("verify", "n.safetensors")["executors"]
    assert [(row["executor"], row["samples"]) for row in rows] == [("numpy", 2)]  # type: ignore[attr-defined]


def test_the_file_sets_options_that_are_fields_of_models_too(work: Path) -> None:
    settings(
        '[check]\nsteps = 6\nshape = 16\nhigh = 15\ninput-step = "1/16"\nreadout = "first"\n[hls]\npe = 2\nvectors = 1'
    )
    assert document("check", "model.py:factory")["input"]["step"] == 2.0**-4  # type: ignore[index]
    assert document("hls", "n.safetensors", "--out", "p")["folding"]
    assert '"vectors": 1' in Path("p/manifest.json").read_text()


def test_config_shows_what_is_in_force(work: Path) -> None:
    assert "squat.toml: not here" in invoke("config")
    settings("[simulate]\nsamples = 3")
    (row,) = document("config")["options"]  # type: ignore[misc]
    assert row == {"command": "simulate", "option": "samples", "value": "3", "from": "squat.toml"}
    rows = {row["option"]: (row["value"], row["from"]) for row in document("config", "simulate")["options"]}  # type: ignore[index,attr-defined]
    assert rows["samples"] == ("3", "squat.toml") and rows["network"] == ("", "required")
    assert rows["trace"] == (False, "default") and "json" not in rows
    assert "config: no command is called magic; there are bitstream, " in invoke("config", "magic", code=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[simulate]\nsample = 3", "squat.toml: [simulate] has no option sample; it has inputs, labels, "),
        ("[simulate]\noverwrite = true", "squat.toml: [simulate] has no option overwrite; it has "),
        ("[simulate]\ntrace = 3", "squat.toml: [simulate] trace: Input should be a valid boolean; got 3"),
        ("[simulate]\nsamples = [3]", "squat.toml: [simulate] samples: expected one value; got [3]"),
        ("steps = 3", "squat.toml: steps stands in no table; put it under that of its command, as [lower]"),
        ("simulate = 3", "squat.toml: [simulate] : Input should be a valid dictionary"),
        ("[simulated]\nsamples = 3", "squat.toml: no command is called simulated; there are bitstream, "),
        ("[study]\nsamples = 3", "squat.toml: no command is called study; there are "),
        ("[simulate\nsamples = 3", "squat.toml: cannot be read: Expected ']'"),
    ],
)
def test_files_that_cannot_be_used(text: str, message: str, work: Path) -> None:
    settings(text)
    assert message in str(document("simulate", "n.safetensors", code=1)["error"])
    assert invoke("simulate", "--help")  # all the same


def test_values_are_read_as_if_they_were_typed(work: Path) -> None:
    settings('[simulate]\nsamples = "some"')
    ended = CliRunner().invoke(app, ["simulate", "n.safetensors"])
    assert ended.exit_code == 2 and "Invalid value for '--samples'" in ended.stderr


def test_version_groups_and_completion() -> None:
    assert invoke("--version") == f"squat-deploy {sd.__version__}\n"
    told = invoke("--help")
    places = [told.index(f"─ {group} ─") for group in ("Start", "Train", "Bring in", "Check", "Export", "Build")]
    assert places == sorted(places) and told.index("│ lower") > places[2] and "--install-completion" in told
    asked = {"_SQUAT_DEPLOY_COMPLETE": "complete_bash", "COMP_WORDS": "squat-deploy si", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], prog_name="squat-deploy", env=asked).stdout.split() == ["simulate"]


def test_each_command_names_the_next_and_that_works(work: Path, compiler: None) -> None:
    """From a model to a C++ project by what is proposed alone."""
    grid = ("--steps", 6, "--shape", 16, "--high", 15, "--input-step", "1/16")
    after = "next: squat-deploy lower model.py:factory --steps 6 --shape 16 --high 15 --input-step 1/16\n"
    assert after in invoke("check", "model.py:factory", *grid)
    told, seen = invoke("lower", "model.py:factory", *grid, "--out", "my net.safetensors"), []
    while "\nnext: squat-deploy" in told:
        words = shlex.split(told.rsplit("\nnext: squat-deploy ", 1)[1].splitlines()[0])
        seen.append(words[0])
        few = ["--samples", "2", "--executor", "numpy"] if words[0] == "verify" else []
        told = invoke(*words, *few)
    assert seen == ["verify", "hls"] and "next: make -C" in told
    for command in ("certify", "simulate"):
        assert "next: squat-deploy verify n.safetensors" in invoke(command, "n.safetensors")
    told = invoke("qonnx", "n.safetensors")
    starts = [layer.initial_state for layer in sd.load("n.safetensors").neurons]
    assert f"in the first step: lif1.state = {starts[0]}, lif2.state = {starts[1]}\n" in told
    assert told.endswith("next: squat-deploy verify n.step.onnx\n")


def test_doctor_says_versions_and_what_installs_the_rest(monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    monkeypatch.setattr(toolchain, "has_package", lambda name: name not in ("da4ml", "onnx", "qonnx"))
    found = document("doctor")
    assert "pip install 'squat_deploy[hls,qonnx]'" in found["install"]  # type: ignore[operator]
    assert {"C++ compiler", "make", "torch"} <= set(found["versions"])  # type: ignore[call-overload]
    told = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "80"}).output
    assert max(map(len, told.splitlines())) <= 80 and "to install what is missing: pip install" in told


def test_a_new_project_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiler: None) -> None:
    """Its Makefile's own commands, in the order in which `make` would run them."""
    monkeypatch.chdir(tmp_path)
    assert "next: make -C mine" in invoke("new", "mine")
    assert "mine: exists already, and `new` writes over nothing" in invoke("new", "mine", code=1)
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.syspath_prepend(".")
    planned = subprocess.run(
        ["make", "-n", "--no-print-directory", "SQUAT=squat-deploy", "PYTHON=python", "MAKE=true"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in planned.stdout.splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            runpy.run_path(words[0], run_name="__main__")
        elif program == "squat-deploy":
            told = invoke(*words, *(["--executor", "numpy", "--executor", "torch"] if words[0] == "verify" else []))
            assert "proven" not in told or "NO" not in told
            assert words[0] != "verify" or float(told.split("%")[0].rsplit(maxsplit=1)[1]) > 50
    sys.modules.pop("model", None)
    done = subprocess.run(["make", "-s", "-C", "hls", "csim"], capture_output=True, text=True, check=False)
    assert "PASS: 0 mismatches" in done.stdout, done.stdout + done.stderr
    assert planned.stdout.splitlines()[-1] == "true -C hls csim"


def test_files_of_a_new_project_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new, "_ROOTS", (tmp_path,))
    assert "the files of `new` are missing from this installation" in invoke("new", tmp_path / "x", code=1)
