"""The metadata of a graph: what its tensors do not say. One JSON document under one key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from pydantic import FailFast, TypeAdapter, ValidationError

from squat_deploy.backends.qonnx.layers import AnyNeuronPlan, LayerPlan, Plan
from squat_deploy.errors import ConfigError, ExportError, FileFormatError
from squat_deploy.network import INPUT, MAX_NEURONS, SCHEMA_VERSION, InputSpec
from squat_deploy.network.certificate import Assumptions, Environment, LayerProof, Searches, Witnesses
from squat_deploy.network.limits import MAX_PATCH_VALUES, MAX_VALUES
from squat_deploy.network.origin import Origin
from squat_deploy.network.readout import Readout
from squat_deploy.network.values import Values

KEY = "squat_deploy.network"
Form = Literal["step", "sequence", "finn"]
MAX_CHARACTERS = 2**25
MAX_BATCH_VALUES = 2**26  # samples times the widest layer of a fixed batch


@dataclass(frozen=True)
class Document:
    """What the metadata holds.

    Attributes:
        batch: the fixed batch size, or None.
        trace: whether sums, states and spikes of every layer are outputs too.
        readout: how spikes or states become a class; the highest score wins, the lowest class on ties.
        layers: sizes, ranges, level tables of every layer, and what it takes.
        certificate: what has been proven of it, a neuron layer a row.
        environment, assumptions: what that takes for granted; files of before have neither.
        witnesses, searched: what was found of combinations at risk; values: what scores of membranes are worth. Not in
            the text where there are none.
        origin: where it comes from, as it says itself.
    """

    schema: int
    form: Form
    batch: int | None
    trace: bool
    name: str
    digest: str
    steps: int
    input: InputSpec
    readout: Readout
    layers: Annotated[tuple[LayerPlan, ...], FailFast()]
    certificate: Annotated[tuple[LayerProof, ...], FailFast()]
    environment: Environment = field(default_factory=dict)
    assumptions: Assumptions = ()
    witnesses: Witnesses = ()
    searched: Searches = ()
    values: Values | None = None
    origin: Origin = field(default_factory=Origin)

    @property
    def samples(self) -> int | str:
        """The batch as a size of tensors."""
        return self.batch or "N"

    def to_json(self) -> str:
        """JSON text; `from_json` is its inverse. Raises: ExportError for more of it than `from_json` takes."""
        try:
            fields = {**asdict(self), "input": self.input.to_dict()}
            for name in ("witnesses", "searched", "values"):
                if not fields[name]:
                    del fields[name]
            text = json.dumps(fields, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ExportError(f"qonnx: the network has numbers that no file holds: {error}") from error
        if len(text) > MAX_CHARACTERS:
            raise ExportError(f"qonnx: {len(text)} characters of level tables; at most {MAX_CHARACTERS}")
        return text

    @classmethod
    def from_json(cls, text: str) -> Document:
        """Raises: FileFormatError for anything else than a document of this schema whose sizes are plausible."""
        if len(text) > MAX_CHARACTERS:
            raise FileFormatError(f"metadata: more than {MAX_CHARACTERS} characters")
        try:
            data = json.loads(text)
            if not isinstance(data, dict) or data.get("schema") != SCHEMA_VERSION:
                got = data.get("schema") if isinstance(data, dict) else type(data).__name__
                raise FileFormatError(f"metadata: schema {str(got)[:40]}; this version reads {SCHEMA_VERSION}")
            document = _ADAPTER.validate_python(data)
            _ADAPTER.validate_json(text, strict=True)  # nor is true a number, or 3.0 an integer
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise FileFormatError(f"metadata: {place}: {first['msg']}") from error
        except (ValueError, RecursionError, ConfigError) as error:
            raise FileFormatError(f"metadata: {error}") from error
        document.check()
        return document

    def check(self) -> None:
        """Raises: FileFormatError unless the sizes fit each other and stay within what a network may have."""
        if not 1 <= self.steps < 2**16:
            raise FileFormatError(f"metadata: steps must be 1 to 65535; got {self.steps}")
        if not self.layers:
            raise FileFormatError("metadata: a network has at least one layer")
        if (rule := self.origin.broken_rule()) is not None:
            raise FileFormatError(f"metadata: origin: {rule}")
        _check_wires(self.input, self.layers)
        windows = 0
        for plan in self.layers:
            windows += _sized(plan, lambda plan: plan.window_values)
            if windows > MAX_PATCH_VALUES:
                raise FileFormatError(f"metadata: convolutions or windows of more than {MAX_PATCH_VALUES} values")
            for rule, holds in plan.rules().items():
                if not holds:
                    raise FileFormatError(f"metadata: {plan.layer}: must have {rule}")
        widest = max(plan.outputs for plan in self.layers)
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH_VALUES // widest:
            raise FileFormatError(f"metadata: batch {self.batch} of {widest} values")


def _check_wires(spec: InputSpec, plans: Sequence[Plan]) -> None:
    """Layers take what is there and fits them, so that a graph can be built."""
    sizes = [_outputs(plan) for plan in plans]
    if not isinstance(plans[-1], AnyNeuronPlan):
        raise FileFormatError("metadata: the last layer must be neurons")
    for index, plan in enumerate(plans):
        for source in plan.takes:
            if not INPUT <= source < len(plans) or (source >= index and not plans[source].late):
                raise FileFormatError(f"metadata: {plan.layer}: takes layer {source}, which it cannot")
        given = tuple(spec.size if source == INPUT else sizes[source] for source in plan.takes)
        if given != plan.input_sizes:
            wanted = ", ".join(map(str, plan.input_sizes))
            raise FileFormatError(f"metadata: {plan.layer}: takes {wanted} values; gets {', '.join(map(str, given))}")


def _outputs(plan: Plan) -> int:
    outputs = _sized(plan, lambda plan: plan.outputs)
    most = MAX_NEURONS if plan.late else MAX_VALUES
    if not 1 <= outputs <= most:
        raise FileFormatError(f"metadata: {plan.layer}: gives {outputs} values; at most {most}")
    return outputs


def _sized(plan: Plan, size: Callable[[Plan], int]) -> int:
    """A size that a plan computes of others."""
    try:
        return size(plan)
    except (ConfigError, ValueError, LookupError) as error:
        raise FileFormatError(f"metadata: {plan.layer}: {error}") from error


_ADAPTER = TypeAdapter(Document)
