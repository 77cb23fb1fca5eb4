"""Quantized layers that Brevitas does not have: exact at any scale, or with weights that are integers already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from brevitas.nn import QuantLinear
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from squat_deploy.snn.quantizers import InputQuantizer


class IntThenScaleLinear(QuantLinear):
    """Brevitas `QuantLinear` that sums integer weights first and multiplies by the scale once after.

    Stock Brevitas multiplies the scale into the weights, so that with a scale that is no power of two the float32 sum
    depends on batch size and BLAS. Here the sum is of integers, hence exact, and the layer is provable at any scale.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, in) to (B, out), float32."""
        return self.scaled(input, *self.integer_weight())

    def integer_weight(self) -> tuple[Tensor, Tensor]:
        """Integers (out, in) as float32, with the gradient of the weight in steps of the scale, and the scale."""
        weight = self.quant_weight()
        ratio = weight.value / weight.scale
        return torch.round(ratio).detach() + (ratio - ratio.detach()), weight.scale

    def scaled(self, input: Tensor, integers: Tensor, scale: Tensor) -> Tensor:
        """The layer with its weight given."""
        result = functional.linear(input, integers) * scale.reshape(-1)
        return result if self.bias is None else result + self.bias


class FixedLinear(nn.Linear):
    """A linear layer whose weights are stored integers times a float32 scale, as another tool exported them."""

    integers: Tensor
    scale: Tensor

    def __init__(self, integers: Tensor, scale: Tensor, bias: Tensor | None) -> None:
        """Args: integers: (out, in), int64; scale: (out,), float32; bias: (out,), float32."""
        outputs, inputs = integers.shape
        super().__init__(inputs, outputs, bias=bias is not None)
        _fix(self, integers, scale, bias)


class FixedConv2d(nn.Conv2d):
    """The same for a convolution, zero-padded."""

    integers: Tensor
    scale: Tensor

    def __init__(
        self,
        integers: Tensor,
        scale: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        """Args: integers: (O, C / groups, kernel height, kernel width), int64; scale, bias: (O,), float32."""
        outputs, channels, height, width = integers.shape
        kernel, sizes = (height, width), (stride, padding, dilation, groups)
        super().__init__(channels * groups, outputs, kernel, *sizes, bias=bias is not None)
        _fix(self, integers, scale, bias)


class QuantizedInput(nn.Module):
    """A model behind an `InputQuantizer`."""

    def __init__(self, quantizer: InputQuantizer, model: nn.Module) -> None:
        super().__init__()
        self.quantizer, self.model = quantizer, model

    def forward(self, inputs: Tensor, *states: Any) -> Any:
        """As the model inside."""
        return self.model(self.quantizer(inputs), *states)


def _fix(module: FixedLinear | FixedConv2d, integers: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    module.register_buffer("integers", integers)
    module.register_buffer("scale", scale)
    real = integers.to(torch.float32) * scale.reshape(-1, *[1] * (integers.ndim - 1))
    module.weight = nn.Parameter(real, requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias, requires_grad=False)
