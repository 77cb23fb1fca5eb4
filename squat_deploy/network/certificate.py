"""What has been proven of a Network against the trained model, a layer a row."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import FailFast, Field, TypeAdapter

from squat_deploy.errors import FileFormatError
from squat_deploy.network.inputs import InputSpec
from squat_deploy.network.layers.base import IntArray
from squat_deploy.network.tabled import of_certificate

_Name = Annotated[str, Field(max_length=64)]
_Sentence = Annotated[str, Field(max_length=1024)]
Environment = Annotated[dict[_Name, _Sentence], Field(max_length=64)]
Assumptions = Annotated[tuple[_Sentence, ...], Field(max_length=64), FailFast()]

MAX_WITNESS_VALUES = 2**18  # integers of one
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
class Witness:
    """What came of looking for inputs that reach one combination at risk, and of running both sides on them.

    Attributes:
        layer, neuron, state, synaptic_sum: the combination.
        tries: how many sequences were run in the search.
        inputs: integers of one sequence that reaches it, flat: (*shape) or (T, *shape); empty where none was found.
        step: when it is reached.
        differs: whether the trained model differs anywhere in that sequence.
        note: why there can be none.
    """

    layer: str
    neuron: int
    state: int
    synaptic_sum: int
    tries: int = 0
    inputs: Annotated[tuple[int, ...], Field(max_length=MAX_WITNESS_VALUES)] = ()
    step: int | None = None
    differs: bool | None = None
    note: str = ""

    @property
    def told(self) -> str:
        """One sentence."""
        where = f"{self.layer}: neuron {self.neuron}, state {self.state}, sum {self.synaptic_sum}"
        if self.step is None:
            return f"{where}: {self.note or f'no witness in {self.tries:,} tries'}"
        verdict = "differs" if self.differs else "does not differ"
        return f"{where}: reached at step {self.step}, found in {self.tries:,} tries; the trained model {verdict} there"

    def sequence(self, spec: InputSpec, steps: int) -> IntArray | None:
        """The inputs (1, *shape) or (T, 1, *shape) for `simulate`, or None. Raises: ValueError for those of others."""
        if self.step is None:
            return None
        direct = spec.encoding == "direct"
        shape = (1, *spec.shape) if direct else (steps, 1, *spec.shape)
        return np.array(self.inputs, dtype=np.int64).reshape(shape)


@dataclass(frozen=True)
class Searched:
    """How many combinations at risk of one layer were looked for.

    Attributes: why: not all of them; empty where they were.
    """

    layer: str
    at_risk: int
    looked_for: int
    why: str = ""

    @property
    def told(self) -> str:
        """One sentence."""
        count = "all" if self.looked_for >= self.at_risk else f"{self.looked_for:,}" if self.looked_for else "none"
        because = f": {self.why}" if self.why else ""
        return f"{self.layer}: {count} of {self.at_risk:,} combinations at risk looked for{because}"


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
        examples: of those of every table the ones nearest a decision first, at most 256.
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


Witnesses = Annotated[tuple[Witness, ...], Field(max_length=1024), FailFast()]
Searches = Annotated[tuple[Searched, ...], Field(max_length=1024), FailFast()]


@dataclass(frozen=True)
class Certificate:
    """One `LayerProof` a neuron layer, in order, and what they take for granted.

    Attributes:
        environment: name and value of what was set where the model was lowered: versions, threads, precisions.
        assumptions: everything that the proof takes for granted, in sentences.
        witnesses: what was found of the first combinations at risk, where some were carried.
        searched: of how many of them that is, a layer at risk a row; files of before do not say.
    """

    layers: tuple[LayerProof, ...] = field(default_factory=tuple)
    environment: Environment = field(default_factory=dict, hash=False)
    assumptions: Assumptions = ()
    witnesses: Witnesses = ()
    searched: Searches = ()

    def _repr_html_(self) -> str:
        """In notebooks."""
        return of_certificate(self).html

    @property
    def looked_for(self) -> str:
        """What became of the combinations at risk that were looked for, in one sentence; empty where none are."""
        if self.proven:
            return ""
        total = sum(row.at_risk for row in self.layers)
        if not self.witnesses:
            return f"none of {total:,} combinations at risk were looked for"
        reached = [one for one in self.witnesses if one.step is not None]
        differ = sum(bool(one.differs) for one in reached)
        return (
            f"of {total:,} combinations at risk {len(self.witnesses)} were looked for, inputs reach {len(reached)}, "
            f"and the trained model differs on {differ} of them"
        )

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
        found = {"proven": self.proven, "layers": [asdict(layer) for layer in self.layers]}
        some: dict[str, tuple[Witness | Searched, ...]] = {"witnesses": self.witnesses, "searched": self.searched}
        return {**found, **{key: [asdict(one) for one in rows] for key, rows in some.items() if rows}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Certificate:
        """Raises FileFormatError where a field is missing, unknown or of the wrong type.

        Files of before have no environment, no assumptions and no witnesses.
        """
        try:
            environment = _ENVIRONMENT.validate_python(data.get("environment", {}))
            assumptions = _ASSUMPTIONS.validate_python(data.get("assumptions", ()))
            rows = _ROWS.validate_json(json.dumps(data["layers"]), strict=True)  # true is no number there
            found = _WITNESSES.validate_json(json.dumps(data.get("witnesses", ())), strict=True)
            searched = _SEARCHES.validate_json(json.dumps(data.get("searched", ())), strict=True)
            return cls(rows, environment, assumptions, found, searched)
        except (LookupError, AttributeError, TypeError, ValueError, RecursionError) as error:
            raise FileFormatError(f"certificate: not of this form: {error}") from error


_ROWS = TypeAdapter(tuple[LayerProof, ...])
_WITNESSES: TypeAdapter[tuple[Witness, ...]] = TypeAdapter(Witnesses)
_SEARCHES: TypeAdapter[tuple[Searched, ...]] = TypeAdapter(Searches)
_ENVIRONMENT: TypeAdapter[dict[str, str]] = TypeAdapter(Environment)
_ASSUMPTIONS: TypeAdapter[tuple[str, ...]] = TypeAdapter(Assumptions)
