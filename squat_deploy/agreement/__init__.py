"""`verify`: every executor on the same input, whole traces compared."""

from squat_deploy.agreement.api import EXECUTORS, verify
from squat_deploy.agreement.result import Agreement, ExecutorRow
from squat_deploy.engines.csim import parse_testbench
from squat_deploy.network.tally import Tally
from squat_deploy.snn.comparing import check_labels, compare_traces, traces_of

__all__ = [
    "EXECUTORS",
    "Agreement",
    "ExecutorRow",
    "Tally",
    "check_labels",
    "compare_traces",
    "parse_testbench",
    "traces_of",
    "verify",
]
