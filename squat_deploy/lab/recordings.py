"""Spiking Heidelberg Digits and DVS Gesture, through tonic, from files in their published layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.errors import DatasetError, translated
from squat_deploy.lab.events import Events

Columns = tuple[NDArray[Any], NDArray[Any]]  # times in microseconds, addresses
_MAX_RECORDINGS = 10**6
_SHD = "SHD/shd_train.h5 and SHD/shd_test.h5 (https://zenkelab.org/datasets)"
_GESTURE = (
    "DVSGesture/ibmGestureTrain/user*/*.npy and DVSGesture/ibmGestureTest/user*/*.npy (tonic.datasets.DVSGesture)"
)


def read_shd(folder: str | Path) -> Events:
    """Spiking Heidelberg Digits: 20 classes, 700 cochlea channels, times in microseconds.

    Args: folder: that holds SHD/, or SHD/ itself.

    Raises: DatasetError for files that are missing or not what they should be.
    """
    from tonic.datasets import SHD

    class Local(SHD):  # type: ignore[misc]
        _check_exists = _is_here

    Local.__name__ = "SHD"  # tonic looks in the folder of this name
    place = _place(Path(folder), "SHD", ("shd_train.h5", "shd_test.h5"), _SHD)

    def columns(event: NDArray[Any]) -> Columns:
        return event["t"], event["x"]

    return _gathered(lambda train: Local(str(place), train=train), columns, (700,), place / "SHD")


def read_dvs_gesture(folder: str | Path) -> Events:
    """DVS Gesture as tonic cuts it: 11 classes, 2 x 128 x 128, times in microseconds from the first event.

    Args: folder: that holds DVSGesture/, or DVSGesture/ itself.

    Raises: DatasetError for files that are missing or not what they should be.
    """
    from tonic.datasets import DVSGesture

    class Local(DVSGesture):  # type: ignore[misc]
        _check_exists = _is_here

    Local.__name__ = "DVSGesture"
    place = _place(Path(folder), "DVSGesture", ("ibmGestureTrain", "ibmGestureTest"), _GESTURE)

    def columns(event: NDArray[Any]) -> Columns:
        x, y, polarity = (event[key].astype(np.int64) for key in ("x", "y", "p"))
        if len(x) and (min(x.min(), y.min()) < 0 or max(x.max(), y.max()) >= 128):
            raise ValueError("a pixel outside 128 x 128")
        return event["t"] - (event["t"].min() if len(x) else 0), (polarity * 128 + y) * 128 + x

    return _gathered(lambda train: Local(str(place), train=train), columns, (2, 128, 128), place / "DVSGesture")


def _is_here(_: object) -> bool:
    """In place of tonic's own check, which asks for the archives too, and fetches them."""
    return True


def _place(folder: Path, name: str, parts: Sequence[str], layout: str) -> Path:
    for place in (folder, folder.parent):
        if (place is folder or folder.name == name) and all((place / name / part).exists() for part in parts):
            return place
    raise DatasetError(f"{folder}: expected {layout} in it")


def _gathered(
    split: Callable[[bool], Any],
    columns: Callable[[NDArray[Any]], Columns],
    shape: tuple[int, ...],
    place: Path,
) -> Events:
    """Both splits of a tonic data set, one recording after the other."""
    times, addresses, labels, is_test = [], [], [], []
    with translated(DatasetError, f"{place}: not in the published layout"):
        for train in (True, False):
            recordings = split(train)
            if len(recordings) > _MAX_RECORDINGS:
                raise ValueError(f"{len(recordings)} recordings; at most {_MAX_RECORDINGS}")
            for index in range(len(recordings)):
                event, label = recordings[index]
                moments, places = columns(event)
                times.append(moments.astype(np.int64))
                addresses.append(places.astype(np.int64))
                labels.append(int(label))
                is_test.append(not train)
    if not times:
        raise DatasetError(f"{place}: no recordings in it")
    offsets = np.cumsum([0, *map(len, times)])
    every = np.concatenate(times), np.concatenate(addresses)
    return Events(*every, offsets, np.array(labels), np.array(is_test), shape)
