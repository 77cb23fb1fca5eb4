"""What a model returns, where it is recognised as spikes or membranes of its neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Form = Literal["one", "stack", "sum", "mean"]
Part = Literal["spikes", "membranes"]


@dataclass(frozen=True)
class Returned:
    """A tensor in what `model(x)` returns, and what its recorded calls say that it is.

    Attributes:
        path: keys and positions that lead to it, the first of them into dictionaries, tuples or lists.
        layer: the neuron module's name in the model.
        steps: the time steps that it holds, those of the call.
        form: "one" step, a "stack" of steps along `axis`, their "sum" or their "mean".
        spike: what a spike is worth.
    """

    path: tuple[Any, ...]
    layer: str
    part: Part
    steps: tuple[int, ...]
    form: Form = "one"
    axis: int = 0
    spike: float = 1.0

    def of(self, values: Tensor) -> Tensor:
        """The tensor itself from (T, B, ...) spikes or membranes."""
        chosen = values[list(self.steps)]
        if self.form == "stack":
            return chosen.movedim(0, self.axis)
        return chosen[0] if self.form == "one" else chosen.sum(0) if self.form == "sum" else chosen.mean(0)

    def found_in(self, result: Any) -> Tensor | None:
        """The tensor in what a model returned, or None where it returned something else."""
        import torch

        for key in self.path:
            if not (isinstance(result, Mapping) and key in result) and not (
                isinstance(result, tuple | list) and isinstance(key, int) and -len(result) <= key < len(result)
            ):
                return None
            result = result[key]
        return result if isinstance(result, torch.Tensor) else None


def expected_of(returned: Returned, spikes: NDArray[np.bool_], membranes: NDArray[np.float32], call: int) -> Tensor:
    """The same from what the integers say of its layer, (T, B, N) each; `call`: which call, of one step each."""
    import torch

    values = spikes * np.float32(returned.spike) if returned.part == "spikes" else membranes
    return returned.of(torch.from_numpy(values)[call:])


def of_sequential(result: Any, layer: str, spike: float) -> Sequence[Returned]:
    """What an `nn.Sequential` returns in one step: the spikes of its last neurons, and their membrane where it does."""
    if not isinstance(result, tuple):
        return [Returned((), layer, "spikes", (0,), spike=spike)]
    return [Returned((0,), layer, "spikes", (0,), spike=spike), Returned((-1,), layer, "membranes", (0,))]
