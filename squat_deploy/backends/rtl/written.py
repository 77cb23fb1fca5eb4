"""The plan of a core that lies in a project already: the one whose top is, to the byte, what lies there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from squat_deploy.backends.rtl.options import RtlConfig
from squat_deploy.backends.rtl.plan import RtlPlan
from squat_deploy.backends.rtl.project import TOP, plan_for, top_text, usual_run
from squat_deploy.errors import ConfigError
from squat_deploy.files import unreadable
from squat_deploy.hardware.words import signed
from squat_deploy.network import IntArray, Network
from squat_deploy.network.simulator import simulate

_MOST_BYTES = 2**26


def written_plan(network: Network, project: Path, config: RtlConfig) -> RtlPlan | None:
    """The plan of the core in an exported project; None where this version would write another one.

    Neuron units are shared by the events of the inputs that were given, of random ones by default: both are tried.
    """
    if unreadable(project / TOP, _MOST_BYTES) is not None:
        return None
    top = (project / TOP).read_bytes()
    plan = plan_for(network, config, *usual_run(network, config))
    if top_text(plan, config).encode() == top:
        return plan
    golden = None if config.encoder else _golden(network, project / "tb" / "stimulus.bin", plan)
    if golden is None:
        return None
    plan = plan_for(network, config, golden, simulate(network, golden, trace=True))
    return plan if top_text(plan, config).encode() == top else None


def _golden(network: Network, path: Path, plan: RtlPlan) -> IntArray | None:
    """The frames that the testbench of a project feeds; None for what cannot be theirs."""
    if unreadable(path, _MOST_BYTES) is not None:
        return None
    given, spec, frame = path.read_bytes(), network.input, plan.frame
    steps = 1 if plan.design.entry.once else network.steps
    if not given or len(given) % (4 * steps * frame.words):
        return None
    words = np.frombuffer(given, "<u4").astype(np.uint64)
    numbers = frame.unpack(words.reshape(-1, steps, frame.words))
    numbers = signed(numbers, frame.bits) if spec.low < 0 else numbers
    frames = numbers.reshape(*numbers.shape[:2], *spec.shape)
    try:
        return spec.check(frames[:, 0] if plan.design.entry.once else frames.swapaxes(0, 1), network.steps)
    except ConfigError:
        return None
