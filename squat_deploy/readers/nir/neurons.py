"""Nodes with a membrane as snnTorch neurons, by Euler's rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import snntorch as snn
import torch
from torch import Tensor

from squat_deploy.readers.nir.kinetics import kinetics
from squat_deploy.readers.nir.layers import linear
from squat_deploy.readers.nir.restoring import stated_of, with_states
from squat_deploy.readers.nir.scales import BESIDE, of_neurons
from squat_deploy.readers.nir.site import Array, Built, Site
from squat_deploy.readers.nir.stated import Reset, States
from squat_deploy.snn.ptq import NEVER


def threshold(site: Site) -> Built:
    """Neurons without memory."""
    level = _rounded_down(site, site.one_each("threshold", site.numbers("threshold")))
    return snn.Leaky(beta=0.0, threshold=level, reset_mechanism="none", init_hidden=True), site.shape


def neurons(site: Site) -> Built:
    """With v in units of the factor of the current, v' = decay v + I: the threshold alone is divided by it."""
    node, back = site.node, site.stage.back
    _check_rest(site)
    decays, factor = kinetics(site)
    if not ((factor > 0) & np.isfinite(factor)).all():
        hint = "negate r and the weights before where r is negative; write r = 1 and weights of 0 where it is 0"
        site.refuse("the factor of the current is above 0", f"{factor.min():g} to {factor.max():g}", hint)
    threshold = site.numbers("v_threshold") / of_neurons(site, factor, recurrent=back is not None)
    kind: Any = {(False, False): snn.Leaky, (True, False): snn.Synaptic, (False, True): snn.RLeaky}.get(
        (isinstance(node, nir.CubaLIF), back is not None), snn.RSynaptic
    )
    options = _reset_options(site, kind, threshold)
    options |= {key: site.float32(key, site.one_each(key, decay)) for key, decay in decays.items()}
    options["threshold"] = _rounded_down(site, site.one_each("v_threshold", threshold))
    if back is None:
        return with_states(site, kind(**options, init_hidden=True)), site.shape
    synapses, shape = linear(replace(site, stage=back, gain=None, behind=()))
    if shape != site.shape:
        site.refuse("spikes come back to the same neurons", f"{shape} for {site.shape}", "export it again")
    made = kind(**options, init_hidden=True, linear_features=shape[0])
    made.recurrent = synapses
    return with_states(site, made), shape


def readout(site: Site) -> Built:
    """A membrane that is read and never fires; its factor is in the weights before it, so that it is the file's own."""
    if not site.last:
        rest = "leave v_leak and the recurrence out, and a LIF may follow" if isinstance(site.node, nir.LI) else ""
        hint = rest or "write IF in its place, whose spikes are sent"
        site.refuse("neurons without spikes are the last ones", "others behind it", hint)
    if not site.folded:
        site.refuse("a readout stands behind synapses", "none before it", BESIDE)
    (decay,) = kinetics(site)[0].values()
    beta = site.float32("tau", site.one_each("tau", decay))
    made = snn.Leaky(beta, threshold=NEVER, reset_mechanism="none", init_hidden=True, output=True)
    return with_states(site, made), site.shape


def _check_rest(site: Site) -> None:
    """Membranes rest at 0, or the bias before them took their leak; no v_reset but 0 is dropped in silence."""
    leaks = not isinstance(site.node, nir.IF) and site.numbers("v_leak").any()
    if leaks and (isinstance(site.node, nir.CubaLIF) or not site.folded):
        hint = "write v_leak = 0" if isinstance(site.node, nir.CubaLIF) else BESIDE
        site.refuse("the membrane leaks towards 0, or stands behind synapses", "another v_leak", hint)
    reset, v_reset = site.options.reset, site.numbers("v_reset")
    if v_reset.any() and reset in (None, "zero"):
        rule = "reset='zero' needs a reset potential of 0" if reset else "the reset is stated where v_reset is not 0"
        hint = "use reset='subtract'" if reset else "state NirOptions(reset='subtract'), which v_reset has no part in"
        site.refuse(rule, f"v_reset {v_reset.min():g} to {v_reset.max():g}", hint)


# Resets (what, whether one step later) of snnTorch 1.0.0 that do what they say. The others: subtraction at once takes a
# second threshold back from a membrane that stays above it; zero one step later drops that step's input where there is
# a synaptic current or recurrence; RSynaptic fails at once.
_RESETS: dict[type, tuple[tuple[Reset, bool], ...]] = {
    snn.Leaky: (("subtract", True), ("zero", True), ("zero", False)),
    snn.Synaptic: (("subtract", True), ("zero", False)),
    snn.RLeaky: (("subtract", True), ("zero", False)),
    snn.RSynaptic: (("subtract", True),),
}


def _reset_options(site: Site, kind: type, threshold: Array) -> dict[str, Any]:
    if (stated := stated_of(site, States)) is not None:  # snnTorch's own, whatever it does
        return {"reset_mechanism": stated.reset, "reset_delay": stated.reset_delay}
    reset, delay = site.options.reset or "subtract", site.options.reset_delay
    if reset == "none":
        return {"reset_mechanism": reset, "reset_delay": True}
    if (reset, delay) not in _RESETS[kind]:
        hint = " or ".join(f"reset='{what}', reset_delay={later}" for what, later in _RESETS[kind])
        rule = f"snnTorch's {kind.__name__} resets as stated"
        site.refuse(rule, f"reset='{reset}', reset_delay={delay}, which it does otherwise", f"use {hint}")
    if (threshold < 0).any():  # rest lies above it: snnTorch resets in the first step, before any spike
        rule, hint = "neurons that reset are at rest below their threshold", "use reset='none'"
        site.refuse(rule, f"v_threshold {threshold.min():g}", hint)
    return {"reset_mechanism": reset, "reset_delay": delay}


def _rounded_down(site: Site, threshold: Array) -> Tensor:
    """A float32 lies above the result exactly where it lies above `threshold`."""
    nearest = site.float32("v_threshold", threshold).numpy()
    below = np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32)
    return torch.from_numpy(np.asarray(np.where(nearest > threshold, below, nearest)))
