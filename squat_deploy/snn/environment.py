"""The machine and torch, read where a model is lowered and where it is run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from squat_deploy.errors import Fault, LoweringError
from squat_deploy.network.certificate import Certificate

PACKAGES = ("torch", "snntorch", "brevitas")
_SMALLEST = 2.0**-126  # the smallest normal float32
_ALL_THREADS = 2**18  # values that torch shares among its threads
_FPMATH = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")
_OPERATIONS = ("matmul", "conv")
_WHERE = "environment"
_BEFORE = "set it before lowering, outside forward"


def read_environment(model: nn.Module | None = None) -> dict[str, str]:
    """Name and value of everything that may change what torch computes; `model`: where it lies."""
    environment = {name: _version(name) for name in PACKAGES}
    environment |= {
        "threads": str(torch.get_num_threads()),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "autocast": _autocast(),
        "float32 products": _told(torch.get_float32_matmul_precision),
        "oneDNN": _on(torch.backends.mkldnn, bool(torch.backends.mkldnn.enabled)),  # type: ignore[attr-defined]
        "oneDNN float32": ", ".join(f"{name} {_precision(name)}" for name in _OPERATIONS),
        "oneDNN fpmath": next((os.environ[name] for name in _FPMATH if os.environ.get(name)), "strict")[:100].lower(),
        "NNPACK": _on(torch.backends.nnpack, torch._C._get_nnpack_enabled()),
        "CUDA TF32": _told(_tf32),
        "denormals": "kept" if _keeps_denormals() else "flushed to zero",
        "rounding": "to nearest" if _rounds_to_nearest() else "another way",
        "deterministic algorithms": str(torch.are_deterministic_algorithms_enabled()).lower(),
    }
    if model is not None:
        environment["model on"] = ", ".join(sorted({value.device.type for value in _tensors(model)})) or "cpu"
    return environment


def refuse_environment(environment: Mapping[str, str]) -> None:
    """Raises: LoweringError where torch does not compute in float32 now; each fault says what to set."""
    reduced = [name for name in _OPERATIONS if _precision(name) != "float32"]
    rules = [
        ("autocast", "off", "lower outside of torch.autocast"),
        ("default dtype", "float32", "call torch.set_default_dtype(torch.float32)"),
        ("float32 products", "highest", 'call torch.set_float32_matmul_precision("highest")'),
        ("oneDNN fpmath", "strict", f"unset {' and '.join(_FPMATH)}"),
        ("denormals", "kept", "call torch.set_flush_denormal(False)"),
        ("rounding", "to nearest", "leave the processor's rounding mode as it is"),
    ]
    faults = [
        Fault(_WHERE, f"{name}: {want}", environment[name], hint)
        for name, want, hint in rules
        if environment[name] != want
    ]
    if reduced:
        hint = "; ".join(f'set torch.backends.mkldnn.{name}.fp32_precision = "ieee"' for name in reduced)
        faults.append(Fault(_WHERE, "oneDNN computes in float32", environment["oneDNN float32"], hint))
    if faults:
        raise LoweringError(tuple(faults))


def refuse_changes(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Raises: LoweringError where running the model changed what torch computes."""
    faults = [
        Fault("model", f"{name} stays as it is", f"{before[name]} before a run, {after[name]} after it", _BEFORE)
        for name in before
        if after.get(name) != before[name]
    ]
    if faults:
        raise LoweringError(tuple(faults))


def differences(certificate: Certificate, today: Mapping[str, str]) -> tuple[str, ...]:
    """Where the environment is not the one in which a network was lowered, a sentence each."""
    then = certificate.environment
    return tuple(
        f"{name}: {then[name]} where the network was lowered, {value} here"
        for name, value in today.items()
        if name in then and then[name] != value
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _told(ask: Callable[[], str]) -> str:
    """The answer, or that torch gives none: it refuses where its older and newer settings were mixed."""
    try:
        return ask()
    except RuntimeError:
        return "mixed settings"


def _tf32() -> str:
    on = {True: "allowed", False: "off"}
    return f"products {on[torch.backends.cuda.matmul.allow_tf32]}, cuDNN {on[torch.backends.cudnn.allow_tf32]}"


def _on(backend: Any, enabled: bool) -> str:
    return "on" if backend.is_available() and enabled else "off"


def _autocast() -> str:
    on = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
    return ", ".join(f"{kind} {str(torch.get_autocast_dtype(kind)).removeprefix('torch.')}" for kind in on) or "off"


def _precision(operation: str) -> str:
    """How oneDNN computes float32, where this torch has that setting."""
    stated = str(getattr(getattr(torch.backends.mkldnn, operation, None), "fp32_precision", "none"))
    return "float32" if stated in ("none", "ieee") else stated


def _keeps_denormals() -> bool:
    """In all of torch's threads; there is no other way to ask."""
    halves = torch.full((_ALL_THREADS,), _SMALLEST, dtype=torch.float32) * 0.5
    return bool((halves.view(torch.int32) != 0).all())


def _rounds_to_nearest() -> bool:
    one = torch.ones(1, dtype=torch.float32)
    sums = [one + 2.0**-25, one + 3 * 2.0**-25, -one - 2.0**-25, -one - 3 * 2.0**-25]
    return [float(value) for value in sums] == [1.0, 1 + 2.0**-23, -1.0, -1 - 2.0**-23]


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
