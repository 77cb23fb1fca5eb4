"""Which functions of torch can be lowered, and by what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from squat_deploy.lowering.branches import add, concat, dropout, reshape
from squat_deploy.lowering.draft import Draft, Value
from squat_deploy.lowering.options import plain_function
from squat_deploy.lowering.pooling import adaptive_function, over_positions, pool_function
from squat_deploy.lowering.program import Call

FunctionHandler = Callable[[Draft, Call, Sequence[Value]], Value | None]

FUNCTIONS: dict[str, FunctionHandler] = {
    "add": add,
    "cat": concat,
    "clone": reshape,
    "contiguous": reshape,
    "detach": reshape,
    "flatten": reshape,
    "reshape": reshape,
    "view": reshape,
    "squeeze": reshape,
    "unsqueeze": reshape,
    "unflatten": reshape,
    "max_pool1d": partial(pool_function, "max", 1),
    "max_pool2d": partial(pool_function, "max", 2),
    "avg_pool1d": partial(pool_function, "sum", 1),
    "avg_pool2d": partial(pool_function, "sum", 2),
    "adaptive_max_pool1d": partial(adaptive_function, "max", 1),
    "adaptive_max_pool2d": partial(adaptive_function, "max", 2),
    "adaptive_avg_pool1d": partial(adaptive_function, "sum", 1),
    "adaptive_avg_pool2d": partial(adaptive_function, "sum", 2),
    "amax": partial(over_positions, "max", False),
    "mean": partial(over_positions, "sum", True),
    "sum": partial(over_positions, "sum", False),
    "dropout": dropout,
    "dropout2d": dropout,
}


def function_handler(name: str) -> FunctionHandler | None:
    """The handler of a torch function by its name, or None."""
    return FUNCTIONS.get(plain_function(name))
