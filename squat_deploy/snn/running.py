"""Running an `nn.Sequential` over time: once as it stands (the oracle), once with all that is constant hoisted out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from brevitas.nn import QuantConv2d, QuantLinear
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.layers import IntThenScaleQuant
from squat_deploy.snn.neurons import NEURONS, kind_of, own_instances, reset_neurons, spike_value
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.states import Start

Step = Callable[[Tensor], Tensor]
_ONCE = (QuantLinear.forward, QuantConv2d.forward, IntThenScaleQuant.forward)  # need their weights once a sequence
_RUN = ("__call__", "_wrapped_call_impl", "_call_impl", "__iter__", "__getattr__", "__getattribute__")  # decide it
_COMPILED_LOOPS = 4096  # kinds of layers, shapes and quantizers that one process may meet


@dataclass
class ModelTrace:
    """What one neuron layer did: lists of (B, N) tensors, one a step, all of them copies.

    Attributes:
        membranes: carried membranes.
        currents: the other carried state of two-state neurons; empty for others.
        spike: what one spike is worth.
    """

    spikes: list[Tensor] = field(default_factory=list)
    membranes: list[Tensor] = field(default_factory=list)
    currents: list[Tensor] = field(default_factory=list)
    spike: float = 1.0

    def add(self, module: nn.Module, result: Any) -> None:
        """What these neurons have just done, and what they returned."""
        *others, membrane = (getattr(module, state) for state in kind_of(module).states)
        self.spikes.append(_spikes(result).detach().clone())
        self.membranes.append(membrane.detach().clone())
        self.currents += [other.detach().clone() for other in others]


class ShapeTrace(ModelTrace):
    """How often a layer ran, and on what shapes: of each tensor one value, spread."""

    def add(self, module: nn.Module, result: Any) -> None:
        self.spikes.append(torch.zeros(()).expand(_spikes(result).shape))


@dataclass(frozen=True, eq=False)
class OwnRun:
    """A trained model, called as its user calls it.

    Attributes:
        traces: the trace of every neuron layer by name, in the order in which they first run; empty if not watched.
        returned: what each call returned, one call where the model loops over time, else one a step.
    """

    traces: dict[str, ModelTrace]
    returned: list[Any]


def leaves(model: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules of nested `nn.Sequential`s in the order in which they run, with their dotted names.

    A module that stands in several places is named in each of them (`named_children` would skip it).
    """
    for name, child in model._modules.items():
        if child is None:
            continue
        path = f"{prefix}{name}"
        if type(child) is nn.Sequential:
            yield from leaves(child, f"{path}.")
        else:
            yield path, child


def is_plain(model: nn.Module) -> bool:
    """Whether a model is an `nn.Sequential`, run module by module; a class may be made of it, and not change that."""
    kind = type(model)
    plain = isinstance(model, nn.Sequential) and kind.forward is nn.Sequential.forward
    run = all(getattr(kind, name, None) is getattr(nn.Sequential, name) for name in _RUN)
    return plain and run and "forward" not in vars(model)


def run_model(
    model: nn.Module, inputs: Tensor, steps: int, *, direct: bool = True, initial_state: Any = None
) -> dict[str, ModelTrace]:
    """The trained model itself, step by step from rest, without any shortcut.

    Args:
        inputs: (B, ...) shown at every step when `direct`, else (T, B, ...).
        initial_state: what a forward that takes its states is given first, as `calling_of`.

    Returns: the trace of every neuron layer by name, in the order in which they first run.
    """
    from squat_deploy.snn.calling import calling_of
    from squat_deploy.snn.sharing import taken_apart

    few = inputs[:1] if direct else inputs[:, :1]
    model = taken_apart(model, inputs, steps, direct=direct, initial_state=initial_state)
    called = calling_of(model, few, steps, direct=direct, initial_state=initial_state)
    return own_run(model, inputs, steps, looped=called.looped, direct=direct, start=called.start).traces


def own_run(
    model: nn.Module,
    inputs: Tensor,
    steps: int,
    *,
    looped: bool,
    direct: bool = True,
    watch: bool = True,
    at_rest: bool = True,
    start: Start | None = None,
    traced: Callable[[str, float], ModelTrace] | None = None,
) -> OwnRun:
    """One sequence of the trained model, called plainly: `model(inputs)`, or `model(inputs[step])` a step.

    Args:
        looped, start: as `calling_of` says; with a start, `model(inputs, state)`.
        watch: keep the traces, by forward hooks.
        at_rest: put the neurons to rest before; else they go on from where they are.
        traced: what takes the trace of a layer, of its name and the worth of a spike.
    """
    if at_rest:
        reset_neurons(model)
    given = inputs.clone() if looped or direct else inputs  # a model may change its inputs in place
    states = () if start is None else start.first(given.shape[0 if direct else 1])
    with torch.backends.nnpack.flags(enabled=False), watched(model, watch=watch, traced=traced) as traces:
        if looped:
            return OwnRun(traces, [copied(model(given, *states))])
        returned = []
        for step in range(steps):
            result = model(given if direct else given[step].clone(), *states)
            returned.append(copied(result))
            states = () if start is None else start.left(result)[1]
        return OwnRun(traces, returned)


def copied(result: Any) -> Any:
    """Tensors of what a model returned, as they are now; anything else in it as None."""
    if isinstance(result, Tensor):
        return result.detach().clone()
    if isinstance(result, Mapping):
        return {key: copied(part) for key, part in result.items()}
    return tuple(map(copied, result)) if isinstance(result, tuple | list) else None


@contextmanager
def watched(
    model: nn.Module, *, watch: bool = True, traced: Callable[[str, float], ModelTrace] | None = None
) -> Iterator[dict[str, ModelTrace]]:
    """Keeps copies of what every neuron module of a model does meanwhile; inner loops over time included."""
    traces: dict[str, ModelTrace] = {}
    made = traced or (lambda _, spike: ModelTrace(spike=spike))

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _: Any, result: Any) -> None:
            if name not in traces:
                traces[name] = made(name, spike_value(module))
            traces[name].add(module, result)

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if watch and isinstance(module, NEURONS)
    ]
    try:
        with own_instances(model):
            yield traces
    finally:
        for handle in handles:
            handle.remove()


def loops_over_time(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool, start: Start | None = None) -> bool:
    """Whether one call of a model runs all time steps, or one of them. It is run: give a copy where that matters.

    Raises: ConfigError where it runs another number of steps; whatever the model raises.
    """
    first = inputs if direct else inputs[0]
    attempts = [first] if direct else [first, inputs] if steps == 1 else [inputs, first]
    failed: Exception | None = None
    furthest = -1
    for values in attempts:
        whole = values is inputs and not direct
        tried = _tried(model, values, () if start is None else start.first(values.shape[int(whole)]))
        most = max(tried.counts, default=0)
        if tried.error is not None:
            if whole and most >= steps > 1:
                raise ConfigError(
                    f"the model asks for more than the {steps} time steps that were given"
                ) from tried.error
            if tried.layers > furthest:  # the form in which more of the model runs says what is wrong
                failed, furthest = tried.error, tried.layers
        elif steps in tried.counts and values is inputs and (steps > 1 or not direct):
            return True
        elif tried.counts <= {1} and not whole and tried.batch in (None, len(first)):
            return False
        elif most not in (0, 1, steps):
            hint = f"if its forward loops over time, ask for steps={most}"
            if whole and most == len(first):
                hint = "that is how many samples it was given: time comes first, inputs are (steps, batch, ...)"
            elif direct and most == len(first):
                hint = "that is how many samples it was given: it takes sequences, not one frame for all steps"
            text = f"the model runs {most} time steps in one call; steps={steps} were asked for; {hint}"
            failed = failed or ConfigError(text)
    if failed is not None:
        raise failed
    return False


@dataclass(frozen=True)
class _Tried:
    """How often one call of a model ran its neurons, how many layers of them, on how many samples (None: differs), and
    what it raised.
    """

    counts: set[int]
    layers: int
    batch: int | None
    error: Exception | None


def _tried(model: nn.Module, values: Tensor, states: tuple[Any, ...]) -> _Tried:
    reset_neurons(model)
    error: Exception | None = None
    with torch.no_grad(), watched(model, traced=lambda *_: ShapeTrace()) as traces:
        try:
            model(values.clone(), *states)
        except Exception as raised:  # noqa: BLE001 (the caller raises it, if no form fits)
            error = raised
    sizes = {spikes.shape[0] if spikes.ndim > 1 else 0 for trace in traces.values() for spikes in trace.spikes}
    counts = {len(trace.spikes) for trace in traces.values()}
    return _Tried(counts, len(traces), sizes.pop() if len(sizes) == 1 else None, error)


def over_time(neuron: Step, currents: list[Tensor]) -> Tensor:
    """Spikes (T, B, ...) of one neuron layer at rest, from its currents, one (B, ...) a step."""
    return torch.stack([_spikes(neuron(current)) for current in currents])


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the real modules as vectorised C++ (Inductor), equal to the bit.

    Gradients compute a second time what they need: that takes less time than storing what every step decided, since
    truth values leave vector registers one by one.
    """
    # Each time, since these hold for one thread, and a worker of a study has several.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _COMPILED_LOOPS
    torch._functorch.config.activation_memory_budget = 0.0
    return _made_compiled(function)


@cache
def _made_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, fullgraph=True, dynamic=False)


def run_sequence(
    model: nn.Module,
    inputs: Tensor,
    steps: int,
    *,
    direct: bool = True,
    quantize_weights: bool = True,
    compiled: bool = False,
) -> Tensor:
    """Output spikes (T, B, classes) of an `nn.Sequential`, several times faster than calling it step by step.

    Layer after layer: a module without state sees all steps as one batch (so that a batch-norm takes its statistics
    of all of them), or runs once where the same is shown at every step (`direct`); weights are quantized once.
    `quantize_weights=False` runs the float network (for warm-up epochs). `compiled` is worth its 10 to 60 seconds for
    thousands of batches of one shape.
    """
    values, still = inputs, direct
    for _, module in leaves(model):
        if isinstance(module, NEURONS):
            reset_neurons(module)
            _put_to_rest(module, values if still else values[0])
            in_time = _compiled(over_time) if compiled and not kind_of(module).recurrent else over_time
            values = in_time(module, [values] * steps if still else list(values.unbind()))
            still = False
        else:
            call = _prepared(module, quantize_weights, compiled)
            together = call(values if still else values.flatten(0, 1))
            values = together if still else together.reshape(steps, -1, *together.shape[1:])
    return values.expand(steps, *values.shape) if still else values


def why_not_compiled(model: nn.Module, inputs: Tensor, steps: int, *, direct: bool, quantized: bool) -> str | None:
    """What keeps a batch from running in compiled loops on this machine; None where nothing does.

    Tried on a copy, forwards and backwards: the model is left as it is, and then finds the loops compiled.
    """
    options: dict[str, Any] = {"direct": direct, "quantize_weights": quantized, "compiled": True}
    try:
        run_sequence(copy.deepcopy(model), inputs, steps, **options).sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:  # of Dynamo, Inductor, or the C++ compiler
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        return next((line for line in lines if "error:" in line), lines[0])  # that of the compiler, if it ran
    return None


def _integer_weight(module: IntThenScaleQuant) -> tuple[Tensor, Tensor]:
    return module.integer_weight()


def _quantized_weight(module: QuantLinear | QuantConv2d) -> Tensor:
    weight: Tensor = module.quant_weight().value
    return weight


def _prepared(module: nn.Module, quantize_weights: bool, compiled: bool) -> Step:
    """`compiled` is for gradients: without them, weights are quantized so rarely that compiling never pays."""
    made = _compiled if compiled and torch.is_grad_enabled() else (lambda function: function)
    if not isinstance(module, QuantLinear | QuantConv2d) or type(module).forward not in _ONCE:
        return module
    if _quantizes_others(module):
        return module
    if isinstance(module, IntThenScaleQuant) and quantize_weights:
        integers, scale = made(_integer_weight)(module)
        bias: Any = module.bias
        return lambda values: module.scaled(values, integers, scale, bias)
    weight = made(_quantized_weight)(module) if quantize_weights else module.weight
    if isinstance(module, QuantLinear):
        return lambda values: nn.functional.linear(values, weight, module.bias)
    if module.padding_mode != "zeros":
        return module
    sizes = (module.stride, module.padding, module.dilation, module.groups)
    return lambda values: nn.functional.conv2d(values, weight, module.bias, *sizes)


def _put_to_rest(neuron: nn.Module, current: Tensor) -> None:
    """Zero states of the shape of the current: snnTorch makes them itself, but the compiler wants them beforehand."""
    kind = kind_of(neuron)
    for name in () if kind.recurrent else kind.states:
        setattr(neuron, name, torch.zeros_like(current))
    if isinstance(neuron.state_quant, StateQuantizer):
        neuron.state_quant.forget()


def _spikes(result: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """What the next layer takes of what a layer returned; Brevitas' own tensors are named tuples."""
    return result[0] if type(result) is tuple else result  # type: ignore[return-value]


def _quantizes_others(module: QuantLinear | QuantConv2d) -> bool:
    """Whether more than the weights is quantized, so that the layer must be called as it stands."""
    return any(proxy.is_quant_enabled for proxy in (module.bias_quant, module.input_quant, module.output_quant))
