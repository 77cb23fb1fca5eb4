"""Quantized layers that Brevitas does not have: exact at any scale, or with weights that are integers already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from brevitas.quant_tensor import IntQuantTensor, QuantTensor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

if TYPE_CHECKING:
    from squat_deploy.snn.quantizers import InputQuantizer


class IntThenScale:
    """What layers share that sum integer weights first and multiply by the scale once after.

    Stock Brevitas multiplies the scale into the weights, so that with a scale that is no power of two the float32 sum
    depends on batch size and BLAS. Here the sum is of integers, hence exact, and the layer is provable at any scale.

    Attributes:
        input_unit: what one integer of its input is worth, where float32 rounds such inputs: they are divided by it and
            rounded, and the scale is multiplied by it. None: the inputs are summed as they come.
        scale_bits: significant bits to which the scale is rounded, and the bias to the grid of the last of them, so
            that sums with other such layers are exact; None: as trained.
        stands_for: name of the class that it was before `exact` made it this; empty where it was made so.
    """

    input_unit: float | None = None
    scale_bits: int | None = None
    stands_for: str = ""

    def integer_weight(self) -> tuple[Tensor, Tensor]:
        """Integers as float32, with the gradient of the weight in steps of the scale, and the scale."""
        raise NotImplementedError

    def summed(self, input: Tensor, integers: Tensor) -> Tensor:
        """The layer with these weights and no bias."""
        raise NotImplementedError

    def output_scale(self, scale: Tensor) -> Tensor:
        """What the integer sums are multiplied by, one value or one an output, float32."""
        flat = scale.reshape(-1)
        flat = flat if self.input_unit is None else flat * self.input_unit
        return flat if self.scale_bits is None else torch.round(flat / (grid := self._grid(flat))) * grid

    def _grid(self, scale: Tensor) -> Tensor:
        """The last bit of a scale to be kept, a power of two."""
        assert self.scale_bits is not None
        return torch.ldexp(torch.ones_like(scale), torch.frexp(scale).exponent - self.scale_bits)

    def scaled(self, input: Tensor, integers: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with its weight and bias given."""
        whole = input if self.input_unit is None else _rounded(input / self.input_unit)
        across = (-1, *[1] * (integers.ndim - 2))  # channels first, then places
        worth = self.output_scale(scale)
        result = self.summed(whole, integers) * worth.reshape(across)
        if bias is not None and self.scale_bits is not None:
            bias = torch.round(bias / (grid := self._grid(worth))) * grid
        return result if bias is None else result + bias.reshape(across)

    def extra_repr(self) -> str:
        shown: str = super().extra_repr()  # type: ignore[misc]
        shown += "" if self.input_unit is None else f", input_unit={self.input_unit:.9g}"
        return shown if self.scale_bits is None else f"{shown}, scale_bits={self.scale_bits}"


class IntThenScaleQuant(IntThenScale, QuantWeightBiasInputOutputLayer):
    """Those of Brevitas."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, in, ...) to (B, out, ...), float32."""
        own: Any = self  # Brevitas has no types
        result: Tensor = own.forward_impl(input)
        return result

    def inner_forward_impl(self, x: Tensor, quant_weight: Any, quant_bias: Any) -> Tensor:
        """Called by Brevitas with whatever its quantizers made of input, weight and bias."""
        integers, scale = _integers_of(quant_weight)
        return self.scaled(_plain(x), integers, scale, None if quant_bias is None else _plain(quant_bias))

    def integer_weight(self) -> tuple[Tensor, Tensor]:
        """From the quantizer of the weights."""
        own: Any = self
        return _integers_of(own.quant_weight())

    def summed(self, input: Tensor, integers: Tensor) -> Tensor:
        result: Tensor = super().inner_forward_impl(input, integers, None)  # type: ignore[operator]
        return result


class IntThenScaleLinear(IntThenScaleQuant, QuantLinear):
    """Brevitas `QuantLinear`, integers first."""


class IntThenScaleConv1d(IntThenScaleQuant, QuantConv1d):
    """Brevitas `QuantConv1d`, integers first."""


class IntThenScaleConv2d(IntThenScaleQuant, QuantConv2d):
    """Brevitas `QuantConv2d`, integers first."""


class _IntThenScaleConvTranspose(IntThenScaleQuant):
    _output_size: Any

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """As Brevitas' own, which keeps the size for its `inner_forward_impl`."""
        self._output_size = output_size
        return super().forward(input)


class IntThenScaleConvTranspose1d(_IntThenScaleConvTranspose, QuantConvTranspose1d):
    """Brevitas `QuantConvTranspose1d`, integers first."""


class IntThenScaleConvTranspose2d(_IntThenScaleConvTranspose, QuantConvTranspose2d):
    """Brevitas `QuantConvTranspose2d`, integers first."""


def outputs_first(module: nn.Module, weights: Tensor) -> Tensor:
    """Weights with their outputs in the first axis; those of transposed convolutions come as (C, O / groups, ...)."""
    if not isinstance(module, _ConvNd) or not module.transposed:
        return weights
    grouped = weights.reshape(module.groups, -1, *weights.shape[1:]).transpose(1, 2)
    return grouped.reshape(-1, *grouped.shape[2:])


def output_scales(module: nn.Module, weight: IntQuantTensor) -> Tensor | None:
    """The scale of each output (out,) of a layer's quantized weight, or None where an output has several."""
    each = outputs_first(module, weight.scale.detach().broadcast_to(weight.value.shape)).flatten(1)
    return each[:, 0] if bool((each == each[:, :1]).all()) else None


def is_exact_form(model: nn.Module) -> bool:
    """Whether `exact` has made a model, or part of it."""
    return any(getattr(module, "stands_for", "") for module in model.modules())


def _integers_of(weight: Any) -> tuple[Tensor, Tensor]:
    return _rounded(weight.value / weight.scale), weight.scale


def _rounded(ratio: Tensor) -> Tensor:
    """To integers, exactly, with a gradient of one."""
    return torch.round(ratio).detach() + (ratio - ratio.detach())


def _plain(value: Any) -> Tensor:
    """The numbers of a quantized tensor."""
    tensor: Tensor = value.value if isinstance(value, QuantTensor) else value
    return tensor


class ScaleThenShift(_BatchNorm):
    """What batch norms share that do one multiplication and one addition in eval mode, in this order.

    torch makes scale and shift before, or subtracts the mean first, by layout, fused on some CPUs, so that its float32
    result is known up to roundings only. Here both are made in float64, rounded once, and applied one after the other.
    """

    stands_for: str = ""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...), float32; as torch's while training."""
        if self.training:
            return super().forward(input)
        scale, shift = (factor.reshape(-1, *[1] * (input.ndim - 2)) for factor in self.factors())
        return input * scale + shift

    @torch.no_grad()
    def factors(self) -> tuple[Tensor, Tensor]:
        """Scale and shift (C,), float32."""
        assert self.running_mean is not None and self.running_var is not None
        scale = 1 / (self.running_var.double() + self.eps).sqrt()
        scale = scale if self.weight is None else scale * self.weight.double()
        shift = -self.running_mean.double() * scale
        shift = shift if self.bias is None else shift + self.bias.double()
        return scale.float(), shift.float()


class ScaleThenShift1d(ScaleThenShift, nn.BatchNorm1d):
    """`nn.BatchNorm1d`, its scale first."""


class ScaleThenShift2d(ScaleThenShift, nn.BatchNorm2d):
    """`nn.BatchNorm2d`, its scale first."""


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


class IntThenScaleFixedLinear(IntThenScale, FixedLinear):
    """`FixedLinear`, integers first."""

    def forward(self, input: Tensor) -> Tensor:
        return self.scaled(input, *self.integer_weight(), self.bias)

    def integer_weight(self) -> tuple[Tensor, Tensor]:
        return self.integers.to(self.scale.dtype), self.scale

    def summed(self, input: Tensor, integers: Tensor) -> Tensor:
        return nn.functional.linear(input, integers)


class IntThenScaleFixedConv2d(IntThenScale, FixedConv2d):
    """`FixedConv2d`, integers first."""

    def forward(self, input: Tensor) -> Tensor:
        return self.scaled(input, *self.integer_weight(), self.bias)

    def integer_weight(self) -> tuple[Tensor, Tensor]:
        return self.integers.to(self.scale.dtype), self.scale

    def summed(self, input: Tensor, integers: Tensor) -> Tensor:
        return self._conv_forward(input, integers, None)


def _fix(module: FixedLinear | FixedConv2d, integers: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    module.register_buffer("integers", integers)
    module.register_buffer("scale", scale)
    real = integers.to(torch.float32) * scale.reshape(-1, *[1] * (integers.ndim - 1))
    module.weight = nn.Parameter(real, requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias, requires_grad=False)
