"""Which process tells the time of which instance, and all of them together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from squat_deploy.backends.rtl.encoding import Encode
from squat_deploy.backends.rtl.events import Dealer, Join, Lister, Narrow, Recode, Sorter
from squat_deploy.backends.rtl.flow import Ahead, Delay, EventReader, Fork, Late, Queue, Reader, Repeat
from squat_deploy.backends.rtl.instance import Instance
from squat_deploy.backends.rtl.neurons import Neurons, Scores
from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.planes import First, Plane, PooledSums, Walk, Windows
from squat_deploy.backends.rtl.streams import Page
from squat_deploy.backends.rtl.sums import Add, Dense, Place, Unload
from squat_deploy.backends.rtl.timing import dealing, flows, planes, units
from squat_deploy.backends.rtl.timing.net import Net
from squat_deploy.backends.rtl.timing.spans import Span, spans
from squat_deploy.backends.rtl.timing.ways import Process, run
from squat_deploy.network import IntArray
from squat_deploy.network.simulator import Result

PROCESSES: dict[type[Any], Callable[[Net, Any], Process]] = {
    Add: units.add,
    Ahead: flows.queue,
    Dealer: dealing.dealer,
    Delay: flows.delay,
    Dense: units.dense,
    Encode: flows.encode,
    EventReader: flows.events,
    First: planes.first,
    Fork: flows.fork,
    Join: flows.join,
    Late: flows.late,
    Lister: flows.lister,
    Narrow: flows.narrow,
    Neurons: units.neurons,
    Place: units.place,
    Plane: planes.plane,
    PooledSums: planes.pooled,
    Queue: flows.queue,
    Reader: flows.reader,
    Recode: flows.recode,
    Repeat: flows.repeat,
    Scores: units.scores,
    Sorter: dealing.dealer,
    Unload: units.unload,
    Walk: planes.walk,
    Windows: planes.windows,
}


def ends_of(plan: RtlPlan, inputs: IntArray, result: Result, *, alone: bool = False) -> IntArray:
    """(sequences,) cycles from the first start to the last score of each, words and scores never waiting outside.

    Args:
        inputs: checked integers, as the network takes them, of the run that `result` is of, with its traces.
        alone: no sequence begins before the scores of the one before are out; else they follow as closely as they can.
    """
    return np.array(_timed(plan, inputs, result, alone=alone).sent.takes) + 1


def spans_of(plan: RtlPlan, inputs: IntArray, result: Result) -> tuple[tuple[Span, ...], IntArray]:
    """When every instance that makes something works, of sequences that follow as closely as they can, and their ends.

    Args: as of `ends_of`.
    """
    net = _timed(plan, inputs, result, alone=False)
    return tuple(spans(net)), np.array(net.sent.takes) + 1


def _timed(plan: RtlPlan, inputs: IntArray, result: Result, *, alone: bool) -> Net:
    """All processes, run to their ends."""
    net = Net(plan, inputs, result, alone=alone)
    for part in plan.instances:
        if any(isinstance(bundle, Page) for bundle in part.gives):
            net.know(part)
    net.woken.extend(_process(net, part) for part in plan.instances)
    run(net.woken)
    assert len(net.sent.takes) == net.sequences  # else the core would stand still
    return net


def _process(net: Net, part: Instance) -> Process:
    process = next(PROCESSES[kind] for kind in type(part).__mro__ if kind in PROCESSES)
    return process(net, part)
