"""The program of a model whose forward is Python: it is run on small examples, and every call is recorded.

Models come in two forms: `forward` is one time step, with the membranes inside the neurons, or `forward` holds the
loop over the time steps. Every step must make the same calls as the one before, in batches of every size, and a
sequence must leave the model as it found it: what is not in the record must not be able to matter.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from squat_deploy.errors import LoweringError
from squat_deploy.lowering.asking import USUAL, Asked
from squat_deploy.lowering.behind import HINT, RULE
from squat_deploy.lowering.effects import Contents, kept_by, random_states
from squat_deploy.lowering.folding import SAME_CALLS, Event, Recorded, fold, same_call, steps_of
from squat_deploy.lowering.program import Program
from squat_deploy.lowering.recorder import (
    Recorder,
    Sizes,
    Traced,
    fault,
    is_leaf,
    layers_of,
    marked,
    memory_of,
    users_frame,
    users_line,
)
from squat_deploy.lowering.returned import membranes_alone, recognised, recognised_by_values, tensors_of
from squat_deploy.lowering.trial import ANY_BATCH, BATCH, Reached, calls_go_to, example, find_calling, here, ran
from squat_deploy.network import InputSpec
from squat_deploy.network.readout import Readout
from squat_deploy.progress import report
from squat_deploy.snn.calling import Calling
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.neurons import own_instances, reset_neurons
from squat_deploy.snn.returned import Returned
from squat_deploy.snn.running import ModelTrace
from squat_deploy.snn.states import tensors_in

_BATCHES = (BATCH, 11, 13, 17, 19, 23, 29)  # the first that is no other size in the model, so that none is taken for it
_FEW = (4, 3, 5, 6)  # the same of the smaller batch
_MAX_BATCHES = 24
_BYTES_TRIED, _BYTES_ASKED = 2**27, 2**30  # of the inputs and neurons of a batch
_FEW_STEPS = 3  # in the other batch that nothing asked for, of a model that runs one step a call
_FOLLOWED = "the model's calls, by sizes of batches"


@dataclass
class _Run:
    """A copy of a model, ready to be recorded with one size of batch."""

    model: nn.Module
    spec: InputSpec
    steps: int
    calling: Calling
    recorder: Recorder
    gradients: bool = False  # whether torch counts them, as it does outside of torch.no_grad
    returned: tuple[Returned, ...] = ()  # what is recognised of a call's result
    asks: tuple[Readout, ...] | None = None  # readouts that fit it, where it is membranes alone

    @property
    def direct(self) -> bool:
        return self.spec.encoding == "direct"

    @property
    def looped(self) -> bool:
        return self.calling.looped

    def sequence(self) -> Program:
        """Records one sequence from rest."""
        batch = self.recorder.asked.batch
        inputs = example(self.spec, self.steps, batch)
        reset_neurons(self.model)
        self.recorder.start()
        with torch.set_grad_enabled(self.gradients), own_instances(self.model), _recording(self.recorder):
            steps = self._looped_steps(inputs) if self.looped else self._single_steps(inputs)
            program = fold(steps, stepwise=self.looped and not self.direct)
        self.recorder.check_end({id(module): module for module in self.model.modules()})
        reset_neurons(self.model)
        return program

    def _looped_steps(self, inputs: Tensor) -> list[Recorded]:
        root, result = self._called(inputs, self._first())
        return steps_of(root, self.recorder.neurons, _traced_parts(result))

    def _single_steps(self, inputs: Tensor) -> Iterator[Recorded]:
        states = self._first()
        for step in range(self.steps):
            self.recorder.neurons = []
            root, result = self._called(inputs if self.direct else inputs[step], states)
            if self.calling.start is not None:
                result, states = self.calling.start.left(result)
            yield Recorded(root, self.recorder.neurons, _traced_parts(result))

    def _first(self) -> tuple[Any, ...]:
        """What a model that takes its states is given at the first step."""
        return () if self.calling.start is None else self.calling.start.first(self.recorder.asked.batch)

    def _ran(self, entry: Tensor, states: tuple[Any, ...]) -> Any:
        """The model's result. Raises: LoweringError, the first refusal, whether forward caught it or not."""
        try:
            with self.recorder.guard, Sizes(self.recorder):
                return ran(lambda: self.model(entry, *states))
        finally:
            if self.recorder.refused is not None:
                raise self.recorder.refused

    def _called(self, entry: Tensor, states: tuple[Any, ...]) -> tuple[Event, Any]:
        root = Event("input", "input", (), {}, tuple(entry.shape))
        result = self._ran(marked(entry.clone(), root), states)
        if self.recorder.traces is not None:
            self._recognise(result, self.recorder.traces)
        return root, result

    def _recognise(self, result: Any, traces: dict[str, ModelTrace]) -> None:
        """Of the first call, and of the second where states are passed: a sum that they carry is no spikes any more."""
        names = {id(self.recorder.originals[key]): name for key, name in self.recorder.names.items()}
        found = (*recognised(result, names, traces), *self._written(result, traces))
        if self.asks is None:
            self.returned, self.asks = found, membranes_alone(result)
            passed = self.calling.start is not None and not self.looped
        else:
            later = [replace(said, steps=tuple(step - 1 for step in said.steps)) for said in found]
            self.returned, passed = tuple(said for said in self.returned if said in later), False
        if not passed:
            self.recorder.traces = None

    def _written(self, result: Any, traces: dict[str, ModelTrace]) -> Iterator[Returned]:
        """Of tensors into which values were written. Raises: LoweringError for those that are no readout."""
        for path, tensor in tensors_of(result):
            if isinstance(tensor, Traced) or not self.recorder.is_written(tensor):
                continue
            fits, said = recognised_by_values(path, tensor, traces)
            if not fits:
                line = self.recorder.written[memory_of(tensor)][1]
                raise fault(line, RULE, "a tensor into which they were written, and which holds something else", HINT)
            if said is not None:
                yield said


def traced_program(model: nn.Module, spec: InputSpec, steps: int, initial_state: Any = None) -> Program:
    """Runs copies of a model in eval mode on small examples and returns what one of its time steps does.

    Raises: LoweringError where it cannot be run, decides by its data or the size of its batch, does not repeat itself,
        or changes something that is not in its record.
    """
    tried = Reached()
    report(_FOLLOWED, 0, 3)
    calling = find_calling(model, spec, steps, initial_state, tried)
    batch, few = _batches_of(model, spec, steps)
    run = _prepared(model, spec, steps, calling, batch)
    try:
        program = _settled(run)
    except LoweringError as error:
        told = tried.shared(model) if error.faults[0].rule == SAME_CALLS else None
        raise told or error from error
    _check_batches(model, run, program, (1, few))
    return program


def followed_result(model: nn.Module, spec: InputSpec, steps: int, calling: Calling) -> Sequence[Returned]:
    """What is recognised of what a model returns, by one batch: whoever compares it does so in every batch.

    Raises: LoweringError, as `traced_program`.
    """
    return _settled(_prepared(model, spec, steps, calling, _batches_of(model, spec, steps)[0])).returned


def _batches_of(model: nn.Module, spec: InputSpec, steps: int) -> tuple[int, int]:
    sizes = {steps, *spec.shape, *(size for value in model.state_dict().values() for size in value.shape)}
    first, few = (next((size for size in some if size not in sizes), some[0]) for some in (_BATCHES, _FEW))
    return first, few


def _check_batches(model: nn.Module, first: _Run, program: Program, usual: tuple[int, ...]) -> None:
    """Records batches of other sizes: usual ones, with gradients, and all that forward's use of the size asks for."""
    asked, of_sample = first.recorder.asked, _bytes_of_sample(first)
    done, lines, tried = {asked.batch}, dict.fromkeys(usual, "model") | asked.others, set(asked.tried)
    while waiting := (lines.keys() | {batch for batch in tried if _is_tried(batch, of_sample)}) - done:
        batch = min(waiting)
        report(_FOLLOWED, len(done), len(done) + len(waiting))
        if len(lines) > _MAX_BATCHES:
            got = f"comparisons with more than {_MAX_BATCHES} sizes"
            raise fault("model", ANY_BATCH, got, "compare it with nothing in forward")
        if batch in lines and batch not in USUAL and batch * of_sample > _BYTES_ASKED:
            got = f"forward decides by a batch of more than {batch - 1}, which is too large to be recorded"
            raise fault(lines[batch], ANY_BATCH, got, "compare it with nothing in forward")
        brief = batch == usual[-1] and lines[batch] == "model" and batch not in tried and not first.looped
        # all steps: code may count them, in a state for instance, and decide by the batch at a late one
        run = _prepared(model, first.spec, min(first.steps, _FEW_STEPS) if brief else first.steps, first.calling, batch)
        long = not brief and not first.looped and batch * of_sample * first.steps > _BYTES_ASKED
        run.recorder.asked.often, run.gradients = asked.often, batch in usual and not long
        other = " with gradients" if run.gradients else ""
        got = f"a batch of {batch}{other} does something else than one of {asked.batch}"
        _check_same(program, run.sequence(), got)
        done.add(batch)
        lines, tried = run.recorder.asked.others | lines, tried | run.recorder.asked.tried


def _is_tried(batch: int, of_sample: int) -> bool:
    return batch in USUAL or batch * of_sample <= _BYTES_TRIED


def _bytes_of_sample(run: _Run) -> int:
    """float32 of its inputs, and of currents, spikes and membranes of all steps that were recorded in one call."""
    inputs = math.prod(run.spec.shape) * (1 if run.direct else run.steps)
    return 4 * (inputs + 3 * sum(math.prod(event.shape[1:]) for event in run.recorder.neurons))


def _settled(run: _Run) -> Program:
    """The program of a sequence that leaves the model as the next one finds it. Raises: LoweringError for others."""
    before, drawn = kept_by(run.model, is_leaf), random_states()
    program = run.sequence()
    program = replace(program, returned=run.returned, asks=run.asks or (), draws=random_states() != drawn)
    program = replace(program, looped=run.looped, start=run.calling.start)
    after = kept_by(run.model, is_leaf)
    if after == before:
        return program
    _check_same(program, run.sequence(), "a second sequence does something else than the first")
    changed = [key for key, value in kept_by(run.model, is_leaf).items() if after.get(key, run) != value]
    if changed:
        got, hint = f"{changed[0]} changes with every sequence", "keep counters and records outside the model"
        raise fault(_line_of(run, changed[0]), "a sequence leaves the model as it was", got, hint)
    return program


def _line_of(run: _Run, key: str) -> str:
    """Where an attribute was set, if that was seen."""
    path, _, name = key.rpartition(".")
    modules = dict(run.model.named_modules())
    seen = run.recorder.set_at.get((id(modules.get(path)), name))
    return seen or ("model" if " " in key else f"model.{key}")


def _check_same(program: Program, other: Program, got: str) -> None:
    known: dict[tuple[int, int], bool] = {}
    pairs = list(zip((*program.neurons, program.result), (*other.neurons, other.result), strict=False))
    first = next((ours for ours, theirs in pairs if not same_call(ours, theirs, known)), None)
    if len(program.neurons) != len(other.neurons) or first is not None:
        label = "model" if first is None else first.label
        hint = "let forward do the same in every batch and every sequence"
        raise fault(label, "every batch and every sequence makes the same calls", got, hint)


def _prepared(model: nn.Module, spec: InputSpec, steps: int, calling: Calling, batch: int) -> _Run:
    memo: dict[int, Any] = {}
    copied = deep_copy(model, memo)
    originals = {id(memo[id(module)]): module for module in model.modules()}
    names = {id(module): name for name, module in copied.named_modules()}
    recorder = Recorder(names, originals, Asked(batch, users_frame))
    recorder.kept = {id(module): Contents(module) for module in layers_of(copied)}
    return _Run(copied, spec, steps, calling, recorder)


@contextlib.contextmanager
def _recording(recorder: Recorder) -> Iterator[None]:
    """Calls, and where attributes are set; `inference_mode` would keep torch from counting changes in place."""
    setter, mode, before = nn.Module.__setattr__, torch.inference_mode, Recorder.active
    entered, left, starting = mode.__enter__, mode.__exit__, threading.Thread.start

    def noting(module: nn.Module, name: str, value: Any) -> None:
        if not recorder.inside and not is_leaf(module):
            recorder.set_at[id(module), name] = users_line()
        setter(module, name, value)

    try:
        Recorder.active = recorder
        threading.Thread.start = here(_no_thread, starting)  # type: ignore[method-assign]
        nn.Module.__setattr__ = here(noting, setter)  # type: ignore[method-assign]
        mode.__enter__ = here(lambda _: None, entered)  # type: ignore[method-assign]
        mode.__exit__ = here(lambda *_: None, left)  # type: ignore[method-assign]
        with calls_go_to(recorder.call):
            yield
    finally:
        Recorder.active = before
        threading.Thread.start = starting  # type: ignore[method-assign]
        nn.Module.__setattr__ = setter  # type: ignore[method-assign]
        mode.__enter__, mode.__exit__ = entered, left  # type: ignore[method-assign]


def _no_thread(self: threading.Thread) -> None:
    """Operations of other threads are not seen."""
    raise fault(users_line(), "forward runs in one thread", "a thread that it starts", "call what it does in forward")


def _traced_parts(result: Any) -> list[Event]:
    return [tensor.event for tensor in tensors_in(result) if isinstance(tensor, Traced)]
