"""The last check of a lowered network: whole sequences of the model itself, called as its user calls it.

It catches what no rule can foresee. Copies of the model are run plainly, `model(x)` in eval mode, every step of the
sequence, and all spikes, membranes and recognised results are compared with the network's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from squat_deploy.errors import Fault, InternalError, LoweringError, SquatError, SquatWarning
from squat_deploy.lowering.program import Program
from squat_deploy.lowering.recorder import is_library
from squat_deploy.network import InputSpec, Network
from squat_deploy.network.observed import compare
from squat_deploy.network.simulator import Result, simulate
from squat_deploy.network.tally import Tally
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.model_traces import bytes_a_sample, observed_of
from squat_deploy.snn.neurons import NEURONS, own_surrogate
from squat_deploy.snn.returned import Returned, of_sequential
from squat_deploy.snn.running import OwnRun, is_plain, own_run
from squat_deploy.snn.states import Start

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
    tested = _Tested(network, model, program.looped, program.start)
    own_code = not of_libraries(model)
    for inputs in batches(network, own_code=own_code):
        used = deep_copy(model)
        run = tested.run(used, inputs)
        said = of_sequential(run.returned[0], *tested.last(run)) if is_plain(model) else program.returned
        reference = tested.check(inputs, run, said)
        if own_code and inputs.shape[tested.axis] == SMALL:
            tested.repeat(used, inputs, run, said, reference)


def batches(network: Network, *, own_code: bool = True) -> Iterator[NDArray[np.int64]]:
    """Inputs of 1, 2 (for code of the user's) and up to 255 samples: random, all lowest, all highest, few of them.

    A long sequence comes in a batch of 2 alone.
    """
    rng, spec, steps = np.random.default_rng(0), network.input, network.steps
    most = min(_STEPS_OF_ALL // steps, _BYTES // bytes_a_sample(network), LARGE)
    small = (1, SMALL) if own_code else (1,)
    sizes = (*small, max(most, 4)) if steps <= _LONG else (SMALL,)
    for size in sizes:
        yield _inputs(spec, steps, size, rng)


def _inputs(spec: InputSpec, steps: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    direct = spec.encoding == "direct"
    lead = (size,) if direct else (steps, size)
    values = rng.integers(spec.low, spec.high + 1, (*lead, *spec.shape))
    by_sample = values if direct else values.swapaxes(0, 1)
    few = by_sample[1::3]
    few[rng.random(few.shape) > 0.1] = min(max(spec.low, 0), spec.high)
    if size > SMALL:
        by_sample[0], by_sample[3] = spec.low, spec.high
    return values


class _Tested:
    """A network and its model, called on the same inputs."""

    def __init__(self, network: Network, model: nn.Module, looped: bool, start: Start | None) -> None:
        self.network, self.model, self.looped, self.start = network, model, looped, start
        self.direct = network.input.encoding == "direct"
        self.axis = 0 if self.direct else 1

    def _real(self, inputs: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy((inputs * self.network.input.step).astype(np.float32))

    @torch.no_grad()
    def run(self, model: nn.Module, inputs: NDArray[np.int64], *, watch: bool = True, at_rest: bool = True) -> OwnRun:
        """One sequence of this copy. Raises: LoweringError for whatever the user's code raises."""
        options = {"looped": self.looped, "direct": self.direct, "watch": watch, "at_rest": at_rest}
        try:
            return own_run(model, self._real(inputs), self.network.steps, start=self.start, **options)
        except SquatError:
            raise
        except Exception as error:
            lines = str(error).splitlines() or [""]
            got = f"{type(error).__name__}: {lines[0]}, with a batch of {inputs.shape[self.axis]}"
            hint = "let forward take its sizes from the tensors that it is given"
            raise LoweringError((Fault("model", "the model runs in batches of any size", got, hint),)) from error

    def last(self, run: OwnRun) -> tuple[str, float]:
        """Name and spike of the output layer of an `nn.Sequential`."""
        name = list(run.traces)[-1]
        return name, run.traces[name].spike

    def check(self, inputs: NDArray[np.int64], run: OwnRun, returned: Sequence[Returned]) -> Result:
        """The model's traces and results against the network's, which it returns."""
        if lost := [neuron.name for neuron in self.network.neurons if not run.traces]:
            got = "neurons that it runs and its modules() do not have"
            hint = "keep modules as attributes, in nn.ModuleList or in nn.ModuleDict, not in a list or dict"
            raise LoweringError((Fault(lost[0], "every module is registered in the model", got, hint),))
        tally, reference = Tally(), simulate(self.network, inputs, trace=True)
        compare(tally, self.network, reference, observed_of(self.network, run, returned, inputs.shape[self.axis]))
        if tally.mismatches:
            self._differs(tally, inputs, run)
        return reference

    def repeat(
        self,
        used: nn.Module,
        inputs: NDArray[np.int64],
        run: OwnRun,
        returned: Sequence[Returned],
        reference: Result,
    ) -> None:
        """The same without a hook in it, and again: what a call leaves behind must be gone once neurons are at rest."""
        plain, tally = self.run(deep_copy(self.model), inputs, watch=False), Tally()
        if self.network.certificate.proven:
            samples = inputs.shape[self.axis]
            compare(tally, self.network, reference, observed_of(self.network, plain, returned, samples))
        if tally.mismatches:
            self._differs(tally, inputs, run)
        if not same(run, self.run(used, inputs)):
            got = "another result in the second sequence, with all neurons at rest again"
            hint = "keep all states in the neurons, and let nothing depend on the calls before or on chance"
            raise LoweringError((Fault("model", "every sequence starts as the first one", got, hint),))
        if self.looped and not same(run, self.run(used, inputs, at_rest=False)):
            warnings.warn(SquatWarning(KEPT), stacklevel=2)

    def _differs(self, tally: Tally, inputs: NDArray[np.int64], run: OwnRun) -> None:
        """Raises, or warns of, what a comparison found."""
        where = str(tally.first)
        if not self.looped and self._forgets(inputs, run):
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

    def _forgets(self, inputs: NDArray[np.int64], run: OwnRun) -> bool:
        """Whether a model of one step a call does in every step what it does in a first one."""
        model, steps = deep_copy(self.model), self.network.steps
        real = self._real(inputs)
        for step in range(1, min(steps, 8)):
            values = real if self.direct else real[step : step + 1]
            with torch.no_grad():
                first = own_run(model, values, 1, looped=False, direct=self.direct, start=self.start)
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
    if run.traces.keys() != other.traces.keys():
        return False
    pairs = [(trace, other.traces[name]) for name, trace in run.traces.items()]
    return all(
        len(a) == len(b) and all(map(torch.equal, a, b))
        for ours, theirs in pairs
        for a, b in ((ours.spikes, theirs.spikes), (ours.membranes, theirs.membranes))
    )


def of_libraries(model: nn.Module) -> bool:
    """Whether nothing of it is the user's code."""
    return all(
        is_library(type(module).__module__) and not (isinstance(module, NEURONS) and own_surrogate(module))
        for module in model.modules()
    )
