"""Scales, leaks to a potential and factors of readouts: part of the weights and biases beside them, made in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import nir
import numpy as np

from squat_deploy.readers.nir.kinetics import kinetics
from squat_deploy.readers.nir.site import Array, Site

BESIDE = "put a Linear with the identity in front of it, which takes it in"
SYNAPSES = (nir.Linear, nir.Affine, nir.Conv1d, nir.Conv2d)
READOUTS = (nir.LI, nir.I)
_MOVE = (nir.Flatten, nir.Delay)
_POOLS = (nir.SumPool2d, nir.AvgPool2d)
_TAKE = (*SYNAPSES, *_MOVE, *_POOLS, nir.LIF, nir.CubaLIF, nir.IF)


def scale_of(site: Site) -> Array:
    """The factors of a Scale, one for each value that comes to it."""
    return np.broadcast_to(site.one_each("scale", site.numbers("scale")), site.shape)


def for_outputs(site: Site, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """What synapses that give (*shape) take in of the nodes behind them: a factor and an addend a channel.

    Scales; of neurons that leak to v_leak, the current v_leak / r; of a readout, the factor of its current.
    """
    gain, addend = np.ones(shape), np.zeros(shape)
    scales = list(takewhile(lambda stage: isinstance(stage.node, nir.Scale), site.behind))
    for stage in scales:
        gain = gain * scale_of(replace(site, stage=stage, shape=shape, gain=None))
    for stage in site.behind[len(scales) : len(scales) + 1]:
        place = replace(site, stage=stage, shape=shape, gain=None, behind=site.behind[len(scales) + 1 :])
        if isinstance(stage.node, READOUTS):
            factor = np.broadcast_to(_readout_factor(place), shape)
            gain, addend = gain * factor, _leak_of(place) * factor
        elif isinstance(stage.node, nir.LIF):
            addend = _leak_of(place)
    return _by_channel(site, gain), _by_channel(site, addend)


def _readout_factor(site: Site) -> Array:
    factor = kinetics(site)[1]
    return site.one_each("r", site.finite("r", factor))


def _leak_of(site: Site) -> Array:
    """The current that a leak to another potential than 0 is."""
    if not hasattr(site.node, "v_leak"):
        return np.zeros(site.shape)
    leak, factor = site.one_each("v_leak", site.numbers("v_leak")), site.one_each("r", np.asarray(site.node.r, float))
    with np.errstate(all="ignore"):
        current = np.where(leak == 0, 0.0, leak / factor)
    return np.broadcast_to(site.finite("v_leak / r", current), site.shape)


def _by_channel(site: Site, values: Array) -> Array:
    """One value a channel of synapses whose positions share their weights. Raises: LoweringError where they differ."""
    each = values.reshape(len(values), -1)
    if (each != each[:, :1]).any():
        rule, hint = (
            "what a convolution or a pool takes in is the same at every position of a channel",
            "make it so, or leave it",
        )
        site.refuse(rule, f"factors or leaks of {each.min():g} to {each.max():g}", f"{hint} to a Linear")
    return each[:, 0]


def of_inputs(site: Site, weight: Array, groups: int = 1) -> Array:
    """Weights (out, in / groups, ...) that take what comes before a Scale, in place of behind it."""
    if site.gain is None:
        return weight
    channels = _by_channel(site, site.gain).reshape(groups, -1)
    own = channels[np.arange(len(weight)) // (len(weight) // groups)]
    return weight * own.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))


def of_neurons(site: Site, factor: Array, *, recurrent: bool) -> Array:
    """The factor of a neuron's current, with that of a Scale before it."""
    if site.gain is None:
        return factor
    if recurrent or (site.gain <= 0).any():
        rule = "a Scale in front of neurons is above 0, and their own spikes do not pass it"
        site.refuse(rule, "recurrent neurons" if recurrent else f"factors down to {site.gain.min():g}", BESIDE)
    return factor * (site.gain if np.ptp(site.gain) else site.gain.reshape(-1)[0])


def handed_on(site: Site, shape: tuple[int, ...]) -> Array | None:
    """The factors of a Scale behind a node that moves values, or adds those of a channel, in place of before it."""
    if site.gain is not None and isinstance(site.node, _POOLS):
        return np.broadcast_to(_by_channel(site, site.gain).reshape(-1, 1, 1), shape)
    return site.gain.reshape(shape) if site.gain is not None and isinstance(site.node, _MOVE) else None


def check_taken(site: Site) -> None:
    """Raises: LoweringError where a Scale has nobody to take it."""
    if site.gain is None or isinstance(site.node, (*_TAKE, nir.Scale)):
        return
    hint = "leave it out: spikes are counted" if isinstance(site.node, nir.Output) else BESIDE
    site.refuse("takes what a Scale gives", "neither synapses nor neurons", hint)
