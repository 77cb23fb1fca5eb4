"""What a proof takes for granted, of the machine and of the model."""

from __future__ import annotations

from collections.abc import Mapping

from squat_deploy.lowering.asking import LARGE, MAX_BATCH, USUAL
from squat_deploy.network import InputSpec
from squat_deploy.network.certificate import EXACT_FORM, LayerProof
from squat_deploy.snn.environment import PACKAGES


def assumptions_of(
    environment: Mapping[str, str],
    spec: InputSpec,
    proofs: tuple[LayerProof, ...],
    *,
    convolutions: bool,
    own_code: bool,
    exact_form: bool = False,
    states_passed: bool = False,
) -> tuple[str, ...]:
    """All that a proof takes for granted, in sentences; only what applies.

    Args: own_code: whether forward is the user's; exact_form: whether `exact` made the model; states_passed: whether
        forward takes and returns its states.
    """
    versions = ", ".join(f"{name} {environment[name]}" for name in PACKAGES)
    same = " and the same at every step" if spec.encoding == "direct" else ""
    told = [
        f"The trained model runs in float32 on a CPU, in eager mode and in eval mode, as {versions} compute it.",
        "torch.autocast is off, the default dtype is float32, and products of float32 are computed in float32 "
        "(torch.get_float32_matmul_precision() is 'highest', oneDNN's fpmath mode is strict).",
        "Results are rounded to nearest, and denormal numbers are kept.",
        "Every sequence starts at rest: the model's neurons are reset before each, by forward itself or by its caller.",
        f"Every input is k * {spec.step!r} in float32 with an integer k in {spec.low}..{spec.high}{same}.",
    ]
    if exact_form:
        told.append(EXACT_FORM)
    if (place := environment.get("model on", "cpu")) != "cpu":
        told.append(f"The model was on {place} and was copied to a CPU; on {place} it may compute something else.")
    if convolutions:
        told.append(
            "Convolutions are sums of products, computed directly or as matrix products and not by Winograd's method "
            "(oneDNN is on, or torch.backends.nnpack is off)."
        )
    if any(proof.rule.startswith("error bound") or "batch norm" in proof.rule for proof in proofs):
        told.append("Where a layer's sums round, each product and each addition of them is rounded at most once.")
    if not all(proof.exhaustive for proof in proofs):
        told.append("Where not every combination was run, the neuron's update ascends with its input current.")
    if states_passed:
        told.append(
            "Forward is called with the state that the call before returned, and first with that of rest: None, or the "
            "zeros that were stated as initial_state."
        )
    if own_code:
        told += (
            "Forward computes every sample alone and the same at any batch size, and keeps nothing from call to call "
            "but the states of its neurons; its calls were recorded, also in batches in which a comparison of the "
            f"batch size comes out otherwise (looked for up to {MAX_BATCH}) or, where that size leaves arithmetic (as "
            f"text, key, length or for math), in usual ones up to {max(USUAL)} and, as far as memory allows, "
            f"{max(LARGE)}; whole sequences were compared in batches of up to 255.",
            "Forward depends on nothing but its inputs: on no clock, file, environment variable or state of Python, "
            "and not on being recorded (the type of its tensors).",
        )
    return tuple(told)
