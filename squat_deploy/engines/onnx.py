"""The emitted ONNX graphs: ONNX Runtime at its default optimization level, and qonnx's own executor."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from squat_deploy.engines.base import Case, Engine, lacking
from squat_deploy.network.observed import Observed

QONNX_SAMPLES = 16  # qonnx's executor is an interpreter: 10 to 100 ms a step


@dataclass(frozen=True)
class OnnxEngine(Engine):
    """One form of the graphs in one executor.

    Attributes:
        fixed: whether it wants every shape to be known.
    """

    fixed: bool = False

    def missing(self) -> str:
        return lacking(self.name, ("onnx", self.name), "qonnx")

    def run(self, case: Case) -> Generator[Observed, None, None]:
        from squat_deploy.engines.graphs import run_form

        yield from run_form(case, self)


ONNX_ENGINES = (
    OnnxEngine("onnxruntime", "step"),  # it does not know MultiThreshold
    OnnxEngine("onnxruntime", "sequence"),
    OnnxEngine("qonnx", "step", QONNX_SAMPLES, fixed=True),
    OnnxEngine("qonnx", "sequence", QONNX_SAMPLES, fixed=True),
    OnnxEngine("qonnx", "finn", QONNX_SAMPLES, fixed=True),
)
