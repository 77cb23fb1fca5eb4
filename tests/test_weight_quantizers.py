"""Every weight quantizer that Brevitas has: lowered to what the trained layer does, or refused with a reason."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from brevitas.nn import QuantLinear
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import LoweringError, NotProvenError
from tests.test_models import leaky

MODULES = (
    "brevitas.quant",
    *(f"brevitas.quant.{name}" for name in ("fixed_point", "scaled_int", "shifted_scaled_int", "binary", "ternary")),
    *(
        f"brevitas.quant.experimental.{name}"
        for name in ("mx_quant_ocp", "float", "float_quant_ocp", "float_quant_fnuz")
    ),
)
SPEC, STEPS = sd.InputSpec((4,), 0, 3, 0.25), 3
INPUTS = np.random.default_rng(0).integers(0, 4, (8, 4))


def quantizers() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in map(importlib.import_module, MODULES):
        found |= {n: v for n, v in vars(module).items() if "Weight" in n and isinstance(v, type) and n not in found}
    return dict(sorted(found.items()))


def trained(quantizer: Any) -> nn.Module | None:
    """A layer that has run once in training; None where Brevitas itself cannot make or run it."""
    torch.manual_seed(0)
    try:
        layer = QuantLinear(4, 3, bias=False, weight_quant=quantizer)
        layer.weight.data.mul_(3)
        layer(torch.rand(6, 4))
    except Exception:  # noqa: BLE001 (whatever Brevitas raises)
        return None
    return nn.Sequential(layer, leaky()).eval()


@pytest.mark.parametrize("part", range(4))
def test_weight_quantizers(part: int) -> None:
    names = list(quantizers())
    assert len(names) > 80
    outcomes = {name: _outcome(quantizers()[name]) for name in names[part::4]}
    known = ("agrees", "brevitas", "not proven", "refused")
    assert all(outcome in known for outcome in outcomes.values()), outcomes
    assert sum(outcome == "agrees" for outcome in outcomes.values()) >= 3


def _outcome(quantizer: Any) -> str:
    model = trained(quantizer)
    if model is None:
        return "brevitas"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = sd.lower(model, SPEC, STEPS)
    except NotProvenError as error:
        return "not proven" if "error bound" in str(error) else f"not proven: {error}"
    except LoweringError as error:
        fault = error.faults[0]
        return "refused" if fault.got and fault.hint and fault.layer.startswith("0 (") else f"refused: {fault}"
    result = sd.verify(network, model, INPUTS, executors=["torch", "numpy"])
    return "agrees" if result.agrees else f"differs: {result}"
