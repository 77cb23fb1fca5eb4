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
    **{name: f"network.{name}" for name in ("activity", "inputs", "origin", "readout", "rules", "transition")},
    "bundled": "lab.bundled",
    "encoders": "network.encoders",
    "fitting": "snn.fitting",
    "levels": "snn.levels",
    "quantizers": "snn.quantizers",
    "simulator": "network.simulator",
    "storage": "network.storage",
    "study": "lab.study",
    "lowering.progress": "progress",
    "certificate": "network.certificate",
    "joins": "network.layers",
    "synapses": "network.layers",
    "lowering.imported": "readers.brevitas.model",
    "lowering.nir_model": "readers.nir.model",
    "training": "snn",
    "training.data": "lab.data",
    "training.datasets": "lab.datasets",
    "training.encoding": "lab.encoding",
    "training.events": "lab.events",
    "training.loop": "lab.loop",
    "training.models": "lab.models",
    "training.recordings": "lab.recordings",
    "training.scaling": "lab.scaling",
    "training.sequence": "snn.running",
}
_PACKAGE = __name__.rpartition(".")[0]


def _today(name: str) -> str | None:
    """The name of today; parts of a package moved with it, and are not loaded a second time by its old name."""
    old = name.removeprefix(f"{_PACKAGE}.")
    package, _, part = old.rpartition(".")
    new = _MOVED.get(old) or (f"{_MOVED[package]}.{part}" if package in _MOVED else None)
    return f"{_PACKAGE}.{new}" if new and name != old else None


class _Moved(MetaPathFinder, Loader):
    """Finds the module of today behind a name of yesterday."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if _today(name) else None

    def create_module(self, spec: ModuleSpec) -> None:
        """The one of today takes its place."""

    def exec_module(self, module: ModuleType) -> None:
        new = str(_today(module.__name__))
        warnings.warn(f"{module.__name__} is {new} now", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def install() -> None:
    """Once an interpreter."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())  # before the finder of files, which would load modules twice
