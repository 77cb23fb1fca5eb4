"""Weights from a Brevitas export, neurons from a small YAML file: a torch model, which is then lowered like any other.

The neurons are built by snnTorch itself, so that their tables come from running them, as everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import snntorch as snn
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from torch import nn

from squat_deploy.configs import read_yaml
from squat_deploy.errors import ConfigError
from squat_deploy.lowering.api import lower
from squat_deploy.names import unique_name
from squat_deploy.network import Encoding, InputSpec, Network
from squat_deploy.readers.brevitas import ImportedGraph, ImportedSynapses, read_brevitas
from squat_deploy.snn.layers import FixedConv2d, FixedLinear
from squat_deploy.snn.levels import Kind
from squat_deploy.snn.quantizers import StateQuantizer


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class InputConfig(_Strict):
    """The integers that enter, as `InputSpec`; the shape is that of the ONNX file."""

    low: int = 0
    high: int = 1
    step: float = 1.0
    encoding: Encoding = "direct"


class NeuronConfig(_Strict):
    """One layer of `snn.Leaky`.

    Attributes:
        levels: how the states are spaced, or the level table itself.
    """

    beta: float | list[float]
    threshold: float | list[float] = 1.0
    reset: Literal["subtract", "zero", "none"] = "subtract"
    reset_delay: bool = True
    state_bits: int = Field(4, ge=1, le=8)
    levels: Kind | list[float] = "threshold-centred"
    lower_limit: float = 0.0
    upper_limit: float = 0.2

    @field_validator("beta", "threshold")
    @classmethod
    def _in_range(cls, value: float | list[float], info: ValidationInfo) -> float | list[float]:
        values, beta = value if isinstance(value, list) else [value], info.field_name == "beta"
        if not values or min(values) < 0 or (beta and max(values) > 1) or (not beta and min(values) == 0):
            raise ValueError("one value or one a neuron, from 0 to 1" if beta else "one value or one a neuron, above 0")
        return value

    @model_validator(mode="after")
    def _table_or_its_kind(self) -> NeuronConfig:
        if isinstance(self.levels, list) and self.model_fields_set & {"state_bits", "lower_limit", "upper_limit"}:
            raise ValueError("a list of levels needs no state_bits or limits")
        return self

    def module(self) -> snn.Leaky:
        """The neuron. Raises: ConfigError for a level table that cannot be used."""
        threshold = float(np.max(self.threshold))
        if isinstance(self.levels, list):
            quantizer = StateQuantizer(np.array(self.levels, dtype=np.float32), threshold)
        else:
            limits: dict[str, Any] = {"lower_limit": self.lower_limit, "upper_limit": self.upper_limit}
            quantizer = StateQuantizer.of(self.state_bits, self.levels, threshold, **limits)
        return snn.Leaky(
            beta=_value(self.beta),
            threshold=_value(self.threshold),
            reset_mechanism=self.reset,
            reset_delay=self.reset_delay,
            init_hidden=True,
            state_quant=quantizer,
        )


class ImportConfig(_Strict):
    """The YAML file.

    Attributes:
        input: what enters, `high` at the least; by default what the export's own input quantizer says.
        neuron: the neurons of all layers, or
        neurons: one entry a layer.
        activations: "refuse" an export with activations (ReLU and the like), or "replace" them by the neurons.
    """

    steps: int = Field(ge=1, le=65_535)
    input: InputConfig | None = None
    neuron: NeuronConfig | None = None
    neurons: list[NeuronConfig] | None = None
    activations: Literal["refuse", "replace"] = "refuse"

    @model_validator(mode="after")
    def _one_of_both(self) -> ImportConfig:
        if (self.neuron is None) == (self.neurons is None):
            raise ValueError("give either neuron, for all layers, or neurons, one entry a layer")
        return self

    def of_layers(self, count: int) -> list[NeuronConfig]:
        """The entries of so many layers; a list is as long as it is."""
        return [self.neuron] * count if self.neuron is not None else self.neurons or []


def _value(value: float | list[float]) -> float | torch.Tensor:
    return torch.tensor(value) if isinstance(value, list) else value


def import_qonnx(
    weights: str | Path, neurons: str | Path, *, allow_unproven: bool = False, name: str | None = None
) -> Network:
    """The Network of a net that Brevitas exported, its neurons given in a YAML file.

    Args:
        weights: a QONNX file of `brevitas.export.export_qonnx`, dynamo or not.
        neurons: steps, input and neurons; see `ImportConfig`.
        allow_unproven: as for `lower`.
        name: name of the network; that of the file by default.

    Raises: FileFormatError, ConfigError, and what `lower` raises.
    """
    model, spec, steps = imported_model(Path(weights), Path(neurons))
    return lower(model, spec, steps, allow_unproven=allow_unproven, name=name or Path(weights).stem)


def imported_model(weights: Path, neurons: Path) -> tuple[nn.Sequential, InputSpec, int]:
    """The model of a Brevitas export and a neuron file, its inputs, and its time steps.

    Args:
        weights: a QONNX file of `brevitas.export.export_qonnx`.
        neurons: a YAML file, see `ImportConfig`.

    Raises: FileFormatError for the ONNX file, ConfigError for the YAML file, each naming what does not fit.
    """
    config, graph = read_yaml(neurons, ImportConfig), read_brevitas(weights)
    entries = config.of_layers(len(graph.layers))
    if len(entries) != len(graph.layers):
        raise ConfigError(f"{neurons}: {len(entries)} neurons for {len(graph.layers)} layers of {weights}")
    if graph.activations and config.activations == "refuse":
        names = ", ".join(f"{name} ({kind})" for _, name, kind in graph.activations)
        raise ConfigError(f"{weights}: has activations: {names}; set 'activations: replace' to put neurons there")
    model = nn.Sequential()
    layers = zip(graph.layers, entries, _module_names(graph), strict=True)
    for index, (layer, entry, name) in enumerate(layers, start=1):
        if layer.conv is None and "flatten" not in model._modules:
            model.add_module("flatten", nn.Flatten())
        model.add_module(name, _synapses(layer))
        try:
            model.add_module(f"lif{index}", entry.module())
        except ConfigError as error:
            raise ConfigError(f"{neurons}: neurons of layer {index}: {error}") from error
    return model.eval(), _input_spec(graph, config, neurons), config.steps


def _module_names(graph: ImportedGraph) -> list[str]:
    """A name a layer that a module may have, none twice and none of those that the neurons have."""
    reserved = ("flatten", *(f"lif{index}" for index in range(1, len(graph.layers) + 1)), *dir(nn.Sequential()))
    taken = dict.fromkeys(reserved, 1)
    return [unique_name(layer.name.replace(".", "_") or "layer", taken) for layer in graph.layers]


def _synapses(layer: ImportedSynapses) -> nn.Module:
    weight, scale = torch.from_numpy(np.array(layer.weight)), torch.from_numpy(np.array(layer.scale))
    bias = None if layer.bias is None else torch.from_numpy(np.array(layer.bias))
    if layer.conv is None:
        return FixedLinear(weight, scale, bias)
    sizes = layer.conv.stride, layer.conv.padding, layer.conv.dilation, layer.groups
    return FixedConv2d(weight, scale, bias, *sizes)


def _input_spec(graph: ImportedGraph, config: ImportConfig, path: Path) -> InputSpec:
    """What the YAML file says; it must be what the export's input quantizer says, where there is one."""
    own = graph.input_quant
    encoding: Encoding = config.input.encoding if config.input else "direct"
    if own is None:
        given = config.input
        if given is None or "high" not in given.model_fields_set:
            rule = "nobody said which integers enter it, neither this file nor an input quantizer of the export"
            way = "input: {high: 1} is for spikes, input: {high: 255, step: 0.00390625} for pixels"
            raise ConfigError(f"{path}: input: {rule}; a grid is never assumed: {way}")
        return InputSpec(graph.input_shape, given.low, given.high, given.step, encoding)
    spec = InputSpec(graph.input_shape, own.low, own.high, own.scale, encoding)
    stated: dict[str, Any] = config.input.model_dump(exclude_unset=True, exclude={"encoding"}) if config.input else {}
    wrong = {key: value for key, value in stated.items() if value != getattr(spec, key)}
    if wrong:
        said = ", ".join(f"{key}: {getattr(spec, key)}" for key in wrong)
        raise ConfigError(f"{path}: input: the export quantizes its input to {said}; leave it out, or say the same")
    return spec
