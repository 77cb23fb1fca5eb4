"""Models that take the batch before time, as recurrent layers of torch do with `batch_first=True`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.network import InputSpec


class BatchFirst(nn.Module):
    """A model that takes (B, T, ...), called with (T, B, ...); its parts have the names that they have without this."""

    def __init__(self, model: nn.Module, axes: int) -> None:
        """Args: axes: of all steps of a batch."""
        super().__init__()
        self.model, self.axes = model, axes
        self.train(model.training)

    def forward(self, inputs: Tensor, *states: Any) -> Any:
        """As the model inside, which must loop over time."""
        if inputs.ndim < self.axes:
            rule = "InputSpec(time_first=False) is of a model that loops over time itself"
            raise ConfigError(f"{rule}; got one that takes one step a call, (batch, ...); leave time_first away")
        return self.model(inputs.transpose(0, 1).contiguous(), *states)

    def named_modules(self, *args: Any, **given: Any) -> Iterator[tuple[str, nn.Module]]:
        """Those of the model inside."""
        return self.model.named_modules(*args, **given)

    def state_dict(self, *args: Any, **given: Any) -> Any:
        """That of the model inside."""
        return self.model.state_dict(*args, **given)

    def get_submodule(self, target: str) -> nn.Module:
        """One of the model inside."""
        return self.model.get_submodule(target)


def time_first(model: nn.Module, spec: InputSpec) -> nn.Module:
    """The model as it is called with (T, B, ...)."""
    return model if spec.time_first else BatchFirst(model, 2 + len(spec.shape))


def without_time(model: nn.Module) -> nn.Module:
    """The model as its user wrote it."""
    return model.model if isinstance(model, BatchFirst) else model
