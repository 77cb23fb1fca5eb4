"""Which class stands for which where integers come first and sums are scaled once: all else of a layer stays."""

from __future__ import annotations

import snntorch as snn
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from torch import nn

from squat_deploy.snn import layers
from squat_deploy.snn.recurrence import CurrentsFirstRLeaky, CurrentsFirstRSynaptic

EXACT_FORMS: dict[type[nn.Module], type[nn.Module]] = {
    QuantLinear: layers.IntThenScaleLinear,
    QuantConv1d: layers.IntThenScaleConv1d,
    QuantConv2d: layers.IntThenScaleConv2d,
    QuantConvTranspose1d: layers.IntThenScaleConvTranspose1d,
    QuantConvTranspose2d: layers.IntThenScaleConvTranspose2d,
    layers.FixedLinear: layers.IntThenScaleFixedLinear,
    layers.FixedConv2d: layers.IntThenScaleFixedConv2d,
    nn.BatchNorm1d: layers.ScaleThenShift1d,
    nn.BatchNorm2d: layers.ScaleThenShift2d,
    snn.RLeaky: CurrentsFirstRLeaky,
    snn.RSynaptic: CurrentsFirstRSynaptic,
}
