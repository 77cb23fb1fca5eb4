"""State and input quantizers for training (torch): fast, bit-identical to snnTorch's, and kept in the state dict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squat_deploy.errors import ConfigError
from squat_deploy.snn.levels import MAX_BITS, Kind, check_levels, decision_boundaries, level_table

_COUNTED_LEVELS = 16  # up to here compiled comparisons beat a search, and sums a level beat sums by index
_COUNTED_BOUNDARIES = 48  # below that counting them in bytes beats a binary search an element
_COUNTED_VALUES = 2**11  # below that what counts is how many operations there are
_LEAST_GAP = 2.0**-10  # of the threshold, between learned levels


def level_index(values: Tensor, boundaries: Tensor) -> Tensor:
    """How many boundaries lie below each value; NaN and what is below them all give 0.

    Three ways to one number: binary search or counting, whichever is faster, and for the compiler a search without
    branches, which it turns into vector instructions.
    """
    if not torch.compiler.is_compiling():
        few = values.numel() < _COUNTED_VALUES and values.dtype == boundaries.dtype
        if boundaries.numel() < _COUNTED_BOUNDARIES and not few:
            count = (values > boundaries[0]).view(torch.uint8)
            for boundary in boundaries[1:]:
                count += (values > boundary).view(torch.uint8)
            return count.to(torch.int32)
        return torch.bucketize(torch.nan_to_num(values, nan=-math.inf, posinf=math.inf, neginf=-math.inf), boundaries)
    if boundaries.numel() < _COUNTED_LEVELS:
        index = (values > boundaries[0]).to(torch.int32)
        for boundary in boundaries[1:]:
            index = index + (values > boundary)
        return index
    width = boundaries.numel().bit_length()
    padded = torch.cat([boundaries, boundaries.new_full((2**width - 1 - boundaries.numel(),), math.inf)])
    index = torch.zeros(values.shape, dtype=torch.int32, device=values.device)
    for half in (2**place for place in reversed(range(width))):
        index = index + torch.where(values > padded[index + (half - 1)], half, 0)
    return index


def _chosen(values: Tensor, levels: Tensor, boundaries: Tensor) -> Tensor:
    if torch.compiler.is_compiling() and levels.numel() <= _COUNTED_LEVELS:  # blends are vector instructions
        result = torch.where(values > boundaries[0], levels[1], levels[0])
        for boundary, level in zip(boundaries[1:].unbind(), levels[2:].unbind(), strict=True):
            result = torch.where(values > boundary, level, result)
        return result
    return levels.index_select(0, level_index(values, boundaries).reshape(-1)).reshape(values.shape)


class _NearestLevel(torch.autograd.Function):
    """Nearest level forward; backward identity (straight-through, as snnTorch), or clipped to the table.

    Levels that want a gradient get that of learned step size quantization (arXiv 1902.08153), for any table: as if a
    value were turned into a real number of levels by linear interpolation, rounded with a gradient of one, and turned
    back. A value a share s of a gap above its level gives s to the lower and -s to the upper end of its gap, a value
    beyond the table everything to the end level, and then nothing to the membrane.
    """

    @staticmethod
    def forward(values: Tensor, levels: Tensor, boundaries: Tensor, clipped: bool) -> Tensor:
        return _chosen(values.to(levels.dtype), levels, boundaries)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        values, levels, _, clipped = inputs
        ctx.dtype, ctx.clipped, ctx.learned = values.dtype, clipped, levels.requires_grad
        if ctx.learned:
            ctx.save_for_backward(values, levels, output)
        elif clipped:
            low, high = 2 * levels[0] - levels[1], 2 * levels[-1] - levels[-2]  # one gap beyond either end
            ctx.save_for_backward((values >= low) & (values <= high))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        gradient = grads[0]
        if ctx.learned:
            values, levels, output = ctx.saved_tensors
            inside = ((values >= levels[0]) & (values <= levels[-1])).to(gradient.dtype)
            to_levels = _level_gradient(gradient, values.to(levels.dtype), levels, output)
            return (gradient * inside if ctx.clipped else gradient).to(ctx.dtype), to_levels, None, None
        gradient = gradient.to(ctx.dtype)
        return gradient * ctx.saved_tensors[0] if ctx.clipped else gradient, None, None, None


def _level_gradient(gradient: Tensor, values: Tensor, levels: Tensor, output: Tensor) -> Tensor:
    """Gradient (L,) of `levels`; NaN gives none."""
    below, above = values < levels[0], values > levels[-1]
    ends = torch.where(below, gradient, 0).sum(), torch.where(above, gradient, 0).sum()
    weighted = torch.where((values >= levels[0]) & (values <= levels[-1]), gradient * (values - output), 0)
    if levels.numel() <= _COUNTED_LEVELS:
        gaps = [torch.where((values > a) & (values <= b), weighted, 0).sum() for a, b in pairwise(levels.unbind())]
        per_gap = torch.stack(gaps)
    else:
        segment = (level_index(values, levels) - 1).clamp(0, levels.numel() - 2).reshape(-1)
        per_gap = torch.zeros_like(levels[1:]).index_add(0, segment, weighted.reshape(-1))
    per_gap = per_gap / (levels[1:] - levels[:-1])
    none = ends[0].reshape(1) * 0
    lower, upper = torch.cat([per_gap, none]), torch.cat([none, per_gap])
    return lower - upper + torch.cat([ends[0].reshape(1), none.expand(levels.numel() - 2), ends[1].reshape(1)])


class StateQuantizer(nn.Module):
    """Maps a membrane to its nearest level; drop-in for `snn.Leaky(state_quant=...)`.

    Equal to snnTorch 1.0.0 to the bit for every float32 below `levels.safe_magnitude`, NaN included; beyond it
    snnTorch's rule falls back to lower levels, this one saturates. Inputs of any shape, float32 or narrower;
    the result is float32. The gradient passes straight through, or, with `clipped`, stops where the membrane has
    left the table by more than a gap: otherwise long and recurrent sequences push weights that no longer matter.

    With `learned`, the levels are a parameter. Whoever trains them calls `arrange` after every update; leaving training
    mode does so too, and takes the boundaries of the rule to the bit (while training they are plain midpoints).

    Attributes:
        above: how many levels lie above the threshold; learning does not change it.
        source: what was rounded last, and `rounded`, what came out, while training: `MembraneSurrogate` wants to know.
    """

    levels: Tensor
    boundaries: Tensor
    source: Tensor | None
    rounded: Tensor | None

    def __init__(
        self,
        levels: Tensor | np.ndarray[Any, Any],
        threshold: float = 1.0,
        *,
        clipped: bool = False,
        learned: bool = False,
    ) -> None:
        """Args: levels: (L,) ascending, in membrane units; threshold: only to refuse a table that cannot fire."""
        super().__init__()
        table = check_levels(np.asarray(levels, dtype=np.float32), threshold)
        self.enabled, self.clipped, self.learned, self.threshold = True, clipped, learned, float(threshold)
        self.above = int((table > self.threshold).sum())
        self.forget()
        if learned:
            self.levels = nn.Parameter(torch.from_numpy(table.copy()))
        else:
            self.register_buffer("levels", torch.from_numpy(table.copy()))
        self.register_buffer("boundaries", torch.from_numpy(decision_boundaries(table)), persistent=False)

    @classmethod
    def of(
        cls,
        bits: int,
        kind: Kind = "uniform",
        threshold: float = 1.0,
        *,
        clipped: bool = False,
        learned: bool = False,
        **options: Any,
    ) -> StateQuantizer:
        """A quantizer on `levels.level_table(bits, kind, threshold, ...)`."""
        return cls(level_table(bits, kind, threshold, **options), threshold, clipped=clipped, learned=learned)

    @classmethod
    def from_snntorch(cls, function: Callable[[Tensor], Tensor], threshold: float = 1.0) -> StateQuantizer:
        """The same table as a closure made by snnTorch's `state_quant`; ConfigError for any other callable."""
        return cls(closure_levels(function).detach().cpu().numpy(), threshold)

    def forward(self, values: Tensor) -> Tensor:
        if not self.enabled:
            return values
        if values.dtype == torch.float64:
            raise ConfigError("StateQuantizer: states are float32; got float64; call model.float() before training")
        if values is self.rounded:  # snnTorch rounds a second time to fire, which changes nothing
            return values
        boundaries = self._training_boundaries().detach()
        quantized = self._quantized(values, boundaries)
        if self.training:
            self.source, self.rounded = values, quantized
        return quantized

    def _quantized(self, values: Tensor, boundaries: Tensor) -> Tensor:
        """Without gradients what `_NearestLevel` computes is called plainly, in half the time."""
        if not torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _chosen(values.to(self.levels.dtype), self.levels, boundaries)
        quantized: Tensor = _NearestLevel.apply(values, self.levels, boundaries, self.clipped)  # type: ignore[no-untyped-call]
        return quantized

    @property
    def firing_boundary(self) -> Tensor:
        """Membranes above it are rounded to levels that fire, a scalar."""
        return self._training_boundaries()[self.levels.numel() - self.above - 1]

    def _training_boundaries(self) -> Tensor:
        return (self.levels[1:] + self.levels[:-1]) / 2 if self.learned and self.training else self.boundaries

    def forget(self) -> None:
        """Drops what was rounded last, and the graph of gradients behind it."""
        self.source = self.rounded = None

    @torch.no_grad()
    def take(self, levels: np.ndarray[Any, Any]) -> None:
        """Another table of as many levels, ascending, in membrane units."""
        table = check_levels(levels, self.threshold)
        self.levels.copy_(torch.from_numpy(table))
        self.above = int((table > self.threshold).sum())
        self._take_boundaries()

    @torch.no_grad()
    def arrange(self) -> None:
        """Puts learned levels back into a table: ascending, a least gap apart, `above` of them above the threshold."""
        least, below = self.threshold * _LEAST_GAP, self.levels.numel() - self.above
        ordered = self.levels.sort().values
        steps = torch.arange(len(ordered), device=ordered.device) * least
        most = self.threshold + steps[:below] - steps[below - 1] if below else ordered[:0]
        low = ordered[:below].clamp(max=most)
        high = ordered[below:].clamp(min=self.threshold + least)
        table = torch.cummax(torch.cat([low, high]) - steps, dim=0).values + steps
        table[:below].clamp_(max=self.threshold)  # rounding moves a level by its last bit
        table[below:].clamp_(min=self.threshold + least)
        self.levels.copy_(table)

    def train(self, mode: bool = True) -> StateQuantizer:
        """As of any module; leaving training mode settles learned levels."""
        self.forget()
        if self.learned and self.training and not mode:
            self.arrange()
            self._take_boundaries()
        return super().train(mode)

    def _take_boundaries(self) -> None:
        table = self.levels.detach().cpu().float().numpy()
        self.boundaries = torch.from_numpy(decision_boundaries(table)).to(self.levels.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StateQuantizer:
        """Moves and casts; boundaries belong to the levels as they are afterwards, half precision changes both."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if not self.levels.is_meta:
            self._take_boundaries()
        return self

    def is_consistent(self) -> bool:
        """Whether the boundaries are those of the levels; not so after the levels were changed in place."""
        table = self.levels.detach().cpu().float().numpy()
        return bool(np.array_equal(self.boundaries.cpu().numpy(), decision_boundaries(table)))

    def extra_repr(self) -> str:
        table = self.levels.detach()
        return f"levels={table.numel()}, low={float(table[0]):g}, high={float(table[-1]):g}"

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        levels = state_dict.get(prefix + "levels")
        if levels is not None:
            table = check_levels(levels.detach().cpu().numpy(), -math.inf)
            if len(table) != self.levels.numel():
                fresh = torch.empty_like(self.levels).new_tensor(table)
                self.levels = nn.Parameter(fresh) if self.learned else fresh
            self.above = int((table > self.threshold).sum())
            self.boundaries = self.levels.new_tensor(decision_boundaries(table))
        super()._load_from_state_dict(state_dict, prefix, *args)


class MembraneSurrogate:
    """Surrogate gradient taken where the membrane is before rounding, a drop-in for `snn.Leaky(spike_grad=...)`.

    snnTorch takes it at the level, of which there are few, and against the threshold, while a membrane fires once it is
    rounded up: above the boundary between two levels. Besides, gradients of spikes would stop where those of clipped
    states do, so that a neuron far below the table could not learn to fire. Here the spike is that of snnTorch, to the
    bit, and its gradient that of `gradient(u - boundary)`, also to learned levels, whose midpoint the boundary is. For
    neurons with one state.
    """

    def __init__(self, gradient: Callable[[Tensor], Tensor], quantizer: StateQuantizer) -> None:
        """Args: gradient: one of snnTorch's surrogates; quantizer: `state_quant` of the same neuron."""
        self.gradient, self.quantizer = gradient, quantizer

    def __call__(self, shift: Tensor) -> Tensor:
        spikes, source = self.gradient(shift), self.quantizer.source
        if source is None or source.shape != shift.shape:  # of the batch before, where a new one begins
            return spikes
        soft = self.gradient(source - self.quantizer.firing_boundary)
        return spikes.detach() + (soft - soft.detach())


def closure_levels(function: Callable[[Tensor], Tensor]) -> Tensor:
    """The level table inside a closure of snnTorch's `state_quant`, shape (L,)."""
    from snntorch.functional import quant

    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is not quant.state_quant(1).__code__ or not cells:  # all its closures share one code object
        raise ConfigError(
            f"state_quant: expected a StateQuantizer or a closure of snnTorch's state_quant; got {function!r}"
        )
    levels = cells[0].cell_contents
    if not isinstance(levels, Tensor) or levels.ndim != 1 or levels.numel() > 2**MAX_BITS:
        raise ConfigError(f"state_quant: a level table has at most {2**MAX_BITS} levels; got {levels!r}")
    if levels.dtype != torch.float32:
        raise ConfigError(
            f"state_quant: levels are float32; got {levels.dtype}; make it while torch's default is float32"
        )
    return levels


def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1.0,
    lower_limit: float = 0.0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> StateQuantizer:
    """Same arguments and same numbers as `snntorch.functional.quant.state_quant`, as a module with a state dict."""
    kind: Kind = "uniform" if uniform else "threshold-centred" if thr_centered else "zero-centred"
    return StateQuantizer.of(
        num_bits, kind, threshold, lower_limit=lower_limit, upper_limit=upper_limit, base=multiplier
    )


class InputQuantizer(nn.Module):
    """Puts real inputs on an integer grid: `clamp(round(x / step), low, high) * step`, ties to even.

    With it as the first module the trained model itself sees integers, which is what makes the first layer exact.

    Args:
        step: size of one integer step, a power of two, in input units.
        low, high: range of the integers, inclusive.
    """

    def __init__(self, step: float, low: int, high: int) -> None:
        super().__init__()
        if step <= 0 or math.frexp(step)[0] != 0.5:
            raise ConfigError(
                f"InputQuantizer: step must be a power of two; got {step}; the nearest is {_power_of_two(step)}"
            )
        if not -(2**15) <= low < high < 2**16:
            raise ConfigError(f"InputQuantizer: needs low < high within 16 bits; got {low} and {high}")
        self.step, self.low, self.high = float(step), int(low), int(high)

    def forward(self, values: Tensor) -> Tensor:
        return torch.clamp(torch.round(values / self.step), self.low, self.high) * self.step

    def extra_repr(self) -> str:
        return f"step={self.step}, low={self.low}, high={self.high}"


def _power_of_two(step: float) -> float:
    return 2.0 ** round(math.log2(step)) if step > 0 else 1.0
