"""Post-training quantization: a float snnTorch model becomes one with quantized weights and states, ready to lower.

The baseline of SQUAT, and the way in for models that were never trained with quantization. What comes out is an
ordinary torch model of Brevitas layers and `StateQuantizer`s, so it can also be trained further (QAT).
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from brevitas.nn import QuantConv1d, QuantConv2d, QuantConvTranspose1d, QuantConvTranspose2d, QuantLinear
from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPointMSE
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, SquatError, SquatWarning
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.progress import report
from squat_deploy.snn.additions import coarse_levels, coarsen_decays
from squat_deploy.snn.adopting import Adopted, adopted, warn_of_unregistered
from squat_deploy.snn.batch_first import time_first as called_in_time
from squat_deploy.snn.calibrating import calibrated_levels, sampled_membranes
from squat_deploy.snn.copying import check_model, frozen_copy
from squat_deploy.snn.layers import QuantizedInput
from squat_deploy.snn.levels import Kind
from squat_deploy.snn.neurons import NEURONS, gives_states, kind_of, reset_neurons, spikes_alone
from squat_deploy.snn.quantizers import InputQuantizer, StateQuantizer
from squat_deploy.snn.running import is_plain, run_model
from squat_deploy.snn.sharing import module_of
from squat_deploy.snn.states import made_state
from squat_deploy.snn.wrappers import opened, warn_of_wrappers

Bits = int | Mapping[str, int]
Levels = Kind | Literal["fitted"]
Limits = Literal["calibrated"] | tuple[float, float]
_SHOWN = 256  # calibration inputs on which neurons are watched
_MAX_STEPS = 65_535  # of a network
NEVER = 2.0**100  # from this threshold on, neurons are readouts of membranes
_STEP_BITS = 8  # significant bits of the step of a readout: its multiples are exact in float32
_BIAS_STEPS = 16  # steps of a bias in one step of the weights
_LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: QuantLinear,
    nn.Conv2d: QuantConv2d,
    nn.Conv1d: QuantConv1d,
    nn.ConvTranspose2d: QuantConvTranspose2d,
    nn.ConvTranspose1d: QuantConvTranspose1d,
}


def quantize(
    model: nn.Module,
    calibration_data: Tensor | NDArray[Any],
    *,
    steps: int,
    weight_bits: Bits = 4,
    state_bits: Bits = 4,
    levels: Levels = "threshold-centred",
    limits: Limits = "calibrated",
    input_bits: int = 8,
    encoding: Literal["direct", "sequence"] = "direct",
    time_first: bool = True,
    initial_state: Any = None,
) -> nn.Module:
    """A quantized copy of a float snnTorch model, in eval mode, on the CPU.

    `nn.Linear` and convolutions, transposed ones too, become Brevitas layers with power-of-two scales, neurons without
    `state_quant` get one, and inputs that are no small integers are put on a grid; batch norms stay. Decays of
    recurrent neurons are rounded to thirty-seconds, so that their currents may be added in any order (`additions.py`).
    Layers and neurons that are quantized already, and neurons that forward never calls, keep what they have.

    Args:
        calibration_data: float32 inputs, (B, ...) for "direct", (T, B, ...) for "sequence", a tensor or a NumPy array:
            it decides the grid of the inputs and, with limits="calibrated", the range of the states.
        steps: time steps of one sequence.
        weight_bits, state_bits: one width, or one for every layer by the name of its module.
        levels: kind of the level tables, or "fitted": those that flip the fewest spikes of the float model on the
            calibration data (`fitting.best_levels`).
        limits: (lower_limit, upper_limit) of the level tables as shares of the threshold, or "calibrated".
        input_bits: width of the integers that real inputs are rounded to.
        time_first: whether the model takes sequences as the calibration data lie, or as (B, T, ...).
        initial_state: of a model that takes its states: what it is given first, as for `lower`.

    Raises: ConfigError for names that are no layers, widths out of range, NaN, or a model without anything to quantize.

    Warns: SquatWarning of neurons that never fire on the calibration data any more, or always.
    """
    first, calibration_data = made_state(initial_state), _tensor(calibration_data)
    options: dict[str, Any] = {"levels": levels, "limits": limits, "input_bits": input_bits, "encoding": encoding}
    options |= {"initial_state": first, "time_first": time_first}
    made = _made(model, calibration_data, steps, weight_bits, state_bits, **options)
    called = _as_called(made, calibration_data, encoding, time_first)
    _warn_of_silence(called, calibration_data.cpu(), steps, direct=encoding == "direct", initial_state=first)
    return made


def _tensor(data: object) -> Tensor:
    """Calibration data as the model takes them; arrays are float32 then, as inputs of float models are."""
    if isinstance(data, np.ndarray) and data.dtype.kind in "fiub":
        return torch.from_numpy(data.astype(np.float32))
    if isinstance(data, Tensor):
        return data
    got = f"an array of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
    raise ConfigError(f"quantize: calibration data are a tensor, or an array of numbers; got {got}")


def _made(
    model: nn.Module,
    calibration_data: Tensor,
    steps: int,
    weight_bits: Bits,
    state_bits: Bits,
    *,
    levels: Levels = "threshold-centred",
    limits: Limits = "calibrated",
    input_bits: int = 8,
    encoding: Literal["direct", "sequence"] = "direct",
    time_first: bool = True,
    initial_state: Any = None,
) -> nn.Module:
    """What `quantize` makes."""
    _check_steps(steps)
    check_model(model)
    if not bool(torch.isfinite(calibration_data).all()):
        raise ConfigError("quantize: calibration data must be finite; got NaN or infinity")
    warn_of_wrappers(model)
    warn_of_unregistered(model)
    copied, calibration_data = frozen_copy(model), calibration_data.cpu()
    reset_neurons(copied)
    named = dict(copied.named_modules())
    weights = {name: module for name, module in named.items() if type(module) in _LAYERS}
    neurons = {name: x for name, x in named.items() if isinstance(x, NEURONS) and not x.state_quant}
    if not weights and not neurons:
        raise ConfigError("quantize: no float nn.Linear, convolution or neuron without state_quant in it")
    weight_widths, state_widths = (
        _widths(weight_bits, weights, "weight_bits"),
        _widths(state_bits, neurons, "state_bits"),
    )
    membranes: dict[str, Tensor] = {}
    if levels == "fitted" or limits == "calibrated" or any(map(_is_readout, neurons.values())):
        called: dict[str, Any] = {"direct": encoding == "direct", "initial_state": initial_state}
        whole = _as_called(copied, calibration_data, encoding, time_first)
        membranes = _sampled(whole, list(neurons), calibration_data, steps, **called)
        neurons = {name: module for name, module in neurons.items() if name in membranes}
    made = {name: _quantized(name, module, weight_widths[name]) for name, module in weights.items()}
    copied = _with_layers(copied, made)
    for name, module in neurons.items():
        options = state_widths[name], membranes.get(name), levels, limits
        quantizer = _readout_states(module, *options[:2]) if _is_readout(module) else _states(module, *options)
        if kind_of(module).recurrent:
            quantizer.take(coarse_levels(quantizer.levels.numpy(), quantizer.threshold))
            coarsen_decays(module)
        del module.state_quant
        module.state_quant = quantizer
    return _with_input_grid(copied, calibration_data, input_bits)


def _sampled(model: nn.Module, names: list[str], data: Tensor, steps: int, **called: Any) -> dict[str, Tensor]:
    """As `sampled_membranes`. Raises: ConfigError for whatever the user's code raises."""
    try:
        return sampled_membranes(model, names, data, steps, **called)
    except SquatError:
        raise
    except Exception as error:
        text = f"quantize: the model does not run on the calibration data: {type(error).__name__}: {error}"
        raise ConfigError(f"{text}; {_way_on(model, error)}") from error


def _way_on(model: nn.Module, error: Exception) -> str:
    """What may help where a model does not run: states go with the spikes to a layer, or the axes are others."""
    neurons = ((name, module) for name, module in model.named_modules() if isinstance(module, NEURONS))
    giving = [f"{name} with {spikes_alone(module)}" for name, module in neurons if gives_states(module)]
    if giving and "tuple" in str(error):
        return f"neurons before a layer give spikes alone: make {', '.join(giving)}"
    return "give them as the model takes them; of sequences say whether time comes first (time_first, --batch-first)"


def _as_called(model: nn.Module, data: Tensor, encoding: Encoding, time_first: bool) -> nn.Module:
    """The model as it takes the data. Raises: ConfigError for an axis of time that is not there."""
    axes = 1 if encoding == "direct" else 2
    return called_in_time(model, InputSpec(tuple(data.shape[axes:]), encoding=encoding, time_first=time_first))


def _check_steps(steps: int) -> None:
    if not isinstance(steps, int) or not 1 <= steps <= _MAX_STEPS:
        raise ConfigError(f"quantize: steps must be 1 to {_MAX_STEPS}; got {steps}")


def _warn_of_silence(model: nn.Module, data: Tensor, steps: int, *, direct: bool, initial_state: Any) -> None:
    """Nothing is said of output neurons without a reset: those are readouts, which need not fire."""
    few = data[:_SHOWN] if direct else data[:, :_SHOWN]
    with torch.no_grad():
        traces = run_model(model, few, steps, direct=direct, initial_state=initial_state)
    reset_neurons(model)
    for name, trace in traces.items():
        spikes, readout = torch.stack(trace.spikes) != 0, name == [*traces][-1]
        if readout and getattr(model.get_submodule(module_of(name)), "reset_mechanism", "") == "none":
            continue
        if not spikes.any() or spikes.all():
            what = "all of its neurons fire at every step" if spikes.any() else "none of its neurons fires"
            hint = "more bits, or another checkpoint"
            text = (
                f"{name}: {what} on the first {min(_SHOWN, spikes.shape[1])} calibration inputs once quantized; {hint}"
            )
            warnings.warn(text, SquatWarning, stacklevel=3)


def _widths(bits: Bits, modules: Mapping[str, nn.Module], what: str) -> dict[str, int]:
    if isinstance(bits, int):
        return dict.fromkeys(modules, bits)
    if unknown := sorted(set(bits) - set(modules)):
        raise ConfigError(f"quantize: {what} names {', '.join(unknown)}; there are {', '.join(modules) or 'none'}")
    if missing := [name for name in modules if name not in bits]:
        raise ConfigError(f"quantize: {what} has no width for {', '.join(missing)}")
    return dict(bits)


def _quantized(name: str, module: nn.Module, bits: int) -> nn.Module:
    """The same layer with weights of `bits` bits, the scale a power of two, the bias on a grid of its own."""
    if not 2 <= bits <= 8:
        raise ConfigError(f"quantize: {name}: weights have 2 to 8 bits; got {bits}")
    bad = [key for key, value in module.state_dict().items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise ConfigError(f"quantize: {name}: NaN or infinity in {', '.join(bad)}")
    options = {
        "weight_quant": Int8WeightPerTensorFixedPointMSE,
        "weight_bit_width": bits,
        "bias": module.bias is not None,
    }
    made: Any
    if isinstance(module, nn.Linear):
        made = QuantLinear(module.in_features, module.out_features, **options)
    else:
        keys = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"]
        keys += ["output_padding"] if module.transposed else []
        made = _LAYERS[type(module)](**{key: getattr(module, key) for key in keys}, **options)
    made.weight.data.copy_(module.weight.data)
    if module.bias is not None:
        made.bias.data.copy_(module.bias.data)
    made.quant_weight()  # the scale, a power of two, is chosen at first use: that of the least squared error
    if module.bias is not None:
        step = float(made.quant_weight().scale.detach()) / _BIAS_STEPS
        made.bias.data = torch.round(made.bias.data / step) * step
    return made.eval().requires_grad_(False)


def _with_layers(model: nn.Module, layers: Mapping[str, nn.Module]) -> nn.Module:
    """A model with other layers in the places of those of these names; the neurons stay the same objects."""
    if isinstance(model, Adopted):  # layers may stand anywhere
        named = dict(model.named_modules())
        kept = {id(module): module for module in named.values() if isinstance(module, NEURONS)}
        return copy.deepcopy(model, {**kept, **{id(named[name]): layer for name, layer in layers.items()}})
    for name, module in layers.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, module)
    return model


def _states(module: nn.Module, bits: int, membranes: Tensor | None, levels: Levels, limits: Limits) -> StateQuantizer:
    threshold = float(torch.as_tensor(module.threshold).max())
    if levels == "fitted" or limits == "calibrated":
        assert membranes is not None
        kind = None if levels == "fitted" else levels
        return StateQuantizer(calibrated_levels(module, membranes, bits, kind), threshold)
    return StateQuantizer.of(bits, levels, threshold, lower_limit=limits[0], upper_limit=limits[1])


def _is_readout(module: nn.Module) -> bool:
    """Whether neurons are made to be read, not to fire: without reset, the threshold far beyond any membrane."""
    return module.reset_mechanism == "none" and bool((torch.as_tensor(module.threshold) >= NEVER).all())


def _readout_states(module: nn.Module, bits: int, membranes: Tensor | None) -> StateQuantizer:
    """Whole multiples of one step over all membranes seen; the threshold comes down to just above them."""
    assert membranes is not None
    low, high = min(0.0, float(membranes.min())), max(0.0, float(membranes.max()))
    mantissa, exponent = math.frexp((high - low) / (2**bits - 1) or 1.0)
    step = math.ldexp(math.ceil(mantissa * 2**_STEP_BITS), exponent - _STEP_BITS)
    first = math.floor(low / step + 0.5)
    levels = (np.arange(first, first + 2**bits) * step).astype(np.float32)
    module.threshold.fill_(float(levels[-1]) + step)  # type: ignore[union-attr,operator]
    return StateQuantizer(levels, -math.inf)


def _with_input_grid(model: nn.Module, data: Tensor, bits: int) -> nn.Module:
    """The model itself where inputs are small integers, or where it has a grid; else behind an `InputQuantizer`."""
    if any(isinstance(module, InputQuantizer) for module in model.modules()):
        return model
    low, high = float(data.min()), float(data.max())
    if bool((data == torch.round(data)).all()) and max(-low, high) < 2**8:
        return model
    if not 1 <= bits <= 16:
        raise ConfigError(f"quantize: inputs have 1 to 16 bits; got {bits}")
    signed = low < 0
    largest = 2 ** (bits - 1 if signed else bits) - 1
    step = 2.0 ** math.ceil(math.log2(max(-low, high) / largest)) if max(-low, high) else 1.0
    return behind_quantizer(InputQuantizer(step, -largest - 1 if signed else 0, largest), model)


def behind_quantizer(quantizer: InputQuantizer, model: nn.Module) -> nn.Module:
    """A model whose inputs are rounded first."""
    if is_plain(model):
        return nn.Sequential(quantizer, *(module for module in model._modules.values() if module is not None))
    return QuantizedInput(quantizer, model).eval()


def calibrated(
    inputs: NDArray[Any],
    labels: NDArray[Any] | None,
    steps: int,
    encoding: Encoding,
    initial_state: Any = None,
    *,
    time_first: bool = True,
) -> tuple[Tensor, Callable[[nn.Module], float]]:
    """Calibration data as float32, and the accuracy on it of a model: the share whose class has the most spikes.

    Raises: ConfigError for data that are no numbers, or labels that do not go with them.
    """
    axis = 0 if encoding == "direct" else 1
    if inputs.dtype.kind not in "fiub" or inputs.ndim < 2 + axis or 0 in inputs.shape:
        raise ConfigError(f"calibration: expected numbers of shape (B, ...); got {inputs.dtype} of {inputs.shape}")
    _check_steps(steps)
    if axis and len(inputs) != steps:
        raise ConfigError(f"calibration: expected {steps} time steps; got {len(inputs)}")
    data = torch.from_numpy(inputs.astype(np.float32))
    if labels is not None and labels.shape != (data.shape[axis],):
        raise ConfigError(f"calibration: expected {data.shape[axis]} labels; got shape {labels.shape}")
    if labels is not None and labels.dtype.kind not in "iu":
        raise ConfigError(f"calibration: labels must be integers; got {labels.dtype}")

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        called = _as_called(model.eval(), data, encoding, time_first)
        traces = run_model(called, data, steps, direct=not axis, initial_state=initial_state)
        output = list(traces.values())[-1]
        classes = torch.stack(output.spikes).sum(dim=0).flatten(1).argmax(dim=1)
        return float((classes.numpy() == labels).mean())

    return data, accuracy


def input_spec(model: nn.Module, data: Tensor, encoding: Encoding, *, time_first: bool = True) -> InputSpec:
    """What enters a quantized model: the grid of its `InputQuantizer`, else the small integers of the data."""
    shape = tuple(data.shape[1 if encoding == "direct" else 2 :])
    for module in model.modules():
        if isinstance(module, InputQuantizer):
            return InputSpec(shape, module.low, module.high, module.step, encoding, time_first)
    return InputSpec(shape, min(0, int(data.min())), max(1, int(data.max())), 1.0, encoding, time_first)


@dataclass(frozen=True)
class Recipe:
    """How a float model was changed, so that a checkpoint of the quantized one can be loaded into it again.

    Attributes:
        weight_bits, state_bits: of the layers and neurons that were replaced, by their names in the float model.
        grid: (step, low, high) of the `InputQuantizer` that was put in front, or None.
    """

    weight_bits: dict[str, int]
    state_bits: dict[str, int]
    grid: tuple[float, int, int] | None

    @classmethod
    def of(cls, model: nn.Module, made: nn.Module) -> Recipe:
        """Args: model: the float model; made: what `quantize` or `search_bits` made of it."""
        model = adopted(opened(model))
        inner, quantizer = _unwrapped(model, made)
        replaced = {
            name: inner.get_submodule(name) for name, module in model.named_modules() if type(module) in _LAYERS
        }
        neurons = [name for name, x in model.named_modules() if isinstance(x, NEURONS) and not x.state_quant]
        levels: dict[str, Any] = {name: inner.get_submodule(name).state_quant for name in neurons}
        return cls(
            {name: int(module.quant_weight().bit_width) for name, module in replaced.items()},  # type: ignore[operator]
            {name: (table.levels.numel() - 1).bit_length() for name, table in levels.items()},
            None if quantizer is None else (quantizer.step, quantizer.low, quantizer.high),
        )

    def applied(self, model: nn.Module) -> nn.Module:
        """A quantized copy of a float model, whose weights and levels are still to be loaded. Raises: ConfigError."""
        copied = frozen_copy(model)
        reset_neurons(copied)
        named = dict(copied.named_modules())
        for name in self.weight_bits:
            if type(named.get(name)) not in _LAYERS:
                raise ConfigError(f"checkpoint: {name} is no float layer of this model")
        made = {name: _quantized(name, named[name], bits) for name, bits in self.weight_bits.items()}
        copied = _with_layers(copied, made)
        named = dict(copied.named_modules())
        for name, bits in self.state_bits.items():
            neuron: Any = named.get(name)
            if not isinstance(neuron, NEURONS) or neuron.state_quant:
                raise ConfigError(f"checkpoint: {name} are no float neurons of this model")
            del neuron.state_quant
            neuron.state_quant = StateQuantizer.of(
                bits, "threshold-centred", float(torch.as_tensor(neuron.threshold).max())
            )
        return copied if self.grid is None else behind_quantizer(InputQuantizer(*self.grid), copied)


def _unwrapped(model: nn.Module, made: nn.Module) -> tuple[nn.Module, InputQuantizer | None]:
    """A quantized model with the names of the float one, and the quantizer that was put in front."""
    if type(made) is QuantizedInput and type(model) is not QuantizedInput:
        return made.model, made.quantizer
    if not is_plain(model) or len(made._modules) == len(model._modules):
        return made, None
    quantizer, *rest = made.children()
    assert isinstance(quantizer, InputQuantizer)
    names = [name for name, module in model._modules.items() if module is not None]
    return nn.Sequential(OrderedDict(zip(names, rest, strict=True))), quantizer


@dataclass(frozen=True)
class Trial:
    """One setting that a search tried: bits of every layer, what it scored, and whether it was kept."""

    weight_bits: Mapping[str, int]
    state_bits: Mapping[str, int]
    score: float
    kept: bool


@dataclass(frozen=True)
class BitSearch:
    """What `search_bits` found.

    Attributes:
        model: the quantized model of the last trial that was kept.
        float_score: of the model before quantization.
        trials: all of them, in order.
    """

    model: nn.Module
    float_score: float
    trials: tuple[Trial, ...]


def search_bits(
    model: nn.Module,
    calibration_data: Tensor | NDArray[Any],
    score: Callable[[nn.Module], float],
    *,
    steps: int,
    budget: float,
    candidates: Sequence[int] = (8, 6, 5, 4, 3, 2),
    **options: Any,
) -> BitSearch:
    """Fewest bits a layer, one after the other, as long as the score stays within `budget` of the float model's.

    Every layer's weights, then every layer's states, go down the candidates until the budget is passed; layers with the
    most weights go first, since they save most.

    Args:
        score: a function of a model, higher is better: accuracy on data of your own. It is given copies on the CPU.
        options: as for `quantize`.

    Raises: ConfigError as `quantize`, or if the widest candidate is already outside the budget.
    """
    options["initial_state"] = made_state(options.get("initial_state"))
    model, calibration_data = frozen_copy(model), _tensor(calibration_data)
    named = dict(model.named_modules())
    sizes = {name: module.weight.numel() for name, module in named.items() if type(module) in _LAYERS}
    neurons = [name for name, module in named.items() if isinstance(module, NEURONS) and not module.state_quant]
    order = [("weight", name) for name in sorted(sizes, key=lambda key: -sizes[key])] + [("state", n) for n in neurons]
    widest, float_score = max(candidates), score(model)
    bits = {"weight": dict.fromkeys(sizes, widest), "state": dict.fromkeys(neurons, widest)}
    trials: list[Trial] = []

    def attempt(tried: dict[str, dict[str, int]]) -> nn.Module | None:
        made = _made(model, calibration_data, steps, tried["weight"], tried["state"], **options)
        reached = score(made)
        kept = reached >= float_score - budget
        trials.append(Trial(dict(tried["weight"]), dict(tried["state"]), reached, kept))
        return made if kept else None

    narrower = sorted((width for width in candidates if width < widest), reverse=True)
    best = attempt(bits)
    if best is None:
        got = f"{trials[0].score:g} at {widest} bits, {float_score:g} in float"
        raise ConfigError(f"search_bits: the widest setting must stay within the budget of {budget:g}; got {got}")
    for kind, name in order:
        for width in narrower:
            report("bits a layer: trials at most", len(trials), 1 + len(order) * len(narrower))
            tried = {**bits, kind: {**bits[kind], name: width}}
            made = attempt(tried)
            if made is None:
                break
            best, bits = made, tried
    encoding, time_first = options.get("encoding", "direct"), options.get("time_first", True)
    called = {"direct": encoding == "direct", "initial_state": options["initial_state"]}
    _warn_of_silence(_as_called(best, calibration_data, encoding, time_first), calibration_data.cpu(), steps, **called)
    return BitSearch(best, float_score, tuple(trials))
