"""Which trained model is this? One digest of all that a model computes with, the same in every process."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch
from brevitas.nn.quant_layer import QuantWeightBiasInputOutputLayer
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.copying import frozen_copy
from squat_deploy.snn.neurons import NEURONS, kind_of
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer, closure_levels
from squat_deploy.snn.sharing import is_repeated

_COUNTERS = ("num_batches_tracked",)  # no part of what is computed


def model_digest(model: nn.Module) -> str:
    """SHA-256 of a model's parameters, buffers and level tables, by name; what its neurons remember is left out.

    That of the copy in eval mode on the CPU which is lowered: device, mode and earlier runs change nothing.
    """
    return digest_of_frozen(frozen_copy(model))


def digest_of_frozen(model: nn.Module) -> str:
    """The same of a copy that `frozen_copy` made."""
    hasher = hashlib.sha256()
    for name, value in sorted(_entries(model)):
        hasher.update(f"{name}\0".encode())
        hasher.update(value)
    return hasher.hexdigest()


def _entries(model: nn.Module) -> Iterator[tuple[str, bytes]]:
    remembered = _remembered(model)
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and name not in remembered and name.rpartition(".")[2] not in _COUNTERS:
            yield name, _bytes(value)
    for name, module in model.named_modules():
        if is_repeated(module):
            continue
        if isinstance(module, InputQuantizer):
            yield f"{name}.grid", repr((module.step, module.low, module.high)).encode()
        if getattr(module, "stands_for", ""):  # it rounds otherwise
            yield f"{name}.exact", repr([getattr(module, key, None) for key in ("input_unit", "scale_bits")]).encode()
        if isinstance(module, QuantWeightBiasInputOutputLayer):
            with torch.no_grad(), contextlib.suppress(Exception):  # of other widths, the same weights are others
                yield f"{name}.quantized", _bytes(module.quant_weight().value)
        if isinstance(module, NEURONS) and not isinstance(module.state_quant, StateQuantizer):
            yield from _closure(f"{name}.state_quant", module)


def _closure(name: str, module: nn.Module) -> Iterator[tuple[str, bytes]]:
    """Levels that no state dict holds."""
    try:
        yield name, _bytes(closure_levels(module.state_quant))  # type: ignore[arg-type]
    except ConfigError:
        return  # none, or a function that is refused


def _remembered(model: nn.Module) -> set[str]:
    """Names of the buffers in which neurons keep their states from step to step."""
    return {
        f"{name}.{state}" if name else state
        for name, module in model.named_modules()
        if isinstance(module, NEURONS)
        for state in ("spk", *kind_of(module).states)
    }


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().reshape(-1)
    return f"{tuple(value.shape)} {value.dtype}\0".encode() + flat.view(torch.uint8).numpy().tobytes()
