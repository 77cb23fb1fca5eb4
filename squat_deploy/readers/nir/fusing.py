"""Two nodes that are one: an LI in front of a LIF is the synaptic current of a CubaLIF."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np

from squat_deploy.readers.nir.graph import Stage, is_chain, shown


def fused(stages: tuple[Stage, ...]) -> tuple[tuple[Stage, ...], tuple[str, ...]]:
    """The same chain, with a CubaLIF for every LI at rest at 0 that feeds a LIF without recurrence; what was done."""
    if not is_chain(stages):
        return stages, ()
    found, told = list(stages[:1]), list[str]()
    for before, stage in pairwise(stages):
        both = _both(before, stage) if found[-1] is before else None
        if both is None:
            found.append(stage)
            continue
        found[-1] = both
        told.append(f"{shown(before.name)}, {shown(stage.name)}: are read as one CubaLIF")
    return tuple(found), tuple(told)


def _both(first: Stage, second: Stage) -> Stage | None:
    """i' = (1 - dt / tau) i + (r dt / tau) x, and the LIF that takes i', in one."""
    one, other = first.node, second.node
    if not (isinstance(one, nir.LI) and isinstance(other, nir.LIF)) or second.back is not None or np.any(one.v_leak):
        return None
    rest = {"v_leak": other.v_leak, "v_threshold": other.v_threshold, "v_reset": other.v_reset}
    values = {"tau_syn": one.tau, "w_in": one.r, "tau_mem": other.tau, "r": other.r, **rest}
    try:
        shape = np.broadcast_shapes(*map(np.shape, values.values()))
    except ValueError:  # told where the nodes are read one by one
        return None
    node = nir.CubaLIF(**{key: np.broadcast_to(value, shape).copy() for key, value in values.items()})
    return Stage(second.name, node, (*first.ports, *second.ports), takes=first.takes)
