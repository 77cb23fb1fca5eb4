"""A device of torch's that stands in for a GPU: its numbers are computed by the CPU, but nothing else may touch them.

Whatever mixes tensors of two places, or looks at those of this one from outside, fails as it would with a GPU. It
cannot deepcopy a tensor (torch reads the storage itself), and moving a module to it unties shared parameters.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import torch
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "box"
_META = torch._C.DispatchKeySet(torch._C.DispatchKey.Meta)
_CROSSING = ("aten::copy_", "aten::_copy_from", "aten::_to_copy")
_STORED: dict[int, torch.UntypedStorage] = {}  # by the address of the empty storage that stands for it
_KEPT: list[torch.library.Library] = []  # kernels are gone once their library is
_aten = torch.ops.aten


@cache
def device() -> torch.device:
    """Registers the device with torch, once a process."""
    _setup_privateuseone_for_python_backend(NAME)
    rest, own = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    rest.fallback(_run, "PrivateUse1")
    own.impl("convolution_overrideable", partial(_run, _aten.convolution.default), "PrivateUse1")
    own.impl("convolution_backward_overrideable", _convolution_backward, "PrivateUse1")
    _KEPT.extend((rest, own))
    return torch.device(NAME, 0)


def _boxed(inner: torch.Tensor) -> torch.Tensor:
    made = torch._C._acc.create_empty_tensor((0,), inner.dtype)
    _STORED[made.untyped_storage()._cdata] = inner.untyped_storage()
    place = (inner.shape, inner.stride(), inner.storage_offset())
    return _aten.as_strided.default.redispatch(_META, made, *place)


def _inner(value: torch.Tensor) -> torch.Tensor:
    storage = _STORED[value.untyped_storage()._cdata]
    return torch.empty(0, dtype=value.dtype).set_(storage, value.storage_offset(), value.shape, value.stride())


def _run(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Any operator, on what the boxes hold."""
    name = op._schema.name

    def opened(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.device.type == NAME:
            return _inner(value)
        if isinstance(value, torch.Tensor) and value.ndim and name not in _CROSSING:
            raise RuntimeError(f"{op}: tensors on two devices, {tuple(value.shape)} is not on {NAME}")
        return torch.device("cpu") if isinstance(value, torch.device) and value.type == NAME else value

    inside, named = tree_map(opened, args), tree_map(opened, kwargs)
    if name == "aten::_copy_from":
        inside[1].copy_(inside[0])
        return args[1]
    if name == "aten::_local_scalar_dense":
        return inside[0].item()
    result = op(*inside, **named)
    written = _written(op, (args, kwargs), (inside, named))
    if written:
        results = tuple(written[_alias(entry)] for entry in op._schema.returns if entry.alias_info is not None)
        return results[0] if len(results) == 1 else results or None
    if torch.device(kwargs.get("device") or NAME).type != NAME:
        return result
    return tree_map(lambda value: _boxed(value) if isinstance(value, torch.Tensor) else value, result)


def _convolution_backward(gradient: Any, values: Any, weight: Any, *sizes: Any) -> Any:
    """Of a convolution without bias."""
    return _run(_aten.convolution_backward.default, gradient, values, weight, None, *sizes)


def _alias(entry: Any) -> str:
    return next(iter(entry.alias_info.before_set))


def _written(op: Any, outer: tuple[Any, Any], inner: tuple[Any, Any]) -> dict[str, Any]:
    """The arguments that an operator writes to, in the shape that it gave them."""
    found = {}
    for index, entry in enumerate(op._schema.arguments):
        if entry.alias_info is None or not entry.alias_info.is_write:
            continue
        value, held = (kw[entry.name] if entry.name in kw else given[index] for given, kw in (outer, inner))
        if isinstance(value, torch.Tensor) and value.shape != held.shape:
            place = (held.storage_offset(), held.shape, held.stride())
            _aten.set_.source_Storage_storage_offset.redispatch(_META, value, value.untyped_storage(), *place)
        found[_alias(entry)] = value
    return found
