"""What torch computes past the record: a record is whole only if nothing else reads the values that it follows.

`torch.tensor(x)`, compiled functions and other names of the same memory announce nothing to a recorded value. So every
operation of torch is looked at while a model is recorded: whatever takes the memory of a recorded value, and does not
come from the recorder, is refused. The same holds of torch's settings and of modes that change what functions do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves

_SEEN = torch._C.DispatchKeySet(torch._C.DispatchKey.Python)  # what makes torch call `Guard.__torch_dispatch__`


class Guard(TorchDispatchMode):
    """Sees every operation, inside of the recorder or not.

    Attributes:
        refuse: raises an error for an operation, by its name.
        known: the memory of recorded values by its address, which may be used again once that is gone.
        busy: how many calls of the recorder are running.
    """

    def __init__(self, refuse: Callable[[str], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.refuse = refuse
        self.known: dict[int, StorageWeakRef] = {}
        self.busy = 0

    def add(self, value: Tensor) -> None:
        """From now on this is the memory of a recorded value."""
        storage = value.untyped_storage()
        if storage.data_ptr() and not self._is_known(storage.data_ptr()):
            self.known[storage.data_ptr()] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the recorder itself computes."""
        self.busy += 1
        try:
            with torch._C._ExcludeDispatchKeyGuard(_SEEN):  # takes half of the time that recording takes
                yield
        finally:
            self.busy -= 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if not self.busy:
            with torch._C.DisableTorchFunctionSubclass():
                if any(self._knows(value) for value in tree_leaves((args, given))):
                    self.refuse(str(func.overloadpacket).removeprefix("aten."))
        return func(*args, **given)

    def _knows(self, value: object) -> bool:
        if not isinstance(value, Tensor):
            return False
        try:
            return self._is_known(value.untyped_storage().data_ptr())
        except (RuntimeError, NotImplementedError):  # one without memory
            return False

    def _is_known(self, address: int) -> bool:
        memory = self.known.get(address)
        return memory is not None and not memory.expired()  # type: ignore[no-untyped-call]


def modes_of_others(is_library: Callable[[str], bool]) -> str | None:
    """A mode of the user's that changes what torch's functions do, or None."""
    functions: list[object] = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    modes = (*functions, *_get_current_dispatch_mode_stack())
    return next((type(mode).__name__ for mode in modes if not is_library(type(mode).__module__)), None)


def settings() -> dict[str, object]:
    """What forward could set that changes what float32 operations give: cheap to ask at every call."""
    mkldnn: Any = torch.backends.mkldnn
    half = torch.full((1,), 2.0**-126, dtype=torch.float32) * 0.5
    return {
        "the default dtype": torch.get_default_dtype(),
        "the precision of products": torch.get_float32_matmul_precision(),
        **{
            f"mkldnn.{name}": str(getattr(getattr(mkldnn, name, None), "fp32_precision", ""))
            for name in ("matmul", "conv")
        },
        "flush_denormal": not bool(half.view(torch.int32)),
    }
