"""`verify`: every executor on the same input, whole traces compared."""

from squat_deploy.agreement.api import EXECUTORS, verify
from squat_deploy.agreement.comparing import check_labels, compare_traces, traces_of
from squat_deploy.agreement.compiled import parse_testbench
from squat_deploy.agreement.result import Agreement, ExecutorRow
from squat_deploy.agreement.tally import Tally

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
