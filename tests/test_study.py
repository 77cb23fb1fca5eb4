"""Studies: cells, their digests, a real Dask scheduler with a worker that is killed, and the report."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from squat_deploy.cli.app import app
from squat_deploy.errors import ConfigError, Fault, FileFormatError, LoweringError, ToolError
from squat_deploy.lab.models import dense_lif_net
from squat_deploy.lab.study import running
from squat_deploy.lab.study.config import Study
from squat_deploy.lab.study.estimates import Estimate, accuracies
from squat_deploy.lab.study.measuring import gradient_cosine, spike_counts
from squat_deploy.lab.study.report import write_report
from squat_deploy.lab.study.running import cell_path, read_cells, run_study
from squat_deploy.lab.study.tasks import train_task

TINY = {
    "name": "tiny",
    "base": {
        "dataset": "fsdd-spikes",
        "net": "recurrent",
        "sizes": (700, 6, 10),
        "steps": 4,
        "duration": 100_000,
        "epochs": 20,
        "batch": 8,
        "flip": False,
        "beta": 0.5,
    },
    "seeds": (0, 1),
    "grids": (
        {"methods": ("PTQ", "QAT+SQUAT"), "bits": (2,), "levels": ("learned",)},
        {"methods": ("float",)},
        {
            "group": "slopes",
            "methods": ("QAT+SQUAT",),
            "bits": (2,),
            "weight_bits": (3,),
            "vary": {"surrogate_slope": (1.0, 2.0)},
            "change": {"epochs": 1, "samples": 16},
            "seeds": (0,),
        },
    ),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file in the layout of FSDD spikes."""
    rng, count, spikes = np.random.default_rng(0), 40, 60
    path = tmp_path_factory.mktemp("data") / "spikes.npz"
    np.savez(
        path,
        t_half_ms=np.sort(rng.integers(0, 200, (count, spikes)), axis=1).reshape(-1).astype(np.uint16),
        unit=rng.integers(0, 700, count * spikes).astype(np.uint16),
        offsets=np.arange(count + 1) * spikes,
        labels=np.arange(count) % 10,
        speaker=np.zeros(count, dtype=np.uint8),
        is_test=np.arange(count) >= 30,
    )
    return path


def test_cells_share_trainings_and_are_named_by_their_content() -> None:
    cells = Study.model_validate(TINY).cells()
    assert len(cells) == len({cell.digest for cell in cells}) == 2 * (2 + 1) + 2
    slopes = [cell for cell in cells if cell.group == "slopes"]
    assert [cell.variant["surrogate_slope"] for cell in slopes] == [1.0, 2.0]
    assert [cell.training.config.surrogate_slope for cell in slopes] == [1.0, 2.0]
    main = [cell for cell in cells if not cell.group]
    trained = {(cell.method, cell.levels, cell.seed): cell.training.digest for cell in main}
    assert trained["PTQ", "learned", 0] == trained["float", "threshold-centred", 0]
    assert len(set(trained.values())) == 2 * 2
    assert [cell.digest for cell in cells] == [cell.digest for cell in Study.model_validate(TINY).cells()]


def test_methods_have_their_widths() -> None:
    study = Study.model_validate({"name": "wrong", "grids": [{"methods": ["PTQ"]}]})
    with pytest.raises(ConfigError, match="study: PTQ at 32 bits; float has 32, all others have fewer"):
        study.cells()


def test_what_is_varied_is_what_is_trained() -> None:
    """Not what levels of this kind are usually trained with; and what would have no say is refused."""
    grid = {
        "methods": ["QAT+SQUAT"],
        "bits": [2],
        "levels": ["learned"],
        "vary": {"surrogate_at": ["levels", "membrane"]},
    }
    options = {"name": "one", "by_levels": {"learned": {"surrogate_at": "membrane", "kind": "rest"}}, "seeds": [0]}
    cells = Study.model_validate({**options, "grids": [grid]}).cells()
    assert [cell.training.config.surrogate_at for cell in cells] == ["levels", "membrane"]
    assert {cell.training.config.kind for cell in cells} == {"rest"}
    wrong: dict[str, dict[str, object]] = {
        "kind is set by the grid's seeds, bits and levels": {"levels": ["rest"], "vary": {"kind": ["rest"]}},
        "weight_bits is set by": {"change": {"weight_bits": 3}},
        "PTQ trains no states: surrogate_at changes nothing there": {"methods": ["PTQ"]},
        "SQUAT quantizes the weights afterwards, to 2 bits or more; got 1": {"methods": ["SQUAT"], "weight_bits": [1]},
    }
    for message, change in wrong.items():
        with pytest.raises(ConfigError, match=message):
            Study.model_validate({**options, "grids": [{**grid, **change}]}).cells()


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"trained")
    assert train_task(Study.model_validate(TINY).cells()[0].training, str(tmp_path), None) == b"trained"


def test_a_killed_worker_costs_no_cell(tmp_path: Path, recordings: Path) -> None:
    """A real scheduler, two workers, one of them killed while it trains; then a second run, which finds all done."""
    study, store = Study.model_validate(TINY), tmp_path / "store"
    file = tmp_path / "scheduler.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--scheduler-file", str(file)]
    command += ["--no-dashboard", "--host", "127.0.0.1"]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)]
    try:
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-nanny"]
        worker += ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"]
        while not file.exists():
            assert processes[0].poll() is None, "the scheduler did not start"
            time.sleep(0.1)
        processes += [subprocess.Popen(worker, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
        address = json.loads(file.read_text())["address"]
        killed: list[int] = []

        def kill() -> None:
            while not list((store / "runs").glob("*/checkpoint.safetensors")):
                time.sleep(0.02)
            os.kill(processes[1].pid, signal.SIGKILL)
            killed.append(processes[1].pid)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        count = run_study(study, store, scheduler=address, place=recordings, quiet=True)
        killer.join(timeout=1)
        assert killed and processes[1].wait(timeout=10) == -signal.SIGKILL
        assert count == len(study.cells()) == len(read_cells(store))
        assert run_study(study, store, scheduler=address, place=recordings, quiet=True) == 0
        cell_path(store, study.cells()[-1]).unlink()  # made again, of its stored model
        assert run_study(study, store, scheduler=address, place=recordings, quiet=True) == 1
        assert not list((store / "runs").iterdir())
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for cell, result in read_cells(store):
        assert cell_path(store, cell).exists()
        assert cell.method == "float" or result["mismatches"] == 0 < result["values"]
    write_report([store], tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "| 2 | QAT+SQUAT |" in text and "±" in text and "| 3, 2 bits |" in text
    assert "| learned levels above threshold-centred by 1% |" not in text  # there are none to compare with
    for picture in ("accuracy", "levels", "membranes", "spikes"):
        assert (tmp_path / f"results.tiny.{picture}.svg").read_bytes().startswith(b"<?xml")
    fewer = {**study.model_dump(mode="json"), "seeds": [0]}
    (store / "study.json").write_text(json.dumps(fewer))
    write_report([store], tmp_path / "results.md")
    text = (tmp_path / "results.md").read_text()
    assert "5 of the 5 cells of this study are stored. 3 other cells in the store belong to an earlier form" in text
    broken = next((store / "cells").glob("*.json"))
    broken.write_text(broken.read_text().replace('"seed": 0', '"seed": 7').replace('"seed": 1', '"seed": 7'))
    with pytest.raises(FileFormatError, match="its content has the digest"):
        read_cells(store)


def test_faults_survive_the_way_from_a_worker() -> None:
    error = LoweringError((Fault("fc1", "a rule", "a value", "a hint"),))
    assert pickle.loads(pickle.dumps(error)).faults == error.faults


def test_the_command_line_says_what_is_wrong_with_a_store(tmp_path: Path) -> None:
    config, store = tmp_path / "study.yaml", tmp_path / "store"
    config.write_text("name: one\ngrids: [{methods: [float]}]\n")
    store.mkdir()
    (store / "study.json").write_text('{"name": "other", "grids": [{"methods": ["float"]}]}')
    runs = {
        ("run", str(config), "--out", str(store)): "holds another study; choose another folder",
        ("run", str(config), "--out", str(tmp_path / "b"), "--scheduler", "nowhere"): "no Dask scheduler at nowhere",
        ("report", str(store), "--out", str(tmp_path / "r.md")): "no cells of the study in it; run it first",
    }
    for arguments, message in runs.items():
        result = CliRunner().invoke(app, ["study", *arguments, "--json"])
        assert result.exit_code == 1 and message in json.loads(result.stdout)["error"]
    (store / "study.json").write_text("{")
    result = CliRunner().invoke(app, ["study", "run", str(config), "--out", str(store), "--json"])
    assert result.exit_code == 1 and "not the mark of a study" in json.loads(result.stdout)["error"]


class Lost:
    """A task that Dask gave up."""

    status, key = "cancelled", "cell-1"

    def exception(self) -> None:
        return None


def test_a_cell_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.model_validate({"name": "one", "grids": [{"methods": ["float"]}]})
    monkeypatch.setattr(running, "_client", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(running, "_submitted", lambda *_: {Lost(): study.cells()[0]})
    monkeypatch.setattr(running, "as_completed", iter)
    with pytest.raises(ToolError, match=r"^study: cell-1 was lost \(cancelled\)$"):
        run_study(study, tmp_path, quiet=True)


def test_cells_of_two_settings_are_not_averaged() -> None:
    cells = [cell for cell in Study.model_validate(TINY).cells() if cell.group == "slopes"]
    with pytest.raises(ConfigError, match="study: slopes: two cells of one row have one seed"):
        accuracies([(cell, {"accuracy": 0.5}) for cell in cells])


def test_gradients_are_compared_as_they_are_in_training() -> None:
    found = []
    for place in ("levels", "membrane"):
        torch.manual_seed(0)
        model = dense_lif_net((16, 8, 4), surrogate_at=place, kind="rest", clipped=True).eval()
        model.fc1.weight.data *= 4
        model.fc2.weight.data *= 4
        found.append(gradient_cosine(model, 4 * torch.rand(20, 16), torch.arange(20) % 4, 3, direct=True))
        assert not any(module.training for module in model.modules())
    assert found[0] != found[1]


def test_spike_counts_of_constant_currents() -> None:
    assert spike_counts([-1, 0.8, 0.98, 1.2], 0.97, 10) == [0, 3, 5, 9, 10]
    assert len(spike_counts([k / 64 for k in range(-64, 192)], 1.0, 10)) == 11


def test_intervals_are_students() -> None:
    estimate = Estimate.of([0.80, 0.82, 0.84])
    assert estimate.mean == pytest.approx(0.82)
    assert estimate.half == pytest.approx(4.302653 * 0.02 / 3**0.5, rel=1e-5)
    assert str(Estimate.of([0.5])) == "50.00%"
