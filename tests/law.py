"""The law of agreement, stated once: every network, every executor, whole traces, no difference."""

from __future__ import annotations

import squat_deploy as sd
from squat_deploy.errors import LoweringError, NotProvenError
from squat_deploy.readout import READOUTS
from tests.drawing import Drawn, draw
from tests.model_drawing import draw_model

ROWS = [
    "torch", "numpy", "c++", "onnxruntime step", "onnxruntime sequence", "qonnx step", "qonnx sequence", "qonnx finn",
]  # fmt: skip
_LIMITS = ("not proven: ", "both branches of a sum are on one grid", "averages of currents must be exact")


def drawn_for(seed: int) -> Drawn:
    """Even seeds draw sequences of modules with every option of theirs, odd ones models with a forward."""
    return draw_model(seed // 2) if seed % 2 else draw(seed // 2)


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


def assert_agrees(agreement: sd.agreement.Agreement) -> None:
    for row in agreement.rows:
        assert row.mismatches == 0, f"{row.label} differs first at {row.first}"
    assert agreement.agrees


def assert_law(drawn: Drawn, network: sd.Network) -> int:
    """Every executor runs it and none differs; gives the number of values compared."""
    assert network.certificate.proven
    agreement = sd.verify(network, drawn.model, drawn.inputs, config=drawn.config)
    assert_agrees(agreement)
    missing = set(ROWS) - {row.label for row in agreement.rows}
    assert missing <= {"qonnx finn"} and len(missing) == len(agreement.not_run), agreement.not_run
    assert all("exact below 2**24" in why for why in agreement.not_run)
    return sum(row.values for row in agreement.rows)
