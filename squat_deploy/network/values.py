"""What scores of membranes are worth: fixed-point numbers, integers of one stated step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import FailFast

from squat_deploy.network.layers.base import IntArray
from squat_deploy.network.limits import MAX_STATES
from squat_deploy.network.readout import Readout

LIMIT = 2**47  # integers stay below it in magnitude
SUM_LIMIT = 2**53  # and their sums over all steps below this one, as far as float64 is exact
_Table = Annotated[tuple[int, ...], FailFast()]


@dataclass(frozen=True)
class Values:
    """From scores to values, `integer * step / divisor` each, exactly. States that no step ends in count as the lowest.

    Attributes:
        step: value of one integer, in membrane units: the largest number of which all levels are whole multiples.
        divisor: of a mean, the number of steps.
        table: of "highest-membrane" and "last-membrane", the integer of every score, which is a state index.
        worth: of "mean-membrane", what every state adds to the score: its integer above the lowest one.
        offset: of "mean-membrane", what is added to the score to make the integer.
    """

    step: float
    divisor: int = 1
    table: _Table = ()
    worth: _Table = ()
    offset: int = 0

    def integers(self, scores: NDArray[Any]) -> IntArray:
        """Scores (B, outputs) as integers of the step; of a mean, of the sum over all steps."""
        whole = np.asarray(scores, dtype=np.int64)
        return np.array(self.table, dtype=np.int64)[whole] if self.table else whole + self.offset

    def real(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Scores (B, outputs) as membranes; only the division of a mean rounds."""
        return self.integers(scores) * self.step / self.divisor

    @property
    def levels(self) -> tuple[int, ...]:
        """The integer of every state."""
        return self.table or tuple(integer + self.offset // self.divisor for integer in self.worth)

    @property
    def described(self) -> str:
        """The law in words."""
        mean = f", divided by {self.divisor}" if self.divisor > 1 else ""
        how = f"the score {self.offset:+d}" if self.worth else "that of the score in a table"
        return f"a value is an integer ({how}) times {self.step!r}{mean}"


def values_of(readout: Readout, membranes: NDArray[np.float32], used: IntArray, steps: int) -> Values | str:
    """The values of a readout of membranes; why there are none, where they are no such integers below the limits.

    Args:
        membranes: (states,) of an output neuron; used: the states that it is in after a step.
    """
    step, whole = _whole(membranes[used])
    mean = readout == "mean-membrane"
    lowest, largest = min(whole), max(map(abs, whole))
    if len(membranes) > MAX_STATES:
        return f"values need at most {MAX_STATES} states; got {len(membranes)}; use fewer state bits in the last layer"
    if largest >= LIMIT or (mean and 2 * largest * steps >= SUM_LIMIT):
        rule = "levels below 2**47 of the step that they share" + ", and sums below 2**52" * mean
        over = f", {2 * largest * steps:.2g} in {steps} steps" if mean else ""
        return (
            f"values need {rule}; got {largest:.2g} of {step:.2g}{over}; use levels that are multiples of 2**-8 or so"
        )
    integers = [0] * len(membranes) if mean else [whole[0]] * len(membranes)
    for state, integer in zip(used.tolist(), whole, strict=True):
        integers[state] = integer - lowest if mean else integer
    if mean:
        return Values(step, steps, worth=tuple(integers), offset=lowest * steps)
    return Values(step, table=tuple(integers))


def _whole(membranes: NDArray[np.float32]) -> tuple[float, list[int]]:
    """The largest step of which all numbers are multiples (float32 are, of some power of two), and these integers."""
    ratios = [float(value).as_integer_ratio() for value in membranes]
    finest = max(below for _, below in ratios)
    integers = [above * (finest // below) for above, below in ratios]
    common = math.gcd(*integers) or 1
    return common / finest, [integer // common for integer in integers]
