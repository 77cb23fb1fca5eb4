"""Nodes without memory, and delays, as torch layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from squat_deploy.network.layers.delay import MAX_DELAY
from squat_deploy.readers.nir.restoring import in_integers
from squat_deploy.readers.nir.scales import for_outputs, of_inputs
from squat_deploy.readers.nir.site import Array, Built, Site, shape_after
from squat_deploy.snn.delay import Delay


def _fill(site: Site, layer: Any, weight: Array, shape: tuple[int, ...]) -> None:
    """Weights and bias, with what they take in of the nodes behind them."""
    gain, addend = for_outputs(site, shape)
    bias = site.numbers("bias").reshape(-1) if hasattr(site.node, "bias") else np.zeros(len(weight))
    if bias.size != len(weight):
        site.refuse("one bias an output", f"{bias.size} for {len(weight)}", "export it again")
    layer.weight = nn.Parameter(site.float32("weight", weight * gain.reshape(-1, *[1] * (weight.ndim - 1))))
    if hasattr(site.node, "bias") or addend.any():
        layer.bias = nn.Parameter(site.float32("bias", bias * gain + addend))


def linear(site: Site) -> Built:
    """A matrix, with or without bias. Raises: LoweringError, as all of these."""
    weight = site.numbers("weight")
    if weight.ndim != 2:
        site.refuse("weights are a matrix", f"shape {weight.shape}", "export it again")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=hasattr(site.node, "bias"), device="meta")
    shape = shape_after(site, layer, 1)
    _fill(site, layer, of_inputs(site, weight), shape)
    return in_integers(site, layer), shape


def conv(site: Site) -> Built:
    """A convolution of one or two dimensions."""
    node, weight = site.node, site.numbers("weight")
    axes = 2 if isinstance(node, nir.Conv2d) else 1
    if weight.ndim != axes + 2 or 0 in weight.shape:
        site.refuse(f"weights have {axes + 2} axes", f"shape {weight.shape}", "export it again")
    said = None if node.input_shape is None else tuple(np.ravel(node.input_shape).tolist())
    if said not in (None, site.shape[1:]):
        site.refuse("this node takes what the one before gives", f"{site.shape}; it says {said}", "export it again")
    (groups,) = site.wholes("groups", 1, 1)
    stride, dilation = site.wholes("stride", axes, 1), site.wholes("dilation", axes, 1)
    kernel = weight.shape[2:]
    padding = _padding(site, kernel, stride, dilation)
    made: Any = nn.Conv2d if axes == 2 else nn.Conv1d
    if weight.shape[0] % groups:
        site.refuse("groups divide the channels", f"{groups} groups, {weight.shape[0]} channels", "export it again")
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = made(weight.shape[1] * groups, weight.shape[0], kernel, **sizes, device="meta")
    shape = shape_after(site, layer, axes + 1)
    _fill(site, layer, of_inputs(site, weight, groups), shape)
    return in_integers(site, layer), shape


def _padding(site: Site, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Zeros on either side; those of 'same' in numbers."""
    if not isinstance(site.node.padding, str):
        return site.wholes("padding", len(kernel), 0)
    if site.node.padding == "valid":
        return (0,) * len(kernel)
    around = [space * (size - 1) for space, size in zip(dilation, kernel, strict=True)]
    if set(stride) != {1} or any(zeros % 2 for zeros in around):
        got = f"padding 'same', kernel {tuple(kernel)}, stride {tuple(stride)}"
        site.refuse("pads both sides alike", got, "export numbers in place of 'same'")
    return tuple(zeros // 2 for zeros in around)


def pool(site: Site) -> Built:
    """A sum or an average of windows."""
    kernel, stride, padding = (
        site.wholes(key, 2, int(key != "padding")) for key in ("kernel_size", "stride", "padding")
    )
    if any(2 * zeros > size for zeros, size in zip(padding, kernel, strict=True)):
        got = f"padding {padding}, kernel_size {kernel}"
        site.refuse("pools are padded by half their kernel at most", got, "pad in the convolution before")
    divisor = 1 if isinstance(site.node, nir.SumPool2d) else None
    pool: Any = nn.AvgPool2d
    layer = pool(kernel, stride, padding, divisor_override=divisor)
    return layer, shape_after(site, layer, 3)


def flatten(site: Site) -> Built:
    """Axes of one sample as one."""
    said, axes = site.node.input_type["input"], len(site.shape)
    if said is not None and tuple(np.ravel(said).tolist()) != site.shape:
        site.refuse("this node takes what the one before gives", f"{site.shape}; it says {said}", "export it again")
    start, end = (site.wholes(key, 1, -axes)[0] for key in ("start_dim", "end_dim"))
    first, last = start % axes, end % axes
    if max(start, end) >= axes or first > last:
        got = f"start_dim {start}, end_dim {end} of {site.shape}"
        site.refuse("flattens axes from the first to the last (without a batch axis)", got, "export it again")
    whole = (first, last) == (0, axes - 1)
    layer = nn.Flatten() if whole else nn.Flatten(first + 1, last + 1)
    return layer, shape_after(site, layer, axes)


def delay(site: Site) -> Built:
    """Whole time steps, up to the rounding of the times in float32."""
    times = site.one_each("delay", site.numbers("delay"))
    steps = np.round(times / site.dt)
    whole = (np.abs(times - steps * site.dt) <= 1e-5 * np.abs(times)) & (steps >= 0) & (steps <= MAX_DELAY)
    if not whole.all():
        got = f"{np.ravel(times)[~np.ravel(whole)][:3].tolist()} of dt {site.dt:g}"
        site.refuse(
            f"delays are 0 to {MAX_DELAY} whole time steps", got, "state another NirOptions(dt=...), or round it"
        )
    return Delay(torch.as_tensor(steps.astype(np.int64))), site.shape  # a NumPy scalar where all are alike
