"""`verify`: every engine on the same input, whole traces compared."""

from squat_deploy.agreement.api import EXECUTORS, USUAL, verify
from squat_deploy.agreement.pair import Deviation, LayerDeviation, deviation
from squat_deploy.agreement.result import Agreement, ExecutorRow, check_labels
from squat_deploy.network.tally import Tally

__all__ = [
    "EXECUTORS",
    "USUAL",
    "Agreement",
    "Deviation",
    "ExecutorRow",
    "LayerDeviation",
    "Tally",
    "check_labels",
    "deviation",
    "verify",
]
