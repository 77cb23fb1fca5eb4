"""Modules by the names that they had: models and scripts that import them go on working."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MOVED = {
    "bundled": "lab.bundled",
    "encoders": "network.encoders",
    "levels": "snn.levels",
    "quantizers": "snn.quantizers",
    "simulator": "network.simulator",
    "storage": "network.storage",
    "certificate": "network.certificate",
    "joins": "network.layers",
    "synapses": "network.layers",
    "lowering.imported": "readers.brevitas.model",
    "lowering.nir_model": "readers.nir.model",
    "training": "snn",
    "training.checkpoint": "snn.checkpoint",
    "training.data": "lab.data",
    "training.datasets": "lab.datasets",
    "training.encoding": "lab.encoding",
    "training.layers": "snn.layers",
    "training.loop": "lab.loop",
    "training.models": "lab.models",
    "training.neurons": "snn.neurons",
    "training.ptq": "snn.ptq",
    "training.sequence": "snn.running",
}
_PACKAGE = __name__.rpartition(".")[0]


class _Moved(MetaPathFinder, Loader):
    """Finds the module of today behind a name of yesterday."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        old = name.removeprefix(f"{_PACKAGE}.")
        return ModuleSpec(name, self) if name != old and old in _MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """The one of today takes its place."""

    def exec_module(self, module: ModuleType) -> None:
        new = f"{_PACKAGE}.{_MOVED[module.__name__.removeprefix(f'{_PACKAGE}.')]}"
        warnings.warn(f"{module.__name__} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Once an interpreter."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())  # before the finder of files, which would load modules twice
