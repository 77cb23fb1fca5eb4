"""What decides a training run, without torch: the command line makes its options of it."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from squat_deploy.network import Encoding, InputSpec
from squat_deploy.snn.levels import MAX_BITS, Kind

if TYPE_CHECKING:
    from torch import nn

FLOAT_BITS = 32
Surrogate = Literal["atan", "fast-sigmoid", "sigmoid", "triangular", "straight-through"]
SurrogateAt = Literal["levels", "membrane"]
WeightScale = Literal["power-of-two", "float", "learned", "shared"]


def _width(bits: int) -> int:
    if not (1 <= bits <= MAX_BITS or bits == FLOAT_BITS):
        raise ValueError(f"1 to {MAX_BITS} bits, or {FLOAT_BITS} for float")
    return bits


Width = Annotated[int, AfterValidator(_width)]
Dataset = Literal["fashion-mnist", "n-mnist", "fsdd-spikes", "shd", "dvs-gesture"]
_PLANES: dict[Dataset, tuple[int, int]] = {"fashion-mnist": (28, 28), "n-mnist": (34, 34), "dvs-gesture": (128, 128)}
MAX_SIZE, MAX_WEIGHTS = 2**20, 2**28  # of a layer


class TrainConfig(BaseModel):
    """All that decides a training run; saved with its checkpoints. What has no text is as in `Recipe`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dataset: Dataset = "fashion-mnist"
    """What to train on; `lab.data` reads it."""
    samples: int = Field(0, ge=0)
    """How many of the training set to take, the first ones; 0 for all."""
    duration: int = Field(300_000, ge=1)
    """Microseconds of a recording that the steps divide (event data)."""
    pixels: int = Field(1, ge=1)
    """Of an event camera, a side, that make one input."""
    net: Literal["dense", "conv", "recurrent"] = "dense"
    """Which network of `lab.models`."""
    sizes: tuple[int, ...] = (784, 256, 10)
    """Neurons or channels a layer, inputs first."""
    norms: bool = False
    """Of a dense net, a batch-norm before every neuron layer but the last; convolutional ones always have them."""
    features: int = Field(0, ge=0)
    """Of a convolutional net, what its last pooling leaves."""
    weight_bits: Width = 4
    """Width of the weights, 1 to 8, or 32 for float."""
    state_bits: Width = 2
    """Width of the membrane, 1 to 8, or 32 for float."""
    weight_scale: WeightScale = "power-of-two"
    kind: Kind = "threshold-centred"
    """Spacing of the levels."""
    exponent: float | None = Field(None, gt=0)
    above: int | None = Field(None, ge=1)
    learned: bool = False
    input_bits: int = Field(4, ge=1, le=8)
    """Width of the pixels of images; not used by nets that take counts of events."""
    beta: float = Field(0.97, ge=0, le=1)
    neuron: Literal["leaky", "synaptic"] = "leaky"
    alpha: float = Field(0.5, ge=0, le=1)
    surrogate: Surrogate = "atan"
    surrogate_at: SurrogateAt = "levels"
    surrogate_slope: float = Field(1.0, gt=0)
    current_std: float = Field(0, ge=0)
    """Standard deviation, in thresholds, that the initial weights of every layer are scaled to give its currents; 0
    leaves them as they are drawn (`lab.scaling.match_currents`)."""
    lower_limit: float = Field(0, ge=0)
    upper_limit: float = Field(0.2, gt=0)
    limits: Literal["fixed", "calibrated", "fitted"] = "fixed"
    """Of the states, "fixed" as the two fields above say; or taken from the membranes that the network has, on a
    thousand training samples, at the epoch in which states begin to be quantized: "calibrated" stretches the table over
    them, "fitted" takes the levels that flip the fewest spikes (`fitting.best_levels`)."""
    clipped: bool = False
    steps: int = Field(10, ge=1, lt=2**16)
    """Time steps a sequence."""
    epochs: int = Field(60, ge=1)
    """Passes over the training data."""
    float_epochs: int = Field(0, ge=0)
    """First epochs in float, before weights and states are quantized."""
    float_state_epochs: int = Field(0, ge=0)
    """First epochs with float states; weights are quantized after `float_epochs`."""
    batch: int = Field(128, ge=1)
    """Samples an update."""
    learning_rate: float = Field(1e-3, gt=0)
    """Adam's, at the start of the schedule."""
    schedule: Literal["cosine", "restarted", "constant"] = "cosine"
    """Of the learning rate, functions of the epoch alone; "restarted" is a cosine that begins anew where states begin
    to be quantized (warm restarts, arXiv 1608.03983)."""
    flip: bool = True
    """Mirror half of the training images."""
    shift: int = Field(0, ge=0)
    """Move each batch by up to so many pixels (or channels of a cochlea), what leaves comes in opposite."""
    clip: float = Field(0, ge=0)
    """Largest norm of a gradient, 0 for any: recurrent networks need one."""
    seed: int = Field(0, ge=-(2**63), lt=2**63)
    """Random seed."""

    @model_validator(mode="after")
    def _has_sizes(self) -> TrainConfig:
        if len(self.sizes) < 2 or any(not 1 <= size <= MAX_SIZE for size in self.sizes):
            raise ValueError(f"sizes: two or more, each 1 to {MAX_SIZE}; got {self.sizes[:9]}")
        if any(a * b > MAX_WEIGHTS for a, b in pairwise(self.sizes)) or self.features * self.sizes[-1] > MAX_WEIGHTS:
            raise ValueError(f"sizes: a layer of more than {MAX_WEIGHTS} weights")
        return self

    @model_validator(mode="after")
    def _has_limits(self) -> TrainConfig:
        if self.limits == "calibrated" and self.kind in ("rest", "ternary", "fixed-point"):
            raise ValueError(f"limits calibrated: {self.kind} levels have a range of their own")
        if self.limits == "fitted" and self.kind == "ternary":
            raise ValueError("limits fitted: makes tables of 2, 4, 8 ... levels; ternary states have 3")
        return self

    @model_validator(mode="after")
    def _has_levels_above(self) -> TrainConfig:
        if self.above is not None and self.state_bits != FLOAT_BITS:
            if self.kind != "rest":
                raise ValueError(f"above: is of rest levels; got kind {self.kind}")
            if self.limits == "fitted":
                raise ValueError("above: limits fitted decides it; leave one of them out")
        return self

    @model_validator(mode="after")
    def _has_norms(self) -> TrainConfig:
        if self.norms and (self.net != "dense" or len(self.sizes) < 3):
            raise ValueError(f"norms: stand before hidden neurons of dense nets; got {self.net}, sizes {self.sizes}")
        if self.norms and self.weight_scale == "shared":
            raise ValueError("norms: would change the steps of weights with weight_scale shared; leave one of them out")
        return self

    @property
    def states_from(self) -> int:
        """The first epoch with quantized states."""
        return max(self.float_epochs, self.float_state_epochs)

    @property
    def encoding(self) -> Encoding:
        """Images are shown at every step, recordings are a sequence of frames."""
        return "direct" if self.dataset == "fashion-mnist" else "sequence"

    @property
    def input(self) -> InputSpec:
        """What enters the network: pixels of `input_bits`, or whether an event came to a place in a step."""
        shape = self.sizes[:1]
        if self.net == "conv":
            shape = (shape[0], *(side // self.pixels for side in _PLANES.get(self.dataset, (1, 1))))
        if self.encoding == "direct":
            return InputSpec(shape, 0, 2**self.input_bits - 1, 2.0**-self.input_bits, self.encoding)
        return InputSpec(shape, 0, 1, 1.0, self.encoding)

    def model(self) -> nn.Sequential:
        """The network to train, freshly initialized."""
        from squat_deploy.lab.models import Recipe, conv_lif_net, dense_lif_net, recurrent_lif_net

        recipe = self.model_dump(include={field.name for field in fields(Recipe)})
        bits = self.input_bits if self.encoding == "direct" else None
        if self.net == "conv":
            return conv_lif_net(self.sizes, self.features, input_bits=bits, **recipe)
        if self.net == "recurrent":
            return recurrent_lif_net(self.sizes, **recipe)
        return dense_lif_net(self.sizes, norms=self.norms, input_bits=bits, **recipe)
