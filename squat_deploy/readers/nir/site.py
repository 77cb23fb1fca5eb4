"""One node of a NIR graph where it stands: what comes to it, what the user stated, and its fields, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import LoweringError
from squat_deploy.readers.nir.graph import Stage, fault
from squat_deploy.readers.nir.stated import Reset

MAX_VALUES = 2**26  # of a layer, in one time step
Array = NDArray[np.float64]
Built = tuple[nn.Module, tuple[int, ...]]


@dataclass(frozen=True)
class NirOptions:
    """What a NIR file does not say.

    Attributes:
        dt: length of a time step in the file's unit of time; needed where a node has a time constant. snnTorch's
            exporter writes 1e-4, Norse's time step is 1e-3. Without one, dt is 1 unless it is stated.
        reset: what happens to the membrane after a spike, and `reset_delay` when: "subtract" takes the threshold from
            it, "zero" makes it 0. Subtraction is taken where it is not stated and every v_reset is 0.
        reset_delay: the step after the spike, before its input is added; else at once.
        shape: of one sample in one time step, where the input of an older file has axes of steps or batches before it.
    """

    dt: float | None = None
    reset: Reset | None = None
    reset_delay: bool = True
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Site:
    """One node, the shape of what comes to it, the time step that was taken, and the options as they were stated.

    Attributes:
        gain: factors of a Scale that what comes has not passed yet, (*shape).
        behind: the stages that follow.
        folded: whether synapses before it took in what they can of it.
    """

    stage: Stage
    shape: tuple[int, ...]
    dt: float
    options: NirOptions
    gain: Array | None = None
    behind: tuple[Stage, ...] = ()
    folded: bool = False

    @property
    def node(self) -> Any:
        return self.stage.node

    @property
    def last(self) -> bool:
        """Whether nothing but the output follows."""
        return len(self.behind) == 1 and isinstance(self.behind[0].node, nir.Output)

    def refuse(self, rule: str, got: str, hint: str) -> NoReturn:
        raise LoweringError((fault(self.stage.name, self.node, rule, got, hint),))

    def numbers(self, key: str) -> Array:
        """A field, all of it finite."""
        return self.finite(key, np.asarray(getattr(self.node, key)))

    def finite(self, key: str, values: NDArray[Any]) -> Array:
        """The same values."""
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)][:3].tolist()
            self.refuse("every parameter is finite", f"{key} {', '.join(map(str, bad))}", "export it again")
        return values.astype(np.float64)

    def wholes(self, key: str, count: int, least: int) -> tuple[int, ...]:
        """A field of one whole number an axis, or of one for all."""
        values = self.numbers(key).reshape(-1)
        whole = (values == np.round(values)) & (least <= values) & (values < 2**31)
        if values.size not in (1, count) or not whole.all():
            got = f"{key} {values[:4].tolist()}"
            self.refuse(f"sizes are {count} whole numbers from {least}, or one", got, "export it again")
        return tuple(int(value) for value in np.broadcast_to(values, count))

    def float32(self, key: str, values: Array) -> Tensor:
        """Rounded to float32; refused where that is nothing like the values."""
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float32)
        if values.size and not np.abs(rounded - values).max() <= 2.0**-20 * np.abs(values).max():
            self.refuse("parameters are float32", f"{key} up to {np.abs(values).max():g}", "scale the network")
        return torch.from_numpy(np.asarray(rounded))

    def one_each(self, key: str, values: Array) -> Array:
        """One value for all neurons, or one for each."""
        if values.shape != self.shape and values.size != 1:
            got = f"{key} of {values.shape} for {self.shape}"
            self.refuse("parameters are one for all neurons, or one for each", got, "export it again")
        return values.reshape(-1)[0].reshape(()) if np.unique(values).size == 1 else values


def sizes(name: str, port: Any) -> tuple[int, ...]:
    """The shape that an input or output states."""
    (values,) = (port.input_type if isinstance(port, nir.Input) else port.output_type).values()
    sizes = np.asarray(values, dtype=np.float64).reshape(-1)
    if not sizes.size or not ((sizes >= 1) & (sizes == np.round(sizes))).all() or sizes.prod() > MAX_VALUES:
        rule, got = f"shapes are whole numbers from 1, of {MAX_VALUES} values at most", f"{sizes[:5].tolist()}"
        raise LoweringError((fault(name, port, rule, got, "export it again"),))
    return tuple(int(size) for size in sizes)


def check_ports(site: Site) -> None:
    """Raises: LoweringError where a subgraph says another shape than it is given."""
    back = site.stage.back
    for port in (*site.stage.ports, *(back.ports if back else ())):
        if (said := sizes(site.stage.name, port)) != site.shape:
            got = f"{said} said by the {type(port).__name__.lower()} of its subgraph for {site.shape}"
            site.refuse("subgraphs take and give the shapes that they say", got, "export it again")


def shape_after(site: Site, layer: nn.Module, axes: int) -> tuple[int, ...]:
    """Shape of what a layer on the device "meta", which computes nothing, gives."""
    hint = "export it again"
    if len(site.shape) != axes:
        site.refuse(f"this node takes {axes} axes", f"{site.shape}", hint)
    try:
        shape = tuple(layer(torch.zeros(1, *site.shape, device="meta")).shape[1:])
    except (RuntimeError, ValueError) as error:
        site.refuse("this node takes what the one before gives", " ".join(str(error).split())[:200], hint)
    if not 0 < math.prod(shape) <= MAX_VALUES:
        site.refuse(f"a layer has 1 to {MAX_VALUES} values", f"{shape}", hint)
    return shape
