"""What a model does besides its calls: each effect is refused with the user's line, or lowered exactly."""

from __future__ import annotations

import contextlib
import decimal
import fractions
import functools
import inspect
import itertools
import math
import operator
import random
import re
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
import torch.utils.dlpack
from brevitas.nn import QuantLinear
from snntorch import utils
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError, SquatWarning
from squat_deploy.lowering import tracing
from squat_deploy.lowering.asking import Asked
from squat_deploy.lowering.recorder import Recorder, Sizes
from squat_deploy.lowering.sizes import batch_size
from squat_deploy.snn.neurons import reset_neurons
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import is_plain
from tests.test_models import conv, leaky, linear

SPEC = sd.InputSpec((10,), 0, 1, encoding="sequence")
STILL = sd.InputSpec((10,), 0, 1)
PLANES = sd.InputSpec((1, 6, 6), 0, 1)
STEPS = 14


class Looped(nn.Module):
    """A loop over the steps, with two layers; `effect` happens in the middle of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = linear(10, 6), leaky()
        self.fc2, self.lif2 = linear(6, 4), leaky()
        with torch.no_grad():
            self.fc1.weight.mul_(3)
            self.fc2.weight.mul_(4)
        self.count, self.kept = 0, [0]

    def effect(self, step: int, x: torch.Tensor, current: torch.Tensor) -> torch.Tensor | None:
        """What comes between the synapses and the neurons; a result takes the place of the current."""

    def after(self, step: int, spikes: torch.Tensor) -> torch.Tensor | None:
        """The same between the layers."""

    def forward(self, x):
        reset_neurons(self)
        out = []
        for step in range(x.size(0)):
            current = self.fc1(x[step])
            new = self.effect(step, x, current)
            spikes = self.lif1(current if new is None else new)
            new = self.after(step, spikes)
            out.append(self.lif2(self.fc2(spikes if new is None else new)))
        return torch.stack(out)


class Called(Looped):
    """The same, one time step a call."""

    def forward(self, x):
        current = self.fc1(x)
        new = self.effect(self.lif1.mem.numel(), x, current)
        spikes = self.lif1(current if new is None else new)
        new = self.after(0, spikes)
        return self.lif2(self.fc2(spikes if new is None else new))


def user_call(model: nn.Module, inputs: np.ndarray, spec: sd.InputSpec, steps: int) -> np.ndarray:
    """Spikes summed over time as a user would get them, by calling the model alone."""
    real = torch.from_numpy((inputs * spec.step).astype(np.float32))
    reset_neurons(model)
    with torch.no_grad():
        whole = model(real) if isinstance(model, Looped) and not isinstance(model, Called) else None
        if whole is not None:
            return whole.sum(0).numpy()
        frames = [real] * steps if spec.encoding == "direct" else list(real)
        return sum(model(frame) for frame in frames).numpy()


def assert_exact_or_refused(
    make: Callable[[], nn.Module], spec: sd.InputSpec, steps: int, batches: tuple[int, ...] = (1, 5, 40)
) -> LoweringError | None:
    """Either refused, or proven and equal to the model as its user calls it, in batches of several sizes."""
    model = make().eval()
    try:
        network = sd.lower(model, spec, steps)
    except LoweringError as error:
        return error
    assert network.certificate.proven
    for batch in batches:
        lead = (batch,) if spec.encoding == "direct" else (steps, batch)
        inputs = np.random.default_rng(batch).integers(spec.low, spec.high + 1, (*lead, *spec.shape))
        np.testing.assert_array_equal(sd.simulate(network, inputs).scores, user_call(model, inputs, spec, steps))
    assert sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees
    return None


# Effects: a name, the form, and what `effect` or `after` does; a marked line is the one that the message must name.


class Reset(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.reset_mem()


class InitLeaky(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.init_leaky()


class ResetAll(Looped):
    def effect(self, step, x, current):
        if step == 10:
            utils.reset(self)


class ResetClass(Looped):
    def effect(self, step, x, current):
        if step == 10:
            snn.Leaky.reset_hidden()


class ZeroState(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.mem.zero_()


class ScaleState(Looped):
    def effect(self, step, x, current):
        if step >= 10:
            self.lif1.mem.mul_(0.5)


class ClampState(Looped):
    def effect(self, step, x, current):
        self.lif1.mem = self.lif1.mem.clamp(max=0.5)


class NewState(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.mem = torch.ones(x.size(1), 6)


class StateData(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.mem.data.fill_(0)


class StateElements(Looped):
    def effect(self, step, x, current):
        if step == 10:
            self.lif1.mem[:, 0] = 0


class View(Looped):
    def effect(self, step, x, current):
        if step >= 9:
            current.view(-1).mul_(2)


class FlattenAdd(Looped):
    def effect(self, step, x, current):
        current.flatten(1).add_(self.fc1(x[step]))


class Data(Looped):
    def effect(self, step, x, current):
        if step >= 9:
            current.data.mul_(2)


class SetData(Looped):
    def effect(self, step, x, current):
        if step >= 9:
            current.data = current.data * 2


class Detached(Looped):
    def effect(self, step, x, current):
        if step >= 9:
            current.detach().fill_(1.0)


class NoGrad(Looped):
    def effect(self, step, x, current):
        with torch.no_grad():
            current.unsqueeze(0).copy_(torch.ones(1))


class Inference(Looped):
    def effect(self, step, x, current):
        if step >= 9:
            with torch.inference_mode():
                current.view(-1).mul_(2)


class Elements(Looped):
    def effect(self, step, x, current):
        current[0] = 1.0


class ElementsOfView(Looped):
    def effect(self, step, x, current):
        current.T[0] = 1.0


class Out(Looped):
    def effect(self, step, x, current):
        torch.add(current, self.fc1(x[step]), out=current)


class OutView(Looped):
    def effect(self, step, x, current):
        torch.mul(current, 2.0, out=current.view_as(current))


class PlainBuffer(Looped):
    def effect(self, step, x, current):
        held = torch.zeros(x.size(1), 6)
        held.copy_(current * 2)
        return held


class PlainElements(Looped):
    def effect(self, step, x, current):
        held = torch.zeros(x.size(1), 6)
        held[:, 1:] = current[:, 1:]
        return held


class NextInputs(Looped):
    def effect(self, step, x, current):
        if step < 13:
            x[step + 1].fill_(0)


class Aliased(Looped):
    def after(self, step, spikes):
        other = spikes
        other += self.lif1.beta


class Threshold(Looped):
    def effect(self, step, x, current):
        self.lif1.threshold.fill_(1.0 if step < 9 else 0.3)


class Beta(Looped):
    def effect(self, step, x, current):
        if step == 9:
            self.lif1.beta = torch.tensor(0.5)


class ThresholdArray(Looped):
    def effect(self, step, x, current):
        self.lif1.threshold.numpy()[...] = 1.0 if step < 9 else 0.3


class Weights(Looped):
    def effect(self, step, x, current):
        if step == 9:
            self.fc2.weight.data.mul_(2)


class WeightsAndBack(Looped):
    def effect(self, step, x, current):
        self.fc2.weight.data.mul_(2.0 if step == 9 else 0.5 if step == 10 else 1.0)


class SwappedWeights(Looped):
    def effect(self, step, x, current):
        if step == 9:
            self.fc2.weight = nn.Parameter(-self.fc2.weight)


class Option(Looped):
    def effect(self, step, x, current):
        self.lif1.reset_delay = step < 9


class Quantizer(Looped):
    def effect(self, step, x, current):
        if step == 9:
            self.lif1.state_quant = sd.quantizers.state_quant(2)


class Training(Looped):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def effect(self, step, x, current):
        self.drop.train(step >= 9)
        return self.drop(current)


class TrainingAll(Looped):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def effect(self, step, x, current):
        self.train()
        return self.drop(current)


class AlwaysDrops(nn.Dropout):
    pass


class KeepsTraining(Looped):
    """Monte-Carlo dropout: `eval` does not reach it."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True):
        super().train(mode)
        self.drop.training = True
        return self

    def effect(self, step, x, current):
        return self.drop(current)


class FreshDropout(Looped):
    def effect(self, step, x, current):
        return nn.Dropout(0.5)(current)


class Hook(Looped):
    def effect(self, step, x, current):
        if step == 9:
            self.fc2.register_forward_hook(lambda *given: given[2] * 2)


class HookAndBack(Looped):
    def effect(self, step, x, current):
        handle = self.fc1.register_forward_hook(lambda *given: given[2] * 2)
        twice = self.fc1(x[step])
        handle.remove()
        return twice


class BatchEqual(Looped):
    def effect(self, step, x, current):
        return current + current if x.size(1) == 300 else current


class BatchLarge(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if x.shape[1] > 399 else current


class BatchOdd(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if x.shape[1] % 37 == 36 else current


class BatchOfCurrent(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if tuple(current.shape) == (64, 6) else current


class BatchLength(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if len(current) == 128 else current


class BatchInt(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if float(x.size(1)) == 64.0 else current


class StepCounter(Looped):
    def effect(self, step, x, current):
        self.count += 1
        return current + self.fc1(x[step]) if self.count > 60 else current


class CallCounter(Called):
    def effect(self, step, x, current):
        self.count += 1
        return current + self.fc1(x) if self.count > 12 else current


class ListCounter(Called):
    def effect(self, step, x, current):
        self.kept.append(1)
        return current + self.fc1(x) if len(self.kept) > 100 else current


class DictCounter(Called):
    def __init__(self):
        super().__init__()
        self.held = {"calls": np.zeros(1)}

    def effect(self, step, x, current):
        self.held["calls"] += 1
        return current + self.fc1(x) if self.held["calls"] > 100 else current


class ObjectCounter(Called):
    def __init__(self):
        super().__init__()
        self.held = types.SimpleNamespace(calls=0)

    def effect(self, step, x, current):
        self.held.calls += 1
        return current + self.fc1(x) if self.held.calls > 100 else current


class Iterating(Called):
    def __init__(self):
        super().__init__()
        self.numbers = itertools.count()

    def effect(self, step, x, current):
        return current + self.fc1(x) if next(self.numbers) > 100 else current


class BufferCounter(Called):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def effect(self, step, x, current):
        self.calls += 1
        return current + self.fc1(x) if self.calls > 100 else current


class ClassCounter(Called):
    calls = 0

    def effect(self, step, x, current):
        ClassCounter.calls += 1
        return current + self.fc1(x) if ClassCounter.calls > 100 else current


CALLS = [0]


class GlobalCounter(Called):
    def effect(self, step, x, current):
        CALLS[0] += 1
        return current + self.fc1(x) if CALLS[0] > 100 else current


def counted() -> int:
    CALLS[0] += 1
    return CALLS[0]


class HelperCounter(Called):
    def effect(self, step, x, current):
        return current + self.fc1(x) if counted() > 1000 else current


def closed(calls: list[int]) -> Callable[..., torch.Tensor]:
    def effect(self, step, x, current):
        calls[0] += 1
        return current + self.fc1(x) if calls[0] > 1000 else current

    return effect


class ClosureCounter(Called):
    effect = closed([0])


class Random(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if random.random() > 1.0 else current


class RandomNumpy(Looped):
    def effect(self, step, x, current):
        return current + self.fc1(x[step]) if np.random.rand() > 1 else current


class RandomTorch(Looped):
    def effect(self, step, x, current):
        return current + (torch.rand(6) > 2).float()


class ResetEachCall(Called):
    def effect(self, step, x, current):
        self.lif1.reset_mem()


class InitEachCall(Called):
    def __init__(self):
        super().__init__()
        self.lif1 = leaky(False)

    def forward(self, x):
        mem = self.lif1.init_leaky()
        spikes, mem = self.lif1(self.fc1(x), mem)
        return self.lif2(self.fc2(spikes))


class ZerosEachCall(InitEachCall):
    def forward(self, x):
        spikes, _ = self.lif1(self.fc1(x), torch.zeros(x.size(0), 6))
        return self.lif2(self.fc2(spikes))


class LastCurrent(Called):
    """Takes the inputs of the call before."""

    def effect(self, step, x, current):
        last, self.last = getattr(self, "last", current), current
        return last


class DirectForward(Looped):
    def effect(self, step, x, current):
        return self.fc1.forward(x[step])


class DirectNeuron(Looped):
    def after(self, step, spikes):
        return self.lif1.forward(spikes)


class WeightsAlone(Looped):
    def effect(self, step, x, current):
        return F.linear(x[step], self.fc1.weight)


class Compared(Looped):
    def after(self, step, spikes):
        return spikes + spikes if torch.equal(spikes, torch.ones_like(spikes)) else spikes


class Counted(Looped):
    def after(self, step, spikes):
        return spikes + spikes if spikes.nonzero().size(0) == 0 else spikes


class Masked(Looped):
    def after(self, step, spikes):
        return spikes + spikes if spikes[spikes > 0].numel() == 0 else spikes


class Located(Looped):
    def after(self, step, spikes):
        return spikes + spikes if len(torch.where(spikes)[0]) == 0 else spikes


class Autocast(Looped):
    def effect(self, step, x, current):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.fc1(x[step])


class Failing(Looped):
    """Decides by what an exception says of the data."""

    def after(self, step, spikes):
        try:
            torch.testing.assert_close(spikes, torch.zeros_like(spikes))
        except AssertionError:
            return spikes + spikes


class Pointer(Looped):
    def effect(self, step, x, current):
        current.data_ptr()


class Memory(Looped):
    def effect(self, step, x, current):
        current.untyped_storage()


class Exchange(Looped):
    def effect(self, step, x, current):
        return torch.from_dlpack(current.__dlpack__())


class Copied(Looped):
    """Values that leave their record, and a decision that no test input reaches."""

    def leave(self, value):
        return torch.tensor(value)

    def after(self, step, spikes):
        rare = torch.equal(self.leave(spikes)[0], torch.tensor([1.0, 0, 1, 1, 0, 0]))
        return spikes + spikes if rare else None


class CopiedAs(Copied):
    def leave(self, value):
        return torch.as_tensor(value, dtype=torch.float64).float()


class CopiedArray(Copied):
    def leave(self, value):
        return torch.asarray(value, copy=True)


class Constructed(Copied):
    def leave(self, value):
        return torch.Tensor(value)


class Unmarked(Copied):
    def leave(self, value):
        return torch.Tensor._make_subclass(torch.Tensor, value)


class Capsule(Copied):
    def leave(self, value):
        return torch.utils.dlpack.from_dlpack(torch._C._to_dlpack(value))


class Unannounced(Copied):
    def leave(self, value):
        with torch._C.DisableTorchFunctionSubclass():
            return value * 1


class Mapped(Copied):
    def leave(self, value):
        return torch.vmap(lambda row: row * 1)(value)


class Threaded(Copied):
    def leave(self, value):
        kept = []
        thread = threading.Thread(target=lambda: kept.append(torch.tensor(value)))
        thread.start()
        thread.join()
        return kept[0]


@torch.jit.script
def scripted(spikes: torch.Tensor) -> torch.Tensor:
    return spikes + spikes if bool(spikes.sum() == 2.0) else spikes


class Scripted(Looped):
    def after(self, step, spikes):
        return scripted(spikes)


class Caught(Looped):
    """A refusal that forward takes for something else."""

    def after(self, step, spikes):
        try:
            most = float(spikes.sum())
        except Exception:  # noqa: BLE001
            most = 0.0
        return spikes + spikes if most == 1000 else spikes


class Suppressed(Looped):
    def after(self, step, spikes):
        with contextlib.suppress(Exception):
            if torch.equal(spikes[0], torch.tensor([1.0, 0, 1, 1, 0, 0])):
                return spikes + spikes
        return None


class OwnMode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is F.linear and float(args[0].sum()) == 1000 else result


class AroundFunctions(Looped):
    def effect(self, step, x, current):
        with OwnMode():
            return self.fc1(x[step])


class OwnDispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class AroundOperations(Looped):
    def effect(self, step, x, current):
        with OwnDispatch():
            return self.fc1(x[step])


class LessPrecise(Looped):
    """As it was again afterwards."""

    def effect(self, step, x, current):
        torch.set_float32_matmul_precision("medium")
        try:
            return self.fc1(x[step])
        finally:
            torch.set_float32_matmul_precision("highest")


class WithGradients(Looped):
    def effect(self, step, x, current):
        return current + current if torch.is_grad_enabled() else None


class Numbered(Looped):
    """The size of the batch, in other words."""

    def effect(self, step, x, current):
        return current + current if current.numel() > 6 * 290 else None


class Bytes(Looped):
    def effect(self, step, x, current):
        return current + current if current.nbytes > 4 * 6 * 290 else None


class Strided(Looped):
    def effect(self, step, x, current):
        return current + current if x.stride(0) > 10 * 290 else None


class Bits(Looped):
    def effect(self, step, x, current):
        return current + current if current.size(0).bit_length() > 8 else None


class Parts(Looped):
    def effect(self, step, x, current):
        return current + current if len(current.split(1)) > 290 else None


class Kept:
    """What counts, outside of every model."""

    __slots__ = ("calls",)
    total = 0

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, value):
        self.calls += 1
        return value + value if self.calls > 10_000 else value

    @staticmethod
    def counted(value):
        Kept.total += 1
        return value + value if Kept.total > 10_000 else value


def numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


KEPT, NUMBERS = Kept(), numbers()


class CountsInObject(Looped):
    def effect(self, step, x, current):
        return KEPT(current)


class CountsInLambda(Looped):
    def effect(self, step, x, current):
        return (lambda value: KEPT(value))(current)


class CountsInClass(Looped):
    def effect(self, step, x, current):
        return Kept.counted(current)


class CountsInDefault(Looped):
    def effect(self, step, x, current, kept=[0]):  # noqa: B006
        kept[0] += 1
        return current + current if kept[0] > 10_000 else None


class CountsInFunction(Looped):
    def effect(self, step, x, current):
        numbers.calls = getattr(numbers, "calls", 0) + 1
        return current + current if numbers.calls > 10_000 else None


class CountsInGenerator(Looped):
    def effect(self, step, x, current):
        return current + current if next(NUMBERS) > 10_000 else None


class MembraneOut(Looped):
    def after(self, step, spikes):
        return self.lif1.mem


class BatchInTime(Looped):
    """`unbind(1)` takes samples where steps are meant."""

    def forward(self, x):
        reset_neurons(self)
        frames = x.unbind(1)
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(frames[step])))) for step in range(x.size(0))])


class TrueStep(Looped):
    def forward(self, x):
        reset_neurons(self)
        steps = [x[0], x[True][0][1], *(x[step] for step in range(2, x.size(0)))]
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(frame)))) for frame in steps])


def models_of(this: Any) -> Iterator[type[Looped]]:
    """Every model of this file between two classes of it, in its order."""
    kinds = [value for value in vars(this).values() if inspect.isclass(value) and issubclass(value, Looped)]
    return iter([kind for kind in kinds if kind not in (Looped, Called)])


@pytest.mark.parametrize("make", list(models_of(inspect.getmodule(user_call))), ids=lambda kind: kind.__name__)
def test_effects_are_refused(make: type[Looped]) -> None:
    """With a place in this file, or the name of the layer."""
    error = assert_exact_or_refused(make, STILL if issubclass(make, Called) else SPEC, STEPS)
    assert error is not None
    text = str(error.faults[0])
    assert re.search(r"test_effects\.py:\d+|\b(fc|lif)[12] \(|model\.|^model: ", text), text


# What looks like an effect and is well understood: it goes on working, exactly.


class ZeroBefore(Looped):
    """States made, emptied and reset before the loop; records in a list of the model, new in every call."""

    def forward(self, x):
        self.lif1.reset_mem().zero_()
        utils.reset(self)
        snn.Leaky.reset_hidden()
        self.lif1.threshold.fill_(1.0)
        self.kept, self.count = [], 0
        out = torch.zeros(x.size(0), x.size(1), 4)
        for step in range(x.size(0)):
            self.kept.append(self.lif1(self.fc1(x[step])))
            self.count += 1
            out[step] = self.lif2(self.fc2(self.kept[-1]))
        return out


class InPlaceSums(Looped):
    """Sums in place, of currents and of spikes, under one name or before another is given."""

    def effect(self, step, x, current):
        current += self.fc1(x[step])
        current.add_(self.fc1(x[step]))
        return current.view(x.size(1), -1)


class Sums(Looped):
    """`sum` begins with 0."""

    def effect(self, step, x, current):
        return sum([current, self.fc1(x[step])])


class Widening(Looped):
    """Spikes are joined in place (SEW: y += h)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc3, self.lif3 = linear(6, 6), leaky()

    def after(self, step, spikes):
        more = self.lif3(self.fc3(spikes))
        more += spikes
        return more


class Detaching(Looped):
    """States given from hand to hand, detached and cloned, as for truncated gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.lif1 = leaky(False)

    def forward(self, x):
        reset_neurons(self)
        mem, out = torch.zeros(x.size(1), 6), []
        for frame in x:
            spikes, mem = self.lif1(self.fc1(frame), mem.detach())
            mem = mem.clone()
            out.append(self.lif2(self.fc2(spikes)))
        return torch.stack(out)


class CachedZeros(Looped):
    """States made anew where the size of the batch is another: compared, and yet no decision."""

    def __init__(self) -> None:
        super().__init__()
        self.lif1, self.zeros = leaky(False), None

    def forward(self, x):
        reset_neurons(self)
        if self.zeros is None or self.zeros.size(0) != x.size(1):
            self.zeros = torch.zeros(x.size(1), 6)
        assert x.size(1) > 0 and x[0].shape[0] == x.size(1)
        mem, out = self.zeros, []
        for step in range(x.size(0)):
            spikes, mem = self.lif1(self.fc1(x[step]), mem)
            out.append(self.lif2(self.fc2(spikes)))
        return torch.stack(out)


class Feeding(Called):
    """Last spikes in an attribute that every sequence begins anew: no state of their own is left at the end."""

    def forward(self, x):
        spikes = self.lif1(self.fc1(x))
        return self.lif2(self.fc2(torch.Tensor.add(spikes, other=spikes, alpha=1)))


class InferenceMode(Looped):
    @torch.inference_mode()
    def forward(self, x):
        return super().forward(x)


class PoolInForward(nn.Module):
    """Blocks in an `nn.Sequential`, a pooling made in forward, the same for all steps."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.lif1, self.fc, self.lif2 = conv(1, 4, 3), leaky(), linear(4, 3), leaky()
        with torch.no_grad():
            self.conv.weight.mul_(4)
            self.fc.weight.mul_(6)

    def forward(self, x):
        spikes = self.lif1(self.conv(x))
        return self.lif2(self.fc(nn.AvgPool2d(spikes.shape[2:])(spikes).flatten(1)))


class Block(nn.Module):
    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.fc, self.lif = linear(fan_in, fan_out), leaky()
        with torch.no_grad():
            self.fc.weight.mul_(4)

    def forward(self, x):
        return self.lif(self.fc(x))


def blocks() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Block(10, 6), nn.Sequential(Block(6, 4)))


WORKING: dict[str, tuple[Callable[[], nn.Module], sd.InputSpec]] = {
    **{
        kind.__name__: (kind, SPEC)
        for kind in (ZeroBefore, InPlaceSums, Sums, Widening, Detaching, CachedZeros, InferenceMode)
    },
    "a sum by name": (Feeding, STILL),
    "pool made in forward": (PoolInForward, PLANES),
    "blocks in a row": (blocks, STILL),
}


@pytest.mark.parametrize("name", WORKING)
def test_what_is_well_understood_works(name: str) -> None:
    make, spec = WORKING[name]
    error = assert_exact_or_refused(make, spec, STEPS)
    assert error is None, error


BY_SIZE: dict[str, Callable[[Any], Any]] = {
    "a float": lambda n: n > 700.5,
    "a negative": lambda n: -n < -700,
    "a power": lambda n: n**2 > 490_000,
    "an enormous power": lambda n: 2 ** (n * n) > 5 and n > 700,
    "a reflected power": lambda n: 2**n > 2**700,
    "a shift": lambda n: n >> 9,
    "bits": lambda n: n & 1024,
    "a double complement": lambda n: ~~n > 700,
    "a product with a float": lambda n: n * 0.5 > 130,
    "a quotient": lambda n: n / 2 > 130,
    "a reflected quotient": lambda n: 1000 / n < 4,
    "divmod": lambda n: divmod(n, 256)[0],
    "text": lambda n: str(n) == "255",
    "an f-string": lambda n: f"{n}" == "255",
    "an absolute value": lambda n: abs(n) > 700,
    "a float first": lambda n: 0.5 * n > 200,
    "a float before a division": lambda n: 1e4 / n < 20,
    "a range": lambda n: len(range(n)) > 300,
    "a range counted": lambda n: sum(1 for _ in range(n)) > 300,
    "a list": lambda n: len([0] * n) > 300,
    "a text": lambda n: len("x" * n) > 300,
    "an index": lambda n: operator.index(n) > 300,
    "a root": lambda n: math.sqrt(n) > 20,
    "a logarithm": lambda n: math.log2(n) > 8.5,
    "a ceiling": lambda n: math.ceil(n / 128) > 2,
    "a very large one": lambda n: n > 5000,
    "a very large one alone": lambda n: n == 5000,
    "a very large product": lambda n: n * 3 == 60_000,
    "a very large quotient": lambda n: n // 5000 == 2,
    "a very large rest": lambda n: n % 5000 == 3,
    "a float of it": lambda n: float(n) > 300,
    "an int of it": lambda n: int(n) > 300,
    "an f-string of three figures": lambda n: len(f"{n}") > 2,
    "a percent": lambda n: "%d" % n == "300",  # noqa: UP031
    "a key": lambda n: {300: True}.get(n),
    "a key of a table": lambda n: TABLE.get(n),
    "a set": lambda n: n in {300, 400},
    "a tuple": lambda n: n in (300, 400),
    "divmod of floats": lambda n: divmod(n, 100.0)[0] > 3,
    "a reflected divmod": lambda n: divmod(1000, n)[0] < 3,
    "a rounded one": lambda n: round(n, -2) > 300,
    "a rounded float": lambda n: round(n / 7) > 50,
    "a maximum": lambda n: max(n, 300) != 300,
    "a minimum": lambda n: min(n, 300) == 300,
    "an array": lambda n: np.zeros(n).size > 300,
    "numpy's root": lambda n: np.sqrt(n) > 20,
    "numpy's number": lambda n: np.int64(2) * n > 600,
    "a slice": lambda n: len(list(range(1000))[:n]) > 300,
    "bits of it": lambda n: n.bit_length() > 8,
    "its numerator": lambda n: n.numerator > 300,
    "a match": lambda n: matched(n),
    "a decimal": lambda n: decimal.Decimal(int(n)) > 300,
    "a fraction": lambda n: fractions.Fraction(n, 2) > 150,
    "a product of many": lambda n: math.prod([n, 2]) > 600,
    "a long sum": lambda n: sum(n for _ in range(200)) > 60_000,
    "a truth": lambda n: n // 300,
    "a filled tensor": lambda n: torch.full((1,), n).item() > 300,
    "a tensor of it": lambda n: bool(torch.tensor(n) > 300),
    "zeros": lambda n: torch.zeros(n, 2).size(0) > 300,
    "zeros by shape": lambda n: torch.zeros((n, 2)).shape[0] > 300,
    "zeros counted": lambda n: torch.zeros(n, 2).numel() > 600,
    "the length of zeros": lambda n: len(torch.zeros(n, 2)) > 300,
    "a sum of ones": lambda n: float(torch.ones(n).sum()) > 300,
}
TABLE = {317: True}


def matched(n: int) -> bool:
    match n:
        case 300:
            return True
        case _:
            return False


BY_COUNT: dict[str, Callable[[torch.Tensor], Any]] = {
    "numel": lambda x: x.numel() > 7000,
    "nelement": lambda x: x.nelement() == 7000,
    "nbytes": lambda x: x.nbytes > 28_000,
    "stride": lambda x: x.unsqueeze(0).stride(0) > 7000,
    "strides": lambda x: x.unsqueeze(0).stride()[0] > 7000,
    "numel of a shape": lambda x: x.shape.numel() > 3000,
    "a product of a shape": lambda x: math.prod(x.shape) > 3000,
    "a shape": lambda x: x.shape == (300, 10),
    "a shape as a key": lambda x: {torch.Size([300, 10]): True}.get(x.shape),
    "a shape as text": lambda x: "300" in str(x.shape),
    "a part of a shape": lambda x: x.shape[:1].numel() > 300,
    "a length": lambda x: len(x) > 300,
    "samples": lambda x: sum(1 for _ in x) > 300,
}


@pytest.mark.parametrize("how", BY_COUNT)
def test_a_model_that_decides_by_how_many_values_there_are(how: str) -> None:
    class Decides(Called):
        def forward(self, x):
            current = self.fc1(x)
            return self.lif2(self.fc2(self.lif1(current + current if BY_COUNT[how](x) else current)))

    with pytest.raises(LoweringError, match="every batch and every sequence makes the same calls"):
        sd.lower(Decides().eval(), STILL, 3)


@pytest.mark.parametrize("how", BY_SIZE)
def test_a_model_that_decides_by_the_size_of_its_batch(how: str) -> None:
    class Decides(Called):
        def forward(self, x):
            current = self.fc1(x)
            return self.lif2(self.fc2(self.lif1(current + current if BY_SIZE[how](x.size(0)) else current)))

    with pytest.raises(LoweringError, match="every batch and every sequence makes the same calls"):
        sd.lower(Decides().eval(), STILL, 3)


def test_what_is_made_of_a_batch_size_is_what_an_int_makes() -> None:
    ways: list[Callable[[Any], Any]] = [
        *BY_SIZE.values(), lambda n: pow(n, 2, 5), lambda n: [0] * n, lambda n: 1 << n, lambda n: n ^ 3,
        lambda n: (+n, -n, ~n, abs(n), round(n), int(n), float(n), hash(n)), lambda n: n**-1, lambda n: divmod(50, n),
        lambda n: n - 1.5, lambda n: 3 | n, lambda n: 7 % n, lambda n: 7 // n, lambda n: range(n)[-1],
        lambda n: bool(n - 7), lambda n: torch.broadcast_shapes((n, 3), (1,)),
    ]  # fmt: skip
    recorder = Recorder({}, {}, Asked(7))
    for way in ways:
        with Sizes(recorder):
            assert way(batch_size(recorder.asked)) == way(7)


USES: dict[str, Callable[[Any], Any]] = {
    "view": lambda x: x.view(x.size(0), -1),
    "view by shape": lambda x: x.view(x.shape[0], -1).view(x.shape).reshape((x.shape[0], 10)),
    "unpacking": lambda x: next(x.view(batch, *rest) for batch, *rest in [x.shape]),
    "factories": lambda x: [x, torch.zeros(x.size(0), 3), torch.zeros((x.size(0), 3)), torch.zeros(x.shape),
        torch.ones(*x.shape), x.new_zeros(x.size(0), 3), torch.full((x.size(0), 1), 0.5), torch.empty(x.size()),
        torch.zeros(size=(x.size(0), 3)), torch.arange(x.size(0)), torch.eye(x.size(0)), torch.Tensor(x.size(0), 3)][0],
    "functions": lambda x: [x, x.repeat(x.size(0), 1), x.split(x.size(0)), x[: x.size(0)], x.narrow(0, 0, x.size(0)),
        torch.zeros(1, 3).expand(x.size(0), -1), nn.functional.pad(x, (0, x.size(0))), x * x.size(0), x.size(0) * x,
        x / x.size(0), x.unflatten(0, (x.size(0), 1)), x.mean(0) * (1 / x.size(0)), x > x.size(0), x.size(0) > x][0],
    "an assertion": lambda x: asserted(x),
    "another number": lambda x: x if torch.ones(2).sum().item() == 2 else x + x,
}  # fmt: skip


def asserted(x: torch.Tensor) -> torch.Tensor:
    assert x.size(0) > 0, f"no samples: {x.size(0)}"
    assert x.dim() == 2 and x.shape[1:] == (10,) and x.shape == (x.size(0), 10)
    return x


@pytest.mark.parametrize("how", USES)
def test_usual_uses_of_the_size_of_a_batch_ask_for_no_other(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []
    prepared = tracing._prepared
    monkeypatch.setattr(tracing, "_prepared", lambda *args: recorded.append(args[-1]) or prepared(*args))

    class Uses(Called):
        def forward(self, x):
            return self.lif2(self.fc2(self.lif1(self.fc1(USES[how](x)))))

    assert sd.lower(Uses().eval(), STILL, 3).certificate.proven
    assert len(recorded) <= (3 if how != "an assertion" else 5)


def test_text_of_the_size_of_a_batch_is_no_decision(capsys: pytest.CaptureFixture[str]) -> None:
    class Tells(Called):
        def forward(self, x):
            print(f"{x.size(0)} samples", x.shape)
            return super().forward(x)

    assert sd.lower(Tells().eval(), STILL, 3).certificate.proven
    told = capsys.readouterr().out
    assert "7 samples torch.Size([7, 10])" in told and "10000 samples" in told


def test_a_decision_by_more_samples_than_can_be_recorded() -> None:
    class Decides(Called):
        def forward(self, x):
            current = self.fc1(x)
            return self.lif2(self.fc2(self.lif1(current + current if x.size(0) > 10**7 else current)))

    rule = "nothing depends on the size of the batch; got forward decides by a batch of more than 10000000, which is"
    with pytest.raises(LoweringError, match=rf"test_effects.py:\d+: {rule} too large to be recorded"):
        sd.lower(Decides().eval(), STILL, 3)


def in_a_row(kind: Callable[..., nn.Sequential] = nn.Sequential, **options: Any) -> nn.Sequential:
    torch.manual_seed(0)
    model = kind(linear(10, 6), leaky(**options), linear(6, 4), leaky(**options))
    model[0].weight.data.mul_(3)
    model[2].weight.data.mul_(4)
    return model


class Doubling(nn.Sequential):
    def __call__(self, x):
        return super().__call__(x * 2)


class Twice(nn.Sequential):
    def __iter__(self):
        first, neurons, *rest = super().__iter__()
        return iter([first, neurons, neurons, *rest])


class Made(nn.Sequential):
    """Only made in a class of its own."""


@pytest.mark.parametrize("kind", [Doubling, Twice])
def test_a_sequential_that_is_run_otherwise_is_no_sequential(kind: type[nn.Sequential]) -> None:
    assert not is_plain(in_a_row(kind))
    with pytest.raises((LoweringError, ConfigError)):
        sd.lower(in_a_row(kind), SPEC, 3)


def test_a_class_of_its_own_is_a_sequential() -> None:
    assert is_plain(in_a_row(Made))
    assert sd.lower(in_a_row(Made), SPEC, 3).certificate.proven


def noisy(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).float() * (torch.rand_like(x) > 0.05)


def among_others(x: torch.Tensor) -> torch.Tensor:
    return (x > x.mean()).float()


@pytest.mark.parametrize("decide", [noisy, among_others])
def test_spikes_decided_by_the_user_are_no_internal_error(decide: Callable[..., Any]) -> None:
    with pytest.raises(LoweringError, match=r"spike_grad decides each neuron alone|a step at the threshold"):
        sd.lower(in_a_row(spike_grad=decide), SPEC, 3)


def test_a_patched_class_in_the_clothes_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    original = QuantLinear.forward

    @functools.wraps(original)
    def patched(self, x):
        return original(self, x) * (2 if float(x.sum()) == 1000 else 1)

    monkeypatch.setattr(QuantLinear, "forward", patched)
    with pytest.raises(LoweringError, match="computes what its class says"):
        sd.lower(in_a_row(), SPEC, 3)


@pytest.mark.parametrize(
    "kind, name", [(snn.Leaky, "fire"), (snn.Leaky, "_base_state_function"), (nn.Module, "_call_impl")]
)
def test_methods_of_library_classes_are_theirs(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = getattr(kind, name)
    monkeypatch.setattr(kind, name, lambda self, *args, **given: original(self, *args, **given))
    with pytest.raises(LoweringError, match=rf"{name} of tests.test_effects"):
        sd.lower(in_a_row(), SPEC, 3)


class CalledOtherwise(StateQuantizer):
    def __call__(self, x):
        return super().__call__(x) * (0.5 if x.shape[0] > 290 else 1)


def test_a_state_quantizer_of_the_user() -> None:
    model = in_a_row()
    model[1].state_quant = CalledOtherwise(model[1].state_quant.levels, 1.0)
    with pytest.raises(LoweringError, match="expected a StateQuantizer"):
        sd.lower(model, SPEC, 3)


def test_modules_of_torchscript() -> None:
    class Doubled(nn.Module):
        def forward(self, x):
            return x + x

    class Partly(Looped):
        def __init__(self):
            super().__init__()
            self.part = torch.jit.script(Doubled())

        def effect(self, step, x, current):
            return self.part(current)

    with pytest.raises(LoweringError, match="got a module of TorchScript; use the module as it was before "):
        sd.lower(Partly(), SPEC, STEPS)


def test_a_setting_that_a_run_leaves_behind() -> None:
    class Flushing(Looped):
        def effect(self, step, x, current):
            torch.set_flush_denormal(True)

    try:
        with pytest.raises(LoweringError, match=r"denormals stays as it is|settings stay"):
            sd.lower(Flushing(), SPEC, 3)
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize(
    "wrap, inner",
    [(nn.DataParallel, "module"), (lambda model: torch.compile(model, backend="eager"), "_orig_mod")],
    ids=["DataParallel", "compile"],
)
def test_wrappers_are_opened_with_a_note(wrap: Callable[[nn.Module], nn.Module], inner: str) -> None:
    wrapped = wrap(in_a_row())
    with pytest.warns(SquatWarning, match=rf"is taken, that in its {inner}"):
        network = sd.lower(wrapped, SPEC, 3)
    assert network.digest == sd.lower(getattr(wrapped, inner), SPEC, 3).digest


def test_a_model_that_cannot_be_copied() -> None:
    model = Looped()
    model.lock = threading.Lock()
    with pytest.raises(ConfigError, match=r"cannot be copied.*lock"):
        sd.lower(model, SPEC, 3)
    del model.lock
    assert sd.lower(model, SPEC, 3).certificate.proven


def test_states_in_attributes() -> None:
    class Attribute(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif, self.mem = linear(10, 6), leaky(False), None

        def forward(self, x):
            spikes, self.mem = self.lif(self.fc(x), torch.zeros(x.size(0), 6) if self.mem is None else self.mem)
            return spikes

    with pytest.raises(LoweringError, match=r"mem of the sequence before.*init_hidden=True"):
        sd.lower(Attribute(), SPEC, 3)


class NamedResults(Looped):
    """Readouts by torch's functions that return tuples with names."""

    def forward(self, x):
        spikes = super().forward(x)
        return spikes.max(0).values, spikes.sum(0).max(1).indices


def test_tuples_with_names() -> None:
    assert sd.lower(NamedResults(), SPEC, STEPS).certificate.proven


def test_the_form_that_runs_further_says_what_is_wrong() -> None:
    class Wrong(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lif, self.fc, self.out = conv(1, 2, 3), leaky(), linear(99, 4), leaky()

        def forward(self, x):
            return self.out(self.fc(self.lif(self.conv(x)).flatten(1)))

    with pytest.raises(LoweringError, match="shapes cannot be multiplied"):
        sd.lower(Wrong(), sd.InputSpec((1, 6, 6), 0, 1, encoding="sequence"), STEPS)
