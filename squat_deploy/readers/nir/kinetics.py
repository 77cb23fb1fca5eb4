"""Decays and factors of nodes with a membrane, by Euler's rule."""

from __future__ import annotations

import nir
import numpy as np

from squat_deploy.readers.nir.site import Array, Site


def kinetics(site: Site) -> tuple[dict[str, Array], Array]:
    """Decays by snnTorch's names, and the factor of the current. Raises: LoweringError."""
    if isinstance(site.node, nir.IF | nir.I):
        site.numbers("r")
        return {"beta": np.ones(())}, (site.dt * np.asarray(site.node.r)).astype(np.float64)
    if isinstance(site.node, nir.LIF | nir.LI):
        beta, factor = _leak(site, "tau", "r")
        return {"beta": beta}, factor
    alpha, weight = _leak(site, "tau_syn", "w_in")
    beta, factor = _leak(site, "tau_mem", "r")
    return {"alpha": alpha, "beta": beta}, factor * weight


def _leak(site: Site, tau: str, factor: str) -> tuple[Array, Array]:
    """The decay 1 - dt / tau, and factor dt / tau.

    snnTorch's exporter writes tau = dt / (1 - beta) and r = tau / dt, both infinite where beta = 1: IF.
    """
    taus, factors = np.asarray(getattr(site.node, tau)), np.asarray(getattr(site.node, factor))
    endless = np.isposinf(taus) & np.isposinf(factors)
    site.finite(tau, np.where(endless, 1, taus)), site.finite(factor, np.where(endless, 1, factors))
    with np.errstate(all="ignore"):
        share = np.where(endless, 0, site.dt / taus).astype(np.float64)
        decay, gain = 1 - share, np.where(endless, 1.0, share * factors)
    low, high = float(decay.min()), float(decay.max())
    if not 0 <= low <= high <= 1 or ((share > 0) & (decay.astype(np.float32) == 1)).any():
        got = f"{low:g} to {high:g}"
        site.refuse("a decay 1 - dt / tau lies in 0..1", got, "state the dt that the file was made with")
    return decay, gain
