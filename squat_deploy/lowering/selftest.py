"""The last check of a lowered network: whole sequences of the model itself, called as its user calls it.

It catches what no rule can foresee. Copies of the model are run plainly, `model(x)` in eval mode, every step of the
sequence, and all spikes, membranes and recognised results are compared with the network's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import Fault, InternalError, LoweringError, SquatError, SquatWarning
from squat_deploy.lowering.judging import Judge, Judged, Reference
from squat_deploy.lowering.program import Program
from squat_deploy.lowering.recorder import is_library
from squat_deploy.network import InputSpec, Network
from squat_deploy.network.observed import Observed, Seen, compare
from squat_deploy.network.simulator import Result
from squat_deploy.network.tally import Tally
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.model_traces import bytes_a_sample, derived_of, names_of
from squat_deploy.snn.neurons import NEURONS, own_surrogate, spike_value
from squat_deploy.snn.returned import Returned, of_sequential
from squat_deploy.snn.running import ModelTrace, OwnRun, is_plain, own_run

LARGE, SMALL = 255, 2
_BYTES = 2**27  # of the traces of a batch, the model's and the network's
_STEPS_OF_ALL = 2048  # steps times samples of the large batch
_LONG = 256  # steps beyond which there is one small batch
_RULE = "the network equals what the model itself does"
_EFFECTS = (
    "its forward does what the record of its calls does not show: values changed in place, code that depends on the "
    "batch size, on chance or on the number of calls; keep to calls of modules and functions, and all states in neurons"
)


def self_test(network: Network, model: nn.Module, program: Program) -> None:
    """Compares batches of inputs with the model itself.

    Args:
        model: as it was before it was recorded, in eval mode; copies of it are run.
        program: what was recorded: whether it loops over time, and what of its results is recognised.

    Raises: LoweringError where a model of the user's code differs, InternalError where one of library modules does.
    Warns: SquatWarning where layers that are not proven differ, or a loop goes on from the states of the call before.
    """
    tested = _Tested(network, model, program)
    own_code = not of_libraries(model)
    for inputs in batches(network, own_code=own_code):
        used = deep_copy(model)
        run, reference = tested.check(used, inputs)
        if own_code and inputs.shape[tested.axis] == SMALL:
            tested.repeat(used, inputs, run, reference)


def batches(network: Network, *, own_code: bool = True) -> Iterator[NDArray[Any]]:
    """Inputs of 1, 2 (for code of the user's) and up to 255 samples: random, all lowest, all highest, few of them.

    A long sequence comes in a batch of 2 alone.
    """
    rng, spec, steps = np.random.default_rng(0), network.input, network.steps
    most = min(_STEPS_OF_ALL // steps, _BYTES // bytes_a_sample(network), LARGE)
    small = (1, SMALL) if own_code else (1,)
    sizes = (*small, max(most, 4)) if steps <= _LONG else (SMALL,)
    for size in sizes:
        yield _inputs(spec, steps, size, rng)


def _inputs(spec: InputSpec, steps: int, size: int, rng: np.random.Generator) -> NDArray[Any]:
    direct = spec.encoding == "direct"
    lead = (size,) if direct else (steps, size)
    kind = np.int16 if spec.low >= -(2**15) and spec.high < 2**15 else np.int32
    values = rng.integers(spec.low, spec.high + 1, (*lead, *spec.shape), dtype=kind)
    by_sample = values if direct else values.swapaxes(0, 1)
    for few in by_sample[1::3]:
        few[rng.random(few.shape, dtype=np.float32) > 0.1] = min(max(spec.low, 0), spec.high)
    if size > SMALL:
        by_sample[0], by_sample[3] = spec.low, spec.high
    return values


class _Tested:
    """A network and its model, called on the same inputs."""

    def __init__(self, network: Network, model: nn.Module, program: Program) -> None:
        self.network, self.model, self.program = network, model, program
        self.looped, self.start = program.looped, program.start
        self.direct = network.input.encoding == "direct"
        self.axis = 0 if self.direct else 1

    def _real(self, inputs: NDArray[Any]) -> Tensor:
        real = np.empty(inputs.shape, dtype=np.float32)
        return torch.from_numpy(
            np.multiply(inputs, self.network.input.step, out=real, dtype=float, casting="same_kind")
        )

    @torch.no_grad()
    def run(
        self,
        model: nn.Module,
        inputs: NDArray[Any],
        traced: Callable[[str, float], ModelTrace] | None = None,
        **options: Any,
    ) -> OwnRun:
        """One sequence of this copy. Raises: LoweringError for whatever the user's code raises."""
        how = {
            "looped": self.looped,
            "direct": self.direct,
            "start": self.start,
            "traced": traced or _told_apart,
            **options,
        }
        try:
            return own_run(model, self._real(inputs), self.network.steps, **how)
        except SquatError:
            raise
        except Exception as error:
            lines = str(error).splitlines() or [""]
            got = f"{type(error).__name__}: {lines[0]}, with a batch of {inputs.shape[self.axis]}"
            hint = "let forward take its sizes from the tensors that it is given"
            raise LoweringError((Fault("model", "the model runs in batches of any size", got, hint),)) from error

    def check(self, used: nn.Module, inputs: NDArray[Any]) -> tuple[OwnRun, Result]:
        """The traces and results of this copy against the network's; the network's where results come from it."""
        names, samples = self._names(), inputs.shape[self.axis]
        judge = Judge(self.network, Reference(self.network, inputs, self._kept(names)), names)
        run = self.run(used, inputs, judge.traced)
        if lost := [neuron.name for neuron in self.network.neurons if not run.traces]:
            got = "neurons that it runs and its modules() do not have"
            hint = "keep modules as attributes, in nn.ModuleList or in nn.ModuleDict, not in a list or dict"
            raise LoweringError((Fault(lost[0], "every module is registered in the model", got, hint),))
        judge.finish(samples)
        reference = Result(np.zeros((samples, 0), dtype=np.int64), judge.reference.traces())
        self._compare_returned(judge.tally, reference, run, names_of(self.network, run.traces))
        if judge.tally.mismatches:
            self._differs(judge.tally, inputs)
        return run, reference

    def _names(self) -> list[str] | None:
        """The model's names of the network's neuron layers, where they are the same."""
        names = [neuron.name for neuron in self.network.neurons]
        modules = {name for name, module in self.model.named_modules() if isinstance(module, NEURONS)}
        return names if len(set(names)) == len(names) and set(names) <= modules else None

    def _kept(self, names: list[str] | None) -> set[int]:
        """The neuron layers that results are compared with: those that are returned, or all, if nobody knows."""
        last = len(self.network.neurons) - 1
        if is_plain(self.model):
            return {last}
        if names is None:
            return set(range(last + 1))
        return {names.index(said.layer) for said in self.program.returned if said.layer in names}

    def _compare_returned(self, tally: Tally, reference: Result, run: OwnRun, names: list[str]) -> None:
        said: Sequence[Returned] = self.program.returned
        if is_plain(self.model):
            neuron = dict(self.model.named_modules())[names[-1]]
            said = of_sequential(run.returned[0], names[-1], spike_value(neuron))
        unseen = tuple(Seen() for _ in names)
        observed = Observed(0, len(reference.scores), unseen, derived=derived_of(names, run, said))
        compare(tally, self.network, reference, observed)

    def repeat(self, used: nn.Module, inputs: NDArray[Any], run: OwnRun, reference: Result) -> None:
        """The same without a hook in it, and again: what a call leaves behind must be gone once neurons are at rest."""
        plain, tally = self.run(deep_copy(self.model), inputs, watch=False), Tally()
        if self.network.certificate.proven:
            self._compare_returned(tally, reference, plain, names_of(self.network, run.traces))
        if tally.mismatches:
            self._differs(tally, inputs)
        if not same(run, self.run(used, inputs)):
            got = "another result in the second sequence, with all neurons at rest again"
            hint = "keep all states in the neurons, and let nothing depend on the calls before or on chance"
            raise LoweringError((Fault("model", "every sequence starts as the first one", got, hint),))
        if self.looped and not same(run, self.run(used, inputs, at_rest=False)):
            warnings.warn(SquatWarning(KEPT), stacklevel=2)

    def _differs(self, tally: Tally, inputs: NDArray[Any]) -> None:
        """Raises, or warns of, what a comparison found."""
        where = str(tally.first)
        if not self.looped and not of_libraries(self.model) and self._forgets(inputs):
            got = f"states made anew in each call of one step, so at {where}"
            hint = (
                "let the neurons keep their states (init_hidden=True, no reset_mem or init_leaky in forward) "
                "and reset them before a sequence, or loop over the steps in forward"
            )
            raise LoweringError((Fault(tally.layer or "model", "neurons keep their own states", got, hint),))
        if not self.network.certificate.proven:
            count = f"{tally.mismatches:,} of {tally.values:,} values"
            text = f"not proven, and {count} differ from the model's in a test, first at {where}"
            warnings.warn(SquatWarning(text), stacklevel=2)
        elif of_libraries(self.model):
            raise InternalError(f"the integers differ from the trained model at {where}; please report this")
        else:
            raise LoweringError((Fault(tally.layer or "model", _RULE, where, _EFFECTS),))

    @torch.no_grad()
    def _forgets(self, inputs: NDArray[Any]) -> bool:
        """Whether a model of one step a call does in every step what it does in a first one."""
        model, steps = deep_copy(self.model), min(self.network.steps, 8)
        real = self._real(inputs if self.direct else inputs[:steps])
        how: dict[str, Any] = {"looped": False, "direct": self.direct, "start": self.start}
        run = own_run(deep_copy(self.model), real, steps, **how)
        for step in range(1, steps):
            first = own_run(model, real if self.direct else real[step : step + 1], 1, **how)
            if any(
                not torch.equal(trace.membranes[step], first.traces[name].membranes[0])
                for name, trace in run.traces.items()
            ):
                return False
        return steps > 1


KEPT = (
    "the model keeps its states from one call to the next: a second model(x) goes on where the first ended, "
    "while the network starts every sequence at rest; put the model's neurons to rest before each sequence "
    "(reset_mem at the start of forward, or snntorch.utils.reset; reset_delay of what delays)"
)


def same(run: OwnRun, other: OwnRun) -> bool:
    """Whether two runs left the same traces."""
    ours, theirs = ({name: trace.print for name, trace in each.traces.items()} for each in (run, other))  # type: ignore[attr-defined]
    return ours == theirs


def _told_apart(_: str, spike: float) -> Judged:
    """A trace that is compared with no network."""
    return Judged(spike=spike)


def of_libraries(model: nn.Module) -> bool:
    """Whether nothing of it is the user's code."""
    return all(
        is_library(type(module).__module__) and not (isinstance(module, NEURONS) and own_surrogate(module))
        for module in model.modules()
    )
