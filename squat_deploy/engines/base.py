"""The one protocol of all that runs a network."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from squat_deploy import toolchain
from squat_deploy.hardware.options import HlsConfig
from squat_deploy.network import IntArray, Network
from squat_deploy.network.observed import Observed
from squat_deploy.network.simulator import Result, simulate

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class Case:
    """What engines are given.

    Attributes:
        inputs: checked integers, (B, *shape), or (T, B, *shape) for "sequence" inputs.
        model: the trained model, for engines that need it; initial_state: what it is given first, as for `lower`.
        config: options of hardware.
        fed: what hardware takes: the inputs, or the intensities (B, *shape) that its encoder makes them of.
        folder: where hardware's project is written and kept; by default it is temporary.
    """

    network: Network
    inputs: IntArray
    model: nn.Module | None
    config: HlsConfig
    fed: NDArray[Any]
    folder: Path | None = None
    initial_state: Any = None

    @property
    def axis(self) -> int:
        """That of the sequences in `inputs`."""
        return 0 if self.network.input.encoding == "direct" else 1

    @property
    def samples(self) -> int:
        return int(self.inputs.shape[self.axis])

    @cached_property
    def simulated(self) -> tuple[Result, float]:
        """The reference trace, made once, and the seconds that it took."""
        began = time.perf_counter()
        return simulate(self.network, self.inputs, trace=True), time.perf_counter() - began


@dataclass(frozen=True)
class Engine(ABC):
    """Something that runs a network.

    Attributes:
        name: as users choose it.
        form: which of several programs of this name; empty where there is but one.
        most: how many sequences it runs, the first ones; all where None.
        needs_model: whether it runs the trained model.
        by_default: whether it runs where nobody names it.
    """

    name: str
    form: str = ""
    most: int | None = None
    needs_model: ClassVar[bool] = False
    by_default: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Name and form."""
        return f"{self.name} {self.form}".rstrip()

    @abstractmethod
    def missing(self) -> str:
        """Why it cannot run here, as a sentence; empty if it can."""

    @abstractmethod
    def run(self, case: Case) -> Generator[Observed, None, None]:
        """Whole traces, some sequences at a time and in their order.

        Raises: ExportError where this network cannot be in this engine; ToolError where a tool fails.
        """


def lacking(name: str, packages: tuple[str, ...], extra: str) -> str:
    """That Python packages are missing, and how to get them."""
    absent = [package for package in packages if not toolchain.has_package(package)]
    return f"{name}: needs {' and '.join(absent)} (pip install 'squat_deploy[{extra}]')" if absent else ""
