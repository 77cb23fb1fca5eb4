"""Options of commands: names, texts and defaults are those of the config models and of the functions that take them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, ConfigDict
from typer.testing import CliRunner

import squat_deploy as sd
from squat_deploy.cli.app import app
from squat_deploy.cli.fields import with_fields
from squat_deploy.cli.inputs import InputOptions
from squat_deploy.lab.config import TrainConfig
from squat_deploy.lab.study.running import run_study
from tests.conftest import ROOT
from tests.test_cli import document, invoke, work

__all__ = ["work"]  # a fixture


def options(command: str) -> dict[str, Any]:
    """The options of a command as typer shows them, by their parameters."""
    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    return {option.name: option for option in found.params}


def test_every_out_is_also_o() -> None:
    found: Any = typer.main.get_command(app)
    names = [*found.commands.keys() - {"study"}, "study run", "study report"]
    outs = {name: options(name)["out"].opts for name in names if "out" in options(name)}
    assert len(outs) >= 12 and all({"--out", "-o"} <= set(spelled) for spelled in outs.values()), outs


def test_importing_commands_needs_no_torch() -> None:
    script = "import sys, squat_deploy.cli.app; print(sorted({'torch', 'onnx', 'brevitas', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("command", "model", "spelled"),
    [("hls", sd.HlsConfig, {"pe", "events"}), ("train", TrainConfig, {"sizes"}), ("lower", InputOptions, set())],
)
def test_options_are_those_of_the_config_model(command: str, model: type[BaseModel], spelled: set[str]) -> None:
    stated = options(command)
    shared = {name: field for name, field in model.model_fields.items() if name in stated}
    assert len(shared) >= 5 and all(field.description and stated[name].help for name, field in shared.items())
    for name in shared.keys() - spelled:
        assert stated[name].default == shared[name].default
        assert stated[name].help == " ".join(str(shared[name].description).split())


def test_every_field_is_an_option_or_left_to_files() -> None:
    assert sd.HlsConfig.model_fields.keys() - options("hls").keys() == {"encoder"}
    assert not InputOptions.model_fields.keys() - options("check").keys()
    assert options("hls")["pe"].default is sd.HlsConfig().pe is None
    assert options("train")["sizes"].default == TrainConfig().sizes[1] and "--hidden" in options("train")["sizes"].opts


class Longer(BaseModel):
    """A config model with fields of two sorts."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    depth: int | None = 3
    """Of the
    pipeline."""
    layers: tuple[int, ...] = ()


def test_a_new_field_becomes_an_option_or_is_named() -> None:
    taken: list[object] = []

    def command(*, out: str = "here", fields: dict[str, object], last: bool = False) -> None:
        """Says what it was given."""
        taken.append((out, fields, last))

    with pytest.raises(TypeError, match=r"^layers: no option can be made of tuple\[int, ...\]; spell it, or leave it"):
        with_fields(Longer)
    small = typer.Typer()
    small.command()(with_fields(Longer, leave_out=("layers",))(command))
    text = CliRunner().invoke(small, ["--help"], env={"COLUMNS": "200"}).output
    assert "--depth" in text and "Of the pipeline. [default: 3]" in text and "--layers" not in text
    for arguments in ([], ["--depth", "3"], ["--last", "--depth", "5", "--out", "there"]):
        assert CliRunner().invoke(small, arguments).exit_code == 0
    assert taken == [("here", {}, False), ("here", {"depth": 3}, False), ("there", {"depth": 5}, True)]


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("lower", sd.lower),
        ("check", sd.check),
        ("quantize", sd.quantize),
        ("qonnx", sd.emit_qonnx),
        ("testbench", sd.emit_testbench),
        ("study run", run_study),
    ],
)
def test_defaults_are_those_of_the_functions(command: str, function: Callable[..., object]) -> None:
    """Functions that need torch or onnx, which the command line does not import to say them."""
    stated, own = options(command), inspect.signature(function).parameters
    shared = {name for name in stated.keys() & own.keys() if own[name].default is not inspect.Parameter.empty}
    assert shared
    assert {name: stated[name].default for name in shared} == {name: own[name].default for name in shared}


def test_the_step_of_inputs_is_not_that_of_time(work: Path) -> None:
    given = ("check", "model.py:factory", "--steps", 3, "--low", 0, "--high", 15)
    for name in ("--input-step", "--step"):
        assert document(*given, name, "1/16")["input"]["step"] == 0.0625  # type: ignore[index]
        assert document(*given, name, "1/8", code=1)["input"]["step"] == 0.125  # type: ignore[index]
    assert options("lower")["step"].opts == ["--input-step", "--step"]


def test_training_takes_what_was_typed_before_what_a_file_says(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from squat_deploy.lab import data, loop

    chosen: list[TrainConfig] = []
    monkeypatch.setattr(data, "read_data", lambda *_, **__: ((), ()))
    monkeypatch.setattr(loop, "train", lambda config, *_, **__: (chosen.append(config), [{"accuracy": 1.0}]))
    (work / "r.yaml").write_text("epochs: 7\nbatch: 9\nkind: uniform\n")
    invoke("train", "--config", "r.yaml", "--epochs", 60, "--hidden", 5, "--levels", "rest")
    typed = {"epochs": 60, "sizes": (784, 5, 10), "kind": "rest"}  # 60 is the default, and yet goes before the file's 7
    assert chosen == [TrainConfig.model_validate({"batch": 9, **typed})]
