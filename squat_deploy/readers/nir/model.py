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
from typing import Any, Literal, NoReturn, get_args

import nir
import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, Fault, LoweringError
from squat_deploy.names import unique_name
from squat_deploy.network.layers.delay import MAX_DELAY
from squat_deploy.readers.nir.file import read_graph
from squat_deploy.readers.nir.graph import Stage, chain, fault, refuse_all, shown
from squat_deploy.snn.delay import Delay

MAX_VALUES = 2**26  # of a layer, in one time step
Reset = Literal["subtract", "zero", "none"]
Array = NDArray[np.float64]
_Built = tuple[nn.Module, tuple[int, ...]]


@dataclass(frozen=True)
class NirOptions:
    """What a NIR file does not say.

    Attributes:
        dt: length of a time step in the file's unit of time; needed where a node has a time constant. snnTorch's
            exporter writes 1e-4, Norse's time step is 1e-3. Without one, dt is 1 unless it is stated.
        reset: what happens to the membrane after a spike, and `reset_delay` when: "subtract" takes the threshold from
            it, "zero" makes it 0. Subtraction is taken where it is not stated and every v_reset is 0.
        reset_delay: the step after the spike, before its input is added; else at once.
    """

    dt: float | None = None
    reset: Reset | None = None
    reset_delay: bool = True


@dataclass(frozen=True, eq=False)
class NirModel:
    """A float model, the shape of one sample of its inputs, and what the file left open."""

    model: nn.Sequential
    shape: tuple[int, ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Site:
    """One node, the shape of what comes to it, the time step that was taken, and the options as they were stated."""

    stage: Stage
    shape: tuple[int, ...]
    dt: float
    options: NirOptions

    @property
    def node(self) -> Any:
        return self.stage.node

    def refuse(self, rule: str, got: str, hint: str) -> NoReturn:
        raise LoweringError((fault(self.stage.name, self.node, rule, got, hint),))

    def numbers(self, key: str) -> Array:
        """A field, all of it finite."""
        return self.finite(key, np.asarray(getattr(self.node, key)))

    def finite(self, key: str, values: NDArray[Any]) -> Array:
        """The same values."""
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)][:3].tolist()
            self.refuse("every parameter is finite", f"{key} {', '.join(map(str, bad))}", "export it again")
        return values.astype(np.float64)

    def wholes(self, key: str, count: int, least: int) -> tuple[int, ...]:
        """A field of one whole number an axis, or of one for all."""
        values = self.numbers(key).reshape(-1)
        whole = (values == np.round(values)) & (least <= values) & (values < 2**31)
        if values.size not in (1, count) or not whole.all():
            got = f"{key} {values[:4].tolist()}"
            self.refuse(f"sizes are {count} whole numbers from {least}, or one", got, "export it again")
        return tuple(int(value) for value in np.broadcast_to(values, count))

    def float32(self, key: str, values: Array) -> Tensor:
        """Rounded to float32; refused where that is nothing like the values."""
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float32)
        if values.size and not np.abs(rounded - values).max() <= 2.0**-20 * np.abs(values).max():
            self.refuse("parameters are float32", f"{key} up to {np.abs(values).max():g}", "scale the network")
        return torch.from_numpy(np.asarray(rounded))

    def one_each(self, key: str, values: Array) -> Array:
        """One value for all neurons, or one for each."""
        if values.shape != self.shape and values.size != 1:
            got = f"{key} of {values.shape} for {self.shape}"
            self.refuse("parameters are one for all neurons, or one for each", got, "export it again")
        return values.reshape(-1)[0].reshape(()) if np.unique(values).size == 1 else values


def read_nir(path: str | Path, options: NirOptions | None = None) -> NirModel:
    """The model of a `.nir` file: a chain of synapses, pooling, LIF, CubaLIF, IF and Threshold, some recurrent.

    Neurons follow Euler's rule with step dt: `v' = (1 - dt / tau) v + (r dt / tau) I`. The factor of the current
    becomes the unit of the membrane: the threshold is divided by it, and no weight is touched. `metadata` of nodes is
    not read.

    Raises: FileFormatError for a file that is damaged or no NIR; LoweringError, naming the node, for what has no
        counterpart here, and for a time step that is needed and not stated; ConfigError for options out of range.
    """
    stated = _checked(options or NirOptions())
    stages = chain(read_graph(Path(path)))
    dt = _time_step(stages, stated)
    shape = first = _sizes(stages[0].name, stages[0].node)
    called = _module_names([stage.name for stage in stages[1:-1]])
    model, faults = nn.Sequential(), list[Fault]()
    for stage in stages[1:-1]:
        site = _Site(stage, shape, dt, stated)
        try:
            _check_ports(site)
            module, shape = _built(site)
            model.add_module(called[stage.name], module)
        except LoweringError as error:
            faults.extend(error.faults)
            if not isinstance(stage.node, _KEEP_SHAPE):
                break  # what comes next takes a shape that is not known
    refuse_all(faults)
    gaps = (*_gaps(stages, stated, dt), *_notes(stages, _Site(stages[-1], shape, dt, stated), called))
    return NirModel(model.eval().requires_grad_(False), first, gaps)


def _checked(options: NirOptions) -> NirOptions:
    dt = options.dt
    if dt is not None and (isinstance(dt, bool) or not isinstance(dt, Real) or not 0 < dt < 1e300):
        raise ConfigError(f"NirOptions: dt is a number above 0; got {dt!r}")
    if options.reset not in (None, *get_args(Reset)):
        raise ConfigError(f"NirOptions: reset is one of {', '.join(get_args(Reset))}; got {options.reset!r}")
    if not isinstance(options.reset_delay, bool):
        raise ConfigError(f"NirOptions: reset_delay is True or False; got {options.reset_delay!r}")
    return options


def _time_step(stages: Sequence[Stage], options: NirOptions) -> float:
    """That which is stated; 1 where none is and nothing depends on time but by a factor of r."""
    timed = [stage for stage in stages if isinstance(stage.node, nir.LIF | nir.CubaLIF | nir.Delay)]
    if options.dt is not None or not timed:
        return float(options.dt or 1.0)
    hint = "state it: NirOptions(dt=...); snnTorch's exporter writes 1e-4, Norse's time step is 1e-3"
    with np.errstate(all="ignore"):
        ratios = [_membrane(x.node) / np.asarray(x.node.r, dtype=np.float64) for x in timed if hasattr(x.node, "r")]
    every = np.concatenate([np.zeros(0), *map(np.ravel, ratios)])
    every = every[np.isfinite(every)]
    if every.size and every.min() > 0 and np.ptp(every) <= 1e-5 * every.max():
        hint = f"state it: NirOptions(dt={every[0]:.4g}) is tau / r everywhere, which snnTorch's exporter writes"
    rule = "a time step is stated where a node has a time constant"
    raise LoweringError((fault(timed[0].name, timed[0].node, rule, "none", hint),))


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


def _notes(stages: Sequence[Stage], end: _Site, called: Mapping[str, str]) -> Iterator[str]:
    """What was taken as it seems to be meant, node by node."""
    for stage in stages:
        if any(np.isinf(getattr(stage.node, key, 0.0)).any() for key in ("tau", "tau_mem", "tau_syn")):
            yield f"{shown(stage.name)}: infinite tau and factor were read as a decay and a factor of 1"
        if isinstance(stage.node, nir.AvgPool2d) and np.any(stage.node.padding):
            yield f"{shown(stage.name)}: the zeros around the borders are counted in the average"
    _check_ports(end)
    said = _sizes(end.stage.name, end.node)
    if math.prod(said) != math.prod(end.shape):
        end.refuse("the output has the shape that the file says", f"{end.shape}; it says {said}", "export it again")
    if said != end.shape:
        yield f"{shown(end.stage.name)}: the file says {said}, the network gives {end.shape}"
    for name, other in called.items():
        if name != other:
            yield f"{shown(name)}: is called {other} here"


def _sizes(name: str, port: Any) -> tuple[int, ...]:
    """The shape that an input or output states."""
    (values,) = (port.input_type if isinstance(port, nir.Input) else port.output_type).values()
    sizes = np.asarray(values, dtype=np.float64).reshape(-1)
    if not sizes.size or not ((sizes >= 1) & (sizes == np.round(sizes))).all() or sizes.prod() > MAX_VALUES:
        rule, got = f"shapes are whole numbers from 1, of {MAX_VALUES} values at most", f"{sizes[:5].tolist()}"
        raise LoweringError((fault(name, port, rule, got, "export it again"),))
    return tuple(int(size) for size in sizes)


def _check_ports(site: _Site) -> None:
    back = site.stage.back
    for port in (*site.stage.ports, *(back.ports if back else ())):
        if (said := _sizes(site.stage.name, port)) != site.shape:
            got = f"{said} said by the {type(port).__name__.lower()} of its subgraph for {site.shape}"
            site.refuse("subgraphs take and give the shapes that they say", got, "export it again")


def _module_names(names: Sequence[str]) -> dict[str, str]:
    """Names that a module may have: neither with dots nor those that `nn.Sequential` has itself."""
    taken = dict.fromkeys(dir(nn.Sequential()), 1)
    plain = {name: "".join(x if x.isprintable() and x != "." else "_" for x in name) for name in names}
    kept_first = sorted(names, key=lambda name: plain[name] != name)
    return {name: unique_name(plain[name], taken) for name in kept_first}


def _built(site: _Site) -> _Built:
    build = _BUILDERS.get(type(site.node))
    if build is None:
        hint = _INSTEAD.get(type(site.node), "export another layer")
        site.refuse("this node has no counterpart", type(site.node).__name__, hint)
    return build(site)


def _shape_after(site: _Site, layer: nn.Module, axes: int) -> tuple[int, ...]:
    """Shape of what a layer on the device "meta", which computes nothing, gives."""
    hint = "export it again"
    if len(site.shape) != axes:
        site.refuse(f"this node takes {axes} axes", f"{site.shape}", hint)
    try:
        shape = tuple(layer(torch.zeros(1, *site.shape, device="meta")).shape[1:])
    except (RuntimeError, ValueError) as error:
        site.refuse("this node takes what the one before gives", " ".join(str(error).split())[:200], hint)
    if not 0 < math.prod(shape) <= MAX_VALUES:
        site.refuse(f"a layer has 1 to {MAX_VALUES} values", f"{shape}", hint)
    return shape


def _fill(site: _Site, layer: Any, weight: Array) -> None:
    layer.weight = nn.Parameter(site.float32("weight", weight))
    if layer.bias is not None:
        bias = site.numbers("bias").reshape(-1)
        if bias.size != len(weight):
            site.refuse("one bias an output", f"{bias.size} for {len(weight)}", "export it again")
        layer.bias = nn.Parameter(site.float32("bias", bias))


def _linear(site: _Site) -> _Built:
    weight = site.numbers("weight")
    if weight.ndim != 2:
        site.refuse("weights are a matrix", f"shape {weight.shape}", "export it again")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=hasattr(site.node, "bias"), device="meta")
    shape = _shape_after(site, layer, 1)
    _fill(site, layer, weight)
    return layer, shape


def _conv(site: _Site) -> _Built:
    node, weight = site.node, site.numbers("weight")
    axes = 2 if isinstance(node, nir.Conv2d) else 1
    if weight.ndim != axes + 2 or 0 in weight.shape:
        site.refuse(f"weights have {axes + 2} axes", f"shape {weight.shape}", "export it again")
    said = None if node.input_shape is None else tuple(np.ravel(node.input_shape).tolist())
    if said not in (None, site.shape[1:]):
        site.refuse("this node takes what the one before gives", f"{site.shape}; it says {said}", "export it again")
    (groups,) = site.wholes("groups", 1, 1)
    stride, dilation = site.wholes("stride", axes, 1), site.wholes("dilation", axes, 1)
    kernel = weight.shape[2:]
    padding = _padding(site, kernel, stride, dilation)
    made: Any = nn.Conv2d if axes == 2 else nn.Conv1d
    if weight.shape[0] % groups:
        site.refuse("groups divide the channels", f"{groups} groups, {weight.shape[0]} channels", "export it again")
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = made(weight.shape[1] * groups, weight.shape[0], kernel, **sizes, device="meta")
    shape = _shape_after(site, layer, axes + 1)
    _fill(site, layer, weight)
    return layer, shape


def _padding(site: _Site, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Zeros on either side; those of 'same' in numbers."""
    if not isinstance(site.node.padding, str):
        return site.wholes("padding", len(kernel), 0)
    if site.node.padding == "valid":
        return (0,) * len(kernel)
    around = [space * (size - 1) for space, size in zip(dilation, kernel, strict=True)]
    if set(stride) != {1} or any(zeros % 2 for zeros in around):
        got = f"padding 'same', kernel {tuple(kernel)}, stride {tuple(stride)}"
        site.refuse("pads both sides alike", got, "export numbers in place of 'same'")
    return tuple(zeros // 2 for zeros in around)


def _pool(site: _Site) -> _Built:
    kernel, stride, padding = (
        site.wholes(key, 2, int(key != "padding")) for key in ("kernel_size", "stride", "padding")
    )
    if any(2 * zeros > size for zeros, size in zip(padding, kernel, strict=True)):
        got = f"padding {padding}, kernel_size {kernel}"
        site.refuse("pools are padded by half their kernel at most", got, "pad in the convolution before")
    divisor = 1 if isinstance(site.node, nir.SumPool2d) else None
    pool: Any = nn.AvgPool2d
    layer = pool(kernel, stride, padding, divisor_override=divisor)
    return layer, _shape_after(site, layer, 3)


def _flatten(site: _Site) -> _Built:
    said, axes = site.node.input_type["input"], len(site.shape)
    if said is not None and tuple(np.ravel(said).tolist()) != site.shape:
        site.refuse("this node takes what the one before gives", f"{site.shape}; it says {said}", "export it again")
    start, end = (site.wholes(key, 1, -axes)[0] for key in ("start_dim", "end_dim"))
    first, last = start % axes, end % axes
    if max(start, end) >= axes or first > last:
        got = f"start_dim {start}, end_dim {end} of {site.shape}"
        site.refuse("flattens axes from the first to the last (without a batch axis)", got, "export it again")
    whole = (first, last) == (0, axes - 1)
    layer = nn.Flatten() if whole else nn.Flatten(first + 1, last + 1)
    return layer, _shape_after(site, layer, axes)


def _delay(site: _Site) -> _Built:
    """Whole time steps, up to the rounding of the times in float32."""
    times = site.one_each("delay", site.numbers("delay"))
    steps = np.round(times / site.dt)
    whole = (np.abs(times - steps * site.dt) <= 1e-5 * np.abs(times)) & (steps >= 0) & (steps <= MAX_DELAY)
    if not whole.all():
        got = f"{np.ravel(times)[~np.ravel(whole)][:3].tolist()} of dt {site.dt:g}"
        site.refuse(
            f"delays are 0 to {MAX_DELAY} whole time steps", got, "state another NirOptions(dt=...), or round it"
        )
    return Delay(torch.as_tensor(steps.astype(np.int64))), site.shape  # a NumPy scalar where all are alike


def _threshold(site: _Site) -> _Built:
    """Neurons without memory."""
    threshold = _rounded_down(site, site.one_each("threshold", site.numbers("threshold")))
    return snn.Leaky(beta=0.0, threshold=threshold, reset_mechanism="none", init_hidden=True), site.shape


def _neurons(site: _Site) -> _Built:
    """With v in units of the factor of the current, v' = decay v + I: the threshold alone is divided by it."""
    node, back = site.node, site.stage.back
    _check_rest(site)
    decays, factor = _kinetics(site)
    if not ((factor > 0) & np.isfinite(factor)).all():
        hint = "negate r and the weights before where r is negative; write r = 1 and weights of 0 where it is 0"
        site.refuse("the factor of the current is above 0", f"{factor.min():g} to {factor.max():g}", hint)
    threshold = site.numbers("v_threshold") / factor
    kind: Any = {(False, False): snn.Leaky, (True, False): snn.Synaptic, (False, True): snn.RLeaky}.get(
        (isinstance(node, nir.CubaLIF), back is not None), snn.RSynaptic
    )
    options = _reset_options(site, kind, threshold)
    options |= {key: site.float32(key, site.one_each(key, decay)) for key, decay in decays.items()}
    options["threshold"] = _rounded_down(site, site.one_each("v_threshold", threshold))
    if back is None:
        return kind(**options, init_hidden=True), site.shape
    synapses, shape = _linear(replace(site, stage=back))
    if shape != site.shape:
        site.refuse("spikes come back to the same neurons", f"{shape} for {site.shape}", "export it again")
    made = kind(**options, init_hidden=True, linear_features=shape[0])
    made.recurrent = synapses
    return made, shape


def _check_rest(site: _Site) -> None:
    """Membranes rest at 0, and a v_reset that is no 0 is not dropped in silence."""
    if not isinstance(site.node, nir.IF) and site.numbers("v_leak").any():
        hint = "write v_leak = 0" + ("" if isinstance(site.node, nir.CubaLIF) else " and add v_leak / r to the bias")
        site.refuse("the membrane leaks towards 0", "another v_leak", hint)
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


def _reset_options(site: _Site, kind: type, threshold: Array) -> dict[str, Any]:
    reset, delay = site.options.reset or "subtract", site.options.reset_delay
    if reset == "none":
        return {"reset_mechanism": reset, "reset_delay": True}
    if (reset, delay) not in _RESETS[kind]:
        hint = " or ".join(f"reset='{what}', reset_delay={later}" for what, later in _RESETS[kind])
        rule = f"snnTorch's {kind.__name__} resets as stated"
        site.refuse(rule, f"reset='{reset}', reset_delay={delay}, which it does otherwise", f"use {hint}")
    if not delay and (threshold < 0).any():
        hint = "use reset_delay=True" if kind is snn.Leaky else "use reset='subtract', reset_delay=True"
        site.refuse("a reset at once ends below the threshold", f"v_threshold {threshold.min():g}", hint)
    return {"reset_mechanism": reset, "reset_delay": delay}


def _kinetics(site: _Site) -> tuple[dict[str, Array], Array]:
    """Decays by snnTorch's names, and the factor of the current."""
    if isinstance(site.node, nir.IF):
        site.numbers("r")
        return {"beta": np.ones(())}, (site.dt * np.asarray(site.node.r)).astype(np.float64)
    if isinstance(site.node, nir.LIF):
        beta, factor = _leak(site, "tau", "r")
        return {"beta": beta}, factor
    alpha, weight = _leak(site, "tau_syn", "w_in")
    beta, factor = _leak(site, "tau_mem", "r")
    return {"alpha": alpha, "beta": beta}, factor * weight


def _leak(site: _Site, tau: str, factor: str) -> tuple[Array, Array]:
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


def _rounded_down(site: _Site, threshold: Array) -> Tensor:
    """A float32 lies above the result exactly where it lies above `threshold`."""
    nearest = site.float32("v_threshold", threshold).numpy()
    below = np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32)
    return torch.from_numpy(np.asarray(np.where(nearest > threshold, below, nearest)))


_INSTEAD: dict[type, str] = {
    nir.LI: "write LIF in its place, whose spikes are counted",
    nir.CubaLI: "write CubaLIF in its place, whose spikes are counted",
    nir.I: "write IF in its place, whose spikes are counted",
    nir.Scale: "multiply it into the weights beside it",
}
_KEEP_SHAPE = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold, nir.Delay, *_INSTEAD)
_BUILDERS: dict[type, Callable[[_Site], _Built]] = {
    nir.Linear: _linear,
    nir.Affine: _linear,
    nir.Conv1d: _conv,
    nir.Conv2d: _conv,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
    nir.Threshold: _threshold,
    nir.LIF: _neurons,
    nir.CubaLIF: _neurons,
    nir.IF: _neurons,
    nir.Delay: _delay,
}
