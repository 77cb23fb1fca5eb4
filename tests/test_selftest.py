"""The self-test: whole sequences of the model as its user calls it, whatever forward returns and keeps."""

from __future__ import annotations

import copy
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import utils
from torch import nn

import squat_deploy as sd
from squat_deploy.errors import ConfigError, InternalError, LoweringError, SquatWarning
from squat_deploy.lowering import judging, selftest
from squat_deploy.lowering.program import Call, Program
from squat_deploy.network import Neuron, TwoStateNeuron, observed
from squat_deploy.network.tally import Tally
from squat_deploy.snn.model_traces import seen_of
from squat_deploy.snn.quantizers import StateQuantizer
from squat_deploy.snn.running import OwnRun, run_model
from tests.test_models import awake, leaky, linear

INPUTS, HIDDEN, CLASSES, STEPS = 10, 7, 4, 11
DIRECT = sd.InputSpec((INPUTS,), 0, 3, 0.25)
FRAMES = sd.InputSpec((INPUTS,), 0, 1, encoding="sequence")


class Net(nn.Module):
    """Two layers; `hidden` neurons keep their states themselves."""

    def __init__(self, steps: int = STEPS, hidden: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.steps = steps
        self.fc1, self.lif1 = linear(INPUTS, HIDDEN), leaky(hidden)
        self.fc2, self.lif2 = linear(HIDDEN, CLASSES), leaky(hidden)


class Loop(Net):
    """The loop of snnTorch's tutorials over a fixed number of steps, and ways to return what it made."""

    how = "stack"

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        spikes, membranes, count = [], [], torch.zeros(x.size(-2), CLASSES)
        for step in range(self.steps):
            spk1, mem1 = self.lif1(self.fc1(x[step] if x.dim() == 3 else x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
            count = count + spk2
        return {
            "stack": lambda: torch.stack(spikes),
            "batch first": lambda: torch.stack(spikes, dim=1),
            "list": lambda: spikes,
            "lists": lambda: (spikes, membranes),
            "tuple": lambda: (torch.stack(spikes), torch.stack(membranes)),
            "dict": lambda: {"spikes": torch.stack(spikes), "more": [torch.stack(membranes)]},
            "membranes": lambda: torch.stack(membranes),
            "mean": lambda: torch.stack(spikes).mean(0),
            "sum": lambda: torch.stack(spikes).sum(dim=0),
            "count": lambda: count,
            "last": lambda: (spk2, mem2),
            "unknown": lambda: torch.stack(membranes).max(0)[0].log_softmax(1),
            "nothing": lambda: None,
        }[self.how]()


def loop(how: str, steps: int = STEPS) -> Loop:
    model = awake(Loop(steps))
    model.how = how
    return model


WHOLE = CLASSES * STEPS
RETURNED = {
    "stack": WHOLE, "batch first": WHOLE, "list": WHOLE, "lists": 2 * WHOLE, "tuple": 2 * WHOLE, "dict": 2 * WHOLE,
    "membranes": WHOLE, "mean": CLASSES, "sum": CLASSES, "count": CLASSES, "last": 2 * CLASSES,
    "unknown": 0, "nothing": 0,
}  # fmt: skip


def drawn(spec: sd.InputSpec, steps: int, samples: int) -> np.ndarray:
    lead = (samples,) if spec.encoding == "direct" else (steps, samples)
    return np.random.default_rng(1).integers(spec.low, spec.high + 1, (*lead, *spec.shape))


def silent_lower(model: nn.Module, spec: sd.InputSpec, steps: int, **options: Any) -> sd.Network:
    """Lowers, and nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SquatWarning)
        return sd.lower(model, spec, steps, **options)


@pytest.mark.parametrize("how", RETURNED)
def test_what_a_loop_returns_is_compared_where_it_is_recognised(how: str) -> None:
    """Values are counted where they are compared: those of the traces, of the classes, and of what came back."""
    model = loop(how)
    readout = "highest-membrane" if how in ("membranes", "unknown") else "count"  # of membranes alone it is asked for
    network = silent_lower(model, DIRECT, STEPS, readout=readout)
    assert network.certificate.proven
    agreement = sd.verify(network, model, drawn(DIRECT, STEPS, 9), executors=("torch", "numpy"))
    traces, scores = 2 * STEPS * (HIDDEN + CLASSES), 0 if readout == "count" else CLASSES
    assert agreement.agrees and agreement.rows[0].values == 9 * (traces + scores + 1 + RETURNED[how])


LENGTHS = [(DIRECT, 1), (FRAMES, 1), (DIRECT, 40), (FRAMES, 8), (FRAMES, 260)]


@pytest.mark.parametrize(("spec", "steps"), LENGTHS)
def test_a_fixed_loop_of_any_length(spec: sd.InputSpec, steps: int) -> None:
    """`lower`, `check` and `verify` agree on it."""
    model = loop("tuple", steps)
    network = silent_lower(model, spec, steps)
    if steps < 100:  # it takes as long as lowering
        assert not [row for row in sd.check(model, spec, steps) if row.verdict == "refused"]
    assert sd.verify(network, model, drawn(spec, steps, 5), executors=("torch",)).agrees
    real = torch.from_numpy((drawn(spec, steps, 5) * spec.step).astype(np.float32))
    assert np.array_equal(model(real)[0].sum(0).detach(), sd.simulate(network, drawn(spec, steps, 5)).scores)


@cache
def stacked(spec: sd.InputSpec) -> tuple[Loop, sd.Network]:
    """A loop over eleven steps."""
    model = loop("stack", 11)
    return model, sd.lower(model, spec, 11)


@pytest.mark.parametrize("spec", [DIRECT, FRAMES])
@pytest.mark.parametrize("steps", [1, 7, 12, 26])
def test_a_loop_of_other_steps(spec: sd.InputSpec, steps: int) -> None:
    """Whatever the number, all three refuse it, and say which it is where the model tells."""
    model, network = stacked(spec)
    other = sd.Network(spec, network.layers, steps, network.certificate)
    said = (
        "asks for more than the"
        if spec is FRAMES and 1 < steps < 11
        else "runs 11 time steps in one call|IndexError|index"
    )
    calls = (
        lambda: sd.lower(model, spec, steps),
        lambda: sd.check(model, spec, steps),
        lambda: sd.verify(other, model, drawn(spec, steps, 3), executors=("torch",)),
    )
    for call in calls:
        try:
            rows = call()
        except (ConfigError, LoweringError) as error:
            assert not isinstance(error, InternalError)
            assert any(part in str(error) for part in said.split("|")), str(error)
        else:
            assert [row.verdict for row in rows] == ["refused"]


class Hidden(Net):
    """Neurons keep their states; `reset` is called first."""

    def __init__(self, reset: str = "") -> None:
        super().__init__(12, hidden=True)
        self.reset = reset

    def forward(self, x):
        if self.reset == "utils":
            utils.reset(self)
        if self.reset == "reset_mem":
            self.lif1.reset_mem()
            self.lif2.reset_mem()
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(x[step])))) for step in range(x.size(0))])


@pytest.mark.parametrize("reset", ["utils", "reset_mem"])
def test_loops_that_reset_their_neurons(reset: str) -> None:
    model = awake(Hidden(reset))
    network = silent_lower(model, FRAMES, 12)
    assert sd.verify(network, model, drawn(FRAMES, 12, 5), executors=("torch",)).agrees


def test_a_loop_that_goes_on_from_its_last_call_is_warned_of() -> None:
    """The network starts each sequence at rest; so does the model only where somebody resets it."""
    model = awake(Hidden())
    with pytest.warns(SquatWarning, match="keeps its states from one call to the next"):
        network = sd.lower(model, FRAMES, 12)
    assert network.certificate.proven
    assert any("Every sequence starts at rest" in text for text in network.certificate.assumptions)
    inputs = drawn(FRAMES, 12, 5)
    real = torch.from_numpy(inputs.astype(np.float32))
    scores = sd.simulate(network, inputs).scores
    first, second = (model(real).sum(0).detach().numpy() for _ in range(2))
    assert np.array_equal(first, scores) and not np.array_equal(second, scores)
    utils.reset(model)
    assert np.array_equal(model(real).sum(0).detach().numpy(), scores)


class OfSizes(Net):
    """Takes its batch size for granted in one way or another."""

    how = "squeeze"

    def forward(self, x):
        mem1, mem2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for step in range(x.size(0)):
            frame = x[step].squeeze() if self.how == "squeeze" else x[step].view(3, -1)
            spk1, mem1 = self.lif1(self.fc1(frame), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out)


@pytest.mark.parametrize("how", ["squeeze", "view"])
def test_code_that_fails_in_some_batches_is_a_fault_of_the_model(how: str) -> None:
    model = awake(OfSizes())
    model.how = how
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, FRAMES, 4)
    assert "please report" not in str(caught.value)
    assert "refused" in {row.verdict for row in sd.check(model, FRAMES, 4)}


class Step(Net):
    """One step a call, in several ways to keep states, or not to."""

    def __init__(self, how: str) -> None:
        super().__init__(hidden=how == "hidden")
        self.how, self.mem1, self.mem2, self.calls = how, None, None, 0

    def forward(self, x):
        if self.how == "hidden":
            return self.lif2(self.fc2(self.lif1(self.fc1(x))))
        if self.how == "module":  # states stay in modules without init_hidden too
            return self.lif2(self.fc2(self.lif1(self.fc1(x))[0]))
        if self.how == "init":
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        if self.how == "zeros":
            mem1, mem2 = torch.zeros(x.size(0), HIDDEN), torch.zeros(x.size(0), CLASSES)
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        return self.lif2(self.fc2(spk1), mem2)


@pytest.mark.parametrize("how", ["hidden", "module"])
@pytest.mark.parametrize("spec", [DIRECT, FRAMES])
def test_steps_that_keep_their_states(how: str, spec: sd.InputSpec) -> None:
    model = awake(Step(how))
    network = silent_lower(model, spec, 10)
    agreement = sd.verify(network, model, drawn(spec, 10, 5), executors=("torch",))
    returned = 5 * 10 * CLASSES * (1 if how == "hidden" else 2)
    assert agreement.agrees and agreement.rows[0].values == 5 * (2 * 10 * (HIDDEN + CLASSES) + 1) + returned


@pytest.mark.parametrize("how", ["init", "zeros"])
@pytest.mark.parametrize("spec", [DIRECT, FRAMES])
def test_steps_that_make_their_states_anew_are_no_sequence(how: str, spec: sd.InputSpec) -> None:
    """The network keeps states from step to step; such a model is not proven, and the hint works."""
    model = awake(Step(how))
    with pytest.raises(LoweringError) as caught:
        sd.lower(model, spec, 10)
    text = str(caught.value)
    assert "lif1" in text and "neurons keep their own states" in text and "please report" not in text
    assert "refused" in {row.verdict for row in sd.check(model, spec, 10) if row.layer.startswith("lif1")}
    assert silent_lower(model, spec, 1).certificate.proven  # one step from rest is what it does
    assert silent_lower(awake(Step("hidden")), spec, 10).certificate.proven


class Odd(Net):
    """Does something that a record of one call cannot show, by a counter, a size or a hook."""

    def __init__(self, how: str) -> None:
        super().__init__(12)
        self.how, self.calls = how, 0

    def forward(self, x):
        self.calls += self.how == "calls"
        mem1, mem2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for step in range(self.steps):
            current = self.fc1(x)
            if (
                (self.how == "late" and step == 10 and bool(self.lif1.threshold.fill_(0.5) > 0))
                or (self.how == "calls" and self.calls == 2)
                or (self.how == "small batch" and x.size(0) < 3)
                or (self.how == "large batch" and x.size(0) > 100)
            ):
                current = current.detach().as_subclass(torch.Tensor).clone().neg_()
                self.lif1.mem.zero_()
            spk1, mem1 = self.lif1(self.fc1(x) if self.how == "late" else current, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        seen = self.how != "watched" or self.lif1._forward_hooks
        return torch.stack(out if seen else out[::-1])


@pytest.mark.parametrize("how", ["late", "calls", "small batch", "large batch", "watched"])
def test_what_the_record_does_not_show_is_refused(how: str) -> None:
    with pytest.raises(LoweringError) as caught:
        sd.lower(awake(Odd(how)), DIRECT, 12)
    assert "please report" not in str(caught.value)
    assert any(row.verdict == "refused" for row in sd.check(awake(Odd(how)), DIRECT, 12))


def test_a_difference_names_layer_step_and_both_values() -> None:
    """Of a model that does something else than what was recorded, for whatever reason."""
    model = loop("stack", 12)
    network = silent_lower(model, DIRECT, 12)
    program = Program((), Call("input", "input"), looped=True)
    selftest.self_test(network, model, program)
    with torch.no_grad():
        model.fc2.weight.neg_()
        with pytest.raises(LoweringError) as caught:
            selftest.self_test(network, model, program)
    text = str(caught.value)
    assert "  - lif2: the network equals what the model itself does; got sequence 0 step" in text
    assert "lif2 neuron" in text and "membrane" in text and "expected" in text and "depends on the batch size" in text


def test_models_of_library_modules_that_differ_are_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    from squat_deploy.lowering import api

    model = nn.Sequential(linear(INPUTS, CLASSES), leaky())
    made = api.built

    def wrong(*args: object, **options: object) -> sd.Network:
        network = made(*args, **options)
        neuron = network.neurons[0]
        object.__setattr__(neuron, "membranes", neuron.membranes + 1)
        return network

    monkeypatch.setattr(api, "built", wrong)
    with pytest.raises(InternalError, match="the integers differ from the trained model at sequence 0 step 0"):
        sd.lower(awake(model), DIRECT, 5)


class Changing(Net):
    """Adds to its spikes in place afterwards, as blocks of SEW-ResNet do."""

    def __init__(self) -> None:
        super().__init__(hidden=True)
        self.fc3, self.lif3 = linear(HIDDEN, HIDDEN), leaky()

    def forward(self, x):
        spikes = self.lif1(self.fc1(x))
        more = self.lif3(self.fc3(spikes))
        more += spikes
        return self.lif2(self.fc2(more))


def test_what_is_recorded_is_a_copy() -> None:
    model = awake(Changing())
    network = silent_lower(model, DIRECT, 10)
    assert sd.verify(network, model, drawn(DIRECT, 10, 5), executors=("torch", "numpy")).agrees
    with torch.no_grad():
        assert torch.stack(run_model(model, torch.ones(2, INPUTS), 10)["lif3"].spikes).max() == 1


def test_batches_are_bounded(small: sd.Network) -> None:
    def sizes(network: sd.Network) -> list[int]:
        return [batch.shape[0] for batch in selftest.batches(network)]

    def of(steps: int) -> sd.Network:
        return sd.Network(small.input, small.layers, steps, small.certificate)

    assert sizes(small) == [1, 2, 255] and sizes(of(25)) == [1, 2, 81] and sizes(of(1000)) == [2]
    assert [batch.shape[0] for batch in selftest.batches(small, own_code=False)] == [1, 255]
    batch = list(selftest.batches(small))[-1]
    assert set(batch[0].tolist()) == {0} and set(batch[3].tolist()) == {15}
    assert (batch[1::3] == 0).mean() > 0.8 and (batch[2::3] == 0).mean() < 0.2


def test_the_users_model_and_everything_around_it_stay_as_they_are() -> None:
    """Mode, states, hooks, random numbers, and snnTorch's list of neurons; another model is not reset either."""
    model, other = awake(Hidden("utils")).train(), leaky()
    other(torch.ones(2, 3))
    model.lif1(torch.ones(3, HIDDEN))
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    states = {name: value.clone() for name, value in model.named_buffers()}
    known = list(snn.SpikingNeuron.instances)
    before = copy.deepcopy((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()))
    network = sd.lower(model, FRAMES, 12)
    sd.check(model, FRAMES, 12)
    sd.verify(network, model, drawn(FRAMES, 12, 3), executors=("torch",))
    assert (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()) == before
    assert all(torch.equal(value, states[name]) for name, value in model.named_buffers()) and model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(a is b for a, b in zip(snn.SpikingNeuron.instances, known, strict=True))
    assert other.mem.any()


def test_two_threads_lower_at_once_and_a_third_goes_on_meanwhile() -> None:
    """What recording exchanges in torch and snnTorch is there again afterwards, and is never another thread's."""
    own = nn.Module.__call__, nn.Module.__setattr__, torch.inference_mode.__enter__, torch.inference_mode.__exit__
    known, ready, other = list(snn.SpikingNeuron.instances), threading.Event(), nn.Linear(3, 2)
    models = [awake(Loop()), awake(Loop())]

    def goes_on() -> int:
        calls = 0
        while not ready.is_set():
            with torch.inference_mode():
                calls += other(torch.ones(1, 3)).is_inference()
            calls -= torch.is_inference_mode_enabled()
        return calls

    with ThreadPoolExecutor(3) as pool:
        third = pool.submit(goes_on)
        try:
            proven = list(pool.map(lambda model: sd.lower(model, FRAMES, STEPS).certificate.proven, models))
        finally:
            ready.set()
        assert proven == [True, True] and third.result() > 0
    assert own == (
        nn.Module.__call__, nn.Module.__setattr__, torch.inference_mode.__enter__, torch.inference_mode.__exit__
    )  # fmt: skip
    new = [neuron for neuron in snn.SpikingNeuron.instances if neuron not in known]
    assert {id(neuron) for neuron in new} >= {id(model.lif1) for model in models}


def test_lowering_in_inference_mode() -> None:
    with torch.inference_mode():
        assert sd.lower(awake(Loop()), FRAMES, STEPS).certificate.proven
        assert torch.is_inference_mode_enabled()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError])
def test_what_recording_exchanges_is_back_after_an_error(raised: type[BaseException]) -> None:
    own = nn.Module.__call__, nn.Module.__setattr__, torch.inference_mode.__enter__, torch.inference_mode.__exit__
    known = snn.SpikingNeuron.instances

    class Breaks(Loop):
        def forward(self, x):
            result = super().forward(x)
            if hasattr(result, "event"):
                raise raised
            return result

    with pytest.raises(KeyboardInterrupt if raised is KeyboardInterrupt else LoweringError):
        sd.lower(awake(Breaks()), FRAMES, STEPS)
    assert own == (
        nn.Module.__call__, nn.Module.__setattr__, torch.inference_mode.__enter__, torch.inference_mode.__exit__
    )  # fmt: skip
    assert snn.SpikingNeuron.instances is known


@pytest.mark.parametrize("by_offsets", [False, True])
def test_two_states_are_compared_one_to_one(by_offsets: bool) -> None:
    """A table of pairs of states does not name the currents, offsets do."""
    levels = StateQuantizer.of(4, "uniform" if by_offsets else "rest")
    neuron = snn.Synaptic(alpha=0.5, beta=0.75, state_quant=levels, init_hidden=True)
    model = awake(nn.Sequential(linear(INPUTS, CLASSES), neuron))
    network = silent_lower(model, DIRECT, 6)
    assert isinstance(network.neurons[0], TwoStateNeuron if by_offsets else Neuron)
    inputs = drawn(DIRECT, 6, 20)
    reference = sd.simulate(network, inputs, trace=True)
    with torch.no_grad():
        trace = run_model(model, torch.from_numpy((inputs * 0.25).astype(np.float32)), 6)["1"]

    def compared() -> Tally:
        tally = Tally()
        observed.compare(tally, network, reference, observed.Observed(0, 20, (seen_of(trace),)))
        return tally

    assert compared().mismatches == 0 and compared().values == 3 * 6 * 20 * CLASSES + (not by_offsets)
    first = trace.currents[3][2, 1].clone()
    trace.currents[3][2, 1] = first + 0.5
    tally = compared()
    assert tally.mismatches > 0 and "synaptic current" in str(tally.first)
    trace.currents[3][2, 1] = first
    trace.currents[:] = [torch.zeros_like(values) for values in trace.currents]
    tally = compared()
    assert by_offsets or (tally.mismatches == 1 and "number of states" in str(tally.first))
    assert tally.mismatches > 0


def test_neither_trace_is_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that goes step by step one step waits at most; of one that goes layer by layer, states and spikes."""
    held: list[int] = []
    advance = judging.Reference._advance

    def counted(self: judging.Reference) -> bool:
        going = advance(self)
        held.append(max(map(len, self._waiting)))
        assert not any(layer.sums.size for waiting in self._waiting for layer in waiting)
        return going

    monkeypatch.setattr(judging.Reference, "_advance", counted)
    runs: list[OwnRun] = []
    checked = selftest._Tested.run

    def kept(self: Any, *args: Any, **options: Any) -> OwnRun:
        runs.append(checked(self, *args, **options))
        return runs[-1]

    monkeypatch.setattr(selftest._Tested, "run", kept)
    silent_lower(loop("stack", 12), DIRECT, 12)
    assert max(held) == 1 and len(held) >= 3 * 12
    assert runs and not any(trace.membranes or trace.spikes for run in runs for trace in run.traces.values())


@pytest.mark.parametrize("encoding", ["direct", "sequence"])
def test_the_reference_a_step_at_a_time_is_that_of_whole_traces(
    encoding: str, small: sd.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where samples are run a few at a time."""
    from squat_deploy.network import simulator

    network = replace(small, input=replace(small.input, encoding=encoding))
    inputs = drawn(network.input, network.steps, 7)
    whole = sd.simulate(network, inputs, trace=True).trace
    for limit in (2**27, 8 * 2 * max(network.input.size, *(layer.width for layer in network.layers))):
        monkeypatch.setattr(simulator, "_BATCH_BYTES", limit)
        steps = list(simulator.stepwise(network, inputs))
        for place, layer in enumerate(whole or ()):
            for key in ("sums", "states", "spikes"):
                assert np.array_equal(
                    np.concatenate([getattr(step[place], key) for step in steps]), getattr(layer, key)
                )
