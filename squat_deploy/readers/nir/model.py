"""NIR files (snnTorch, Norse, Sinabs, Lava, SpikingJelly exporters) as float snnTorch models, ready for `quantize`.

NIR states continuous time: it has no time step and no bit widths, and its reset, to a potential, is none of snnTorch's.
What the file leaves open is stated by the user, and listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any, get_args

import nir
import numpy as np
from torch import nn

from squat_deploy.errors import ConfigError, Fault, LoweringError
from squat_deploy.names import unique_name
from squat_deploy.readers.nir import layers, neurons
from squat_deploy.readers.nir.file import read_graph
from squat_deploy.readers.nir.fusing import fused
from squat_deploy.readers.nir.graph import Stage, chain, fault, refuse_all, shown
from squat_deploy.readers.nir.joining import check_joined, joined_modules, line_behind
from squat_deploy.readers.nir.scales import SYNAPSES, check_taken, handed_on, scale_of
from squat_deploy.readers.nir.site import Built, NirOptions, Site, check_ports, sizes
from squat_deploy.readers.nir.stated import Reset, Whole
from squat_deploy.snn.ptq import behind_quantizer
from squat_deploy.snn.quantizers import InputQuantizer

__all__ = ["NirModel", "NirOptions", "read_nir"]


@dataclass(frozen=True, eq=False)
class NirModel:
    """A float model, the shape of one sample of its inputs, and what the file left open.

    Attributes:
        whole: of a file that `write_nir` wrote, with what its network was lowered; the model is quantized then.
    """

    model: nn.Module
    shape: tuple[int, ...]
    gaps: tuple[str, ...]
    whole: Whole | None = None


def read_nir(path: str | Path, options: NirOptions | None = None) -> NirModel:
    """The model of a `.nir` file: a chain of synapses, pooling, LIF, CubaLIF, IF and Threshold, some recurrent.

    Neurons follow Euler's rule with step dt: `v' = (1 - dt / tau) v + (r dt / tau) I`. The factor of the current
    becomes the unit of the membrane: the threshold is divided by it. A Scale, a leak to a potential and the factor of a
    readout (LI, I) are taken in by the weights and biases beside them. Of `metadata` only that of `write_nir` is read:
    it makes the quantized model again, and says all that other files leave open.

    Raises: FileFormatError for a file that is damaged or no NIR; LoweringError, naming the node, for what has no
        counterpart here, and for a time step that is needed and not stated; ConfigError for options out of range.
    """
    stated = _checked(options or NirOptions())
    graph = read_graph(Path(path))
    (stages, joined), whole = fused(chain(graph)), graph.stated
    if whole is not None:
        if stated != NirOptions():
            raise ConfigError(f"{path}: squat_deploy wrote it, and it says dt and resets itself; leave NirOptions out")
        stated = NirOptions(dt=whole.dt)
    dt = time_step(stages, stated)
    called = _module_names([stage.name for stage in stages[1:-1] if not isinstance(stage.node, nir.Scale)])
    first = first_shape(stages, stated)
    model, end = _modules(stages, Site(stages[0], first, dt, stated), called)
    notes = (*joined, *_notes(stages, end, called))
    if whole is None:
        return NirModel(model.eval().requires_grad_(False), first, (*_gaps(stages, stated, dt), *notes))
    made: nn.Module = model
    if whole.quantizer:
        made = behind_quantizer(InputQuantizer(whole.step, whole.low, whole.high), model)
    return NirModel(made.eval().requires_grad_(False), first, notes, whole)


def first_shape(stages: Sequence[Stage], options: NirOptions) -> tuple[int, ...]:
    """That of one sample, as the file says it, or as it ends. Raises: LoweringError."""
    name, node, then = stages[0].name, stages[0].node, stages[1].node
    said = sizes(name, node)
    rule = "the input has the shape of one sample in one time step"
    if options.shape is not None:
        if options.shape != said[len(said) - len(options.shape) :]:
            refuse_all([fault(name, node, rule, f"{said}, where {options.shape} was stated", "state its last axes")])
        return options.shape
    taken = np.shape(then.weight)[-1:] if isinstance(then, nir.Linear | nir.Affine) else ()
    if len(said) == 2 and said[-1:] == taken:
        refuse_all([fault(name, node, rule, f"{said}", f"state NirOptions(shape=({said[-1]},))")])
    return said


def _modules(stages: tuple[Stage, ...], site: Site, called: Mapping[str, str]) -> tuple[nn.Module, Site]:
    """The layers by their names, and where the output stands. Raises: LoweringError with all faults."""
    modules, faults = dict[str, nn.Module](), list[Fault]()
    given = {stages[0].name: (site.shape, site.gain, False)}
    for stage in stages[1:]:
        shape, gain, folded = given[stage.takes[0]]
        site = replace(site, stage=stage, shape=shape, gain=gain, behind=line_behind(stages, stage), folded=folded)
        try:
            check_joined(site, [given[name] for name in stage.takes])
            check_ports(site)
            check_taken(site)
            if isinstance(stage.node, nir.Scale):
                gain = site.gain if folded else scale_of(site) * (1 if gain is None else gain)
            elif not isinstance(stage.node, nir.Output):
                modules[called[stage.name]], shape = _built(site)
                gain, folded = handed_on(site, shape), isinstance(stage.node, SYNAPSES) and bool(site.behind)
        except LoweringError as error:
            faults.extend(error.faults)
            gain, folded = None, False
            if not isinstance(stage.node, _KEEP_SHAPE):
                break  # what comes next takes a shape that is not known
        given[stage.name] = shape, gain, folded
    refuse_all(faults)
    return joined_modules(stages, modules, called), site


def _checked(options: NirOptions) -> NirOptions:
    dt = options.dt
    if dt is not None and (isinstance(dt, bool) or not isinstance(dt, Real) or not 0 < dt < 1e300):
        raise ConfigError(f"NirOptions: dt is a number above 0; got {dt!r}")
    if options.reset not in (None, *get_args(Reset)):
        raise ConfigError(f"NirOptions: reset is one of {', '.join(get_args(Reset))}; got {options.reset!r}")
    if not isinstance(options.reset_delay, bool):
        raise ConfigError(f"NirOptions: reset_delay is True or False; got {options.reset_delay!r}")
    shape = options.shape
    if shape is not None and (not isinstance(shape, tuple) or not shape or any(type(n) is not int for n in shape)):
        raise ConfigError(f"NirOptions: shape is a tuple of sizes; got {shape!r}")
    return options


def time_step(stages: Sequence[Stage], options: NirOptions) -> float:
    """That which is stated; 1 where none is and nothing depends on time but by a factor of r."""
    timed = [stage for stage in stages if isinstance(stage.node, nir.LIF | nir.CubaLIF | nir.LI | nir.Delay)]
    if options.dt is not None or not timed:
        return float(options.dt or 1.0)
    hint = "state it: NirOptions(dt=...); snnTorch's exporter writes 1e-4, Norse's time step is 1e-3"
    if (step := guessed_step(stages)) is not None:
        hint = f"state it: NirOptions(dt={step:.4g}) is tau / r everywhere, which snnTorch's exporter writes"
    rule = "a time step is stated where a node has a time constant"
    raise LoweringError((fault(timed[0].name, timed[0].node, rule, "none", hint),))


def guessed_step(stages: Sequence[Stage]) -> float | None:
    """tau / r, if it is the same everywhere and leaves a decay above 0: snnTorch's exporter writes that time step."""
    leaking = [stage.node for stage in stages if isinstance(stage.node, nir.LIF | nir.CubaLIF | nir.LI)]
    with np.errstate(all="ignore"):
        ratios = [_membrane(node) / np.asarray(node.r, dtype=np.float64) for node in leaking]
    every = np.concatenate([np.zeros(0), *map(np.ravel, ratios)])
    every = every[np.isfinite(every)]
    if not every.size or every.min() <= 0 or np.ptp(every) > 1e-5 * every.max():
        return None
    return float(every[0]) if all((_membrane(node) > every.min()).any() for node in leaking) else None


def _membrane(node: Any) -> Any:
    return node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau


def _gaps(stages: Sequence[Stage], options: NirOptions, dt: float) -> tuple[str, ...]:
    how = "was stated" if options.dt is not None else "was taken: no node has a time constant"
    if options.reset == "none":
        reset = "'none' was stated"
    else:
        when = "one step later" if options.reset_delay else "at once"
        reset = f"'{options.reset or 'subtract'}' {'was stated' if options.reset else 'was taken'}, acting {when}"
    return (
        f"time step: NIR is continuous in time; dt = {dt:g} {how}, Euler's rule taken",
        f"reset: NIR's sets the membrane to v_reset; {reset}",
        "rounding: parameters, inputs and states are float32 here; thresholds are rounded down",
        "bit widths: NIR has none; quantize takes them for weights, states and inputs",
    )


def _notes(stages: Sequence[Stage], end: Site, called: Mapping[str, str]) -> Iterator[str]:
    """What was taken as it seems to be meant, node by node."""
    for stage in stages:
        if any(np.isinf(getattr(stage.node, key, 0.0)).any() for key in ("tau", "tau_mem", "tau_syn")):
            yield f"{shown(stage.name)}: infinite tau and factor were read as a decay and a factor of 1"
        if isinstance(stage.node, nir.Scale):
            yield f"{shown(stage.name)}: is multiplied into the weights, or divides the thresholds, beside it"
        if np.any(getattr(stage.node, "v_leak", 0.0)):
            yield f"{shown(stage.name)}: v_leak is part of the bias before it"
        if isinstance(stage.node, nir.AvgPool2d) and np.any(stage.node.padding):
            yield f"{shown(stage.name)}: the zeros around the borders are counted in the average"
    check_ports(end)
    said = sizes(end.stage.name, end.node)
    if math.prod(said) != math.prod(end.shape):
        end.refuse("the output has the shape that the file says", f"{end.shape}; it says {said}", "export it again")
    if said != end.shape:
        yield f"{shown(end.stage.name)}: the file says {said}, the network gives {end.shape}"
    for name, other in called.items():
        if name != other:
            yield f"{shown(name)}: is called {other} here"


def _module_names(names: Sequence[str]) -> dict[str, str]:
    """Names that a module may have: neither with dots nor those that `nn.Sequential` has itself."""
    taken = dict.fromkeys([*dir(nn.Sequential()), "plan"], 1)
    plain = {name: "".join(x if x.isprintable() and x != "." else "_" for x in name) for name in names}
    kept_first = sorted(names, key=lambda name: plain[name] != name)
    return {name: unique_name(plain[name], taken) for name in kept_first}


def _built(site: Site) -> Built:
    build = _BUILDERS.get(type(site.node))
    if build is None:
        hint = _INSTEAD.get(type(site.node), "export another layer")
        site.refuse("this node has no counterpart", type(site.node).__name__, hint)
    return build(site)


_INSTEAD: dict[type, str] = {
    nir.CubaLI: "write LI, or CubaLIF, whose spikes are counted",
}
_KEEP_SHAPE = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold, nir.Delay, nir.Scale, nir.LI, nir.I, nir.CubaLI)
_BUILDERS: dict[type, Callable[[Site], Built]] = {
    nir.Linear: layers.linear,
    nir.Affine: layers.linear,
    nir.Conv1d: layers.conv,
    nir.Conv2d: layers.conv,
    nir.SumPool2d: layers.pool,
    nir.AvgPool2d: layers.pool,
    nir.Flatten: layers.flatten,
    nir.Threshold: neurons.threshold,
    nir.LIF: neurons.neurons,
    nir.CubaLIF: neurons.neurons,
    nir.IF: neurons.neurons,
    nir.LI: neurons.readout,
    nir.I: neurons.readout,
    nir.Delay: layers.delay,
}
