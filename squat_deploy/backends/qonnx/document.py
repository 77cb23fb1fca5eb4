"""The metadata of a graph: what its tensors do not say. One JSON document under one key."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from pydantic import FailFast, TypeAdapter, ValidationError

from squat_deploy.backends.qonnx.plan import LayerPlan, NeuronPlan, SynapsePlan
from squat_deploy.certificate import LayerProof
from squat_deploy.errors import ConfigError, ExportError, FileFormatError
from squat_deploy.network import MAX_NEURONS, SCHEMA_VERSION, InputSpec
from squat_deploy.rules import MAX_PATCH_VALUES

KEY = "squat_deploy.network"
Form = Literal["step", "sequence", "finn"]
MAX_CHARACTERS = 2**25
MAX_BATCH_VALUES = 2**26  # samples times neurons of a fixed batch


@dataclass(frozen=True)
class Document:
    """What the metadata holds.

    Attributes:
        batch: the fixed batch size, or None.
        trace: whether sums, states and spikes of every layer are outputs too.
        readout: how spikes become a class.
        layers: sizes, ranges, level tables and operators of every layer.
        certificate: what has been proven of it, a neuron layer a row.
    """

    schema: int
    form: Form
    batch: int | None
    trace: bool
    name: str
    digest: str
    steps: int
    input: InputSpec
    readout: Literal["most spikes, the lowest class on ties"]
    layers: Annotated[tuple[LayerPlan, ...], FailFast()]
    certificate: Annotated[tuple[LayerProof, ...], FailFast()]

    def to_json(self) -> str:
        """JSON text; `from_json` is its inverse. Raises: ExportError for more of it than `from_json` takes."""
        try:
            text = json.dumps(asdict(self), allow_nan=False)
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
        width, patches = self.input.size, 0
        for layer in self.layers:
            s, n = layer.synapses, layer.neurons
            if s.inputs != width or s.outputs != n.neurons or not 1 <= n.neurons <= MAX_NEURONS:
                raise FileFormatError(f"metadata: {n.name}: {s.inputs} to {s.outputs} synapses for {n.neurons} neurons")
            patches += _patch_values(layer.synapses)
            if patches > MAX_PATCH_VALUES:
                raise FileFormatError(f"metadata: convolutions of more than {MAX_PATCH_VALUES} products a channel")
            _check_neurons(n)
            width = n.neurons
        widest = max(layer.neurons.neurons for layer in self.layers)
        if self.batch is not None and not 1 <= self.batch <= MAX_BATCH_VALUES // widest:
            raise FileFormatError(f"metadata: batch {self.batch} of {widest} neurons")


def _patch_values(s: SynapsePlan) -> int:
    """What a convolution takes in memory; its sizes must fit each other."""
    if s.conv is None:
        return 0
    if min(s.conv.weight_shape) < 1 or math.prod(s.conv.weight_shape) > MAX_PATCH_VALUES:
        raise FileFormatError(f"metadata: {s.name}: weights of shape {s.conv.weight_shape}")
    try:
        layer = s.conv.empty()
    except ConfigError as error:
        raise FileFormatError(f"metadata: {s.name}: {error}") from error
    if (layer.inputs, layer.outputs, layer.output_shape) != (s.inputs, s.outputs, s.conv.output_shape):
        raise FileFormatError(f"metadata: {s.name}: a convolution of other sizes")
    return max(layer.patch_values, layer.padded_values)


def _check_neurons(n: NeuronPlan) -> None:
    rules = {
        "2 to 1024 states": 2 <= n.states <= 1024,
        "2 to 256 levels": 2 <= n.levels <= 256,
        f"1 to {MAX_NEURONS} tables": 1 <= n.tables <= MAX_NEURONS,
        "one fire level a table": len(n.fire_level) == n.tables,
        "one membrane a state": len(n.membranes) == n.tables and {len(row) for row in n.membranes} == {n.states},
        "finite membranes": all(math.isfinite(value) for row in n.membranes for value in row),
        "an initial state that is one": 0 <= n.initial_state < n.states,
    }
    for rule, holds in rules.items():
        if not holds:
            raise FileFormatError(f"metadata: {n.name}: must have {rule}")


_ADAPTER = TypeAdapter(Document)
