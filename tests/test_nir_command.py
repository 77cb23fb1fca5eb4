"""`squat-deploy nir`: what a file leaves open is asked at once, with a command that works, and then done."""

from __future__ import annotations

import shlex
from pathlib import Path

import nir
import numpy as np
import pytest

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.readers.nir.model import NirOptions
from tests.test_cli import document, invoke
from tests.test_nir_graphs import chain, lif, normal
from tests.test_nir_nodes import edited

READ = nir.LI(np.full(3, 0.01), np.full(3, 10.0), np.zeros(3))


def graph(*, readout: bool = False, v_reset: float = 0.0) -> nir.NIRGraph:
    last = READ if readout else lif(3, r=10.0)
    return chain(nir.Linear(normal(6, 4)), lif(6, r=10.0, v_reset=v_reset), nir.Linear(normal(3, 6)), last)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", graph())
    return Path("net.nir")


def asked(text: str) -> list[str]:
    """Options in the list of what is open."""
    return [line.split()[0] for line in text.splitlines() if line.startswith("  --")]


@pytest.mark.parametrize("kind", ["spikes", "readout", "reset", "steps in the shape"])
def test_the_command_that_is_proposed_works(kind: str, file: Path, tmp_path: Path) -> None:
    """Typed as it stands, in one go to a network that equals its torch model, which verify builds from two files."""
    nir.write("net.nir", graph(readout=kind == "readout", v_reset=-0.5 if kind == "reset" else 0.0))
    if kind == "steps in the shape":

        def edit(opened: object) -> None:
            del opened["node/nodes/input/shape"]  # type: ignore[attr-defined]
            opened["node/nodes/input/shape"] = [256, 4]  # type: ignore[index]

        edited(file, edit)
    text = invoke("nir", file, code=1)
    assert "net.nir: the file leaves open, and nobody has said:" in text
    more = {"spikes": [], "readout": ["--readout"], "reset": ["--reset"], "steps in the shape": ["--shape"]}[kind]
    assert set(asked(text)) == {"--dt", "--steps", "--weight-bits", "--state-bits", "--high", *more}
    program, *command = shlex.split(text.strip().splitlines()[-1])
    assert program == "squat-deploy"
    found = document(*command)
    assert found["proven"] is True and found["steps"] == 25
    assert any("from 64 sequences of random 0..1" in note for note in found["notes"])  # type: ignore[union-attr]
    model = ("--model", file, "--checkpoint", "network.model.safetensors")
    checked = document("verify", "network.safetensors", *model, "--executor", "torch", "--executor", "numpy")
    assert checked["agrees"] and not checked["warnings"]


def test_what_is_said_is_not_asked_again(file: Path) -> None:
    text = invoke("nir", file, "--dt", "0.001", "--steps", 8, "--high", 3, code=1)
    assert asked(text) == ["--weight-bits", "--state-bits", "--encoding"]
    command = text.strip().splitlines()[-1].strip()
    assert command.startswith("squat-deploy nir net.nir --dt 0.001 --steps 8 --high 3 --weight-bits 4")
    assert document(*shlex.split(command)[1:])["input"]["high"] == 3  # type: ignore[index]


def test_data_say_grid_and_encoding(file: Path) -> None:
    """Real ones are put on a grid of the stated width; small integers stay; one axis more, and it is a sequence."""
    data = np.random.default_rng(0).random((8, 30, 4)).astype(np.float32) * 3
    np.save("frames.npy", data)
    np.save("one.npy", (data[0] * 4).round().astype(np.uint8))
    given = ("nir", file, "--dt", 0.001, "--steps", 8, "--weight-bits", 6, "--state-bits", 3, "--calibration")
    real = document(*given, "frames.npy", "--input-bits", 5)
    assert real["input"] == {"shape": [4], "low": 0, "high": 31, "step": 0.125, "encoding": "sequence"}
    model = ("--model", file, "--checkpoint", "network.model.safetensors", "--inputs", "frames.npy", "--real")
    assert document("verify", "network.safetensors", *model, "--executor", "torch")["agrees"]
    whole = document(*given, "one.npy", "--overwrite")
    assert whole["input"]["encoding"] == "direct" and whole["input"]["step"] == 1  # type: ignore[index]
    told = invoke(*given, "one.npy", "--encoding", "sequence", code=1)
    assert "--encoding sequence with data of another one: shape (30, 4), which are direct; leave it out" in told
    told = invoke(*given, "one.npy", "--high", 3, code=1)
    assert "nir: --calibration says the grid; leave out --low, --high and --input-step" in told
    for bad, message in (
        (data[..., :3], "samples have the shape of the file, one or two axes before (4,); got (8, 30, 3)"),
        (data[:5], "calibration: expected 8 time steps; got 5"),
        (data[None], "one or two axes before (4,); got (1, 8, 30, 4)"),
        (data[:, :0], "calibration: expected numbers of shape (B, ...); got float32 of (8, 0, 4)"),
        (np.float32(1), "one or two axes before (4,); got ()"),
        (np.full((30, 4), np.nan), "quantize: calibration data must be finite"),
    ):
        np.save("bad.npy", bad)
        assert message in invoke(*given, "bad.npy", code=1), message
    for bits, message in ((9, "weights have 2 to 8 bits; got 9"), (0, "weights have 2 to 8 bits; got 0")):
        assert message in invoke(*given, "one.npy", "--weight-bits", bits, code=1)
    assert "quantize: steps must be 1 to 65535; got 0" in invoke(*given, "one.npy", "--steps", 0, code=1)
    assert "open in the file: bit widths: NIR has none" in invoke(*given, "one.npy")


def test_a_grid_that_is_stated(file: Path) -> None:
    given = ("nir", file, "--dt", 0.001, "--steps", 5, "--weight-bits", 4, "--state-bits", 4, "--encoding", "direct")
    found = document(*given, "--high", 255, "--input-step", "1/256")
    assert found["input"] == {"shape": [4], "low": 0, "high": 255, "step": 1 / 256, "encoding": "direct"}
    model = ("--model", file, "--checkpoint", "network.model.safetensors")
    assert document("verify", "network.safetensors", *model, "--executor", "torch")["agrees"]
    wide = document(*given, "--low", -300, "--high", 300)
    assert wide["input"]["low"] == -300 and wide["input"]["step"] == 1  # type: ignore[index]


def test_the_exact_form(file: Path) -> None:
    """The way out of currents that are added one after the other, which the refusal names: it works as it is said."""
    rng = np.random.default_rng(3)
    made = chain(nir.Affine(normal(6, 4), normal(6) * 0.3), lif(6, r=10.0), nir.Linear(normal(3, 6)), lif(3, r=10.0))
    back = nir.Affine(rng.normal(size=(6, 6)), rng.normal(size=6) * 0.1)
    edges = [*made.edges, ("n1", "back"), ("back", "n1")]
    nir.write(file, nir.NIRGraph({**made.nodes, "back": back}, edges, type_check=False))
    text = invoke("nir", file, "--exact", code=1)
    command = shlex.split(text.strip().splitlines()[-1])[1:]
    assert "--exact" in command
    assert document(*command)["proven"] is True
    model = ("--model", file, "--checkpoint", "network.model.safetensors", "--exact", "--executor", "torch")
    checked = document("verify", "network.safetensors", *model)
    assert checked["agrees"] and not checked["warnings"]


def test_a_fault_of_the_file_is_no_question(file: Path) -> None:
    nir.write(file, chain(nir.Linear(normal(6, 4)), lif(6, r=-1.0)))
    told = invoke("nir", file, "--dt", 0.001, "--steps", 5, "--weight-bits", 4, "--state-bits", 4,
                  "--high", 1, "--encoding", "direct", code=1)  # fmt: skip
    assert "the factor of the current is above 0" in told
    with pytest.raises(LoweringError, match="state its last axes"):
        from squat_deploy.readers.nir.asking import opened

        opened(file, NirOptions(shape=(9,)))
    with pytest.raises(ConfigError, match="NirOptions: shape is a tuple of sizes; got 3"):
        sd.read_nir(file, NirOptions(dt=1.0, shape=3))  # type: ignore[arg-type]


def test_a_checkpoint_that_says_other_options(file: Path) -> None:
    from squat_deploy.lab.models import dense_lif_net
    from squat_deploy.snn.checkpoint import save_model

    sd.save(sd.lower(dense_lif_net((4, 3)).eval(), sd.InputSpec((4,), 0, 15, 2.0**-4), 2), "network.safetensors")
    save_model(dense_lif_net((4, 3)), Path("w.safetensors"), {"nir": {"dt": "soon"}})
    given = ("verify", "network.safetensors", "--model", file, "--checkpoint", "w.safetensors")
    assert "w.safetensors: nir: Input should be a valid number" in invoke(*given, code=1)
    assert "state it: NirOptions(dt=" in invoke(*given[:4], code=1)
