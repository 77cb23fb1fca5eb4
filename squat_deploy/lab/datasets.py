"""Fashion-MNIST (MIT licence) from its IDX files: a folder that the user names, the Debian package, or a download."""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from squat_deploy.arrays import idx_array
from squat_deploy.errors import DatasetError
from squat_deploy.files import unreadable, write_file

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FOLDER_VARIABLE = "SQUAT_FASHION_MNIST"
_SOURCE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_CONTENT = {  # sha256 of the unpacked bytes: packagers compress them anew
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_MAX_BYTES = 2**27

Split = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Samples:
    """What a network is trained on.

    Attributes:
        inputs: (N, *shape) float32 shown at every step ("direct"), or (N, T, *shape) uint8, one a step ("sequence").
        labels: (N,) int64.
    """

    inputs: NDArray[np.float32] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    encoding: Literal["direct", "sequence"] = "direct"


@dataclass(frozen=True, eq=False)
class Images:
    """Images (N, 28, 28) uint8 and their labels (N,) int64."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def real(self) -> NDArray[np.float32]:
        """Pixels in [0, 1], float32, flattened to (N, 784)."""
        return (self.pixels.reshape(len(self.pixels), -1) / np.float32(255)).astype(np.float32)

    def samples(self) -> Samples:
        """The same as planes (N, 1, 28, 28), to train on."""
        return Samples(self.real().reshape(-1, 1, *self.pixels.shape[1:]), self.labels)


def fashion_mnist(split: Split, folder: str | Path | None = None, *, download: bool = False) -> Images:
    """Reads one split.

    Args:
        folder: where the four IDX files are, packed (.gz) or not; by default the folder named by the environment
            variable SQUAT_FASHION_MNIST, then that of the Debian package.
        download: fetch missing files into `folder`.

    Raises: DatasetError with the ways to get it, or with what is wrong with a file.
    """
    place = _folder(folder)
    images, labels = (_content(place, name, download) for name in _FILES[split])
    pixels, classes = read_idx(images, _FILES[split][0]), read_idx(labels, _FILES[split][1])
    return Images(pixels, classes.astype(np.int64))


def available(folder: str | Path | None = None) -> bool:
    """Whether the test split can be read without a download."""
    place = _folder(folder)
    return all(_existing(place, name) is not None for name in _FILES["test"])


def _folder(folder: str | Path | None) -> Path:
    if folder is not None:
        return Path(folder)
    return Path(os.environ.get(FOLDER_VARIABLE, DEBIAN_FOLDER))


def _existing(place: Path, name: str) -> Path | None:
    return next((path for path in (place / f"{name}.gz", place / name) if path.is_file()), None)


def _content(place: Path, name: str, download: bool) -> bytes:
    path = _existing(place, name)
    if path is None and download:
        path = _fetch(place, name)
    if path is None:
        raise DatasetError(
            f"Fashion-MNIST: no {name} in {place}. Ways to get it: apt install dataset-fashion-mnist; "
            f"or put the four IDX files into a folder and name it (--data DIR, or {FOLDER_VARIABLE}=DIR); "
            "or let this program fetch them (--data DIR --download)"
        )
    if (why := unreadable(path, _MAX_BYTES)) is not None:
        raise DatasetError(f"{path}: {why}")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                content = stream.read(_MAX_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be unpacked: {error}") from error
    if hashlib.sha256(content).hexdigest() != _CONTENT[name]:
        raise DatasetError(f"{path}: not the published Fashion-MNIST file (sha256 of the content differs)")
    return content


def _fetch(place: Path, name: str) -> Path:
    address = f"{_SOURCE}{name}.gz"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(address, timeout=60) as response:
            content = response.read(_MAX_BYTES)
    except (urllib.error.URLError, OSError) as error:
        raise DatasetError(
            f"Fashion-MNIST: cannot fetch {address}: {error}; apt install dataset-fashion-mnist"
        ) from error
    path = place / f"{name}.gz"
    write_file(path, content)
    return path


def read_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes: magic 0, 0, 8, rank; big-endian sizes; data. Raises: DatasetError."""
    if content[:3] != b"\x00\x00\x08":
        raise DatasetError(f"{name}: not an IDX file of unsigned bytes")
    return idx_array(content, name, DatasetError)
