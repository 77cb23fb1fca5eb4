"""The law of agreement, stated once: every network, every engine, whole traces, no difference."""

from __future__ import annotations

import random
import warnings
from dataclasses import replace

import numpy as np
from torch import nn

import squat_deploy as sd
from squat_deploy.agreement import Agreement
from squat_deploy.engines import ENGINES
from squat_deploy.errors import LoweringError, NotProvenError
from squat_deploy.network.encoders import (
    AnyEncoder,
    EventEncoder,
    LatencyEncoder,
    RateEncoder,
    frames_of,
    takes_intensities,
)
from squat_deploy.network.readout import READOUTS
from tests.cycles import cycles_compared
from tests.drawing import Drawn, draw
from tests.model_drawing import draw_model

ROWS = [engine.label for engine in ENGINES if engine.by_default]
_LIMITS = (
    "not proven: ",
    "all that enters synapses is worth the same",
    "both branches of a sum are on one grid",
    "averages of currents must be exact",
    "an offset for each state that decides as the trained neuron",
)


def drawn_for(seed: int) -> Drawn:
    """Even seeds draw sequences of modules with every option of theirs, odd ones models with a forward."""
    return with_encoder(draw_model(seed // 2) if seed % 2 else draw(seed // 2), seed)


def with_encoder(drawn: Drawn, seed: int) -> Drawn:
    """Some of those that take frames of spikes or counts, with an encoder in front of the core."""
    rng, spec = random.Random(seed), drawn.spec
    if spec.encoding == "direct" or spec.low != 0:
        return drawn
    bits = rng.randint(1, 8)
    choices: list[AnyEncoder | None] = [None, EventEncoder(window=rng.randint(1, 5000))]
    if spec.high == 1:
        choices += [RateEncoder(bits=bits, seed=seed + 1), LatencyEncoder(bits=bits)]
    encoder = rng.choice(choices)
    inputs = drawn.inputs
    if takes_intensities(encoder):
        inputs = np.random.default_rng(seed).integers(0, 2**bits, (inputs.shape[1], *spec.shape))
    config = drawn.config.model_copy(update={"encoder": encoder})
    return replace(drawn, inputs=inputs, config=config)


def frames(drawn: Drawn) -> np.ndarray:
    """What the network itself takes."""
    return frames_of(drawn.config.encoder, drawn.inputs, drawn.steps)


def lowered(drawn: Drawn) -> sd.Network | None:
    """A network, or None for what must be refused: only what cannot be exact, and by its rule."""
    try:
        return sd.lower(drawn.model, drawn.spec, drawn.steps, readout=READOUTS[drawn.steps % len(READOUTS)])
    except LoweringError as error:
        if all(fault.layer == "readout" for fault in error.faults):
            assert "a membrane readout needs" in str(error)
            return sd.lower(drawn.model, drawn.spec, drawn.steps)
        assert_a_known_limit(error)
        return None


def assert_a_known_limit(error: LoweringError) -> None:
    """Float scales and norms in sums of branches, and decisions that rounding could turn; those with an example."""
    assert all(fault.rule.startswith(_LIMITS) for fault in error.faults), str(error)
    if isinstance(error, NotProvenError):
        assert "the first: neuron" in str(error)


def assert_agrees(agreement: Agreement) -> None:
    for row in agreement.rows:
        assert row.mismatches == 0, f"{row.label} differs first at {row.first}"
    assert agreement.agrees


def verified(network: sd.Network, model: nn.Module | None, inputs: np.ndarray, config: sd.HlsConfig) -> Agreement:
    """By all executors; a value outside the datatype of its tensor, which qonnx only warns of, is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The values of tensor")
        return sd.verify(network, model, inputs, config=config)


def assert_law(drawn: Drawn, network: sd.Network) -> int:
    """Every engine runs it and none differs, nor do the cycles of C++; gives the number of values compared."""
    assert network.certificate.proven
    with cycles_compared(network, drawn.inputs, drawn.config):
        agreement = verified(network, drawn.model, drawn.inputs, drawn.config)
        assert_agrees(agreement)
    missing = set(ROWS) - {row.label for row in agreement.rows}
    assert missing <= {"qonnx finn"} and len(missing) == len(agreement.not_run), agreement.not_run
    assert all("exact below 2**24" in why for why in agreement.not_run)
    return sum(row.values for row in agreement.rows)
