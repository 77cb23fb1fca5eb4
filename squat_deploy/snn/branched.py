"""Layers that are joined as a graph, one time step a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

ENTRY = ""  # what enters


class Branched(nn.Module):
    """Modules in the order in which they run; what several give to one is added first, from left to right."""

    def __init__(self, modules: Mapping[str, nn.Module], plan: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        """Args: plan: names of modules, or of what leaves at the end, and what each takes: names, or `ENTRY`."""
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.plan = tuple(plan)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, ...) to (B, ...)."""
        values = {ENTRY: inputs}
        for name, takes in self.plan:
            given = values[takes[0]]
            for more in takes[1:]:
                given = given + values[more]
            values[name] = self._modules[name](given) if name in self._modules else given  # type: ignore[misc]
        return values[self.plan[-1][0]]
