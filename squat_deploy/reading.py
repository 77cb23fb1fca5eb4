"""The user's inputs out of whatever container they are in, as an array that a network or a model takes."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squat_deploy.containers import Contained, Recordings, TimeUnit, read_container
from squat_deploy.errors import ConfigError, FileFormatError, SquatWarning
from squat_deploy.network import Encoding, InputSpec, IntArray, Network
from squat_deploy.network.grid import as_integers

__all__ = ["TimeUnit", "counted", "data_for", "inputs_for", "labels_of", "read_inputs"]

_MAX_COUNTS = 2**28
_MOST = 255  # events in one place and step, where no grid says it
_MICROSECONDS: dict[TimeUnit, tuple[int, int]] = {"s": (10**6, 1), "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}
_SECONDS = 0.001, 600.0  # a recording lasts at least and at most, where nobody says that its times are seconds


def read_inputs(
    path: str | Path,
    network: Network | None = None,
    *,
    real: bool = False,
    shape: tuple[int, ...] | None = None,
    steps: int = 1,
    window: int | None = None,
    time_unit: TimeUnit | None = None,
) -> NDArray[Any]:
    """Inputs out of a .npy, .npz, IDX or HDF5 file or a folder of images, as the commands take them.

    Args:
        network: that takes them: what is returned are integers for `simulate`, `verify` and `emit_hls`. None: they are
            real values for `quantize` and `check`, in the model's units: pixels are k / 255, events are counted.
        real: as in `simulate`: they are real values, to be rounded to the network's own grid.
        shape, steps: without a network, of one sample, and of a sequence of events.
        window: of events, the ticks of one time step: the file's own where times are integers, else microseconds.
        time_unit: of the times of events, where the file does not say it; ticks are microseconds then.

    Returns: (B, *shape) or (T, B, *shape), int64 with a network, else as in the file.

    Raises: FileFormatError for files that are damaged, too large or none of these; ConfigError where they do not fit.
    Warns: SquatWarning of all that was done to them.
    """
    if network is None and real:
        raise ConfigError("read_inputs: real values are rounded to a network's grid; give network=")
    if network is None:
        values, told = data_for(shape, steps, Path(path), window, time_unit)
    else:
        given, told = inputs_for(network.input, network.steps, Path(path), window, real=real, unit=time_unit)
        values, done, doubtful = as_integers(network.input, given, real=real)
        values, told = network.input.check(values, network.steps), [*told, *done, *doubtful]
    for text in told:
        warnings.warn(text, SquatWarning, stacklevel=2)
    return values


def inputs_for(
    spec: InputSpec, steps: int, path: Path, window: int | None, *, real: bool, unit: TimeUnit | None = None
) -> tuple[NDArray[Any], list[str]]:
    """What a file or a folder holds, for a network whose inputs are known, and what was done to it.

    Args: window: of events, ticks that one time step takes; real: pixels are k / 255, not k; unit: of events' times.

    Raises: FileFormatError; ConfigError where events are not counted yet.
    """
    found = read_container(path)
    if isinstance(found.values, Recordings):
        if spec.encoding != "sequence":
            raise ConfigError(f"{path}: events come one frame a step; this network takes one frame for all steps")
        if real:
            raise ConfigError(f"{path}: events are counted, and counts are integers; leave out --real")
        return counted(path, found.values, spec.shape, steps, window, spec.high, unit)
    values, told = _shaped(found, spec.shape, spec.encoding)
    if found.pixels and real:
        return _unit_pixels(values), [*told, _UNIT]
    return values, told


def data_for(
    shape: tuple[int, ...] | None, steps: int, path: Path, window: int | None, unit: TimeUnit | None = None
) -> tuple[NDArray[Any], list[str]]:
    """Calibration data, in the model's units: pixels are k / 255; events are counted. Raises: as `inputs_for`."""
    found = read_container(path)
    if isinstance(found.values, Recordings):
        if shape is None:
            raise ConfigError(f"{path}: events do not say the shape of a frame; give --shape")
        counts, told = counted(path, found.values, shape, steps, window, _MOST, unit)
        return counts.astype(np.float32), told
    if not found.pixels:
        return found.values, []
    values, told = _shaped(found, shape or found.values.shape[1:], "direct")
    return _unit_pixels(values), [*told, _UNIT]


_UNIT = "inputs: 8-bit pixels, taken as k / 255"


def _unit_pixels(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32) / np.float32(255)


def labels_of(path: Path) -> NDArray[Any]:
    """One class a sequence. Raises: FileFormatError."""
    found = read_container(path)
    if isinstance(found.values, Recordings):
        raise FileFormatError(f"{path}: events, where classes (B,) are expected")
    return found.values


def _shaped(found: Contained, shape: tuple[int, ...], encoding: Encoding) -> tuple[NDArray[Any], list[str]]:
    """Pictures as rows or with an axis of channels, if that is all the difference."""
    values = found.values
    assert not isinstance(values, Recordings)
    own = values.shape[1:]
    if not found.pixels or encoding != "direct" or own == shape or math.prod(own) != math.prod(shape):
        return values, []
    told = f"inputs: pictures of {'x'.join(map(str, own))}, row by row, as {'x'.join(map(str, shape))}"
    return values.reshape(len(values), *shape), [told]


def counted(
    path: Path,
    events: Recordings,
    shape: tuple[int, ...],
    steps: int,
    window: int | None,
    high: int,
    unit: TimeUnit | None = None,
) -> tuple[IntArray, list[str]]:
    """Events counted in windows of `window` ticks from time 0 of each recording, (T, N, *shape).

    What is left out or cut is told.
    """
    times, taken = _ticks(path, events, unit)
    if window is None:
        longest = int(times.max(initial=0)) + 1
        hint = f"the last comes at {longest - 1}, so --window {-(-longest // steps)} takes all of them in {steps} steps"
        raise ConfigError(f"{path}: events are counted in windows: give --window, the ticks of one time step; {hint}")
    if not 1 <= window < 2**63 or (times < 0).any():
        raise ConfigError(
            f"{path}: windows have 1 to 2**63 - 1 ticks, and times start at 0; got {window}, {times.min(initial=0)}"
        )
    recordings, size = len(events.offsets) - 1, math.prod(shape)
    if steps * recordings * size > _MAX_COUNTS:
        raise ConfigError(
            f"{path}: {recordings} recordings of {steps} frames of {shape} are more than {_MAX_COUNTS} counts"
        )
    step, place = times // window, _addresses(path, events, shape)
    owner = np.repeat(np.arange(recordings), np.diff(events.offsets))
    kept = step < steps
    cells = (step[kept] * recordings + owner[kept]) * size + place[kept]
    counts = np.bincount(cells, minlength=steps * recordings * size)
    late, cut = int((~kept).sum()), int((counts > high).sum())
    told = f"inputs: {kept.sum():,} events in {steps} windows of {window} ticks; {late:,} later ones left out, "
    told += f"{cut:,} counts above {high} cut to it"
    if len(events.columns) == 3 and not (len(shape) == 3 and shape[0] > 1):
        told += "; both polarities together"
    told += taken
    if not kept.any() and len(kept):
        raise ConfigError(
            f"{path}: no event lies in the {steps} windows of {window} ticks; the first is at {times.min()}"
        )
    return np.minimum(counts, high).reshape(steps, recordings, *shape), [told]


def _ticks(path: Path, events: Recordings, unit: TimeUnit | None) -> tuple[IntArray, str]:
    """Times in ticks, and how they were taken: integers as they are, of a unit that is said as microseconds.

    Floats without a unit are seconds where nothing speaks against it. Raises: ConfigError where something does.
    """
    times, unit, taken = events.times, unit or events.unit, ""
    if unit is None and times.dtype.kind != "f":
        return times.astype(np.int64), taken
    if unit is None:
        if times.size and not _may_be_seconds(times):
            got = (
                f"whole numbers up to {times.max():g}" if (times == np.rint(times)).all() else f"up to {times.max():g}"
            )
            raise ConfigError(
                f"{path}: the times of its events are hardly seconds, as floats are taken: they are {got}; "
                "say their unit: --time-unit us, ms, s or ns (time_unit=)"
            )
        unit, taken = "s", "; times in floats taken as seconds (--time-unit says another), a tick is 1 us"
    above, below = _MICROSECONDS[unit]
    if times.size and float(np.abs(times.astype(np.float64)).max()) * above >= 2**62:
        raise ConfigError(f"{path}: times up to {times.max():g} {unit} are no times in microseconds below 2**62")
    if times.dtype.kind == "f":
        return np.rint(times * above / below).astype(np.int64), taken
    return times.astype(np.int64) * above // below, taken


def _may_be_seconds(times: NDArray[Any]) -> bool:
    shortest, longest = _SECONDS
    return bool((times != np.rint(times)).any()) and shortest <= float(times.max()) <= longest


def _addresses(path: Path, events: Recordings, shape: tuple[int, ...]) -> IntArray:
    """Row-major places in a frame: (channels,), (height, width), or (polarities, height, width)."""
    columns, sizes = events.columns, shape
    axes: tuple[IntArray, ...] = columns
    if len(columns) > 1:
        x, y, *polarity = columns
        signed = bool(polarity) and len(shape) == 3 and shape[0] > 1
        axes = (polarity[0] if signed else np.zeros_like(x), y, x)[-len(shape) :]
    if len(axes) != len(sizes) or len(sizes) == 1 < len(columns):  # rows of pixels: how wide they are is not said
        fits = "(channels,)" if len(columns) == 1 else "(height, width) or (polarities, height, width)"
        got = f"events with {len(columns)} numbers of a place do not fit frames of {shape}"
        raise ConfigError(f"{path}: {got}; they fit frames of {fits}, with nn.Flatten in the model")
    for axis, bound in zip(axes, sizes, strict=True):
        if len(axis) and (axis.min() < 0 or axis.max() >= bound):
            got = f"{axis.min()}..{axis.max()} where a frame of {shape} has 0..{bound - 1}"
            raise ConfigError(f"{path}: events outside the frame: {got}")
    return np.ravel_multi_index(axes, sizes) if len(axes[0]) else np.zeros(0, dtype=np.int64)
