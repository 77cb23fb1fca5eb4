"""A NIR graph that is being written: nodes and edges so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from torch import Tensor

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.names import unique_name
from squat_deploy.readers.nir.site import Array
from squat_deploy.readers.nir.stated import KEY, States, Weights


@dataclass
class Outline:
    """Nodes and edges so far, the nodes whose sum comes next, and its shape."""

    dt: float
    shape: tuple[int, ...]
    nodes: dict[str, Any]
    ends: tuple[str, ...] = ("input",)
    edges: list[tuple[str, str]] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=lambda: {"input": 1, "output": 1})

    def put(self, name: str, node: Any, stated: Weights | States | None = None) -> str:
        """A node behind the last ones. Returns: its name in the file."""
        own = self.add(name, node, stated)
        self.edges += [(end, own) for end in self.ends]
        self.ends = (own,)
        return own

    def add(self, name: str, node: Any, stated: Weights | States | None) -> str:
        """A node that nothing leads to yet; "/" separates groups in HDF5."""
        own = unique_name(name.replace("/", "_"), self.taken)
        node.metadata = {} if stated is None else {KEY: stated.model_dump_json()}
        self.nodes[own] = node
        return own

    def spread(self, value: Tensor) -> Array:
        """A parameter, one value a neuron."""
        return np.broadcast_to(value.detach().double().numpy(), (1, *self.shape))[0].copy()


def refuse(label: str, rule: str, got: str, hint: str) -> NoReturn:
    """Raises: LoweringError, of one layer."""
    raise LoweringError((Fault(label, rule, got, hint),))
