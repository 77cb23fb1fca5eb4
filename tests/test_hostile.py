"""Files of others, broken at random: each is read as it was, or refused by one error of ours, quickly."""

from __future__ import annotations

import os
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import squat_deploy as sd
from squat_deploy.arrays import read_npy, read_npz
from squat_deploy.configs import read_yaml
from squat_deploy.errors import ConfigError, DatasetError, FileFormatError, SquatError
from squat_deploy.lab.datasets import read_idx
from squat_deploy.lab.events import read_cochlea, read_nmnist
from squat_deploy.lab.loop import TrainConfig, trained_model
from squat_deploy.lab.study.config import Cell, Study, Training
from squat_deploy.lab.study.running import read_cells, read_study, write_cell
from squat_deploy.snn.checkpoint import load_training, load_weights, model_metadata, save_model, save_training

CONFIG = TrainConfig(sizes=(6, 4, 3))
Reader = Callable[[Path], object]


def adam(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters())


def nmnist(path: Path) -> None:
    count = 40
    rng = np.random.default_rng(0)
    arrays = {"t": np.arange(count) * 100, "x": rng.integers(0, 34, count), "y": rng.integers(0, 34, count)}
    arrays |= {"p": rng.integers(0, 2, count), "offsets": np.array([0, 20, 40]), "labels": np.array([1, 2])}
    np.savez_compressed(path, **arrays, is_test=np.array([False, True]))


def cochlea(path: Path) -> None:
    arrays = {"t_half_ms": np.arange(40), "unit": np.arange(40) * 17, "offsets": np.array([0, 20, 40])}
    np.savez(path, **arrays, labels=np.array([1, 2]), is_test=np.array([False, True]))


def checkpoint(path: Path) -> None:
    model = CONFIG.model()
    optimizer = adam(model)
    for value in model.parameters():
        value.grad = torch.ones_like(value)
    optimizer.step()
    row = {"epoch": 0, "loss": 1.0, "accuracy": 0.5}
    save_training(path, model, optimizer, {"config": CONFIG.model_dump(mode="json"), "history": [row]})


def a_cell(path: Path) -> None:
    training = Training(config=CONFIG)
    cell = Cell(method="float", weight_bits=32, state_bits=32, levels="threshold-centred", training=training)
    layer = {"name": "lif1", "rate": 0.1, "dead": 0.0, "flips": 0.0, "levels": None, "raster": [[0], []]}
    write_cell(path, cell, {"accuracy": 0.5, "layers": [layer], "seconds": 1.0})


def made_cells(folder: Path) -> Path:
    (folder / "cells").mkdir()
    a_cell(folder)
    return next((folder / "cells").iterdir())


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory, small: sd.Network) -> dict[str, tuple[Path, Reader]]:
    """One valid file of every format, and its reader."""
    folder = tmp_path_factory.mktemp("valid")
    sd.save(small, folder / "n.safetensors")
    sd.emit_qonnx(small, folder / "n.onnx")
    save_model(CONFIG.model(), folder / "m.safetensors", {"config": CONFIG.model_dump(mode="json"), "history": []})
    torch.save(CONFIG.model().state_dict(), folder / "m.pt")
    torch.save(CONFIG.model().state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    checkpoint(folder / "c.safetensors")
    np.save(folder / "a.npy", np.arange(64).reshape(8, 8))
    nmnist(folder / "n.npz")
    cochlea(folder / "c.npz")
    (folder / "t.yaml").write_text("dataset: fsdd-spikes\nsizes: [700, 24, 10]\nsteps: 4\nbeta: 0.9\nflip: false\n")
    (folder / "study.json").write_text('{"name": "one", "grids": [{"methods": ["float"]}]}')
    (folder / "i.idx").write_bytes(b"\0\0\x08\x02\0\0\0\2\0\0\0\3abcdef")
    return {
        "network": (folder / "n.safetensors", sd.load),
        "graph": (folder / "n.onnx", sd.load),
        "model": (folder / "m.safetensors", trained_model),
        "metadata": (folder / "m.safetensors", model_metadata),
        "weights": (folder / "m.safetensors", lambda path: load_weights(CONFIG.model(), path)),
        "torch": (folder / "m.pt", lambda path: load_weights(CONFIG.model(), path)),
        "old torch": (folder / "old.pt", lambda path: load_weights(CONFIG.model(), path)),
        "checkpoint": (folder / "c.safetensors", lambda path: load_training(path, CONFIG.model(), adam)),
        "npy": (folder / "a.npy", read_npy),
        "n-mnist": (folder / "n.npz", read_nmnist),
        "fsdd": (folder / "c.npz", read_cochlea),
        "yaml": (folder / "t.yaml", lambda path: read_yaml(path, TrainConfig)),
        "study": (folder / "study.json", lambda path: read_study(path.parent)),
        "cell": (made_cells(folder), lambda path: read_cells(path.parent.parent)),
        "idx": (folder / "i.idx", lambda path: read_idx(path.read_bytes(), path.name)),
    }


FORMATS = [
    "network", "graph", "model", "metadata", "weights", "torch", "old torch", "checkpoint", "npy", "n-mnist", "fsdd",
    "yaml", "study", "cell", "idx",
]  # fmt: skip


def broken(content: bytes, rng: np.random.Generator) -> bytes:
    """Truncated, flipped, or with a number or a word of it replaced by a hostile one."""
    place = int(rng.integers(0, len(content)))
    if rng.random() < 0.5:
        place = int(rng.integers(0, min(len(content), 400)))  # where headers are
    kind = int(rng.integers(0, 5))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([int(rng.integers(0, 256))]) + content[place + 1 :]
    if kind == 2:
        return content[:place] + content[place + int(rng.integers(1, 9)) :]
    if kind == 3:
        hostile = [
            b"9999999999",
            b"true",
            b"null",
            b"[]",
            b"1e999",
            b"-1",
            b"\xff\xff\xff\xff",
            b"{}",
            b'"',
            b"[" * 300,
        ]
        chosen = hostile[int(rng.integers(0, len(hostile)))]
        return content[:place] + chosen + content[place + len(chosen) :]
    digits = [i for i, c in enumerate(content[:4000]) if 48 <= c < 58]
    place = digits[int(rng.integers(0, len(digits)))] if digits else place
    return content[:place] + b"%d" % rng.integers(0, 10) + content[place + 1 :]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_broken_files_are_read_or_refused(name: str, formats: dict[str, tuple[Path, Reader]], tmp_path: Path) -> None:
    path, read = formats[name]
    content, rng = path.read_bytes(), np.random.default_rng(3)
    target = tmp_path / "cells" / path.name if name == "cell" else tmp_path / path.name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    read(target)
    refused = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60 if name in ("graph", "model", "checkpoint", "torch", "old torch", "weights") else 150):
        target.write_bytes(broken(content, rng))
        began = time.process_time()
        try:
            read(target)
        except SquatError as error:
            refused += 1
            assert str(error).isprintable()
        assert time.process_time() - began < 2
    assert refused > 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


def npy_of(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return b"\x93NUMPY" + version + length + header + data


def header_of(shape: str, descr: str = "'<i8'") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()


ARRAYS: dict[str, tuple[bytes, str]] = {
    "more than is there": (npy_of(header_of("(1000000000000,)"), bytes(80)), "truncated or altered"),
    "less than is there": (npy_of(header_of("(2,)"), bytes(80)), "truncated or altered"),
    "booleans as sizes": (npy_of(header_of("(True,)"), bytes(8)), "shape"),
    "floats as sizes": (npy_of(header_of("(1.0,)"), bytes(8)), "shape"),
    "below zero": (npy_of(header_of("(-1,)"), bytes(8)), "shape"),
    "nothing, but wide": (npy_of(header_of("(0, 9000000000000000000, 9)")), "not a NumPy array file"),
    "objects": (npy_of(header_of("(1,)", "'|O'"), bytes(8)), "expected an array of numbers; got object"),
    "fields": (npy_of(header_of("(1,)", "[('a', '<i8')]"), bytes(8)), "expected an array of numbers"),
    "text": (npy_of(header_of("(1,)", "'<U2'"), bytes(8)), "expected an array of numbers"),
    "complex": (npy_of(header_of("(1,)", "'<c8'"), bytes(8)), "expected an array of numbers"),
    "an open bracket": (npy_of(header_of("(1,)")[:-3] + b"("), "not a NumPy array file"),
    "deep": (npy_of(b"[" * 9000), "not a NumPy array file"),
    "deep minus": (npy_of(b"-" * 9000 + b"1"), "not a NumPy array file"),
    "a long header": (npy_of(header_of("(1,)") + b" " * 20_000, bytes(8)), "at most 10000 are read"),
    "a header of 4 GB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "at most 10000 are read"),
    "version 3": (npy_of(header_of("(1,)"), bytes(8), b"\x03\x00"), "version 1 or 2; save it with numpy.save"),
    "nothing": (b"", "not a NumPy array file"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_claim_what_is_not_there(case: str, tmp_path: Path) -> None:
    content, message = ARRAYS[case]
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(DatasetError, match=message.replace("a NumPy array file", "a")):
        read_npz(tmp_path / "a.npz", ("a",), DatasetError)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i8", ">i4", "|u1", "<f4", "|b1", "<f2"])
def test_arrays_are_read_as_numpy_reads_them(dtype: str, order: str, version: tuple[int, int], tmp_path: Path) -> None:
    for shape in ((), (0, 3), (3, 4), (2, 3, 4)):
        array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype=dtype, order=order)  # type: ignore[call-overload]
        with (tmp_path / "a.npy").open("wb") as stream:
            np.lib.format.write_array(stream, array, version)
        np.savez_compressed(tmp_path / "a.npz", a=array)
        for found in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", ("a",))["a"]):
            assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array)
            assert found.flags.writeable


def test_archives_that_become_large(tmp_path: Path) -> None:
    """Nothing is unpacked to see how large it is."""
    path = tmp_path / "bomb.npz"
    zeros = bytes(2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("t.npy", "w") as stream:
        stream.write(npy_of(header_of(f"({2**29},)", "'|u1'")))
        for _ in range(2**9):
            stream.write(zeros)
    began = time.process_time()
    with pytest.raises(DatasetError, match=r"would unpack to 5368\d+ bytes; at most 268435456 of a file of this size"):
        read_npz(path, ("t",), DatasetError)
    assert time.process_time() - began < 0.5


def test_members_that_cannot_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3))
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02")  # the directory
    for offset, value, message in ((8, b"\x01\x00", "is encrypted; save it"), (10, b"\x0e\x0f", "compression method")):
        changed = content[: place + offset] + value + content[place + offset + len(value) :]
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match=message):
            read_npz(path, ("a",))
    path.write_bytes(content.replace(bytes(24), bytes(23) + b"\x01"))
    for names in (("a",), ()):  # in a member that nobody asked for too
        with pytest.raises(FileFormatError, match="Bad CRC-32"):
            read_npz(path, names)


def test_events_that_would_silently_become_others(tmp_path: Path) -> None:
    """Times in seconds would all be zero, a large column a pixel of the next row."""
    path = tmp_path / "n.npz"
    nmnist(path)
    with np.load(path) as file:
        whole = dict(file)
    wrong: dict[str, tuple[np.ndarray, str]] = {
        "t": (whole["t"] / 1e6, "t must be integers"),
        "x": (whole["x"] + 34, "x must be 0 to 33"),
        "y": (whole["y"] - 34, "y must be 0 to 33"),
        "p": (whole["p"] * 2, "p must be 0 to 1"),
        "labels": (whole["labels"][None], r"labels must be integers \(N,\)"),
        "offsets": (whole["offsets"] + 2**50, "offsets: a value beyond"),
    }
    for name, (array, message) in wrong.items():
        np.savez(path, **{**whole, name: array})
        with pytest.raises(DatasetError, match=message):
            read_nmnist(path)
    np.savez(path, **{**whole, "is_test": np.array([False, False])})
    with pytest.raises(DatasetError, match="no recordings to test with"):
        read_nmnist(path).frames(2, 1000, split="test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * 15_000, "more than 16 levels"),
        ("a: " + "{" * 15_000, "more than 16 levels"),
        ("- " * 15_000, "more than 16 levels"),
        ("? " * 15_000, "more than 16 levels"),
        ("a: [" + "1," * 60_000 + "]", "50000 values"),
        ("steps: " + "1:" * 100_000 + "1", "values of more than 4096 characters"),
        ("steps: " + "9" * 5000, "values of more than 4096 characters"),
        ("<<: {steps: 3}", "merges, and values"),
        ("a: &x 1\nb: *x", "anchors, aliases and tags are not read"),
        ("steps: !!python/name:os.system", "anchors, aliases and tags are not read"),
        ("steps: 3\nsteps: 4", "steps is given twice"),
        ("\ufeff\x00", "not a YAML file"),
        ("epochs: yes", "epochs: expected a number; got true"),
        ("sizes: [true, 10]", "sizes.0: expected a number; got true"),
        ("sizes: [-5, 10]", "two or more, each 1 to 1048576"),
        ("sizes: []", "two or more, each 1 to 1048576"),
        ("sizes: [1000000, 1000000]", "a layer of more than 268435456 weights"),
        ("seed: 99999999999999999999", "seed: Input should be less than"),
        ("--- 1\n--- 2", "not a YAML file"),
    ],
)
def test_yaml_that_takes_long_or_means_more(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError, match=message):
        read_yaml(tmp_path / "c.yaml", TrainConfig)
    assert time.process_time() - began < 2


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    for place in (tmp_path / "pipe.safetensors", Path("/dev/zero"), tmp_path):
        for read in (sd.load, read_npy, read_nmnist, model_metadata, trained_model):
            with pytest.raises(SquatError, match="not a file"):
                read(place)  # type: ignore[operator]
        with pytest.raises(ConfigError, match="not a file"):
            read_yaml(place, TrainConfig)
        with pytest.raises(FileFormatError, match="not a file"):
            load_weights(CONFIG.model(), place)


class Other:
    """Something that a pickle names."""


def test_state_dicts_only(tmp_path: Path) -> None:
    state = CONFIG.model().state_dict()
    key = next(iter(state))
    transposed = {**state, "fc1.weight": state["fc1.weight"].T.contiguous()}
    cases: dict[str, tuple[object, str]] = {
        "two of them": (
            {"model": state, "best": {**state, key: state[key] + 1}, "epoch": 3},
            r"holds 2 state dicts of this model, model and best; .*torch.save\(file\['model'\], path\)",
        ),
        "nothing": ({}, "holds an empty dictionary, not a state dict; save model.state_dict"),
        "an object": ({"state_dict": {key: Other()}}, r"holds Python objects \(tests.test_hostile.Other\).*state_dict"),
        "a list": ([state], "holds list, not a state dict"),
        "a number": ({**state, key: 3}, "is int, not a tensor"),
        "complex": ({**state, key: state[key] * 1j}, "complex, quantized or sparse tensors are not read"),
        "sparse": ({**state, key: state[key].to_sparse()}, "complex, quantized or sparse tensors are not read"),
        "as many numbers, another shape": (transposed, "size mismatch for fc1.weight"),
        "missing": (
            {name: value for name, value in state.items() if name != key},
            f"model: missing {key}; give the checkpoint",
        ),
        "too much": ({**state, "fc9.weight": state[key]}, "and what it does not have, fc9.weight; give the checkpoint"),
    }
    for found, message in cases.values():
        torch.save(found, tmp_path / "m.pt")
        with pytest.raises(FileFormatError, match=message) as caught:
            load_weights(CONFIG.model(), tmp_path / "m.pt")
        assert "weights_only" not in str(caught.value)
    with pytest.raises(FileFormatError, match=r"no.pt: cannot be read: No such file"):
        load_weights(CONFIG.model(), tmp_path / "no.pt")
    np.save(tmp_path / "m.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match="it is a NumPy array"):
        load_weights(CONFIG.model(), tmp_path / "m.npy")


def test_scalars_of_one_element_fit(tmp_path: Path) -> None:
    state = CONFIG.model().state_dict()
    torch.save(
        {name: value.reshape(1) if value.ndim == 0 else value for name, value in state.items()}, tmp_path / "m.pt"
    )
    load_weights(CONFIG.model(), tmp_path / "m.pt")


def test_numbers_as_people_write_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("learning_rate: 1e-3\nepochs: 3\nflip: false\nbeta: 1\n")
    found = read_yaml(tmp_path / "c.yaml", TrainConfig)
    assert (found.learning_rate, found.epochs, found.flip, found.beta) == (0.001, 3, False, 1.0)


def test_studies_are_bounded(tmp_path: Path) -> None:
    grid = {"methods": ["QAT"], "bits": [2], "vary": {key: list(range(100)) for key in ("epochs", "batch", "steps")}}
    with pytest.raises(ConfigError, match=r"a grid of 3000000 cells; at most 100000"):
        Study.model_validate({"name": "large", "grids": [grid]}).cells()
