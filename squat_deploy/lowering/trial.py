"""How a model is called, tried on copies before it is recorded; and why a model that cannot be called cannot."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from squat_deploy.errors import ConfigError, LoweringError, SquatError
from squat_deploy.lowering.asking import numbers_near
from squat_deploy.lowering.program import label_of, states_handed_on
from squat_deploy.lowering.recorder import MADE, check_registered, fault, is_leaf, is_library, users_line
from squat_deploy.network import Encoding, InputSpec
from squat_deploy.snn.batch_first import without_time
from squat_deploy.snn.calling import Calling, calling_of
from squat_deploy.snn.copying import deep_copy
from squat_deploy.snn.functions import is_of_library
from squat_deploy.snn.neurons import NEURONS, reset_neurons
from squat_deploy.snn.running import ShapeTrace, is_plain, own_run, watched
from squat_deploy.snn.sharing import taken_apart
from squat_deploy.snn.states import starts_of

BATCH = 7
ANY_BATCH = "nothing depends on the size of the batch"
_RUNS = "the model runs on its declared inputs"
_DRAWN = 2**16  # numbers at once
_VALUES = 2**22  # of the inputs of a batch in which a model is tried that runs in no small one


def example(spec: InputSpec, steps: int, batch: int) -> Tensor:
    """Random inputs on the grid, (B, ...) or (T, B, ...)."""
    lead = (batch,) if spec.encoding == "direct" else (steps, batch)
    real, rng = np.empty((*lead, *spec.shape), dtype=np.float32), np.random.default_rng(0)
    rows = max(1, _DRAWN // (spec.size * (1 if spec.encoding == "direct" else batch)))
    for first in range(0, len(real), rows):  # no more than these in integers and in float64
        part = real[first : first + rows]
        part[...] = rng.integers(spec.low, spec.high + 1, part.shape) * spec.step
    return torch.from_numpy(real)


def apart(model: nn.Module, spec: InputSpec, steps: int, state: Any) -> nn.Module:
    """The model with neurons of its own for each layer, where one module serves several by states that it is given."""
    inputs = example(spec, steps, _apart(steps))
    return taken_apart(model, inputs, steps, direct=spec.encoding == "direct", initial_state=state)


def find_calling(model: nn.Module, spec: InputSpec, steps: int, state: Any, tried: Reached) -> Calling:
    """How the model is called, tried on copies: what a first call changes is seen in the recording.

    Args: state: the initial one, where one is stated; tried: sees what is called.
    Raises: as `calling_of`, or LoweringError for layers out of reach.
    """
    direct = spec.encoding == "direct"
    inputs = example(spec, steps, _apart(steps))
    try:
        with calls_go_to(tried.call):
            calling: Calling = ran(lambda: calling_of(model, inputs, steps, direct=direct, initial_state=state))
    except SquatError as error:
        told = tried.shared(model) if isinstance(error, ConfigError) else _of_no_state(error, model, state)
        told = told or _of_fixed_batch(error, model, spec, steps, state)
        raise told or _of_encoding(error, model, spec, steps, state) from error
    if is_plain(model):  # which is not run to find that out
        with calls_go_to(tried.call):
            ran(lambda: own_run(deep_copy(model), inputs, 1, looped=False, direct=direct))
    if calling.looped and direct and not _runs_on(model, inputs, steps, state, batch_axis=0):
        hint = "return spikes (batch, neurons) of every step"
        found = fault("model", "every value has a batch axis", "neurons that have none", hint)
        if (told := _of_encoding(found, model, spec, steps, state)) is not found:
            raise told
    return calling


def _of_no_state(error: SquatError, model: nn.Module, state: Any) -> SquatError | None:
    """That a forward which takes its state does not take None at first, if that is what went wrong."""
    if not isinstance(error, LoweringError):
        return None
    if state is not None and error.faults[0].rule == _RUNS:
        got = f"{type(state).__name__} as initial_state, where it says: {error.faults[0].got}"
        hint = "make model(inputs, initial_state) work for inputs of the declared shape, in batches of any size"
        return fault(error.faults[0].layer, "a forward that takes its state is given the first one", got, hint)
    if state is not None or "None" not in error.faults[0].got:
        return None
    if not starts_of(model, None)[0]:
        return None
    got = f"None at first, where it says: {error.faults[0].got}"
    hint = (
        "say where a sequence starts: initial_state=..., what the model's own function for it returns, or that "
        "function itself (on the command line the factory returns a pair, the model and its initial state)"
    )
    return fault(error.faults[0].layer, "a forward that takes its state is given the first one", got, hint)


def _of_fixed_batch(error: SquatError, model: nn.Module, spec: InputSpec, steps: int, state: Any) -> SquatError | None:
    """That forward takes batches of one size alone, if that is one of the numbers beside the line that failed."""
    if not isinstance(error, LoweringError) or error.faults[0].rule != _RUNS or error.__cause__ is None:
        return None
    frame = _users_frame(error.__cause__)
    sizes = set() if frame is None else set(numbers_near(frame))
    most = _VALUES // (spec.size * (1 if spec.encoding == "direct" else steps))
    for batch in sorted(size for size in sizes - {steps} if size <= most):
        with contextlib.suppress(Exception):
            inputs = example(spec, steps, batch)
            calling_of(model, inputs, steps, direct=spec.encoding == "direct", initial_state=state)
            hint = "take the size from the values: x.view(x.size(0), -1), or x.flatten(1)"
            return fault(error.faults[0].layer, ANY_BATCH, f"a forward that takes batches of {batch} alone", hint)
    return None


def _apart(steps: int) -> int:
    """A batch that is never as many as steps, so that none is taken for the other."""
    return BATCH + (steps == BATCH)


def _of_encoding(error: SquatError, model: nn.Module, spec: InputSpec, steps: int, state: Any) -> SquatError:
    """The same error, or that the model takes inputs of the other encoding, where it runs on those."""
    other: Encoding = "sequence" if spec.encoding == "direct" else "direct"
    shapes = {"direct": "(batch, ...)", "sequence": "(steps, batch, ...)"}
    inputs = example(replace(spec, encoding=other, time_first=True), steps, _apart(steps))
    hint = f'it runs on {shapes[other]}: InputSpec(encoding="{other}"), --encoding {other}'
    if not _runs_on(without_time(model), inputs, steps, state, batch_axis=int(other == "sequence")):
        if other == "direct" or not _runs_on(model, inputs.transpose(0, 1), steps, state, batch_axis=0):
            return _of_batch_first(error, model, spec, steps, state)
        hint = 'it runs on (batch, steps, ...): InputSpec(encoding="sequence", time_first=False)'
        hint += ", --encoding sequence --batch-first"
    got = f'encoding="{spec.encoding}", and on {shapes[spec.encoding]} it says: {_first_line(error)}'
    return fault("model", "inputs are of the encoding that the model takes", got, hint)


def _of_batch_first(error: SquatError, model: nn.Module, spec: InputSpec, steps: int, state: Any) -> SquatError:
    """The same error, or that the model takes the batch before time, where it runs on that."""
    if spec.encoding == "direct":
        return error
    inputs = example(spec, steps, _apart(steps)).transpose(0, 1)
    if not _runs_on(model, inputs, steps, state, batch_axis=0):
        return error
    takes, other = "(steps, batch, ...)", "(batch, steps, ...)"
    hint = "InputSpec(time_first=False), --batch-first"
    if not spec.time_first:
        takes, other, hint = other, takes, "InputSpec(time_first=True), no --batch-first"
    got = f"{takes}, where it says: {_first_line(error)}"
    return fault("model", "time is where the model takes it", got, f"it runs on {other}: {hint}")


def _runs_on(model: nn.Module, inputs: Tensor, steps: int, state: Any, *, batch_axis: int) -> bool:
    """Whether one call of a copy takes whole inputs: as many steps as there are, and spikes of one sample each."""
    copied = deep_copy(model)
    reset_neurons(copied)
    try:
        starts, _ = starts_of(copied, state)
        first = starts[0].first(inputs.shape[batch_axis]) if starts else ()
        with torch.no_grad(), watched(copied, traced=lambda *_: ShapeTrace()) as traces:
            copied(inputs, *first)
    except Exception:  # noqa: BLE001 (whatever the user's code raises)
        return False
    samples = inputs.shape[batch_axis]
    shown = [(len(trace.spikes), *{spikes.shape[:1] for spikes in trace.spikes}) for trace in traces.values()]
    return bool(shown) and all(entry == (steps, (samples,)) for entry in shown)


def _first_line(error: SquatError) -> str:
    return error.faults[0].got if isinstance(error, LoweringError) else str(error).splitlines()[0]


class Reached:
    """Which modules one call of a model reaches: its own, and each neuron layer with one size."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}  # of the modules of the model that is running, by id
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.calls: list[tuple[str, str]] = []  # of libraries' modules by their names, with the user's line
        self.pair: tuple[Any, str, nn.Module] | None = None  # what the last neurons returned with their states

    def call(self, original: Callable[..., Any], module: nn.Module, *args: Any, **given: Any) -> Any:
        outermost = not self.names
        if outermost:
            self.names = {id(part): name for name, part in module.named_modules()}
            self.shapes, self.calls = {}, []
        try:
            if is_leaf(module):
                check_registered(self.names, module)
                self._check_taken(module, args)
                self.calls.append((self.names.get(id(module), ""), users_line()))
            if type(module) in NEURONS and args and isinstance(args[0], Tensor):
                self._check_size(module, tuple(args[0].shape[1:]))
            result = original(module, *args, **given)
            if type(module) in NEURONS and type(result) is tuple:
                self.pair = result, self.names.get(id(module), ""), module
            return result
        finally:
            if outermost:
                self.names, self.pair = {}, None

    def _check_taken(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Raises: LoweringError for spikes and states, handed to a layer as they come from the neurons."""
        stock = is_of_library(type(module)) and type(module) is not nn.Identity  # others may take the spikes out
        if self.pair is not None and args and args[0] is self.pair[0] and stock:
            taker = label_of(self.names.get(id(module), ""), module)
            raise LoweringError((states_handed_on(*self.pair[1:], taker),))

    def shared(self, model: nn.Module) -> LoweringError | None:
        """That the model which ran last calls one neuron layer behind several others, each of them less often."""
        modules = dict(model.named_modules())
        counts = Counter(name for name, _ in self.calls)
        layers = [
            name for name in counts if name in modules and modules[name]._parameters and not _fires(modules[name])
        ]
        most = max((counts[name] for name in layers), default=0)
        for name, line in self.calls:
            if name in modules and _fires(modules[name]) and counts[name] > most and len(layers) > 1:
                got = f"one module behind {', '.join(layers)}, called {counts[name]} times, at {line}"
                where = f"{name} ({type(modules[name]).__name__})"
                return fault(where, "neurons keep their own membranes", got, "make one for each layer")
        return None

    def _check_size(self, module: nn.Module, size: tuple[int, ...]) -> None:
        if self.shapes.setdefault(id(module), size) != size:
            got = f"one module for layers of {self.shapes[id(module)]} and {size} neurons, at {users_line()}"
            where = f"{self.names[id(module)]} ({type(module).__name__})"
            raise fault(where, "neurons keep their own membranes", got, "make a second one for the other layer")


def _fires(module: nn.Module) -> bool:
    return isinstance(module, NEURONS)


def here(ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """`ours` in this thread, `theirs` in every other: what is recorded is no business of theirs."""
    this = threading.get_ident()
    return lambda *args, **given: (ours if threading.get_ident() == this else theirs)(*args, **given)


@contextlib.contextmanager
def calls_go_to(call: Callable[..., Any]) -> Iterator[None]:
    """While this holds, calls of modules go to `call(original, module, ...)` in this thread."""
    original, making = nn.Module.__call__, nn.Module.__init__

    def made(module: nn.Module, *args: Any, **given: Any) -> None:
        making(module, *args, **given)
        MADE.add(module)

    try:
        nn.Module.__init__ = here(made, making)  # type: ignore[method-assign]
        nn.Module.__call__ = here(lambda *args, **given: call(original, *args, **given), original)  # type: ignore[method-assign]
        yield
    finally:
        nn.Module.__call__, nn.Module.__init__ = original, making  # type: ignore[method-assign]


def ran(call: Callable[[], Any]) -> Any:
    """Whatever the user's code raises becomes a fault with its line."""
    try:
        return call()
    except Exception as error:
        where = _raised_at(error)
        if isinstance(error, SquatError) and (where == "model" or isinstance(error, LoweringError)):
            raise
        got = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        hint = "make model(inputs) work for inputs of the declared shape, in batches of any size"
        raise fault(where, _RUNS, got, hint) from error


def _raised_at(error: BaseException) -> str:
    """The innermost line of the user's, or "model"."""
    frame, where = error.__traceback__, "model"
    while frame is not None:
        if not is_library(frame.tb_frame.f_globals.get("__name__", "")):
            where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return where


def _users_frame(error: BaseException) -> FrameType | None:
    """The innermost frame of the user's in which an error was raised."""
    frames: list[FrameType] = []
    entry = error.__traceback__
    while entry is not None:
        frames, entry = [*frames, entry.tb_frame], entry.tb_next
    return next((one for one in reversed(frames) if not is_library(one.f_globals.get("__name__", ""))), None)
