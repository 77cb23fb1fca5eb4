"""The support matrix of the documentation: the tables that decide, and a small model of each type taken everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import snntorch as snn
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantIdentity, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint, Uint8ActPerTensorFixedPoint
from torch import nn
from torch.nn.modules.conv import _ConvNd

from squat_deploy.backends import testbench
from squat_deploy.backends.hls import HlsConfig
from squat_deploy.backends.hls.project import render
from squat_deploy.backends.qonnx.emitting import FORMS, emit_qonnx
from squat_deploy.backends.rtl import RtlConfig
from squat_deploy.backends.rtl.project import render as render_rtl
from squat_deploy.errors import ExportError
from squat_deploy.lowering.api import lower
from squat_deploy.lowering.functions import FUNCTIONS
from squat_deploy.lowering.handlers import HANDLERS
from squat_deploy.lowering.hints import HINTS
from squat_deploy.network import InputSpec
from squat_deploy.network.readout import READOUTS, SCORES, Readout
from squat_deploy.network.simulator import simulate
from squat_deploy.snn.layers import (
    FixedConv2d,
    FixedLinear,
    IntThenScaleFixedConv2d,
    IntThenScaleFixedLinear,
    IntThenScaleLinear,
    ScaleThenShift1d,
    ScaleThenShift2d,
)
from squat_deploy.snn.neurons import KINDS
from squat_deploy.snn.quantizers import InputQuantizer, state_quant

BACK_ENDS = ("simulator", "HLS", "RTL", "C testbench", *(f"ONNX {form}" for form in FORMS))


def support_matrix() -> str:
    """Markdown: what is lowered, and what is refused with the nearest thing that works."""
    functions = ", ".join(f"`{name}`" for name in sorted(FUNCTIONS)) + ", `x[step]`, `unbind`."
    sections = (
        (
            "# Support matrix",
            "Made from the code by `make support`; a test compares it. `squat-deploy check` does so with your model.",
        ),
        (
            "## Layers",
            "Each column is a small model with that module, lowered and written by that back end; `finn` wants partial"
            "\nsums below 2**24.",
            _table(("module", "package", *BACK_ENDS), _modules()),
        ),
        (
            "## Neurons",
            "Each with reset subtract, zero or none. Parameters are one value or any shape that torch spreads.",
            _table(("neuron", "quantized states", "parameters", "own recurrent synapses", *BACK_ENDS), _neurons()),
        ),
        ("## Readouts", _table(("readout", "score", *BACK_ENDS), _readouts())),
        ("## Functions and methods of tensors in a forward", functions),
        ("## Refused", _table(("module", "what to do instead"), HINTS.items())),
    )
    return "\n\n".join(part for section in sections for part in section) + "\n"


def _modules() -> Iterator[tuple[str, ...]]:
    for kind in HANDLERS:
        if kind not in KINDS:
            yield kind.__name__, _package(kind), *_everywhere(_model_with(kind))


def _neurons() -> Iterator[tuple[str, ...]]:
    for kind, about in KINDS.items():
        recurrent = "yes" if about.recurrent else ""
        states, parameters = ", ".join(about.states), ", ".join(about.parameters)
        yield kind.__name__, states, parameters, recurrent, *_everywhere(_model(kind))


def _readouts() -> Iterator[tuple[str, ...]]:
    for name in READOUTS:
        yield name, SCORES[name], *_everywhere(_model(snn.Leaky), name)


def _everywhere(model: nn.Sequential, readout: Readout = "count") -> Iterator[str]:
    """What each back end says to a model: "yes", or the reason."""
    direct, first = isinstance(model[0], InputQuantizer | QuantIdentity), model[0]
    shape = (2, 6, 6)[: first.weight.ndim - 1] if isinstance(first, _ConvNd) else (6,)
    network = lower(model.eval(), InputSpec(shape, 0, 3 if direct else 1), 2, readout=readout)
    calls: dict[str, Callable[[], Any]] = {
        "simulator": lambda: simulate(network, np.zeros((1, *shape), dtype=np.int64)),
        "HLS": lambda: render(network, HlsConfig(vectors=1)),
        "RTL": lambda: render_rtl(network, RtlConfig(vectors=1)),
        "C testbench": lambda: testbench.render(network, vectors=1, constants=True),
        **{f"ONNX {form}": partial(emit_qonnx, network, form=form) for form in FORMS},
    }
    assert tuple(calls) == BACK_ENDS
    for call in calls.values():
        try:
            call()
            yield "yes"
        except ExportError as error:
            yield str(error)


def _model_with(kind: type[nn.Module]) -> nn.Sequential:
    model = _model(kind) if kind in HANDLERS else nn.Sequential()
    if not any(type(module) is kind for module in model):
        raise LookupError(f"support: a small model with {kind.__name__} is missing")
    return model


def _model(kind: type[nn.Module]) -> nn.Sequential:
    """A small model with a module of this type."""
    torch.manual_seed(0)
    weights: dict[str, Any] = {"weight_quant": Int8WeightPerTensorFixedPoint, "bias": False}
    states: dict[str, Any] = {"state_quant": state_quant(3), "init_hidden": True}
    decays = {key: 0.5 for key in ("alpha", "beta") if key in KINDS[kind].parameters} if kind in KINDS else {}
    leaky, dense = snn.Leaky(beta=0.5, **states), QuantLinear(6, 4, **weights)
    planes, line = QuantConv2d(2, 3, 3, **weights), QuantConv1d(2, 3, 3, **weights)
    integers, scale = torch.arange(-4, 5).reshape(1, 1, 3, 3).repeat(3, 2, 1, 1), torch.full((3,), 0.25)
    fixed_conv, fixed = (integers, scale, None), (torch.ones(4, 6).long(), torch.ones(4) / 8, None)
    behind_planes: dict[type[nn.Module], nn.Module] = {
        nn.MaxPool2d: nn.MaxPool2d(2), nn.AvgPool2d: nn.AvgPool2d(2), nn.BatchNorm2d: nn.BatchNorm2d(3),
        nn.Dropout2d: nn.Dropout2d(), nn.Flatten: nn.Flatten(),
        nn.Unflatten: nn.Unflatten(2, (2, 2)), nn.AdaptiveMaxPool2d: nn.AdaptiveMaxPool2d(2),
        nn.AdaptiveAvgPool2d: nn.AdaptiveAvgPool2d(1),
        ScaleThenShift2d: ScaleThenShift2d(3),
    }  # fmt: skip
    behind_lines: dict[type[nn.Module], nn.Module] = {
        nn.Dropout1d: nn.Dropout1d(), nn.MaxPool1d: nn.MaxPool1d(2),
        nn.AvgPool1d: nn.AvgPool1d(2), nn.AdaptiveMaxPool1d: nn.AdaptiveMaxPool1d(2),
        nn.AdaptiveAvgPool1d: nn.AdaptiveAvgPool1d(2),
    }  # fmt: skip
    if kind in behind_planes:
        return nn.Sequential(planes, behind_planes[kind], leaky)
    if kind in behind_lines:
        return nn.Sequential(line, behind_lines[kind], leaky)
    if issubclass(kind, _ConvNd) and not issubclass(kind, FixedConv2d):
        made: Any = kind
        return nn.Sequential(made(2, 3, 3, **weights), leaky)
    if kind in KINDS:
        own: dict[str, Any] = {"all_to_all": False} if KINDS[kind].recurrent else {}
        own |= {"R": 1, "C": 2} if kind is snn.Lapicque else {}
        return nn.Sequential(dense, kind(**decays, **own, **states))
    if kind is InputQuantizer:
        return nn.Sequential(InputQuantizer(1.0, 0, 3), dense, leaky)
    if kind is QuantIdentity:
        grid = QuantIdentity(act_quant=Uint8ActPerTensorFixedPoint, scaling_impl_type="const", scaling_init=256.0)
        return nn.Sequential(grid, dense, leaky)
    first: dict[type[nn.Module], nn.Module] = {
        IntThenScaleLinear: IntThenScaleLinear(6, 4, **weights),
        FixedLinear: FixedLinear(*fixed),
        FixedConv2d: FixedConv2d(*fixed_conv),
        IntThenScaleFixedLinear: IntThenScaleFixedLinear(*fixed),
        IntThenScaleFixedConv2d: IntThenScaleFixedConv2d(*fixed_conv),
    }
    behind: dict[type[nn.Module], nn.Module] = {nn.BatchNorm1d: nn.BatchNorm1d(4), nn.Dropout: nn.Dropout()}
    behind[ScaleThenShift1d] = ScaleThenShift1d(4)
    other = kind if kind in HANDLERS.keys() - {*first, QuantLinear} else nn.Identity  # of one number
    return nn.Sequential(first.get(kind, dense), behind.get(kind) or other(1), leaky)


def _package(kind: type) -> str:
    return kind.__module__.split(".")[0]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (f"| `{name}` | {' | '.join(rest)} |" for name, *rest in rows)
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines])
