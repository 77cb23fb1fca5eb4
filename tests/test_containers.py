"""The user's own inputs in whatever they keep them in: one array, said what was done to it, and nothing unpickled."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import squat_deploy as sd
from squat_deploy import containers
from squat_deploy.containers import Recordings, read_container
from squat_deploy.errors import ConfigError, FileFormatError, SquatError, SquatWarning
from squat_deploy.reading import counted, data_for, inputs_for, labels_of
from tests.test_cli import document, invoke
from tests.test_lowering import leaky, linear

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
SPEC = sd.InputSpec((16,), 0, 15, 2.0**-4)
FRAMES = sd.InputSpec((2, 3, 4), 0, 1, encoding="sequence")


def idx(values: np.ndarray, code: int) -> bytes:
    return bytes([0, 0, code, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def pictures(folder: Path, pixels: np.ndarray) -> Path:
    """As PNG, which loses nothing, in two folders of classes."""
    for index, plane in enumerate(pixels):
        place = folder / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(plane).save(place / f"{index}.png")
    return folder


def h5(path: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def stored(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


CONTAINERS: dict[str, Callable[[Path], Path]] = {
    "idx": lambda path: stored(path / "images-idx3-ubyte", idx(PIXELS, 8)),
    "idx, packed": lambda path: stored(path / "images.gz", gzip.compress(idx(PIXELS, 8))),
    "npz": lambda path: npz(path / "a.npz", images=PIXELS, labels=np.arange(5)),
    "npz of one": lambda path: npz(path / "a.npz", whatever=PIXELS),
    "h5": lambda path: h5(path / "a.h5", data=PIXELS, labels=np.arange(5)),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_pictures_of_all_containers(kind: str, tmp_path: Path) -> None:
    """Integers as they are, or k / 255 as the model sees them; row by row where the network takes rows."""
    path = CONTAINERS[kind](tmp_path)
    values, told = inputs_for(SPEC, 3, path, None, real=False)
    assert (values == PIXELS.reshape(5, 16)).all() and told == ["inputs: pictures of 4x4, row by row, as 16"]
    real, told = inputs_for(SPEC, 3, path, None, real=True)
    assert (real == (PIXELS / np.float32(255)).astype(np.float32).reshape(5, 16)).all()
    assert told[-1] == "inputs: 8-bit pixels, taken as k / 255"
    assert (data_for((1, 4, 4), 3, path, None)[0] == real.reshape(5, 1, 4, 4)).all()
    assert data_for(None, 3, path, None)[0].shape == (5, 4, 4)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    grey = read_container(pictures(tmp_path / "grey", PIXELS))
    assert isinstance(grey.values, np.ndarray) and grey.pixels
    assert (grey.values == PIXELS[[0, 2, 4, 1, 3]]).all()  # by name: the folders 0 and 1
    colours = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    found = read_container(pictures(tmp_path / "colour", colours)).values
    assert isinstance(found, np.ndarray) and (found == colours.transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(("code", "kind"), [(9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_idx_of_all_types(code: int, kind: str, tmp_path: Path) -> None:
    values = np.arange(-3, 3).reshape(2, 3).astype(kind)
    found = read_container(stored(tmp_path / "a.idx", idx(values, code)))
    assert isinstance(found.values, np.ndarray) and (found.values == values).all() and not found.pixels


T, X, Y, P = (np.array(x) for x in ([0, 40, 99, 250, 7], [0, 3, 3, 1, 2], [0, 2, 2, 1, 0], [0, 1, 1, 0, 1]))
OFFSETS = np.array([0, 4, 5])
EVENTS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda path: npz(path / "e.npz", t=T, x=X, y=Y, p=P, offsets=OFFSETS, labels=np.arange(2)),
    "h5": lambda path: h5(path / "e.h5", ts=T, x=X, y=Y, pol=P, offsets=OFFSETS),
    "h5 in a group": lambda path: h5(
        path / "e.h5",
        **{f"events/{key}": value for key, value in {"t": T, "x": X, "y": Y, "p": P, "offsets": OFFSETS}.items()},
    ),
    "booleans": lambda path: npz(path / "e.npz", t=T, x=X, y=Y, p=P.astype(bool), offsets=OFFSETS),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_events_are_counted(kind: str, tmp_path: Path) -> None:
    """Two recordings in two windows of 50: what is later is left out, what is too many is cut, and both are said."""
    values, told = inputs_for(FRAMES, 2, EVENTS[kind](tmp_path), 50, real=False)
    want = np.zeros((2, 2, 2, 3, 4), dtype=int)
    want[0, 0, 0, 0, 0] = want[0, 0, 1, 2, 3] = want[1, 0, 1, 2, 3] = want[0, 1, 1, 0, 2] = 1
    assert (values == want).all()
    assert told == ["inputs: 4 events in 2 windows of 50 ticks; 1 later ones left out, 0 counts above 1 cut to it"]
    twice, told = inputs_for(FRAMES, 1, EVENTS[kind](tmp_path), 100, real=False)
    assert twice.sum() == 3 and told[0].endswith("1 counts above 1 cut to it")
    assert data_for((2, 3, 4), 1, EVENTS[kind](tmp_path), 100)[0].max() == 2


def test_events_of_one_recording_and_of_channels(tmp_path: Path) -> None:
    path = npz(tmp_path / "e.npz", times=T, units=X)
    values, _ = inputs_for(sd.InputSpec((5,), 0, 3, encoding="sequence"), 3, path, 100, real=False)
    assert (
        values.shape == (3, 1, 5)
        and values[0, 0].tolist() == [1, 0, 1, 2, 0]
        and values[2, 0].tolist() == [0, 1, 0, 0, 0]
    )
    grey = npz(tmp_path / "g.npz", t=T, x=X, y=Y, p=P)
    values, told = inputs_for(sd.InputSpec((1, 3, 4), 0, 3, encoding="sequence"), 1, grey, 300, real=False)
    assert values.sum() == 5 and told[0].endswith("both polarities together")
    assert inputs_for(sd.InputSpec((3, 4), 0, 3, encoding="sequence"), 1, grey, 300, real=False)[0].shape == (
        1,
        1,
        3,
        4,
    )


def test_events_in_seconds_by_recording(tmp_path: Path) -> None:
    """Rows of any length, as in Spiking Heidelberg Digits; ticks are microseconds then."""
    rows = np.dtype(object)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for name, kind, data in (("times", "f4", ([0.0, 0.02], [0.011])), ("units", "i4", ([1, 3], [2]))):
            made = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(np.dtype(kind)))
            for index, row in enumerate(data):
                made[index] = np.array(row, dtype=kind)
        assert file["spikes/times"].dtype == rows
    values, _ = inputs_for(sd.InputSpec((4,), encoding="sequence"), 3, tmp_path / "d.h5", 10_000, real=False)
    assert [place.tolist() for place in np.nonzero(values)] == [[0, 1, 2], [0, 1, 0], [1, 2, 3]]


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "which": (lambda path: npz(path / "a.npz", a=PIXELS, b=PIXELS), "which of its arrays are the inputs"),
    "none": (lambda path: h5(path / "a.h5"), "which of its arrays are the inputs"),
    "of torch": (lambda path: npz(path / "a.npz").rename(path / "a.pt"), "inputs are arrays, not a torch file"),
    "pickled": (lambda path: npz(path / "a.npz", inputs=np.array([{}])), "expected an array of numbers; got object"),
    "no picture": (lambda path: path, "a folder of pictures"),
    "broken picture": (lambda path: stored(path / "a.png", b"x").parent, "not a picture"),
    "packed otherwise": (lambda path: stored(path / "a.gz", b"\x1f\x8b"), "cannot be unpacked"),
    "not IDX": (lambda path: stored(path / "a.idx", b"\0\0\7\1"), "not an IDX file"),
    "lengths": (lambda path: npz(path / "a.npz", t=T, x=X[:2], y=Y), "events are arrays of one length; x is"),
    "places": (lambda path: npz(path / "a.npz", t=T, x=X + 0.5, y=Y), "events have whole places and finite times"),
    "offsets": (lambda path: npz(path / "a.npz", t=T, x=X, y=Y, offsets=np.array([0, 9])), "offsets lead from 0 to"),
    "falling": (lambda path: npz(path / "a.npz", t=T, x=X, y=Y, offsets=np.array([0, 4, 2, 5])), "offsets ascend"),
    "link": (lambda path: link(path / "a.h5"), "'data' is a link"),
}  # fmt: skip


def link(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["data"] = h5py.ExternalLink("/etc/passwd", "/")
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, tmp_path: Path) -> None:
    make, message = REFUSED[case]
    with pytest.raises(FileFormatError) as caught:
        read_container(make(tmp_path))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = stored(tmp_path / "a.gz", gzip.compress(b"\0\0\x08\1" + bytes(9000)))
    folder = pictures(tmp_path / "p", PIXELS)
    rows = h5(tmp_path / "d.h5", **{"spikes/times": np.zeros((2, 400)), "spikes/units": np.zeros((2, 400), int)})
    monkeypatch.setattr(containers, "MAX_BYTES", 8000)
    monkeypatch.setattr(containers, "_MAX_FILES", 4)
    for path, message in (
        (packed, "a.gz: unpacks to more than 8000 bytes"),
        (folder, "got more than 4"),
        (rows, "larger than 8000 bytes"),
    ):
        with pytest.raises(FileFormatError, match=message):
            read_container(path)
    monkeypatch.setattr(containers, "MAX_BYTES", 200)
    monkeypatch.setattr(containers, "_MAX_FILES", 9)
    with pytest.raises(FileFormatError, match="are too many to read"):
        read_container(folder)
    monkeypatch.setattr(containers, "MAX_BYTES", 20_000)
    with pytest.raises(FileFormatError, match="one unit a time, of at most 1250 events in all"):
        read_container(
            h5(tmp_path / "e.h5", **{"spikes/times": np.zeros((1, 9)), "spikes/units": np.zeros((1, 8), int)})
        )


def test_pictures_are_alike_and_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[0, :2]).save(tmp_path / "b.png")
    with pytest.raises(FileFormatError, match="pictures are of one size"):
        read_container(tmp_path)
    Image.fromarray(PIXELS[0]).convert("RGBA").save(tmp_path / "b.png")
    with pytest.raises(FileFormatError, match="pictures are grey or RGB; got RGBA; convert it"):
        read_container(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(FileFormatError, match="a folder of images needs Pillow"):
        read_container(tmp_path)


def test_events_that_do_not_fit_say_what_would(tmp_path: Path) -> None:
    events = Recordings(T, (X, Y, P), OFFSETS)

    def refused(message: str, **given: object) -> None:
        options = {"shape": (2, 3, 4), "steps": 2, "window": 50, "high": 1, **given}
        with pytest.raises(ConfigError, match=message):
            counted(tmp_path, given.pop("events", events), **{k: v for k, v in options.items() if k != "events"})  # type: ignore[arg-type]

    refused("give --window, the ticks of one time step; the last comes at 250, so --window 126 takes all", window=None)
    assert "0 later ones" in counted(tmp_path, events, (2, 3, 4), 2, 126, 1)[1][0]
    for ticks in (0, 2**63):
        refused(rf"windows have 1 to 2\*\*63 - 1 ticks, and times start at 0; got {ticks}, 0", window=ticks)
    refused(r"2 recordings of 100000000 frames of \(2, 3, 4\) are more than 268435456 counts", steps=10**8)
    refused(r"events outside the frame: 0..3 where a frame of \(2, 3, 3\) has 0..2", shape=(2, 3, 3))
    refused(r"events with 3 numbers of a place do not fit frames of \(1, 2, 3, 4\)", shape=(1, 2, 3, 4))
    refused(r"events with 3 numbers of a place do not fit frames of \(24,\)", shape=(24,))
    flat = Recordings(T, (X, Y), OFFSETS)
    refused(
        r"events with 2 numbers of a place do not fit frames of \(12,\); they fit frames of \(height, width\) or "
        r"\(polarities, height, width\), with nn.Flatten in the model",
        events=flat,
        shape=(12,),
    )
    assert "0 later ones" in counted(tmp_path, flat, (3, 4), 2, 126, 1)[1][0]
    refused(
        "no event lies in the 2 windows of 50 ticks; the first is at 100",
        events=Recordings(T + 100, (X, Y, P), OFFSETS),
    )
    path = EVENTS["npz"](tmp_path)
    for spec, real, message in (
        (SPEC, False, "events come one frame a step; this network takes one frame for all steps"),
        (FRAMES, True, "events are counted, and counts are integers; leave out --real"),
    ):
        with pytest.raises(ConfigError, match=message):
            inputs_for(spec, 2, path, 50, real=real)
    with pytest.raises(ConfigError, match="events do not say the shape of a frame; give --shape"):
        data_for(None, 2, path, 50)
    with pytest.raises(FileFormatError, match=r"events, where classes \(B,\) are expected"):
        labels_of(path)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: sd.Network) -> sd.Network:
    monkeypatch.chdir(tmp_path)
    sd.save(small, "network.safetensors")
    return small


SECONDS = {"us": 1e6, "ms": 1e3, "s": 1.0, "ns": 1e9}
MOMENTS = np.array([0.0, 0.00104, 0.0521, 0.199, 0.007])  # seconds


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("unit", SECONDS)
def test_times_in_floats(kind: str, unit: str, tmp_path: Path) -> None:
    """Microseconds and nanoseconds, which are no seconds of a recording, are asked for; what is said is taken."""
    arrays = {"t": MOMENTS * SECONDS[unit], "x": X, "y": Y, "p": P, "offsets": OFFSETS}
    path = (npz if kind == "npz" else h5)(tmp_path / f"e.{kind}", **arrays)
    want, told = inputs_for(FRAMES, 4, path, 50_000, real=False, unit=unit)  # type: ignore[arg-type]
    assert want.sum(axis=(2, 3, 4)).tolist() == [[2, 1], [1, 0], [0, 0], [1, 0]] and "seconds" not in told[0]
    if unit == "s":
        values, told = inputs_for(FRAMES, 4, path, 50_000, real=False)
        assert (values == want).all()
        assert told[0].endswith("; times in floats taken as seconds (--time-unit says another), a tick is 1 us")
    elif unit != "ms":
        message = r"are hardly seconds, .*: they are (whole numbers )?up to .*: --time-unit us, ms, s or ns"
        with pytest.raises(ConfigError, match=message):
            inputs_for(FRAMES, 4, path, 50_000, real=False)


@pytest.mark.parametrize(
    ("times", "refused"),
    [
        ([0.0, 1.5, 700.25], "up to 700.25"),  # milliseconds with fractions
        ([0.0, 1.0, 3.0], "whole numbers up to 3"),
        ([0.0, 0.00025], "up to 0.00025"),
        ([0.5, 1.25], ""),
    ],
)
def test_floats_that_are_hardly_seconds(times: list[float], refused: str, tmp_path: Path) -> None:
    path = npz(tmp_path / "e.npz", t=np.array(times), unit=np.zeros(len(times), dtype=int))
    if not refused:
        assert data_for((1,), 2, path, 10**6)[0].sum() == 2
        return
    with pytest.raises(ConfigError, match=f"they are {refused}; say their unit"):
        data_for((1,), 2, path, 10**6)
    assert data_for((1,), 2, path, 10**6, "ms")[0].sum() == len(times)


def test_integer_times_of_a_unit(tmp_path: Path) -> None:
    """As they are without one; in microseconds with one, however long they are."""
    path = npz(tmp_path / "e.npz", t=np.array([0, 3, 2_500]), unit=np.zeros(3, dtype=int))
    assert data_for((1,), 3, path, 1000)[0].ravel().tolist() == [2, 0, 1]
    assert data_for((1,), 3, path, 1, "ns")[0].ravel().tolist() == [2, 0, 1]
    assert data_for((1,), 3, path, 1_000_000, "ms")[0].ravel().tolist() == [2, 0, 1]
    far = npz(tmp_path / "f.npz", t=np.array([0, 2**61]), unit=np.zeros(2, dtype=int))
    with pytest.raises(ConfigError, match=r"times up to 2.30584e\+18 ms are no times in microseconds below 2\*\*62"):
        data_for((1,), 3, far, 1, "ms")


def test_the_unit_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint of the refusal, applied."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(linear(5, 3), leaky())
    sd.save(sd.lower(model.eval(), sd.InputSpec((5,), 0, 3, encoding="sequence"), 3), "network.safetensors")
    path = npz(tmp_path / "e.npz", t=T.astype(float), units=X)
    given = ("simulate", "network.safetensors", "--inputs", path, "--window", 100)
    assert "say their unit: --time-unit us" in invoke(*given, code=1)
    found = document(*given, "--time-unit", "us")
    whole = document(*given[:3], npz(tmp_path / "i.npz", t=T, units=X), *given[4:])
    assert found["scores"] == whole["scores"] and found["notes"] == whole["notes"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_in_python(kind: str, network: sd.Network, tmp_path: Path) -> None:
    path = CONTAINERS[kind](tmp_path)
    real = (PIXELS / np.float32(255)).astype(np.float32)
    with pytest.warns(SquatWarning, match="inputs: 8-bit pixels, taken as k / 255"):
        assert (sd.read_inputs(path) == real).all()
    with pytest.warns(SquatWarning, match="inputs: real values rounded to the grid"):
        values = sd.read_inputs(path, network, real=True)
    assert (values == network.input.quantize(real.reshape(5, 16))).all()
    with pytest.raises(ConfigError, match=r"inputs: must lie in 0..15; got 1..248, which look like 8-bit pixels"):
        sd.read_inputs(path, network)
    with pytest.raises(ConfigError, match="real values are rounded to a network's grid; give network="):
        sd.read_inputs(path, real=True)


def test_events_in_python(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), linear(24, 3), leaky())
    network = sd.lower(model.eval(), FRAMES, 2)
    path = EVENTS["npz"](tmp_path)
    with pytest.warns(SquatWarning, match="4 events in 2 windows of 50 ticks"):
        values = sd.read_inputs(path, network, window=50)
    assert (values == inputs_for(FRAMES, 2, path, 50, real=False)[0]).all()
    assert sd.simulate(network, values).scores.shape == (2, 3)
    with pytest.warns(SquatWarning, match="windows of 50 ticks"):
        counts = sd.read_inputs(path, shape=(2, 3, 4), steps=2, window=50)
    assert counts.dtype == np.float32 and counts.shape == values.shape
    with pytest.raises(ConfigError, match="events are counted in windows: give --window"):
        sd.read_inputs(path, network)
    slow = npz(tmp_path / "s.npz", t=T.astype(float), x=X, y=Y, p=P, offsets=OFFSETS)
    with pytest.raises(ConfigError, match=r"say their unit.*\(time_unit=\)"):
        sd.read_inputs(slow, network, window=50)
    with pytest.warns(SquatWarning, match="windows of 50 ticks"):
        assert (sd.read_inputs(slow, network, window=50, time_unit="us") == values).all()


def test_every_command_takes_them(network: sd.Network, tmp_path: Path) -> None:
    """The same classes as of integers that are rounded by hand, in simulate, verify and hls."""
    path = CONTAINERS["idx, packed"](tmp_path)
    real = (PIXELS / np.float32(255)).astype(np.float32).reshape(5, 16)
    want = sd.simulate(network, network.input.quantize(real)).classes.tolist()
    clipped = int((np.rint(real * 16) > 15).sum())
    notes = [
        "inputs: pictures of 4x4, row by row, as 16",
        "inputs: 8-bit pixels, taken as k / 255",
        f"inputs: real values rounded to the grid; {clipped} of 80 clipped",
    ]
    given = ("network.safetensors", "--inputs", path, "--real")
    found = document("simulate", *given)
    assert found["classes"] == want and found["notes"] == notes and clipped
    assert document("hls", *given)["notes"] == notes
    labels = stored(tmp_path / "labels", idx(np.array(want, dtype=np.uint8), 8))
    agreed = document("verify", *given, "--labels", labels, "--executor", "numpy")
    assert agreed["agrees"] and agreed["executors"][0]["accuracy"] == 1  # type: ignore[index]
    assert "must lie in 0..15" in invoke("simulate", "network.safetensors", "--inputs", path, code=1)


def test_floats_on_the_grid_are_taken(network: sd.Network) -> None:
    """Without --real: nothing is rounded. One value beside the grid, or beyond it, and they are refused."""
    whole = np.random.default_rng(2).integers(0, 16, (6, 16))
    real = (whole * network.input.step).astype(np.float32)
    with pytest.warns(SquatWarning, match="float32, all of them on the network's grid: multiples of 0.0625"):
        assert (sd.simulate(network, real).scores == sd.simulate(network, whole).scores).all()
    with pytest.warns(SquatWarning, match="all of them on the network's grid"):
        assert sd.verify(network, None, real, executors=("numpy",)).agrees
    np.save("grid.npy", real)
    assert document("simulate", "network.safetensors", "--inputs", "grid.npy")["notes"] == [
        "inputs: float32, all of them on the network's grid: multiples of 0.0625"
    ]
    for bad in (0.03, 1.0625, -0.0625):
        with pytest.raises(ConfigError, match="with values that are none"):
            sd.simulate(network, np.where(np.arange(16) == 3, np.float32(bad), real))


def test_real_values_in_python(network: sd.Network, tmp_path: Path) -> None:
    """In simulate, verify and emit_hls: rounded, and what was clipped is said."""
    real = np.random.default_rng(3).random((4, 16)).astype(np.float32) * 1.5
    want = network.input.quantize(real)
    clipped = int((np.rint(real * 16) > 15).sum())
    with pytest.warns(SquatWarning, match=f"rounded to the grid; {clipped} of 64 clipped") as caught:
        assert (sd.simulate(network, real, real=True).scores == sd.simulate(network, want).scores).all()
    assert any("of them lie beyond 0..0.9375" in str(warning.message) for warning in caught)
    with pytest.warns(SquatWarning, match="clipped"):
        assert sd.verify(network, None, real, executors=("numpy",), real=True).agrees
    with pytest.warns(SquatWarning, match="clipped"):
        sd.emit_hls(network, tmp_path / "a", stimulus=real, real=True)
    sd.emit_hls(network, tmp_path / "b", stimulus=want)
    one, other = (tmp_path / name / "data" / "stimulus.dat" for name in "ab")
    found = [path.read_bytes() for path in (tmp_path / "a").rglob("stimulus.dat")]
    assert found == [path.read_bytes() for path in (tmp_path / "b").rglob("stimulus.dat")] and found and one != other
    with pytest.raises(SquatError, match="expected integers"):
        sd.emit_hls(network, tmp_path / "c", stimulus=real)


NET = (
    "import torch, snntorch as snn\n\ndef factory():\n    torch.manual_seed(0)\n    n = torch.nn\n"
    "    return n.Sequential(n.Linear(16, 6), snn.Leaky(beta=0.9, init_hidden=True),"
    " n.Linear(6, 3), snn.Leaky(beta=0.9, init_hidden=True))\n"
)


def test_quantize_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    path = CONTAINERS["idx"](tmp_path)
    given = ("quantize", "net.py:factory", "--steps", 4, "--calibration", path, "--shape", 16)
    found = document(*given)
    assert found["notes"] == ["inputs: pictures of 4x4, row by row, as 16", "inputs: 8-bit pixels, taken as k / 255"]
    real = ("--inputs", path, "--real")
    checked = document(
        "verify", "network.safetensors", "--model", "net.py:factory", "--checkpoint", "network.model.safetensors", *real
    )
    assert checked["agrees"] and checked["executors"][0]["executor"] == "torch"  # type: ignore[index]
    told = invoke("verify", "network.safetensors", "--model", "network.model.safetensors", code=1)
    assert "holds weights that quantize saved, and no layers; give --model net.py:factory --checkpoint" in told
    assert "or as --model the NIR file that quantize --nir or export-nir writes of it" in told
    again = document(*given, "--nir", "net.nir", "--overwrite")
    assert again["nir"] == "net.nir" and again["digest"] == found["digest"]
    Path("net.py").unlink()
    alone = document("verify", "network.safetensors", "--model", "net.nir", *real)
    assert alone["agrees"] and alone["executors"][0]["executor"] == "torch"  # type: ignore[index]
    assert "net.nir says that it was written of this network" in alone["notes"]  # type: ignore[operator]
    assert not any("another model" in text for text in alone["warnings"])  # type: ignore[attr-defined]
    Path("net.py").write_text(NET)
    assert "--nir: net.py is also what MODEL reads" in invoke(*given, "--nir", "net.py", "--overwrite", code=1)


def test_bytes_that_are_anything(tmp_path: Path) -> None:
    """Whatever one wrong byte makes of a container: it is read, or refused on our terms."""
    rng, refused = np.random.default_rng(0), 0
    buffer = io.BytesIO()
    np.savez_compressed(buffer, t=T, x=X, y=Y, offsets=OFFSETS)
    whole = [buffer.getvalue(), idx(PIXELS, 8), h5(tmp_path / "a.h5", data=PIXELS).read_bytes()]
    for round_ in range(120):
        content = bytearray(whole[round_ % 3])
        content[rng.integers(len(content))] = rng.integers(256)
        try:
            read_container(stored(tmp_path / "x", bytes(content)))
        except SquatError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10
