"""A quantized linear layer whose float32 result is exact at any scale."""

from __future__ import annotations

from brevitas.nn import QuantLinear
from torch import Tensor
from torch.nn import functional


class IntThenScaleLinear(QuantLinear):
    """Brevitas `QuantLinear` that sums integer weights first and multiplies by the scale once after.

    Stock Brevitas multiplies the scale into the weights, so that with a scale that is no power of two the float32 sum
    depends on batch size and BLAS. Here the sum is of integers, hence exact, and the layer is provable at any scale.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, in) to (B, out), float32."""
        weight = self.quant_weight()
        ratio = weight.value / weight.scale
        integers = weight.int(float_datatype=True).detach() + (ratio - ratio.detach())
        result = functional.linear(input, integers) * weight.scale.reshape(-1)
        return result if self.bias is None else result + self.bias
