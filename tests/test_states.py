"""Models that take their states and return them: `forward(x, state) -> (out, state)`, in every container."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import snntorch as snn
import torch
from brevitas.nn import QuantLinear
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, LoweringError
from squat_deploy.snn.delay import Delay
from squat_deploy.snn.quantizers import state_quant
from tests.test_cli import document, invoke
from tests.test_models import leaky, linear

STILL, FRAMES = sd.InputSpec((10,), 0, 1), sd.InputSpec((10,), 0, 1, encoding="sequence")
STEPS = 5
Pair = namedtuple("Pair", "first second")


class Typed(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@dataclasses.dataclass
class Data:
    first: torch.Tensor
    second: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Frozen:
    first: torch.Tensor
    second: torch.Tensor


class Slotted:
    __slots__ = ("first", "second")

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.first, self.second = first, second


class Net(nn.Module):
    """Two layers; `step` runs one time step from two membranes."""

    def __init__(self, **neurons: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = linear(10, 6), leaky(False, **neurons)
        self.fc2, self.lif2 = linear(6, 4), leaky(False, **neurons)
        with torch.no_grad():
            self.fc1.weight.mul_(3)
            self.fc2.weight.mul_(4)

    def init(self) -> Any:
        return self.lif1.init_leaky(), self.lif2.init_leaky()

    def step(self, x, first, second):
        spikes, first = self.lif1(self.fc1(x), first)
        spikes, second = self.lif2(self.fc2(spikes), second)
        return spikes, first, second


class OfTuple(Net):
    def forward(self, x, state):
        spikes, *state = self.step(x, *state)
        return spikes, tuple(state)


class OfNone(OfTuple):
    def forward(self, x, state=None):
        return super().forward(x, self.init() if state is None else state)


class OfNoneInside(OfTuple):
    def forward(self, x, state):
        return super().forward(x, (None, None) if state is None else state)


class OfList(Net):
    def forward(self, x, state: list):
        spikes, state[0], state[1] = self.step(x, *state)
        return spikes, state


class OfDict(Net):
    def forward(self, x, state: dict):
        spikes, state["a"], state["b"] = self.step(x, state["a"], state["b"])
        return spikes, state


class OfNewDict(Net):
    def forward(self, x, state: dict):
        spikes, first, second = self.step(x, state["a"].detach(), state["b"].detach().clone())
        return spikes, {"a": first, "b": second}


class OfObject(Net):
    """Of a named tuple, a dataclass, or any object with these attributes."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def init(self):
        return self.kind(torch.zeros(0), torch.zeros(0))

    def forward(self, x, state):
        spikes, first, second = self.step(x, state.first, state.second)
        return spikes, self.kind(first.clone(), second)


class OfSeveral(Net):
    def forward(self, x, mem1, mem2):
        return self.step(x, mem1, mem2)


class OfSeveralOptional(Net):
    def forward(self, x, mem1=None, mem2=None):
        return self.step(x, mem1, mem2)


class OfSeveralTogether(Net):
    def forward(self, x, mem1, mem2):
        spikes, *state = self.step(x, mem1, mem2)
        return spikes, tuple(state)


class OfOne(Net):
    """One membrane passed along, the other kept by its neuron; with a membrane returned in between."""

    def forward(self, x, mem):
        spikes, first, mem = self.step(x, None, mem)
        return spikes, first, mem


class Nested(Net):
    def forward(self, x, state):
        spikes, first, second = self.step(x, state["layers"][0].first, state["layers"][1][0])
        return spikes, {"layers": [Data(first, first), (second,)], "step": state["step"] + 1}


class Feedback(Net):
    """The spikes of the step before are in the state."""

    def __init__(self) -> None:
        super().__init__()
        self.back = linear(6, 6)

    def forward(self, x, state):
        spikes, first, second = state
        spikes, first = self.lif1(self.fc1(x) + self.back(spikes), first)
        last, second = self.lif2(self.fc2(spikes), second)
        return last, (spikes, first, second)


class Whole(OfTuple):
    """The loop over time inside, and the state of its end returned."""

    def forward(self, x, state=None):
        state, out = self.init() if state is None else state, []
        for frame in x:
            spikes, state = super().forward(frame, state)
            out.append(spikes)
        return torch.stack(out), state


class NeededWhole(Whole):
    def forward(self, x, state):
        return super().forward(x, state)


def _zeros(batch: int) -> Callable[[], Any]:
    return lambda: (torch.zeros(batch, 6), torch.zeros(batch, 4))


def _fed() -> Any:
    return torch.zeros(1, 6), torch.zeros(0), torch.zeros(0)


FORMS: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "tuple": (OfTuple, "init"),
    "tuple, value": (OfTuple, "init()"),
    "tuple, zeros of one": (OfTuple, _zeros(1)),
    "tuple, zeros of many": (OfTuple, _zeros(32)()),
    "none at first": (OfNone, None),
    "none at first, stated": (OfNone, "init"),
    "none passed on": (OfNoneInside, None),
    "list changed in place": (OfList, lambda: [torch.zeros(0), torch.zeros(0)]),
    "list": (OfTuple, [torch.zeros(0), torch.zeros(0)]),
    "dict changed in place": (OfDict, {"a": torch.zeros(3, 6), "b": torch.zeros(3, 4)}),
    "dict of Nones": (OfDict, {"a": None, "b": None}),
    "new dict": (OfNewDict, {"a": torch.zeros(0), "b": torch.zeros(0)}),
    "named tuple": (lambda: OfObject(Pair), "init"),
    "typed tuple": (lambda: OfObject(Typed), "init"),
    "dataclass": (lambda: OfObject(Data), "init()"),
    "frozen dataclass": (lambda: OfObject(Frozen), "init"),
    "slots": (lambda: OfObject(Slotted), "init"),
    "several": (OfSeveral, None),
    "several, stated": (OfSeveral, "init"),
    "several, optional": (OfSeveralOptional, None),
    "several, optional and stated": (OfSeveralOptional, "init()"),
    "several, returned together": (OfSeveralTogether, None),
    "one": (OfOne, None),
    "one, a tensor": (OfOne, torch.zeros(0)),
    "nested": (Nested, {"layers": [Data(torch.zeros(0), torch.zeros(0)), (torch.zeros(2, 4),)], "step": 0}),
    "spikes too": (Feedback, _fed),
    "no reset delay": (lambda: OfTuple(reset_delay=False), "init"),
}
WHOLE: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "loop inside": (Whole, None),
    "loop inside, stated": (Whole, "init"),
    "loop inside, needed": (NeededWhole, "init()"),
}


def _stated(model: nn.Module, state: Any) -> Any:
    if state not in ("init", "init()"):
        return state
    return model.init if state == "init" else model.init()


def _own_loop(model: nn.Module, spec: sd.InputSpec, inputs: np.ndarray, states: tuple[Any, ...]) -> np.ndarray:
    """What the user's own loop over the steps gives: the spikes of the last layer, counted."""
    real = torch.from_numpy(inputs.astype(np.float32))
    total = torch.zeros(())
    with torch.no_grad():
        for step in range(STEPS):
            out, *states = model(real if spec is STILL else real[step], *states)
            total = total + out
    return total.numpy()


def _inputs(spec: sd.InputSpec, samples: int = 6) -> np.ndarray:
    lead = (samples,) if spec is STILL else (STEPS, samples)
    return np.random.default_rng(1).integers(0, 2, (*lead, 10))


@pytest.mark.parametrize("name", FORMS)
def test_states_passed_in_and_out(name: str) -> None:
    make, state = FORMS[name]
    spec = (STILL, FRAMES)[list(FORMS).index(name) % 2]
    model = make().eval()
    given = _stated(model, state)
    network, inputs = sd.lower(model, spec, STEPS, initial_state=given), _inputs(spec)
    assert network.certificate.proven
    assert any("the state that the call before returned" in text for text in network.certificate.assumptions)
    assert sd.verify(network, model, inputs, executors=("torch", "numpy"), initial_state=given).agrees
    assert sd.simulate(network, inputs).scores.sum() > 0


@pytest.mark.parametrize("name", WHOLE)
def test_states_of_a_loop_inside(name: str) -> None:
    make, state = WHOLE[name]
    model = make().eval()
    given = _stated(model, state)
    network, inputs = sd.lower(model, FRAMES, STEPS, initial_state=given), _inputs(FRAMES)
    assert sd.verify(network, model, inputs, executors=("torch", "numpy"), initial_state=given).agrees
    with torch.no_grad():
        spikes, _ = model(torch.from_numpy(inputs.astype(np.float32)), model.init())
    assert (spikes.sum(0).numpy() == sd.simulate(network, inputs).scores).all()


@pytest.mark.parametrize("spec", [STILL, FRAMES], ids=["direct", "sequence"])
def test_the_users_own_loop_gives_the_scores(spec: sd.InputSpec) -> None:
    inputs = _inputs(spec)
    for make, states in ((OfNone, (None,)), (OfSeveral, (None, None)), (Feedback, (_fed(),))):
        model = make().eval()
        given = states[0] if make is Feedback else None
        network = sd.lower(model, spec, STEPS, initial_state=given)
        fresh = make().eval()
        real = _own_loop(fresh, spec, inputs, (tuple(part.expand(6, -1) for part in _fed()[:1]) + _fed()[1:],)
                         if make is Feedback else states)  # fmt: skip
        assert (real == sd.simulate(network, inputs).scores).all()


def test_the_users_model_and_states_stay_as_they_are() -> None:
    model, state = OfDict().eval(), {"a": torch.zeros(3, 6), "b": torch.zeros(3, 4)}
    model.lif1.mem = torch.ones(2, 6)
    sd.lower(model, STILL, STEPS, initial_state=state)
    assert model.lif1.mem.sum() == 12 and state["a"].shape == (3, 6) and not state["a"].any()
    other = OfTuple().eval()
    other.lif1.mem = torch.ones(2, 6)
    sd.lower(other, STILL, STEPS, initial_state=other.init)
    assert other.lif1.mem.sum() == 12


def test_one_step_takes_its_state_once() -> None:
    assert sd.lower(OfNone().eval(), STILL, 1).certificate.proven
    assert sd.lower(OfTuple().eval(), STILL, 1, initial_state=_zeros(1)).certificate.proven


def test_a_state_of_gradients_is_detached() -> None:
    model = OfTuple().eval()
    state = tuple((torch.zeros(1, size, requires_grad=True) * 1.0) for size in (6, 4))
    assert sd.lower(model, STILL, STEPS, initial_state=state).certificate.proven


class Other(Net):
    """A second argument that is no state."""

    def __init__(self) -> None:
        super().__init__()
        self.lif1.init_hidden = self.lif2.init_hidden = True

    def forward(self, x, target=None):
        return self.lif2(self.fc2(self.lif1(self.fc1(x))))


class OtherWithPairs(Other):
    def forward(self, x, target=None):
        spikes = self.lif2(self.fc2(self.lif1(self.fc1(x))))
        return spikes, self.lif2.mem if target is None else target


def test_a_second_argument_that_is_no_state_is_left_away() -> None:
    for make in (Other, OtherWithPairs):
        model = make().eval()
        network = sd.lower(model, STILL, STEPS)
        assert sd.verify(network, model, _inputs(STILL), executors=("torch", "numpy")).agrees


class Either(Net):
    """Other sequences with the state than without it, where the neurons keep theirs."""

    def forward(self, x, mem=None):
        first = None if mem is None else mem.detach() * 0
        spikes, first, _ = self.step(x, first, None)
        return spikes, first


class Keyword(Either):
    def forward(self, x, *, mem=None):
        return super().forward(x, mem)


class Needed(OfNone):
    def forward(self, x, state):
        return super().forward(x, state)


class NoState(Net):
    def forward(self, x, mem1, mem2):
        return self.step(x, mem1, mem2)[0]


class TwoOfThree(Net):
    def forward(self, x, mem1, mem2):
        return (*self.step(x, mem1, mem2), x, x)


class Alone(Net):
    def forward(self, x):
        return self.step(x, None, None)[0]


class StateFirst(Net):
    def forward(self, x, state):
        spikes, first, second = self.step(x, *state)
        return (first, second), spikes


class Swapped(Net):
    def forward(self, x, state):
        spikes, first, _ = self.step(x, *state)
        return spikes, (first, first)


def _half() -> Any:
    return torch.zeros(1, 6), torch.full((1, 4), 0.5)


def _fails() -> Any:
    raise RuntimeError("no states today")


REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, type[Exception], str]] = {
    "needed": (OfTuple, None, LoweringError, "is given the first one; got None at first"),
    "the hint for it": (OfTuple, None, LoweringError, "say where a sequence starts: initial_state=..."),
    "no state returned": (NoState, None, LoweringError, "a step returns its output and then its state; got a Tensor"),
    "others returned": (TwoOfThree, None, LoweringError, "got a tuple of 5 of a forward that takes 2 states"),
    "the state first": (StateFirst, "init", LoweringError, "got what the second step does not take: TypeError"),
    "something else": (OfTuple, 3, LoweringError, "got int as initial_state, where it says: TypeError"),
    "no rest": (OfTuple, _half, LoweringError, "lif2 (Leaky): a sequence starts at rest, all states 0; got mem of 0.5"),
    "takes none": (Alone, _half, ConfigError, "takes inputs alone; got a tuple of 2; leave initial_state away"),
    "takes two": (OfSeveral, torch.zeros(0), ConfigError, "takes 2 states; got a Tensor; give a tuple of 2"),
    "fails": (OfTuple, _fails, ConfigError, "a function of no arguments, and failed: RuntimeError: no states today"),
    "not copied": (OfTuple, lambda: (part for part in _half()), ConfigError, "cannot be copied: TypeError"),
    "two ways": (Either, None, LoweringError, "a model is called in one way; got a second argument that may be left"),
    "another's": (Swapped, "init", LoweringError, "neurons keep their own states; got another value as a state"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, state, kind, message = REFUSED[name]
    model = make().eval()
    with pytest.raises(kind) as caught:
        sd.lower(model, STILL, STEPS, initial_state=_stated(model, state))
    assert message in str(caught.value)
    if kind is LoweringError and name != "no rest" and name != "another's":
        assert caught.value.faults[0].layer.startswith("test_states.py:")


def test_sequentials_take_no_state() -> None:
    with pytest.raises(ConfigError, match="takes inputs alone; got a Tensor; leave initial_state away"):
        sd.lower(nn.Sequential(linear(10, 4), leaky()).eval(), STILL, STEPS, initial_state=torch.zeros(1))


def test_hints_work() -> None:
    """What is refused above, mended as the hints say."""
    assert sd.lower(OfTuple().eval(), STILL, STEPS, initial_state=OfTuple().init).certificate.proven
    assert sd.lower(Keyword().eval(), STILL, STEPS).certificate.proven
    assert sd.lower(OfSeveral().eval(), STILL, STEPS, initial_state=(torch.zeros(0),) * 2).certificate.proven


def test_check_says_the_same() -> None:
    model = OfTuple().eval()
    (row,) = sd.check(model, STILL, STEPS)
    assert row.verdict == "refused" and "initial_state" in row.hint
    rows = sd.check(model, STILL, STEPS, initial_state=model.init)
    assert [row.verdict for row in rows] == ["supported", "proven", "supported", "proven"]


class Norse(nn.Module):
    """As norse writes it: cells with a state each, None at first, and one state of the whole."""

    class State(NamedTuple):
        cell1: Any
        cell2: Any

    class Cell(nn.Module):
        def __init__(self, fan_in: int, fan_out: int) -> None:
            super().__init__()
            self.linear, self.lif = linear(fan_in, fan_out), leaky(False)
            with torch.no_grad():
                self.linear.weight.mul_(3)

        def forward(self, x, state=None):
            if state is None:
                state = torch.zeros(x.shape[0], self.linear.out_features, device=x.device)
            return self.lif(self.linear(x), state)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell1, self.cell2 = self.Cell(10, 6), self.Cell(6, 4)

    def forward(self, x, state=None):
        state = self.State(None, None) if state is None else state
        z, s1 = self.cell1(x, state.cell1)
        z, s2 = self.cell2(z, state.cell2)
        return z, self.State(s1, s2)


class NorseSequence(nn.Module):
    """A recurrent cell that norse would lift over time: a state of spikes and membrane."""

    class State(NamedTuple):
        z: torch.Tensor
        v: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.inputs, self.recurrent, self.lif = linear(10, 6), linear(6, 6), leaky(False)
        self.readout, self.last = linear(6, 3), leaky(False)
        with torch.no_grad():
            self.inputs.weight.mul_(3)
            self.readout.weight.mul_(4)

    def cell(self, x, state):
        if state is None:
            zeros = torch.zeros(*x.shape[:-1], 6, dtype=x.dtype, device=x.device)
            state = self.State(zeros, zeros)
        z, v = self.lif(self.inputs(x) + self.recurrent(state.z), state.v)
        return z, self.State(z, v)

    def forward(self, x, states=None):
        outputs = []
        s1, s2 = (None, torch.zeros(x.shape[1], 3)) if states is None else states
        for ts in range(x.shape[0]):
            z, s1 = self.cell(x[ts], s1)
            z, s2 = self.last(self.readout(z), s2)
            outputs.append(z)
        return torch.stack(outputs), (s1, s2)


@pytest.mark.parametrize("make", [Norse, NorseSequence])
def test_models_in_norses_style(make: type[nn.Module]) -> None:
    model, inputs = make().eval(), _inputs(FRAMES)
    network = sd.lower(model, FRAMES, STEPS)
    assert network.certificate.proven
    assert sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees
    real, fresh, state = torch.from_numpy(inputs.astype(np.float32)), make().eval(), None
    with torch.no_grad():
        if make is NorseSequence:
            spikes = fresh(real)[0]
        else:
            each = []
            for frame in real:
                out, state = fresh(frame, state)
                each.append(out)
            spikes = torch.stack(each)
    assert spikes.any() and (spikes.sum(0).numpy() == sd.simulate(network, inputs).scores).all()


FILE = """
import snntorch as snn
import torch
from torch import nn
from tests.test_states import OfDict, OfTuple

def pair():
    model = OfTuple()
    return model, model.init

def value():
    return OfDict(), {"a": torch.zeros(0), "b": torch.zeros(0)}

def alone():
    return OfTuple()

class Float(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(10, 6), snn.Leaky(beta=0.9, threshold=0.5)
        self.fc2, self.lif2 = nn.Linear(6, 4), snn.Leaky(beta=0.9, threshold=0.5)

    def forward(self, x, state):
        spikes, first = self.lif1(self.fc1(x), state[0])
        spikes, second = self.lif2(self.fc2(spikes), state[1])
        return spikes, (first, second)

def floating():
    return Float(), (torch.zeros(0), torch.zeros(0))
"""


def test_commands_take_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(textwrap.dedent(FILE))
    for factory in ("pair", "value"):
        given = (f"net.py:{factory}", "--steps", STEPS, "--high", 1)
        assert document("check", *given)["ok"]
        document("lower", *given, "--overwrite")
        model = ("--model", f"net.py:{factory}", "--executor", "torch", "--executor", "numpy")
        assert document("verify", "network.safetensors", *model)["agrees"]
    text = " ".join(invoke("lower", "net.py:alone", "--steps", STEPS, "--high", 1, "--overwrite", code=1).split())
    assert "the factory returns a pair, the model and its initial state" in text


def test_quantize_takes_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(textwrap.dedent(FILE))
    data = np.random.default_rng(0).random((40, 10)).astype(np.float32)
    np.save("x.npy", data)
    np.save("y.npy", np.arange(40) % 4)
    given = ("net.py:floating", "--steps", STEPS, "--calibration", "x.npy", "--labels", "y.npy")
    document("quantize", *given, "--out", "q.safetensors")
    model = ("--model", "net.py:floating", "--checkpoint", "q.model.safetensors", "--executor", "torch")
    assert document("verify", "q.safetensors", *model)["agrees"]
    document("quantize", *given, "--out", "s.safetensors", "--budget", 1)


def test_recurrent_neurons_take_their_spikes_back() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            quantizer = state_quant(3, threshold=1.0)
            self.fc = linear(10, 4)
            self.cell = snn.RLeaky(beta=0.5, all_to_all=False, V=0.5, state_quant=quantizer)
            with torch.no_grad():
                self.fc.weight.mul_(4)

        def forward(self, x, state):
            spikes, membrane = self.cell(self.fc(x), *state)
            return spikes, (spikes, membrane)

    model = Recurrent().eval()
    network = sd.lower(model, STILL, STEPS, initial_state=model.cell.init_rleaky, allow_unproven=True)
    given = model.cell.init_rleaky()
    assert sd.verify(network, model, _inputs(STILL), executors=("torch", "numpy"), initial_state=given).agrees


def test_the_exact_form_takes_the_state_too() -> None:
    model = OfTuple()
    model.fc1 = QuantLinear(10, 6, bias=True, weight_bit_width=4)
    model.eval()
    made = sd.exact(model, STILL, STEPS, initial_state=model.init)
    assert sd.lower(made, STILL, STEPS, initial_state=model.init).certificate.proven
    assert sd.deviation(model, made, STILL, STEPS, initial_state=model.init).samples == 64


class LateBatch(Net):
    """Decides by the batch in a late step, which its state counts."""

    def forward(self, x, state=None):
        first, second, step = (*self.init(), 0) if state is None else state
        spikes, first = self.lif1(self.fc1(x), first)
        if step == STEPS - 1 and x.shape[0] == 13:
            spikes = spikes + spikes
        last, second = self.lif2(self.fc2(spikes), second)
        return last, (first, second, step + 1)


class LateCounter(Net):
    """The same with a counter in the model, which a sequence leaves at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.step_of = linear(10, 4), leaky(), 0

    def forward(self, x):
        current = self.fc(x)
        late = self.step_of == STEPS - 1 and torch.is_grad_enabled()
        self.step_of = (self.step_of + 1) % STEPS
        return self.lif(current + current if late else current)


@pytest.mark.parametrize("make", [LateBatch, LateCounter])
def test_batches_and_gradients_are_tried_in_every_step(make: type[nn.Module]) -> None:
    with pytest.raises(LoweringError, match="every time step makes the same calls"):
        sd.lower(make().eval(), FRAMES, STEPS)


def test_a_state_that_matters_in_a_late_step_only_is_asked_for() -> None:
    class Counted(Net):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = linear(10, 4), leaky()

        def forward(self, x, step=None):
            step = torch.tensor(0) if step is None else step
            current = self.fc(x)
            return self.lif(current + current if int(step) >= 6 else current), step + 1

    with pytest.raises(LoweringError, match="a model is called in one way"):
        sd.lower(Counted().eval(), FRAMES, 9)


class DelayedToo(Net):
    """A state that may be left away, beside a layer that remembers for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.late = Delay(1)

    def forward(self, x, state=None):
        first, second = self.init() if state is None else state
        spk, first = self.lif1(self.fc1(x), first)
        spk, second = self.lif2(self.fc2(self.late(spk)), second)
        return spk, (first, second)


def test_delays_beside_a_state_are_no_second_way_to_call() -> None:
    model, inputs = DelayedToo().eval(), np.random.default_rng(0).integers(0, 2, (STEPS, 5, 10))
    network = sd.lower(model, FRAMES, STEPS)
    assert sd.verify(network, model, inputs, executors=["torch", "numpy"]).agrees


class Earlier(Net):
    """The second layer takes the first one's spikes of the step before, which the state keeps."""

    def forward(self, x, state=None):
        first, second, kept = (*self.init(), torch.zeros(x.shape[0], 6)) if state is None else state
        spikes, first = self.lif1(self.fc1(x), first)
        last, second = self.lif2(self.fc2(kept), second)
        return last, (first, second, spikes)


class Shifted(Net):
    """The same in loops, by a stack that begins with zeros."""

    def forward(self, x):
        first, second = self.init()
        kept = [torch.zeros(x.shape[1], 6)]
        for frame in x:
            spikes, first = self.lif1(self.fc1(frame), first)
            kept.append(spikes)
        out, late = [], torch.stack(kept[:-1])
        for step in range(x.shape[0]):
            last, second = self.lif2(self.fc2(late[step]), second)
            out.append(last)
        return torch.stack(out)


class Delayed(Net):
    """The same as the hint says."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = Delay(1)

    def forward(self, x):
        self.delay.reset_delay()
        first, second = self.init()
        out = []
        for frame in x:
            spikes, first = self.lif1(self.fc1(frame), first)
            last, second = self.lif2(self.fc2(self.delay(spikes)), second)
            out.append(last)
        return torch.stack(out)


def test_late_spikes_of_layers_that_ran_earlier_want_a_delay() -> None:
    for make in (Earlier, Shifted):
        with pytest.raises(LoweringError, match=r"those of lif1, which has run by then; .*Delay\(1\)"):
            sd.lower(make().eval(), FRAMES, STEPS)
    network, inputs, model, state = sd.lower(Delayed().eval(), FRAMES, STEPS), _inputs(FRAMES), Earlier().eval(), None
    spikes = torch.zeros(())
    with torch.no_grad():
        for frame in torch.from_numpy(inputs.astype(np.float32)):
            out, state = model(frame, state)
            spikes = spikes + out
    assert spikes.any() and (spikes.numpy() == sd.simulate(network, inputs).scores).all()


class Carried(Net):
    """Its output is a count that the state carries, beside all spikes so far."""

    def forward(self, x, state=None):
        first, second, count, every = (*self.init(), torch.zeros(x.shape[0], 4), []) if state is None else state
        spikes, first, second = self.step(x, first, second)
        return count + spikes, (first, second, count + spikes, [*every, spikes])


def test_what_is_spikes_in_the_first_step_only_is_not_taken_for_them() -> None:
    model, inputs, state, out = Carried().eval(), _inputs(FRAMES), None, None
    network = sd.lower(model, FRAMES, STEPS)
    with torch.no_grad():
        for frame in torch.from_numpy(inputs.astype(np.float32)):
            out, state = model(frame, state)
    assert out is not None and out.any() and (out.numpy() == sd.simulate(network, inputs).scores).all()
    assert sd.verify(network, model, inputs, executors=("torch", "numpy")).agrees


class Silenced(Feedback):
    """Takes zeros for the spikes of the step before in a late step."""

    def forward(self, x, state=None):
        count, inner = (0, (torch.zeros(x.shape[0], 6), *self.init())) if state is None else state
        if count == 3:
            inner = (torch.zeros_like(inner[0]), *inner[1:])
        last, inner = super().forward(x, inner)
        return last, (count + 1, inner)


def test_zeros_stand_for_late_spikes_in_the_first_step_alone() -> None:
    with pytest.raises(LoweringError, match="step 3 computes something else than step 1: zeros at"):
        sd.lower(Silenced().eval(), FRAMES, STEPS)
