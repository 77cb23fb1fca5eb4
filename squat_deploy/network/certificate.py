"""What has been proven of a Network against the trained model, a layer a row."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from pydantic import FailFast, Field, TypeAdapter

from squat_deploy.errors import FileFormatError

_Name = Annotated[str, Field(max_length=64)]
_Sentence = Annotated[str, Field(max_length=1024)]
Environment = Annotated[dict[_Name, _Sentence], Field(max_length=64)]
Assumptions = Annotated[tuple[_Sentence, ...], Field(max_length=64), FailFast()]

EXACT_FORM = (  # an assumption
    "The trained model is taken in its exact form (sd.exact, --exact): integer weights are summed first and scaled "
    "once; as it was trained, float32 may round some of its spikes otherwise."
)


@dataclass(frozen=True)
class AtRisk:
    """One (state, synaptic sum) of one neuron where float32 rounding in the trained model could decide otherwise."""

    neuron: int
    state: int
    synaptic_sum: int
    level: int


@dataclass(frozen=True)
class LayerProof:
    """The proof of one neuron layer and its synapses.

    Attributes:
        rule: why the trained model's float32 sum is known ("exact grid", "int-then-scale", "error bound" ...).
        sum_low, sum_high: reachable synaptic sums.
        accumulator_bits: width that holds every partial sum in any order.
        states, levels, tables: size of the finite-state machine, and how many distinct ones the layer has.
        margin: smallest distance of a reachable input current from a decision, in membrane units; None without any.
        error_bound: largest rounding error of the trained model's current near a decision, membrane units.
        enumerated: (state, synaptic sum) combinations on which the trained neuron itself was run.
        exhaustive: whether these are all that can be reached.
        at_risk: how many reachable combinations lie within the error bound of a decision.
        examples: the first of those of every table, at most 256.
        note: anything a reader should know.
    """

    layer: str
    proven: bool
    rule: str
    sum_low: int
    sum_high: int
    accumulator_bits: int
    states: int
    levels: int
    tables: int
    margin: float | None
    error_bound: float
    enumerated: int
    exhaustive: bool
    at_risk: int = 0
    examples: tuple[AtRisk, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Certificate:
    """One `LayerProof` a neuron layer, in order, and what they take for granted.

    Attributes:
        environment: name and value of what was set where the model was lowered: versions, threads, precisions.
        assumptions: everything that the proof takes for granted, in sentences.
    """

    layers: tuple[LayerProof, ...] = field(default_factory=tuple)
    environment: Environment = field(default_factory=dict, hash=False)
    assumptions: Assumptions = ()

    @property
    def proven(self) -> bool:
        """Whether the integers equal the trained model on every input."""
        return bool(self.layers) and all(layer.proven for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `from_dict` is its inverse."""
        granted = {"environment": dict(self.environment), "assumptions": list(self.assumptions)}
        return {**self.proofs(), **granted}

    def proofs(self) -> dict[str, Any]:
        """The layers alone: the same on every machine."""
        return {"proven": self.proven, "layers": [asdict(layer) for layer in self.layers]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Certificate:
        """Raises FileFormatError where a field is missing, unknown or of the wrong type.

        Files of before have no environment and no assumptions.
        """
        try:
            environment = _ENVIRONMENT.validate_python(data.get("environment", {}))
            assumptions = _ASSUMPTIONS.validate_python(data.get("assumptions", ()))
            rows = _ROWS.validate_json(json.dumps(data["layers"]), strict=True)  # true is no number there
            return cls(rows, environment, assumptions)
        except (LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
            raise FileFormatError(f"certificate: not of this form: {error}") from error


_ROWS = TypeAdapter(tuple[LayerProof, ...])
_ENVIRONMENT: TypeAdapter[dict[str, str]] = TypeAdapter(Environment)
_ASSUMPTIONS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Assumptions)
