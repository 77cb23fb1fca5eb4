"""What runs a network: NumPy is the reference, every other is compared with it."""

from squat_deploy.engines.base import Case, Engine
from squat_deploy.engines.csim import CsimEngine
from squat_deploy.engines.numpy import NumpyEngine
from squat_deploy.engines.onnx import ONNX_ENGINES
from squat_deploy.engines.rtlsim import RtlEngine
from squat_deploy.engines.torch import TorchEngine

ENGINES: tuple[Engine, ...] = (TorchEngine(), NumpyEngine(), CsimEngine(), *ONNX_ENGINES, RtlEngine())

__all__ = ["ENGINES", "Case", "Engine"]
