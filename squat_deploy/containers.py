"""Inputs as people keep them: .npy, .npz, IDX, folders of images, HDF5, events; all of it untrusted."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.arrays import idx_array, names_in, read_npy, read_npz
from squat_deploy.errors import FileFormatError, translated
from squat_deploy.files import unreadable

MAX_BYTES = 2**30  # of what comes out of a container
_MAX_FILES = 100_000
_INPUTS = ("inputs", "images", "data", "x", "X", "pixels")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_TIMES = ("t", "ts", "time", "times", "timestamp", "timestamps")
_POLARITIES = ("p", "pol", "polarity", "polarities")
_CHANNELS = ("unit", "units", "channel", "channels", "address", "addresses")
_SHD = ("spikes/times", "spikes/units")  # in seconds
TimeUnit = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True, eq=False)
class Recordings:
    """Address events, one recording after the other.

    Attributes:
        times: (E,) as the file has them, each recording's own from its first event on.
        columns: (E,) integers each: channel; or x, y; or x, y, polarity.
        offsets: (N + 1,) recording i is offsets[i]:offsets[i + 1].
        unit: of times, where the form of the file says it.
    """

    times: NDArray[Any]
    columns: tuple[NDArray[np.int64], ...]
    offsets: NDArray[np.int64]
    unit: TimeUnit | None = None


@dataclass(frozen=True, eq=False)
class Contained:
    """What a container holds: an array of numbers, 8-bit pixels if `pixels`, or recordings of events."""

    values: NDArray[Any] | Recordings
    pixels: bool = False


def read_container(path: Path) -> Contained:
    """Whatever a file or a folder holds, told by its name and its first bytes.

    Raises: FileFormatError for what is none of these, damaged, or larger than MAX_BYTES.
    """
    if path.is_dir():
        return Contained(_images(path), pixels=True)
    if (why := unreadable(path, MAX_BYTES)) is not None:
        raise FileFormatError(f"{path}: {why}")
    with path.open("rb") as stream:
        head = stream.read(4)
    if head.startswith(b"PK"):
        return _one_of(path, names_in(path), lambda names: read_npz(path, names))
    if head.startswith(b"\x89HDF"):
        return _hdf5(path)
    if head.startswith((b"\x1f\x8b", b"\x00\x00")):
        values = idx_array(_unpacked(path, head), str(path))
        return Contained(values, pixels=values.dtype == np.uint8)
    return Contained(read_npy(path))


def _unpacked(path: Path, head: bytes) -> bytes:
    if head.startswith(b"\x00\x00"):
        return path.read_bytes()
    with translated(FileFormatError, f"{path}: cannot be unpacked"):
        try:
            with gzip.open(path) as stream:
                content = stream.read(MAX_BYTES + 1)
        except (EOFError, zlib.error) as error:
            raise FileFormatError(f"{path}: cannot be unpacked: {error}") from error
    if len(content) > MAX_BYTES:
        raise FileFormatError(f"{path}: unpacks to more than {MAX_BYTES} bytes")
    return content


def _one_of(path: Path, names: Sequence[str], read: Callable[[Sequence[str]], Mapping[str, NDArray[Any]]]) -> Contained:
    """The events, the array that is called as inputs are, or the only one there is."""
    times = next((name for name in _TIMES if name in names), None)
    if times is not None and (places := _places(names)):
        extra = ["offsets"] if "offsets" in names else []
        return Contained(_events(path, read([times, *places, *extra]), times, places))
    chosen = [name for name in _INPUTS if name in names][:1] or [*names]
    if len(chosen) != 1:
        got = ", ".join(islice(names, 10)) or "none"
        if path.suffix in (".pt", ".pth"):
            raise FileFormatError(f"{path}: inputs are arrays, not a torch file: np.save('inputs.npy', tensor.numpy())")
        raise FileFormatError(f"{path}: which of its arrays are the inputs? call them 'inputs'; got {got}")
    values = read(chosen)[chosen[0]]
    return Contained(values, pixels=values.dtype == np.uint8 and values.ndim > 2 and int(values.max(initial=0)) > 1)


def _places(names: Sequence[str]) -> list[str]:
    """The arrays that say where an event was."""
    if "x" in names and "y" in names:
        return ["x", "y", *[name for name in _POLARITIES if name in names][:1]]
    return [name for name in (*_CHANNELS, "x") if name in names][:1]


def _events(path: Path, arrays: Mapping[str, NDArray[Any]], times: str, places: Sequence[str]) -> Recordings:
    moments = arrays[times]
    count = moments.size
    for name in (times, *places):
        if arrays[name].dtype.kind not in "iufb" or arrays[name].shape != (count,):
            got = f"{arrays[name].dtype} of {arrays[name].shape}"
            raise FileFormatError(f"{path}: events are arrays of one length; {name} is {got}, {times} has {count}")
    if any((arrays[name] != np.rint(arrays[name])).any() for name in places) or not np.isfinite(moments).all():
        raise FileFormatError(f"{path}: events have whole places and finite times")
    offsets = np.asarray(arrays.get("offsets", [0, count]))
    if (
        offsets.dtype.kind not in "iu"
        or offsets.ndim != 1
        or len(offsets) < 2
        or offsets[0] != 0
        or offsets[-1] != count
    ):
        raise FileFormatError(f"{path}: offsets lead from 0 to the number of events, {count}")
    if (np.diff(offsets.astype(np.int64)) < 0).any():
        raise FileFormatError(f"{path}: offsets ascend")
    return Recordings(moments, tuple(arrays[name].astype(np.int64) for name in places), offsets.astype(np.int64))


def _hdf5(path: Path) -> Contained:
    from squat_deploy.hdf5_file import checked_file

    with checked_file(path, "an HDF5 file of inputs", MAX_BYTES) as file:
        if all(name in file for name in _SHD):
            return Contained(_digits(path, file))
        names = [name for name, item in file.items() if hasattr(item, "shape") and item.dtype.kind in "biuf"]
        if "events" in file and hasattr(file["events"], "items"):
            group = file["events"]
            names = [name for name, item in group.items() if hasattr(item, "shape") and item.dtype.kind in "biuf"]
            return _one_of(path, names, lambda wanted: {name: group[name][()] for name in wanted})
        return _one_of(path, names, lambda wanted: {name: file[name][()] for name in wanted})


def _digits(path: Path, file: Any) -> Recordings:
    """Recordings as rows of arrays of any length: Spiking Heidelberg Digits and its like."""
    times, units, total = [], [], 0
    for moments, places in zip(file[_SHD[0]], file[_SHD[1]], strict=True):
        total += np.size(moments) * 16
        if total > MAX_BYTES or np.shape(moments) != np.shape(places) or np.ndim(moments) != 1:
            raise FileFormatError(f"{path}: one unit a time, of at most {MAX_BYTES // 16} events in all")
        times.append(np.asarray(moments, dtype=np.float64))
        units.append(np.asarray(places, dtype=np.int64))
    offsets = np.cumsum([0, *map(len, times)])
    arrays = {"times": np.concatenate(times), "units": np.concatenate(units), "offsets": offsets}
    return replace(_events(path, arrays, "times", ["units"]), unit="s")


def _images(folder: Path) -> NDArray[np.uint8]:
    """Grey (N, H, W) or coloured (N, 3, H, W) pixels of the pictures in a folder and those in it, by name."""
    try:
        from PIL import Image
    except ImportError as error:
        raise FileFormatError(
            f"{folder}: a folder of images needs Pillow: pip install 'squat_deploy[images]'"
        ) from error
    found = sorted(islice((path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES), _MAX_FILES + 1))
    if not 1 <= len(found) <= _MAX_FILES:
        got = f"more than {_MAX_FILES}" if found else "none"
        raise FileFormatError(f"{folder}: a folder of pictures ({', '.join(_PICTURES[:3])}, ...); got {got}")
    planes: list[NDArray[np.uint8]] = []
    for path in found:
        with translated(FileFormatError, f"{path}: not a picture"), Image.open(path) as image:
            if len(found) * math.prod(image.size) * 3 > MAX_BYTES:
                raise FileFormatError(f"{folder}: {len(found)} pictures of {image.size} pixels are too many to read")
            if image.mode not in ("L", "RGB", "1"):
                raise FileFormatError(f"{path}: pictures are grey or RGB; got {image.mode}; convert it")
            pixels = np.asarray(image.convert("RGB" if image.mode == "RGB" else "L"))
        planes.append(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels)
        if planes[-1].shape != planes[0].shape:
            raise FileFormatError(
                f"{path}: pictures are of one size; got {planes[-1].shape}, {found[0].name} is {planes[0].shape}"
            )
    return np.stack(planes)
