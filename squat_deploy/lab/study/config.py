"""What a study is made of: a YAML file spans cells, a cell says what is trained and how it is quantized afterwards."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from squat_deploy.errors import ConfigError
from squat_deploy.lab.config import FLOAT_BITS, TrainConfig
from squat_deploy.snn.levels import Kind

Method = Literal["float", "PTQ", "QAT", "SQUAT", "QAT+SQUAT"]
Levels = Kind | Literal["learned"]
MAX_CELLS = 100_000  # of one grid
TRAINS_WEIGHTS = ("QAT", "QAT+SQUAT")
TRAINS_STATES = ("SQUAT", "QAT+SQUAT")


_MEANING = 1  # to be raised when a default, or what is done with a field, changes: stored cells are of another meaning
_STATES = (
    "kind",
    "exponent",
    "above",
    "clipped",
    "limits",
    "lower_limit",
    "upper_limit",
    "surrogate_at",
    "float_state_epochs",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> str:
        """16 hex digits of all that is not as by default, so that a new field leaves them as they are."""
        text = json.dumps([_MEANING, self.model_dump(mode="json", exclude_defaults=True)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Training(_Frozen):
    """What one task trains; cells that differ only in what comes after share it."""

    config: TrainConfig


class Cell(_Frozen):
    """One number of a study.

    Attributes:
        group: the table that it stands in; "" for the main one.
        variant: what the group varies, with its value here.
        method: what is quantized while training; the rest is quantized afterwards, so that every cell but "float" ends
            as the same kind of integer network.
        levels: of the states; "learned" are trained where states are, else fitted to the membranes (`fitting`).
        training: of which `seed` is part.
    """

    group: str = ""
    variant: dict[str, Any] = {}
    method: Method
    weight_bits: int
    state_bits: int
    levels: Levels
    training: Training

    @property
    def seed(self) -> int:
        return self.training.config.seed


class Grid(_Frozen):
    """All combinations of these.

    Attributes:
        group: the table that its cells stand in; "" for the main one.
        bits: of the states, and of the weights unless `weight_bits` has others.
        change: fields of `TrainConfig`, in place of the study's, but for those of `Study.by_levels`.
        vary: fields of `TrainConfig`, each with the values that it takes.
        seeds: in place of the study's.
    """

    group: str = Field("", max_length=80)
    methods: tuple[Method, ...] = Field(min_length=1)
    bits: tuple[int, ...] = (FLOAT_BITS,)
    weight_bits: tuple[int, ...] | None = None
    levels: tuple[Levels, ...] = ("threshold-centred",)
    change: dict[str, Any] = {}
    vary: dict[str, tuple[Any, ...]] = {}
    seeds: tuple[int, ...] | None = None

    def cells(self, study: Study) -> Iterator[Cell]:
        """Raises: ConfigError for widths that a method does not have, and for fields that have no say here."""
        self._check()
        seeds = study.seeds if self.seeds is None else self.seeds
        axes = (self.methods, self.bits, self.levels, self.weight_bits or (0,), seeds, *self.vary.values())
        if (count := math.prod(map(len, axes))) > MAX_CELLS:
            raise ConfigError(f"study: a grid of {count} cells; at most {MAX_CELLS}")
        for values in product(*self.vary.values()):
            variant = dict(zip(self.vary, values, strict=True))
            options = {**study.base, **self.change, **variant}
            for method, bits, levels in product(self.methods, self.bits, self.levels):
                for weight_bits, seed in product(self.weight_bits or (bits,), seeds):
                    own = study.by_levels.get(levels, {}) if method in TRAINS_STATES else {}
                    cell = _cell({**options, **own, **variant, "seed": seed}, method, (weight_bits, bits), levels)
                    yield cell.model_copy(update={"group": self.group, "variant": variant})

    def _check(self) -> None:
        given = ["seed", "weight_bits", "state_bits", "learned"]
        given += ["kind"] if set(self.levels) != {"learned"} else []
        if taken := [key for key in (*self.vary, *self.change) if key in given]:
            raise ConfigError(f"study: {taken[0]} is set by the grid's seeds, bits and levels; remove it")
        idle = [method for method in self.methods if method not in TRAINS_STATES]
        if idle and (unused := [key for key in self.vary if key in _STATES]):
            raise ConfigError(f"study: {idle[0]} trains no states: {unused[0]} changes nothing there; do not vary it")


class Study(_Frozen):
    """A study file.

    Attributes:
        base: fields of `TrainConfig` for all cells; `Grid.change` overrides them in one grid.
        by_levels: fields for the cells that train states of one kind; "kind" in it is what learned levels start from.
            `Grid.vary` overrides them.
        seeds: one cell each.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    base: dict[str, Any] = {}
    by_levels: dict[Levels, dict[str, Any]] = {}
    seeds: tuple[int, ...] = (0, 1, 2)
    grids: tuple[Grid, ...] = Field(min_length=1)

    def cells(self) -> tuple[Cell, ...]:
        """Every cell once, in the order of the file. Raises: ConfigError for widths that a method does not have."""
        found: dict[str, Cell] = {}
        for grid in self.grids:
            for cell in grid.cells(self):
                found.setdefault(cell.digest, cell)
        return tuple(found.values())


def _cell(options: dict[str, Any], method: Method, widths: tuple[int, int], levels: Levels) -> Cell:
    weight_bits, bits = widths
    if (method == "float") != (FLOAT_BITS in widths):
        raise ConfigError(f"study: {method} at {bits} bits; float has {FLOAT_BITS}, all others have fewer")
    if method in ("PTQ", "SQUAT") and weight_bits < 2:
        raise ConfigError(f"study: {method} quantizes the weights afterwards, to 2 bits or more; got {weight_bits}")
    trained: dict[str, Any] = {"weight_bits": FLOAT_BITS, "state_bits": FLOAT_BITS}
    if method in TRAINS_WEIGHTS:
        trained["weight_bits"] = weight_bits
    if method in TRAINS_STATES:
        kind = {"learned": True} if levels == "learned" else {"kind": levels}
        trained |= {"state_bits": bits, **kind}
    if method == "float":
        levels = "threshold-centred"  # there are none; one cell, not one a kind
    training = Training(config=TrainConfig.model_validate({**options, **trained}))
    return Cell(method=method, weight_bits=weight_bits, state_bits=bits, levels=levels, training=training)
